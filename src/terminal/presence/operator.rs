//! What an operator does to the list by hand: find the entry that an id or name means, deny, allow, clear, and check
//! people in and out who have no card with them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    CheckIn, Denial, Entry, EntryState, Event, Hand, Holder, Input, Policy, Reason, Source, TerminalStore,
    TerminalStoreError, denied_here,
};
use crate::api::User;
use crate::failure::{ExitClass, Failure, Remedy};
use crate::terminal::token_prefix::{self, TokenPrefix};

/// The reader entered when no card was ever read here.
const NO_READER: &str = "by hand";

/// The result of a denial.
#[derive(Debug)]
pub struct DenyReport {
    /// The id that is denied from now on.
    pub id: String,
    /// Whether the id is known here: on the list, in the history or in the register.
    pub is_known: bool,
    /// The events of those it took off the list.
    pub events: Vec<Event>,
}

/// Denies a token or user from now on, given by id or by a name on the list, in the history or in the register. An
/// unknown text that looks like a name is denied as an id only if the caller is `sure`.
///
/// # Errors
/// `users.empty-id`, `users.ambiguous`, and `users.unknown` for an unknown text that looks like a name; otherwise the
/// error of the store.
pub fn deny(
    store: &mut TerminalStore,
    typed: &str,
    reason: Option<&str>,
    sure: bool,
    now: Timestamp,
    policy: &dyn Policy,
) -> Result<DenyReport, Failure> {
    store.settle(now, policy)?;
    let mut known = KnownHolders { here: store.entries()?, people: store.holders()?, ..KnownHolders::default() };
    known.tokens.extend(store.known()?.iter().map(|entry| entry.token_id));
    known.tokens.extend(store.cards(None)?.iter().map(|card| card.token_id));
    let sure = sure || store.list()?.is_denied(typed);
    let id = deniable(typed, &known, sure)?;
    let is_known = known.has(&id);
    let denial = Denial { id: id.clone(), reason: reason.map(str::to_owned), ..Denial::default() };
    let events = store.deny(&denial, now, policy)?;
    Ok(DenyReport { id, is_known, events: caused(Reason::Denied, events) })
}

/// Withdraws a denial, and returns the id that was denied.
///
/// # Errors
/// `users.not-denied` when it is not; otherwise the error of the store.
pub fn allow(store: &mut TerminalStore, typed: &str, now: Timestamp, policy: &dyn Policy) -> Result<String, Failure> {
    let mut id = token_id(typed).map_or_else(|| typed.to_owned(), |token_id| token_id.to_string());
    if !store.list()?.is_denied(&id) {
        let denials = store.denials()?;
        let named = |denial: &&Denial| denial.name.as_deref().is_some_and(|name| is_name(name, typed));
        match denials.iter().filter(named).collect::<Vec<_>>().as_slice() {
            [] => {
                let tokens = denials.iter().filter_map(|denial| token_id(&denial.id));
                let meant = typed.parse::<TokenPrefix>().ok().map(|prefix| prefix.only(tokens)).transpose();
                let meant = meant.map_err(|ids| token_prefix::ambiguous("users.ambiguous", typed, &ids))?;
                id = meant.flatten().map_or(id, |token_id| token_id.to_string());
            }
            [denial] => id.clone_from(&denial.id),
            several => return Err(ambiguous_among(typed, several.iter().map(|denial| denial.id.clone()))),
        }
    }
    if !store.list()?.is_denied(&id) {
        return Err(Failure::new(ExitClass::No, "users.not-denied", format!("{id} is not denied here"))
            .hint("rollcall users denied shows the deny list"));
    }
    store.order(&Input::Allow { id: id.clone() }, now, policy)?;
    Ok(id)
}

/// Ends every entry, and returns the resulting events.
///
/// # Errors
/// The error of the store.
pub fn clear(store: &mut TerminalStore, now: Timestamp, policy: &dyn Policy) -> Result<Vec<Event>, TerminalStoreError> {
    store.order(&Input::Clear, now, policy).map(|events| caused(Reason::Cleared, events))
}

