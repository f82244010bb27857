//! Remembers the quality of the link to each reader while it was good, in `links.json` of the state folder, so that a
//! link that has become worse is reported before it fails.
//!
//! The file is a convenience: if it cannot be read it counts as empty, and if it cannot be written nothing is
//! remembered.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::files;

/// How many readers are remembered; the least recently seen is dropped.
const READERS: usize = 64;
/// The longest file that is read, in bytes: more than so many readers need.
const SIZE: u64 = 64 * 1024;
/// The longest name of a reader (PC/SC Lite's `MAX_READERNAME`), in bytes, each of them shown as `\xHH`.
const NAME: usize = 4 * 128;
/// A link is worse if a round trip takes so many times as long as before,
const TIMES: u32 = 2;
/// and is longer by at least this: a busy machine slows any link a little.
const MORE: Duration = Duration::from_millis(10);
const SCHEMA: &str = "rollcall.links/1";

/// The quality of a link with one kind of card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkProfile {
    /// The reader.
    pub reader: String,
    /// The kind of card, by its answer to reset in hex.
    pub atr: String,
    /// When it was last measured as good.
    pub at: Timestamp,
    /// The median round trip, in microseconds.
    pub p50_us: u64,
    /// Bytes of data in the largest command that passed; none if not tried.
    pub command_max: Option<usize>,
    /// Bytes of data in the largest answer that passed; none if the card had no data.
    pub answer_max: Option<usize>,
    /// The card had no more data: a longer answer might pass. Known only of a fresh measurement, and not stored.
    #[serde(skip)]
    pub answer_whole: bool,
    /// Whether extended length passed; none if not tried.
    pub extended: Option<bool>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MemoryFile {
    schema: String,
    links: Vec<LinkProfile>,
}

/// The file of profiles.
#[derive(Debug)]
pub struct LinkMemory {
    path: PathBuf,
}

impl LinkMemory {
    /// In this state folder, which need not exist.
    pub fn of(state: &Path) -> Self {
        Self { path: state.join("links.json") }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The profile of this reader with this kind of card.
    pub fn recall(&self, reader: &str, atr: &str) -> Option<LinkProfile> {
        self.load().into_iter().find(|known| known.reader == reader && known.atr == atr)
    }

    /// Stores the profiles of good links; the others stay. If two processes write at once, one's profiles are lost.
    pub fn note(&self, fresh: &[LinkProfile]) {
        // Every reader has a thread of its own.
        static ONE: Mutex<()> = Mutex::new(());
        let _alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh: Vec<_> = fresh.iter().filter(|known| is_bounded(known)).cloned().collect();
        if fresh.is_empty() || !files::folder_of(&self.path).is_dir() {
            return;
        }
        let is_fresh = |known: &LinkProfile| fresh.iter().any(|one| one.reader == known.reader && one.atr == known.atr);
        let mut links: Vec<_> = self.load().into_iter().filter(|known| !is_fresh(known)).collect();
        links.extend(fresh.iter().cloned());
        links.sort_by(|one, other| other.at.cmp(&one.at).then_with(|| one.reader.cmp(&other.reader)));
        links.truncate(READERS);
        let paper = MemoryFile { schema: SCHEMA.to_owned(), links };
        if let Ok(text) = serde_json::to_vec(&paper) {
            // A full disk has a finding of its own.
            let _ = files::replace(&self.path, &text);
        }
    }

    fn load(&self) -> Vec<LinkProfile> {
        // A pipe in its place would block us.
        let regular = std::fs::metadata(&self.path).is_ok_and(|about| about.is_file());
        let read = || File::open(&self.path).and_then(|file| files::read_bounded(file, SIZE)).ok();
        let Some(text) = regular.then(read).flatten() else { return Vec::new() };
        let paper: Option<MemoryFile> = serde_json::from_slice(&text).ok();
        let links = paper.filter(|paper| paper.schema == SCHEMA && paper.links.len() <= READERS);
        links.map(|paper| paper.links.into_iter().filter(is_bounded).collect()).unwrap_or_default()
    }
}

fn is_bounded(known: &LinkProfile) -> bool {
    known.reader.len() <= NAME && known.atr.len() <= 66 && known.atr.bytes().all(|digit| digit.is_ascii_hexdigit())
}

impl LinkProfile {
    /// The profile to keep for a good link: a card that had no more data to send (a private token after an open one),
    /// or none at all (a blank card), does not lower what passed before.
    #[must_use]
    pub fn kept_after(mut self, before: Option<&Self>) -> Self {
        if self.answer_whole || self.answer_max.is_none() {
            self.answer_max = self.answer_max.max(before.and_then(|before| before.answer_max));
        }
        self.command_max = self.command_max.or_else(|| before?.command_max);
        self.extended = self.extended.or_else(|| before?.extended);
        self
    }

