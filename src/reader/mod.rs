//! Access to readers and cards on any PC/SC stack: lists readers, watches them, and connects to cards.
//!
//! `pcsc` is the only importer of the crate `pcsc`. Every call that may block runs on a thread of its own, so that a
//! reader, card or service that hangs delays only its caller, and only for a bounded time.
//!
//! Deliberately absent: our applet, and any printing.

pub mod atr;
pub mod causes;
pub mod diff;
pub mod feedback;
pub mod holders;
pub mod identity;
pub mod mark;
pub mod monitor;
pub mod name;
pub mod pattern;
pub mod pcsc;
pub mod select;
pub mod service;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use crate::card::link::ReaderError;

/// The contents of a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot {
    /// Nothing.
    Empty,
    /// A card that answered to reset; the ATR is empty where the stack powers cards only on connection.
    Card(Vec<u8>),
    /// Something that did not answer to reset.
    Mute,
    /// The reader itself does not work.
    Unavailable,
}

impl Slot {
    /// Whether something lies in the reader, mute or not.
    pub const fn is_occupied(&self) -> bool {
        matches!(self, Self::Card(_) | Self::Mute)
    }
}

/// One reader at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderState {
    /// The name that PC/SC gives it; each byte that is not UTF-8 is written as `\xHH`.
    pub name: String,
    /// Its contents.
    pub slot: Slot,
    /// Another program holds it exclusively.
    pub exclusive: bool,
    /// Some program is connected to the card (it may be this one).
    pub in_use: bool,
    /// Number of the last insertion or removal. While it is unchanged, so is the card.
    pub insertion: Insertion,
}

/// The readers that can be reached: of several with the same name only the first.
pub fn reachable<R: std::borrow::Borrow<ReaderState>>(mut readers: Vec<R>) -> Vec<R> {
    let mut names = BTreeSet::new();
    readers.retain(|reader| names.insert(reader.borrow().name.clone()));
    readers
}

/// The number of one insertion at one reader: equal for two readings if and only if the card was not removed between
/// them. Later insertions have greater numbers; a removal counts too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Insertion(u64);

impl Insertion {
    /// How many low bits hold the service's event counter.
    const COUNT_BITS: u32 = 16;
    const COUNT_MASK: u64 = (1 << Self::COUNT_BITS) - 1;

    /// From PC/SC's event counter (the high word of the event state, 16 bits). `epoch` has 48 bits and distinguishes
    /// counts of different contexts, or from before and after a reader was unplugged.
    pub const fn counted(epoch: u64, count: u32) -> Self {
        Self(epoch << Self::COUNT_BITS | count as u64 & Self::COUNT_MASK)
    }

    /// The service's own count, on which two processes agree while the service lives and the reader stays plugged in.
    /// The list, which several processes write, stores this part.
    #[must_use]
    pub const fn shared(self) -> Self {
        Self(self.0 & Self::COUNT_MASK)
    }

    /// The number, for storage.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// From storage.
impl From<u64> for Insertion {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_readers_with_one_name_the_first_is_reached() {
        let state = |name: &str, slot| ReaderState {
            name: name.into(),
            slot,
            exclusive: false,
            in_use: false,
            insertion: 0.into(),
        };
        let all = vec![state("One", Slot::Mute), state("Other", Slot::Empty), state("One", Slot::Empty)];
        assert_eq!(reachable(all.clone()), all[..2]);
    }

    /// Two processes number their contexts differently, and agree on what the service counts.
    #[test]
    fn processes_agree_on_the_shared_part() {
        let (one, other) = (Insertion::counted(1, 7), Insertion::counted(9, 7));
        assert_ne!(one, other);
        assert_eq!((one.shared(), other.shared().get()), (other.shared(), 7));
        assert!(Insertion::counted(1, 0xFFFF) < Insertion::counted(2, 0));
        assert_eq!(Insertion::counted(1, 0x0001_0005), Insertion::counted(1, 5));
    }
}