/// Checks in somebody at the given time who has no card with them. `find_entries` resolves the text among everybody who
/// was ever on the list or has a usable card in the register, and otherwise among those whom the server has named; of a
/// user's tokens, the one used last counts. Somebody who was never here is entered at the reader that was used last.
///
/// # Errors
/// `users.unknown`, `users.ambiguous`; `users.already-here`; `token.denied`; `users.not-yet` for a time in the future,
/// and `users.overlaps` for one before they last left; otherwise the error of the store.
pub fn check_in(
    store: &mut TerminalStore,
    typed: &str,
    at: Timestamp,
    hand: Hand,
    now: Timestamp,
    policy: &dyn Policy,
    named_by_server: impl FnOnce() -> Result<Vec<(Uuid, User)>, Failure>,
) -> Result<Vec<Event>, Failure> {
    store.settle(now, policy)?;
    not_to_come(at, now)?;
    if let Ok(here) = find_entries(typed, &store.entries()?) {
        let name = here.first().map_or(typed, |entry| entry.user.name.as_str());
        return Err(Failure::new(ExitClass::No, "users.already-here", format!("{name} is on the list already"))
            .hint(Remedy::run("rollcall users")));
    }
    let mut known = store.known()?;
    let reader = known.first().map_or(NO_READER, |last| last.reader.as_str()).to_owned();
    let cards = store.cards(None)?.into_iter().filter(|card| card.state.is_usable());
    let seen: BTreeSet<_> = known.iter().map(|entry| entry.token_id).collect();
    let unseen = cards.filter(|card| !seen.contains(&card.token_id));
    known.extend(unseen.map(|card| never_here(card.token_id, card.user, Source::Card, &reader)));
    let mut found = find_entries(typed, &known);
    let named: Vec<_>;
    if found.as_ref().is_err_and(|failure| failure.code == "users.unknown") {
        let users = named_by_server()?.into_iter();
        named = users.map(|(token_id, user)| never_here(token_id, user, Source::Server, &reader)).collect();
        found = find_entries(typed, &named);
    }
    let found = found.map_err(|failure| match failure.code {
        "users.unknown" => {
            let text = format!("{typed} was never on the list here, and has no card that this terminal knows");
            Failure::new(ExitClass::No, failure.code, text).hint(
                "somebody new here needs a card for the first time; rollcall users history and rollcall token \
                    list show who is known",
            )
        }
        _ => failure,
    })?;
    let Some(last) = found.first() else { return Ok(Vec::new()) };
    if at < last.last_seen {
        let text = format!("{} left at {:.0}, after that time", last.user.name, last.last_seen);
        return Err(
            Failure::new(ExitClass::Usage, "users.overlaps", text).hint("give a later time, or leave it out for now")
        );
    }
    if store.list()?.denies(&last.user.id, last.token_id) {
        return Err(denied_here());
    }
    let (token_id, user, source) = (last.token_id, last.user.clone(), last.source);
    let holder = Holder { token_id, user, source, authenticated: false, resumed: false };
    let entered = CheckIn { holder, reader: last.reader.clone(), at, hand };
    store.order(&Input::CheckIn(entered), now, policy).map(by_hand).map_err(Failure::from)
}

/// An entry for somebody who is known here, but was never on the list.
fn never_here(token_id: Uuid, user: User, source: Source, reader: &str) -> Entry {
    Entry {
        token_id,
        user,
        reader: reader.to_owned(),
        since: Timestamp::MIN,
        last_seen: Timestamp::MIN,
        state: EntryState::Unconfirmed,
        source,
        authenticated: false,
        resumed: false,
    }
}

/// Checks out somebody at the given time, with all of their tokens.
///
/// # Errors
/// `users.unknown`, `users.ambiguous`; `users.not-yet` for a time in the future, and `users.before-arrival`; otherwise
/// the error of the store.
pub fn check_out(
    store: &mut TerminalStore,
    typed: &str,
    at: Timestamp,
    hand: &Hand,
    now: Timestamp,
    policy: &dyn Policy,
) -> Result<Vec<Event>, Failure> {
    store.settle(now, policy)?;
    not_to_come(at, now)?;
    let entries = store.entries()?;
    let here = find_entries(typed, &entries)?;
    if let Some(entry) = here.iter().find(|entry| at < entry.since) {
        let text = format!("{} came at {:.0}, after that time", entry.user.name, entry.since);
        return Err(Failure::new(ExitClass::Usage, "users.before-arrival", text)
            .hint("give a later time, or leave it out for now"));
    }
    let mut events = Vec::new();
    for entry in here {
        let input = Input::CheckOut { token_id: entry.token_id, at, hand: hand.clone() };
        events.extend(by_hand(store.order(&input, now, policy)?));
    }
    Ok(events)
}

