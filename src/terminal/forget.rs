//! Deletes the personal data that this terminal holds about a user, and reports what it was and what remains.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;

use super::{
    enrollment::journal::Journal,
    lookups::forget_users,
    presence::{
        Hand, Policy, TerminalStore,
        operator::{ambiguous_among, is_name},
        store::PersonalData,
    },
};
use crate::failure::{ExitClass, Failure};

/// The data held about a user, before or after deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgetReport {
    /// The id of the user.
    pub user_id: String,
    /// The data in the terminal's store.
    pub held: PersonalData,
    /// Signed users cached for times when the server is unreachable; counted only once they are deleted.
    pub cached: usize,
    /// Enrollments that were started and not finished; these stay until they are.
    pub begun: usize,
}

/// Finds the user by id or name, and the data held about them. Nothing changes.
///
/// # Errors
/// `users.unknown` when nothing is held, `users.ambiguous` when several have that name; otherwise the error of the
/// store.
pub fn find(store: &TerminalStore, home: &Path, typed: &str) -> Result<ForgetReport, Failure> {
    let user_id = meant(&store.people()?, typed)?;
    let held = store.personal_data(&user_id)?;
    let begun = Journal::new(home).all()?.iter().filter(|entry| entry.user.id == user_id).count();
    Ok(ForgetReport { user_id, held, cached: 0, begun })
}

/// Deletes the data. A server learns of the departure with the next events.
///
/// # Errors
/// The error of the store: then its data are unchanged, though the cache of the server's answers is already cleared.
pub fn forget(
    store: &mut TerminalStore,
    home: &Path,
    found: ForgetReport,
    hand: &Hand,
    now: Timestamp,
    policy: &dyn Policy,
    has_server: bool,
) -> Result<ForgetReport, Failure> {
    let cached = forget_users(home, &found.held.tokens)?;
    let held = store.forget(&found.user_id, hand, now, policy, has_server)?;
    Ok(ForgetReport { held, cached, ..found })
}

fn meant(people: &[(String, String)], typed: &str) -> Result<String, Failure> {
    let ids: BTreeSet<_> = people.iter().map(|(id, _)| id).collect();
    if let Some(id) = ids.get(&typed.to_owned()) {
        return Ok((*id).clone());
    }
    let named: BTreeSet<_> = people.iter().filter(|(_, name)| is_name(name, typed)).map(|(id, _)| id).collect();
    match named.iter().collect::<Vec<_>>().as_slice() {
        [id] => Ok((**id).clone()),
        [] => Err(Failure::new(ExitClass::No, "users.unknown", format!("nothing is stored about {typed} here"))
            .hint("give the id of the user")),
        several => Err(ambiguous_among(typed, several.iter().map(|id| (**id).clone()))),
    }
}
