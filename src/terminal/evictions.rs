//! Detects tokens that repeatedly lose this terminal's key for the fast tap. That happens when two machines use copies of one
//! bundle: they share a key slot on every token, and each full tap at one overwrites the key of the other.

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

/// Misses in a row that are no longer a coincidence: a token that was blocked or renewed in between misses once.
const TIMES: u8 = 3;
/// The most tokens that are counted; beyond that, counting starts over.
const COUNTED: usize = 10_000;
/// How long an observation is worth reporting.
const TOLD: Duration = Duration::from_secs(24 * 60 * 60);
/// An upper bound for the size of the note, in bytes.
const SIZE: u64 = 1024;
const SCHEMA: &str = "rollcall.evictions/1";

/// What an authenticated tap showed about the key that was kept for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// There was no key to try.
    None,
    /// The token did not hold the key.
    Missed,
    /// The channel was resumed under it.
    Resumed,
}

/// The number of misses in a row for each token.
#[derive(Debug, Default)]
pub struct Evictions(HashMap<Uuid, u8>);

impl Evictions {
    /// Records an authenticated tap. Returns true when the token has lost the key too often; its count then starts
    /// over.
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

/// The failure that `watch` and `doctor` show.
pub fn evicted() -> Failure {
    let text = format!(
        "a token has lost this terminal's key for fast taps {TIMES} times in a row: another machine has a copy of this \
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

/// When this was last observed, in a file of the state folder that names no token. An unreadable file counts as none.
#[derive(Debug)]
pub struct EvictionNote(PathBuf);

impl EvictionNote {
    /// The note in this state folder.
    pub fn of(state: &Path) -> Self {
        Self(state.join("evictions.json"))
    }

    /// Records an observation. If the disk is full, the note is lost.
    pub fn note(&self, at: Timestamp) {
        let note = EvictionFile { schema: SCHEMA.to_owned(), at };
        let _ = serde_json::to_vec(&note).map(|text| files::replace(&self.0, &text));
    }

    /// The time of the observation, if it is recent.
    pub fn recall(&self, now: Timestamp) -> Option<Timestamp> {
        // Opening a pipe in its place would block.
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
        // A tap without a key, as after a restart, is not counted.
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
        // A missing folder is not created.
        EvictionNote::of(&state.path().join("nowhere")).note(at(1));
        assert!(!state.path().join("nowhere").exists());
    }
}
