//! Tokens that lose the key of this terminal again and again: two machines with copies of one bundle share a slot on every token, so
//! that each full tap at one takes the key of the other.

use std::{
    collections::HashMap,
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    failure::{ExitClass, Failure},
    files,
    pki::new_bundle,
};

/// So often in a row is no accident: a token that was blocked or renewed meanwhile misses once.
const TIMES: u8 = 3;
/// So many tokens are counted; then all are begun with once more.
const COUNTED: usize = 10_000;
/// How long it is worth telling.
const TOLD: Duration = Duration::from_secs(24 * 60 * 60);
/// More than the note takes, in bytes.
const SIZE: u64 = 1024;
const SCHEMA: &str = "rollcall.evictions/1";

/// What an authenticated tap has shown of the key that was kept for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// There was none to try.
    None,
    /// The token did not hold it.
    Missed,
    /// The channel was resumed under it.
    Resumed,
}

/// How often in a row each token has lost the key.
#[derive(Debug, Default)]
pub struct Evictions(HashMap<Uuid, u8>);

impl Evictions {
    /// A token was authenticated. Says so when it has lost the key too often; then it is counted from the beginning.
    pub fn tapped(&mut self, token_id: Uuid, key: KeyUse) -> bool {
        match key {
            KeyUse::None => false,
            KeyUse::Resumed => {
                self.0.remove(&token_id);
                false
            }
            KeyUse::Missed => {
                if self.0.len() >= COUNTED {
                    self.0.clear();
                }
                let missed = self.0.entry(token_id).or_default();
                *missed += 1;
                let too_often = *missed >= TIMES;
                if too_often {
                    self.0.remove(&token_id);
                }
                too_often
            }
        }
    }
}

/// What is told of it, by `watch` and by `doctor`.
pub fn evicted() -> Failure {
    let text = format!(
        "a token had lost this terminal's key for fast taps {TIMES} times in a row: another machine has a copy of this \
         terminal's keys, or the token is used at more than 8 terminals"
    );
    Failure::new(ExitClass::Config, "resume.evicted", text).hint(new_bundle("give every machine keys of its own"))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EvictionFile {
    schema: String,
    at: Timestamp,
}

/// When that was seen last, in a file of the state folder that names no token. What cannot be read was not seen.
#[derive(Debug)]
pub struct EvictionNote(PathBuf);

impl EvictionNote {
    /// In this state folder.
    pub fn of(state: &Path) -> Self {
        Self(state.join("evictions.json"))
    }

    /// It was seen now. A disk that is full costs the note.
    pub fn note(&self, at: Timestamp) {
        let note = EvictionFile { schema: SCHEMA.to_owned(), at };
        let _ = serde_json::to_vec(&note).map(|text| files::replace(&self.0, &text));
    }

    /// When it was seen, if that is not long ago.
    pub fn recall(&self, now: Timestamp) -> Option<Timestamp> {
        // A pipe in its place would keep us waiting.
        let regular = std::fs::metadata(&self.0).is_ok_and(|about| about.is_file());
        let read = || File::open(&self.0).and_then(|file| files::read_bounded(file, SIZE)).ok();
        let note: EvictionFile = serde_json::from_slice(&regular.then(read).flatten()?).ok()?;
        let is_recent = note.at <= now && now.duration_since(note.at).unsigned_abs() <= TOLD;
        (note.schema == SCHEMA && is_recent).then_some(note.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn three_misses_of_one_token_in_a_row_are_told_once() {
        use KeyUse::{Missed, None, Resumed};
        let mut evictions = Evictions::default();
        let mut told = |token: u128, uses: &[KeyUse]| -> Vec<bool> {
            uses.iter().map(|key| evictions.tapped(Uuid::from_u128(token), *key)).collect()
        };
        assert_eq!(told(1, &[None, Missed, Missed, Resumed]), [false; 4]);
        assert_eq!(told(1, &[Missed, Missed]), [false; 2]);
        assert_eq!(told(2, &[Missed, Missed]), [false; 2]);
        // A tap without a key, as after a restart, says nothing.
        assert_eq!(told(1, &[None, Missed, Missed, Missed, Missed]), [false, true, false, false, true]);
    }

    #[test]
    fn the_note_is_told_for_a_day() {
        let state = tempfile::tempdir().unwrap();
        let note = EvictionNote::of(state.path());
        assert_eq!(note.recall(at(0)), None);
        note.note(at(1000));
        let day = 24 * 60 * 60;
        for (now, told) in [(999, None), (1000, Some(at(1000))), (1000 + day, Some(at(1000))), (1001 + day, None)] {
            assert_eq!(note.recall(at(now)), told, "{now}");
        }
        for text in ["", "{}", "[]", r#"{"schema":"other/1","at":"1970-01-01T00:16:40Z"}"#, &" ".repeat(2000)] {
            std::fs::write(&note.0, text).unwrap();
            assert_eq!(note.recall(at(1000)), None, "{text:.40}");
        }
        // Where there is no folder none is made.
        EvictionNote::of(&state.path().join("nowhere")).note(at(1));
        assert!(!state.path().join("nowhere").exists());
    }
}
