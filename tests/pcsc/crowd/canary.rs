//! The resumption keys that the tokens received, and a search for them in files.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use rollcall::{
    channel::scp03::StaticKeys,
    crypto::{Key128, random::SystemRandom},
    emulator::{PersistentState, SoftwareToken, StateStore, StateStoreError},
};
use serde_json::Value;

use crate::{card::Card, lift::TEST_KEY};

/// Every key that a token ever had in a slot.
#[derive(Clone, Default)]
pub struct Canaries(Arc<Mutex<BTreeSet<Vec<u8>>>>);

impl StateStore for Canaries {
    fn save(&mut self, state: &PersistentState) -> Result<(), StateStoreError> {
        let state: Value = serde_json::from_slice(&state.to_file().unwrap()).unwrap();
        let places = state["slots"]["places"].as_array().into_iter().flatten();
        let keys = places.filter_map(|slot| slot["key"].as_str()).map(|key| hex::decode(key).unwrap());
        self.0.lock().unwrap().extend(keys);
        Ok(())
    }
}

/// So many bytes of each form are looked for first.
const HEAD: usize = 8;

impl Canaries {
    /// A blank token whose keys are noted.
    pub fn blank(&self) -> Box<dyn Card> {
        let keys = StaticKeys::all(&Key128::new(TEST_KEY));
        let state = PersistentState::blank(&keys, &mut SystemRandom).unwrap();
        Box::new(SoftwareToken::new(state, Box::new(self.clone()), Box::new(SystemRandom)))
    }

    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// A key as it may stand in a file: its bytes, hexadecimal, and base64 at each offset without what its neighbours share.
    fn forms(key: &[u8]) -> Vec<Vec<u8>> {
        let mut forms = vec![key.to_vec(), hex::encode(key).into(), hex::encode_upper(key).into()];
        for (before, from) in [(0, 0), (1, 2), (2, 3)] {
            let encoded = BASE64_STANDARD_NO_PAD.encode([&vec![0; before][..], key].concat());
            let whole = encoded.as_bytes()[from..(before + key.len()) / 3 * 4].to_vec();
            let swap = |byte: &u8| match byte {
                b'+' => b'-',
                b'/' => b'_',
                other => *other,
            };
            forms.push(whole.iter().map(swap).collect());
            forms.push(whole);
        }
        forms
    }

    /// The files below these folders that hold a key in any form, and how many bytes were looked at.
    fn search(&self, folders: &[PathBuf]) -> (BTreeSet<PathBuf>, usize) {
        let mut heads: HashMap<[u8; HEAD], Vec<Vec<u8>>> = HashMap::new();
        for form in self.0.lock().unwrap().iter().flat_map(|key| Self::forms(key)) {
            heads.entry(form[..HEAD].try_into().unwrap()).or_default().push(form);
        }
        let (mut found, mut looked) = (BTreeSet::new(), 0);
        for file in folders.iter().flat_map(|folder| files(folder)) {
            let bytes = fs::read(&file).unwrap();
            looked += bytes.len();
            let holds = bytes.windows(HEAD).enumerate().any(|(at, head)| {
                heads.get(head).is_some_and(|forms| forms.iter().any(|form| bytes[at..].starts_with(form)))
            });
            if holds {
                found.insert(file);
            }
        }
        (found, looked)
    }

    /// No file holds a key; and the search finds those that are put there for it.
    pub fn assert_nowhere(&self, folders: &[PathBuf]) -> usize {
        let last = self.0.lock().unwrap().last().cloned().unwrap();
        let planted: BTreeSet<_> =
            (0..Self::forms(&last).len()).map(|n| folders[0].join(format!("planted{n}"))).collect();
        for (file, form) in planted.iter().zip(Self::forms(&last)) {
            fs::write(file, [b"before", &form[..], b"after"].concat()).unwrap();
        }
        assert_eq!(self.search(folders).0, planted);
        for file in &planted {
            fs::remove_file(file).unwrap();
        }
        let (found, looked) = self.search(folders);
        assert!(found.is_empty() && looked > 0, "keys lie in {found:?}, of {looked} bytes");
        looked
    }
}

/// Every file below a folder; a socket has nothing to read.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .flat_map(|entry| match entry.file_type().unwrap() {
            kind if kind.is_dir() => files(&entry.path()),
            kind if kind.is_file() => vec![entry.path()],
            _ => Vec::new(),
        })
        .collect()
}
