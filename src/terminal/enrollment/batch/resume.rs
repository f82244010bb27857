//! Cleans up after a batch run that was killed, and abandons unfinished cards.

use jiff::Timestamp;

use super::{BatchLedger, GivenUp};
use crate::{
    api::v1::TokenStatus,
    crypto::random::{self, SystemRandom},
    failure::Failure,
    server_client::ServerError,
    terminal::{
        context::TerminalContext,
        enrollment::{
            context::EnrollmentContext,
            failure::EnrollError,
            journal::{JournalEntry, Progress},
        },
        presence::store::{CardState, IssuedCard, TerminalStore},
    },
};

/// A run killed between its last two steps leaves entries of tokens that are finished but perhaps not in the register:
/// registers them and closes the entries.
///
/// # Errors
/// `enroll.journal` and `store.…`, when one of the two cannot be read or written.
pub fn settle(enrollment: &EnrollmentContext, ledger: &BatchLedger) -> Result<(), Failure> {
    for entry in enrollment.journal.all()? {
        if ledger.holder(entry.token_id).is_some() {
            register(&entry, &mut enrollment.terminal().store()?)?;
            enrollment.journal.close(&entry)?;
        }
    }
    Ok(())
}

/// Adds the card to the register unless it is there already: it may have been blocked in the meantime.
fn register(entry: &JournalEntry, store: &mut TerminalStore) -> Result<(), Failure> {
    if store.cards(None)?.iter().any(|card| card.token_id == entry.token_id) {
        return Ok(());
    }
    let JournalEntry { token_id, user, card, replaces, .. } = entry;
    let now = Timestamp::now();
    let card = IssuedCard {
        token_id: *token_id,
        user: user.clone(),
        card: Some(card.clone()),
        state: CardState::Issued,
        issued: now,
        changed: now,
    };
    Ok(store.register_card(&card, *replaces)?)
}

/// Abandons unfinished cards, and cards whose rows are not in the file. If the server may have registered an unfinished
/// card, it is revoked there first; a finished token stays as it is.
///
/// # Errors
/// The failure of the server, which must revoke first; errors of the journals and of the sets.
pub fn abandon(enrollment: &EnrollmentContext, ledger: &mut BatchLedger) -> Result<(), Failure> {
    let entries = enrollment.journal.all()?;
    for GivenUp { id, card, is_done } in ledger.to_abandon() {
        if !is_done {
            if let Some(entry) = entries.iter().find(|entry| entry.card == card) {
                revoke(entry, enrollment.terminal())?;
                enrollment.journal.close(entry)?;
            }
            enrollment.leave_sets(&card)?;
        }
        ledger.abandon(&id)?;
    }
    Ok(())
}

/// Abandons an unfinished enrollment whose card is about to go to somebody else. Its token is revoked; if the card is
/// first presented again for the original user, that user gets a new token id. The card's origin stays recorded.
///
/// # Errors
/// The failure of the server, which must revoke first; errors of the journal.
pub fn give_up(entry: &JournalEntry, enrollment: &EnrollmentContext) -> Result<(), Failure> {
    revoke(entry, enrollment.terminal())?;
    let JournalEntry { card, user, authority, test_keys, replaces, portrait, set, .. } = entry.clone();
    let token_id = uuid::Builder::from_random_bytes(random::bytes(&mut SystemRandom).map_err(EnrollError::from)?);
    let entry = JournalEntry::new(card, token_id.into_uuid(), user, authority, test_keys);
    Ok(enrollment.journal.save(&JournalEntry { replaces, portrait, set, ..entry })?)
}

/// Revokes at the server the registration that an abandoned card may have.
fn revoke(entry: &JournalEntry, terminal: &TerminalContext) -> Result<(), Failure> {
    let Some(server) = terminal.server.as_ref().filter(|_| entry.progress >= Progress::Generated) else {
        return Ok(());
    };
    let reason = Some("its enrollment was given up".to_owned());
    match server.connect()?.set_status(entry.token_id, TokenStatus::Revoked, reason) {
        Ok(_) => Ok(()),
        Err(ServerError::Problem(problem)) if problem.status == 404 => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::User;

    /// It is registered once, and a later change of the card's state is kept.
    #[test]
    fn a_card_that_was_done_when_its_run_was_killed_is_registered() {
        let home = tempfile::tempdir().unwrap();
        let mut store = TerminalStore::open(home.path()).unwrap();
        let user = User { id: "u1".into(), name: "Ada".into(), ..User::default() };
        let token_id = uuid::Uuid::from_u128(1);
        let entry = JournalEntry::new("00112233445566778899".into(), token_id, user.clone(), "ca".into(), false);
        let state = |store: &TerminalStore| -> Vec<_> {
            let cards = store.cards(Some("u1")).unwrap();
            cards.into_iter().map(|card| (card.token_id, card.user, card.card, card.state)).collect()
        };
        let expected = |state| [(token_id, user.clone(), Some(entry.card.clone()), state)];
        register(&entry, &mut store).unwrap();
        assert_eq!(state(&store), expected(CardState::Issued));
        store.note_card(token_id, Some(CardState::Blocked), None, Timestamp::now()).unwrap();
        register(&entry, &mut store).unwrap();
        assert_eq!(state(&store), expected(CardState::Blocked));
    }
}