/// Removes all entries of somebody from the list.
///
/// # Errors
/// `users.unknown`, `users.ambiguous`; otherwise the error of the store.
pub fn remove(
    store: &mut TerminalStore,
    typed: &str,
    hand: &Hand,
    now: Timestamp,
    policy: &dyn Policy,
) -> Result<Vec<Event>, Failure> {
    store.settle(now, policy)?;
    let entries = store.entries()?;
    let mut events = Vec::new();
    for entry in find_entries(typed, &entries)? {
        let input = Input::Remove { token_id: entry.token_id, hand: hand.clone() };
        events.extend(by_hand(store.order(&input, now, policy)?));
    }
    Ok(events)
}

fn not_to_come(at: Timestamp, now: Timestamp) -> Result<(), Failure> {
    if at <= now {
        return Ok(());
    }
    Err(Failure::new(ExitClass::Usage, "users.not-yet", format!("{at:.0} is in the future"))
        .hint("give a time in the past, or leave it out for now"))
}

/// The events entered by hand, and expirations that these caused; events of others may have come in between.
fn by_hand(events: Vec<Event>) -> Vec<Event> {
    events.into_iter().filter(|event| event.by.is_some() || event.reason == Some(Reason::Expired)).collect()
}

/// The entries of the one user or token that the text means, resolved like `find_entry`; a user may have several.
///
/// # Errors
/// `users.unknown` when there is no match, `users.ambiguous` for several users or tokens.
pub fn find_entries<'a>(typed: &str, entries: &'a [Entry]) -> Result<Vec<&'a Entry>, Failure> {
    let of_user: Vec<_> = entries.iter().filter(|entry| entry.user.id == typed).collect();
    if !of_user.is_empty() {
        return Ok(of_user);
    }
    if token_id(typed).is_some() {
        return find_entry(typed, entries).map(|entry| vec![entry]);
    }
    let named: Vec<_> = entries.iter().filter(|entry| is_name(&entry.user.name, typed)).collect();
    let users: BTreeSet<_> = named.iter().map(|entry| entry.user.id.clone()).collect();
    match users.len() {
        0 => find_entry(typed, entries).map(|entry| vec![entry]),
        1 => Ok(entries.iter().filter(|entry| users.contains(&entry.user.id)).collect()),
        _ => Err(ambiguous_among(typed, users.into_iter())),
    }
}

/// The events with this reason; events of others may have come in between.
fn caused(reason: Reason, events: Vec<Event>) -> Vec<Event> {
    events.into_iter().filter(|event| event.reason == Some(reason)).collect()
}

/// The one entry that matches a user id, a token id, a name in any case, or the first digits of a token id.
///
/// # Errors
/// `users.unknown` when there is no match, `users.ambiguous` for several.
fn find_entry<'a>(id: &str, entries: &'a [Entry]) -> Result<&'a Entry, Failure> {
    let token_id = token_id(id);
    let exact: Vec<_> = entries.iter().filter(|e| e.user.id == id || Some(e.token_id) == token_id).collect();
    let named = || entries.iter().filter(|entry| is_name(&entry.user.name, id)).collect();
    let found = [exact, named(), beginning_with(id, entries)].into_iter().find(|found| !found.is_empty());
    match found.unwrap_or_default().as_slice() {
        [entry] => Ok(entry),
        [] => Err(Failure::new(ExitClass::No, "users.unknown", format!("{id} is not on the list"))
            .hint("rollcall users lists who is here; rollcall users history lists who was")),
        several => Err(ambiguous(id, several)),
    }
}

/// The tokens and users known here.
#[derive(Debug, Default)]
struct KnownHolders {
    /// The entries on the list.
    here: Vec<Entry>,
    /// Tokens that were ever on the list, or were issued here.
    tokens: BTreeSet<Uuid>,
    /// The ids and names of all users of the list, the history and the register.
    people: Vec<(String, String)>,
}

