//! The slots that keep the keys of full taps, and the decoy key for terminals without a slot.
//!
//! Specification: docs/protocol.md, "Slots".

use serde::{Deserialize, Serialize};

use super::encoding::{Hex, SecretKey};
use crate::{
    channel::resumption::TID,
    crypto::{
        CryptoError, Key128,
        random::{self, Random},
        same,
    },
};

/// The number of slots.
pub(super) const SLOTS: usize = 8;

/// The key of one terminal's last full tap that asked for a slot.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TerminalSlot {
    pub(super) terminal: Hex<[u8; TID]>,
    pub(super) key: SecretKey,
    pub(super) uses_left: u8,
    /// 12 digits YYMMDDhhmmss: when the terminal's certificate expires.
    pub(super) not_after: Hex<[u8; 12]>,
}

/// The slots, and which one is filled next.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Slots {
    pub(super) places: [Option<TerminalSlot>; SLOTS],
    next: usize,
}

impl Slots {
    /// Whether they are as after installation, and need not be in the file.
    pub(super) fn are_untouched(&self) -> bool {
        self.next == 0 && !self.any_is_filled()
    }

    pub(super) fn any_is_filled(&self) -> bool {
        self.places.iter().any(Option::is_some)
    }

    /// Clears any slot of the same terminal, then fills the next one in turn.
    pub(super) fn fill(&mut self, slot: TerminalSlot) {
        for place in &mut self.places {
            if place.as_ref().is_some_and(|old| old.terminal == slot.terminal) {
                *place = None;
            }
        }
        let place = self.next % SLOTS;
        self.places[place] = Some(slot);
        self.next = (place + 1) % SLOTS;
    }

    /// The slot of this terminal. All are compared, in full.
    pub(super) fn of(&self, terminal: &[u8]) -> Option<usize> {
        let mut found = None;
        for (place, slot) in self.places.iter().enumerate() {
            let name = slot.as_ref().map_or([0; TID], |slot| slot.terminal.0);
            if same(&name, terminal) && slot.is_some() {
                found = Some(place);
            }
        }
        found
    }
}

/// The key for terminals without a slot, generated at installation.
pub(super) fn decoy(random: &mut dyn Random) -> Result<SecretKey, CryptoError> {
    Ok(SecretKey(Key128::new(random::bytes(random)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the file must contain the slots: a turn that was not saved would give the next terminal another's place.
    #[test]
    fn slots_are_untouched_where_nothing_is_filled_and_the_turn_is_the_firsts() {
        let slot = |terminal: usize| TerminalSlot {
            terminal: Hex([u8::try_from(terminal).unwrap(); TID]),
            key: SecretKey(Key128::new([1; 16])),
            uses_left: 1,
            not_after: Hex(*b"261101000000"),
        };
        let mut slots = Slots::default();
        assert!(slots.are_untouched());
        for terminal in 1..=SLOTS {
            slots.fill(slot(terminal));
            let emptied = Slots { places: Default::default(), ..slots.clone() };
            // After a complete turn the first place is next again.
            assert_eq!((slots.are_untouched(), emptied.are_untouched()), (false, terminal == SLOTS), "{terminal}");
        }
    }
}
