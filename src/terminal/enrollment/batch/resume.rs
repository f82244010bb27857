//! What a run of a batch that was killed has left behind, or is given up.

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
    },
};

/// A run that was killed between its last two steps left entries behind of tokens that are done.
///
/// # Errors
/// [`EnrollError::Journal`] and [`EnrollError::JournalDamaged`].
pub fn settle(enrollment: &EnrollmentContext, ledger: &BatchLedger) -> Result<(), EnrollError> {
    for entry in enrollment.journal.all()? {
        if ledger.holder(entry.token_id).is_some() {
            enrollment.journal.close(&entry)?;
        }
    }
    Ok(())
}

/// Gives up what was begun, and what the file does not know. What the server may have registered of a begun card is revoked
/// there first; a token that is done stays what it is.
///
/// # Errors
/// The failure of the server, which has to know first; that of the journals and of the sets.
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

/// Gives up what was begun with a card that is about to become somebody else's: its token is revoked, and whoever puts that
/// card on again before, for the one it was begun for, gets another token. How the card came stays noted.
///
/// # Errors
/// The failure of the server, which has to know first; that of the journal.
pub fn give_up(entry: &JournalEntry, enrollment: &EnrollmentContext) -> Result<(), Failure> {
    revoke(entry, enrollment.terminal())?;
    let JournalEntry { card, user, authority, test_keys, replaces, portrait, set, .. } = entry.clone();
    let token_id = uuid::Builder::from_random_bytes(random::bytes(&mut SystemRandom).map_err(EnrollError::from)?);
    let entry = JournalEntry::new(card, token_id.into_uuid(), user, authority, test_keys);
    Ok(enrollment.journal.save(&JournalEntry { replaces, portrait, set, ..entry })?)
}

/// Has the server revoke what it may have registered of a card that was begun, and is given up.
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