impl KnownHolders {
    fn has(&self, id: &str) -> bool {
        let is_token = |token_id| self.tokens.contains(&token_id) || self.here.iter().any(|e| e.token_id == token_id);
        self.has_user(id) || token_id(id).is_some_and(is_token)
    }

    fn has_user(&self, id: &str) -> bool {
        self.here.iter().any(|entry| entry.user.id == id) || self.people.iter().any(|(known, _)| known == id)
    }

    /// The ids of users with this name, in any case.
    fn named(&self, typed: &str) -> BTreeSet<String> {
        let here = self.here.iter().map(|entry| (&entry.user.id, &entry.user.name));
        let people = self.people.iter().map(|(id, name)| (id, name));
        here.chain(people).filter(|(_, name)| is_name(name, typed)).map(|(id, _)| id.clone()).collect()
    }
}

/// Resolves what may be denied: a token id, at least the first 8 digits of a known token id, the name of a known user,
/// or any user id; an unknown id with a blank in it only if the caller is `sure`. Fewer digits that
/// a token on the list begins with are refused: denied as a user id, they would still admit that token.
fn deniable(id: &str, known: &KnownHolders, sure: bool) -> Result<String, Failure> {
    let entries = &known.here[..];
    if id.trim().is_empty() {
        return Err(
            Failure::new(ExitClass::Usage, "users.empty-id", "the id is empty").hint("give a user id or a token id")
        );
    }
    let is_user = known.has_user(id);
    if let (Some(token_id), false) = (token_id(id), is_user) {
        return Ok(token_id.to_string());
    }
    let named = known.named(id);
    match (is_user, named.len()) {
        (true, _) | (false, 0) => {}
        (false, 1) => return Ok(named.into_iter().collect()),
        (false, _) => return Err(ambiguous_among(id, named.into_iter())),
    }
    if !is_user && !sure && id.contains(char::is_whitespace) {
        // Denying a name has no effect, and an id rarely contains a blank.
        return Err(Failure::new(ExitClass::No, "users.unknown", format!("nobody known here has the name or the id {id}"))
            .hint("give the id of the user, which rollcall users history and rollcall token list show; --yes denies it as an id"));
    }
    if let Some(prefix) = id.parse::<TokenPrefix>().ok().filter(|prefix| prefix.is_long() && !is_user) {
        let tokens = known.tokens.iter().copied().chain(entries.iter().map(|entry| entry.token_id));
        match prefix.only(tokens) {
            Ok(None) => {}
            Ok(Some(token_id)) => return Ok(token_id.to_string()),
            Err(several) => return Err(token_prefix::ambiguous("users.ambiguous", id, &several)),
        }
    }
    let tokens = beginning_with(id, entries);
    if is_user || tokens.is_empty() { Ok(id.to_owned()) } else { Err(ambiguous(id, &tokens)) }
}

fn ambiguous(id: &str, entries: &[&Entry]) -> Failure {
    let tokens: Vec<_> = entries.iter().map(|entry| entry.token_id.to_string()).collect();
    Failure::new(ExitClass::Usage, "users.ambiguous", format!("{id} matches more than one"))
        .hint(format!("give the whole token id: {}", tokens.join(", ")))
}

pub(in crate::terminal) fn ambiguous_among(typed: &str, ids: impl Iterator<Item = String>) -> Failure {
    Failure::new(ExitClass::Usage, "users.ambiguous", format!("{typed} matches more than one"))
        .hint(format!("give the id: {}", ids.collect::<Vec<_>>().join(", ")))
}

/// Whether this is the name, in any case.
pub fn is_name(name: &str, typed: &str) -> bool {
    !name.is_empty() && name.to_lowercase() == typed.to_lowercase()
}

/// A whole token id, as a UUID with or without hyphens.
fn token_id(id: &str) -> Option<Uuid> {
    matches!(id.len(), 32 | 36).then(|| Uuid::try_parse(id).ok()).flatten()
}

/// The entries whose token id begins with these hex digits, with or without hyphens; none when there are too few
/// digits.
fn beginning_with<'a>(id: &str, entries: &'a [Entry]) -> Vec<&'a Entry> {
    let Ok(prefix) = id.parse::<TokenPrefix>() else { return Vec::new() };
    entries.iter().filter(|entry| prefix.begins(entry.token_id)).collect()
}

#[cfg(test)]
mod tests;
