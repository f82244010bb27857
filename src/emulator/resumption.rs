//! The fast tap on the card's side: INTERNAL AUTHENTICATE with a slot, RESUME, and presence in a resumed channel.
//!
//! Specification: docs/protocol.md, "The fast tap".

use super::{
    core::SoftwareToken,
    encoding::{Hex, SecretKey},
    persistent::{PersistentCard, Reply, failed},
    session::{ResumedChannel, SessionPeer, TokenSession},
    slots::{TerminalSlot, decoy},
    state::{Life, PersistentState},
};
use crate::{
    card::{status::Status, tlv},
    channel::resumption::{NONCE, Resumed, TID, USES, terminal_id},
    crypto::{Key128, random},
    token::constants::{RECORD_MAX, TAG_PART},
};

impl SoftwareToken {
    /// RESUME: `terminal name(8), nonce(16)`. Everybody gets a random number and a cryptogram, whether or not there is
    /// a slot of this name; without one the cryptogram is made with a key that nobody has.
    pub(super) fn resume(&mut self, p1: u8, p2: u8, data: &[u8]) -> Reply {
        if !self.card.state.life.is_in_use() {
            return self.wiped(Status::CONDITIONS);
        }
        if (p1, p2) != (0, 0) {
            return self.wiped(Status::WRONG_DATA);
        }
        let Some((terminal, nonce)) = data.split_first_chunk::<TID>() else {
            return self.wiped(Status::WRONG_LENGTH);
        };
        let Ok(nonce) = <&[u8; NONCE]>::try_from(nonce) else {
            return self.wiped(Status::WRONG_LENGTH);
        };
        let card: [u8; NONCE] = random::bytes(&mut *self.card.random).map_err(|e| failed(&e))?;
        let slot = self.card.state.slots.of(terminal);
        let key = self.card.resumption_key(slot)?;
        let select = self.selected.as_deref().unwrap_or_default();
        let resumed = Resumed::derive(&key, nonce, &card, select).map_err(|e| failed(&e))?;
        let answer = [&card[..], &resumed.cryptogram].concat();
        self.session = TokenSession::Resumed(Box::new(ResumedChannel { messaging: resumed.messaging, slot }));
        Ok(answer)
    }
}

impl PersistentCard {
    fn resumption_key(&mut self, slot: Option<usize>) -> Result<Key128, Status> {
        let slots = &self.state.slots;
        if let Some(slot) = slot.and_then(|place| slots.places[place].as_ref()) {
            return Ok(slot.key.0.clone());
        }
        match &self.state.decoy {
            Some(decoy) => Ok(decoy.0.clone()),
            // The state was saved by an earlier release.
            None => decoy(&mut *self.random).map(|key| key.0).map_err(|e| failed(&e)),
        }
    }

    /// INTERNAL AUTHENTICATE with a slot: the proof comes first, because it must not depend on the slot.
    pub(super) fn prove_with_slot(&mut self, peer: &SessionPeer, nonce: &[u8]) -> Reply {
        let answer = self.prove(peer, nonce)?;
        let SessionPeer::Terminal(terminal) = peer else {
            return Err(Status::CONDITIONS);
        };
        let slot = TerminalSlot {
            terminal: Hex(terminal_id(&terminal.point)),
            key: SecretKey((*terminal.resumption).clone()),
            uses_left: USES,
            not_after: Hex(terminal.certificate.not_after),
        };
        self.change(|state| state.slots.fill(slot))?;
        Ok(answer)
    }

    /// Presence in a resumed channel: id, counter, uses left and record. The use is counted before the answer is sent.
    pub(super) fn resumed_presence(&mut self, place: usize) -> Reply {
        let mode = self.state.mode.ok_or(Status::CONDITIONS)?;
        let slot = self.state.slots.places[place].as_ref().ok_or(Status::CONDITIONS)?;
        if self.state.life != Life::Issued || slot.not_after.0 < self.state.date.0 {
            self.change(|state| state.slots.places[place] = None)?;
            return Err(Status::CONDITIONS);
        }
        let left = slot.uses_left.saturating_sub(1);
        self.change(|state| match &mut state.slots.places[place] {
            Some(slot) if left > 0 => slot.uses_left = left,
            used_up => *used_up = None,
        })?;
        let mut record = self.state.record.0.clone();
        record.resize(RECORD_MAX, 0);
        Ok([
            tlv::object(0x83, &mode.token_id.0),
            tlv::object(0x80, &self.state.counter.to_be_bytes()),
            tlv::object(0x88, &[left]),
            tlv::object(TAG_PART, &record),
        ]
        .concat())
    }

    /// Empties all slots, before the first write of a command that changes keys, state or date.
    pub(super) fn clear_slots(&mut self) -> Result<(), Status> {
        if self.state.slots.any_is_filled() {
            self.change(PersistentState::clear_slots)?;
        }
        Ok(())
    }
}

impl PersistentState {
    fn clear_slots(&mut self) {
        self.slots.places = Default::default();
    }
}