    /// How this link is worse than before, if so.
    pub fn worse_than(&self, before: &Self) -> Option<String> {
        let ms = |us: u64| Duration::from_micros(us).as_secs_f64() * 1e3;
        let (now, then) = (Duration::from_micros(self.p50_us), Duration::from_micros(before.p50_us));
        if now >= then.saturating_mul(TIMES) && now >= then.saturating_add(MORE) {
            return Some(format!(
                "a round trip takes {:.1} ms, and used to take {:.1} ms",
                ms(self.p50_us),
                ms(before.p50_us)
            ));
        }
        if let (Some(now), Some(then)) = (self.command_max, before.command_max)
            && now < then
        {
            return Some(format!("commands of at most {now} bytes of data pass, and {then} used to"));
        }
        match (self.answer_max, before.answer_max) {
            (Some(now), Some(then)) if now < then && !self.answer_whole => {
                Some(format!("answers of at most {now} bytes of data pass, and {then} used to"))
            }
            _ if (before.extended, self.extended) == (Some(true), Some(false)) => {
                Some("commands of extended length used to pass, and no longer do".to_owned())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn known(reader: &str, second: i64) -> LinkProfile {
        LinkProfile {
            reader: reader.to_owned(),
            atr: "3B80".to_owned(),
            at: Timestamp::from_second(second).unwrap(),
            p50_us: 10_000,
            command_max: Some(255),
            answer_max: Some(256),
            answer_whole: false,
            extended: Some(true),
        }
    }

    #[test]
    fn what_has_become_worse_is_said_in_figures() {
        let before = known("r", 0);
        let worse = |change: &dyn Fn(&mut LinkProfile)| {
            let mut now = before.clone();
            change(&mut now);
            now.worse_than(&before).unwrap_or_default()
        };
        assert_eq!(worse(&|_| {}), "");
        assert_eq!(worse(&|now| now.p50_us = 19_999), "");
        assert_eq!(worse(&|now| now.p50_us = 20_000), "a round trip takes 20.0 ms, and used to take 10.0 ms");
        assert_eq!(
            worse(&|now| now.command_max = Some(128)),
            "commands of at most 128 bytes of data pass, and 255 used to"
        );
        assert_eq!(
            worse(&|now| now.answer_max = Some(240)),
            "answers of at most 240 bytes of data pass, and 256 used to"
        );
        assert_eq!(worse(&|now| now.answer_max = None), "");
        // All of a short certificate arrived: it is another card, and the link may be unchanged.
        let shorter = |now: &mut LinkProfile| (now.answer_max, now.answer_whole) = (Some(240), true);
        assert_eq!(worse(&shorter), "");
        assert_eq!(
            worse(&|now| {
                shorter(now);
                now.extended = Some(false);
            }),
            "commands of extended length used to pass, and no longer do"
        );
        assert_eq!(
            worse(&|now| now.extended = Some(false)),
            "commands of extended length used to pass, and no longer do"
        );
        // Not tried.
        assert_eq!(worse(&|now| (now.command_max, now.extended) = (None, None)), "");
        // Twice a very short time is insignificant.
        let quick = LinkProfile { p50_us: 500, ..before.clone() };
        assert_eq!(LinkProfile { p50_us: 10_000, ..before.clone() }.worse_than(&quick), None);
        assert!(LinkProfile { p50_us: 10_500, ..before.clone() }.worse_than(&quick).is_some());
    }

    #[test]
    fn a_short_certificate_takes_nothing_from_what_passed_before() {
        let before = known("r", 0);
        let now = |answer_max, answer_whole| LinkProfile { answer_max, answer_whole, ..known("r", 1) };
        for (now, expected) in [
            (now(Some(240), true), Some(256)),
            (now(Some(395), true), Some(395)),
            // A blank card has no certificate.
            (now(None, false), Some(256)),
            // What the link truncated.
            (now(Some(240), false), Some(240)),
        ] {
            assert_eq!(now.clone().kept_after(Some(&before)).answer_max, expected, "{now:?}");
            assert_eq!(now.clone().kept_after(None), now);
        }
    }

    #[test]
    fn what_was_not_tried_stays_known() {
        let before = known("r", 0);
        let now = LinkProfile { command_max: None, answer_max: None, extended: None, ..known("r", 1) };
        let kept = now.clone().kept_after(Some(&before));
        assert_eq!((kept.command_max, kept.answer_max, kept.extended), (Some(255), Some(256), Some(true)));
        assert_eq!(now.clone().kept_after(None), now);
    }

    #[test]
    fn a_file_of_an_earlier_version_is_read_and_its_form_stays() {
        let state = tempfile::tempdir().unwrap();
        let memory = LinkMemory::of(state.path());
        let text = r#"{"schema":"rollcall.links/1","links":[{"reader":"r","atr":"3B80","at":"2026-11-22T15:04:05Z","p50_us":7000,"command_max":255,"answer_max":395,"extended":true}]}"#;
        std::fs::write(memory.path(), text).unwrap();
        let old = memory.recall("r", "3B80").unwrap();
        assert_eq!((old.p50_us, old.answer_max), (7_000, Some(395)));
        memory.note(&[old]);
        assert_eq!(std::fs::read_to_string(memory.path()).unwrap(), text);
    }

    #[test]
    fn what_is_noted_is_recalled_by_reader_and_kind_of_card() {
        let state = tempfile::tempdir().unwrap();
        let memory = LinkMemory::of(state.path());
        assert_eq!(memory.recall("r", "3B80"), None);
        memory.note(&[known("r", 1), known("other", 1)]);
        memory.note(&[LinkProfile { p50_us: 7, ..known("r", 2) }]);
        assert_eq!(memory.recall("r", "3B80").map(|known| known.p50_us), Some(7));
        assert_eq!(memory.recall("other", "3B80").map(|known| known.p50_us), Some(10_000));
        assert_eq!((memory.recall("r", "3B81"), memory.recall("", "3B80")), (None, None));
        // Nothing is created in a folder that does not exist.
        LinkMemory::of(&state.path().join("nowhere")).note(&[known("r", 1)]);
        assert!(!state.path().join("nowhere").exists());
    }

    #[test]
    fn the_file_is_bounded_and_the_oldest_goes() {
        let state = tempfile::tempdir().unwrap();
        let memory = LinkMemory::of(state.path());
        let long = "r".repeat(NAME + 1);
        memory.note(&[known(&long, 1)]);
        assert_eq!(memory.recall(&long, "3B80"), None);
        for number in 0..200 {
            memory.note(&[known(&format!("{number}{}", "n".repeat(NAME - 3)), number)]);
        }
        assert_eq!(memory.load().len(), READERS);
        assert!(memory.path().metadata().unwrap().len() <= SIZE);
        assert!(memory.load().iter().all(|known| known.at.as_second() >= 200 - 64));
    }

    #[test]
    fn what_is_no_memory_is_none_and_is_replaced() {
        let state = tempfile::tempdir().unwrap();
        let memory = LinkMemory::of(state.path());
        let huge = format!(r#"{{"schema":"{SCHEMA}","links":[]{}}}"#, " ".repeat(64 * 1024));
        for text in ["", "{", "[]", r#"{"schema":"other/1","links":[]}"#, r#"{"schema":1}"#, &huge] {
            std::fs::write(memory.path(), text).unwrap();
            assert!(memory.load().is_empty());
            memory.note(&[known("r", 1)]);
            assert!(memory.recall("r", "3B80").is_some(), "{text:.40}");
        }
        std::fs::remove_file(memory.path()).unwrap();
        std::fs::create_dir(memory.path()).unwrap();
        memory.note(&[known("r", 1)]);
        assert!(memory.load().is_empty());
    }

    proptest! {
        #[test]
        fn no_file_is_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let state = tempfile::tempdir().unwrap();
            let memory = LinkMemory::of(state.path());
            std::fs::write(memory.path(), bytes).unwrap();
            prop_assert!(memory.load().len() <= READERS);
        }
    }
}
