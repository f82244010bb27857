//! `rollcall users`: who is here now, what happened, and who is refused here.

use std::ops::ControlFlow;

use jiff::Timestamp;
use uuid::Uuid;

use super::args::{UsersArgs, UsersCommand};
use super::confirm::confirm;
use super::context::store;
use super::printer::{OutputOptions, Printer};
use super::time_spec::TimeSpec;
use super::views::{self, UserEntry};
use crate::config::{OutputFormat, Settings};
use crate::failure::{ExitClass, Failure};
use crate::terminal::presence::{Entry, Event, Input, Reason, TerminalStore};

const NOBODY: &str = "nobody is here";

/// The fewest hex digits that stand for a token id.
const SHORTEST_PREFIX: usize = 4;

/// Runs the command.
pub fn run(args: &UsersArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let now = Timestamp::now();
    match args.command.as_ref().unwrap_or(&UsersCommand::List) {
        UsersCommand::List => list(settings, now, out),
        UsersCommand::Show { id } => show(id, settings, now, out),
        UsersCommand::Export => export(settings, now, out),
        UsersCommand::History { since, until } => history([*since, *until], settings, now, out),
        UsersCommand::Deny { id } => deny(id, settings, now, out),
        UsersCommand::Denied => denied(settings, now, out),
        UsersCommand::Allow { id } => allow(id, settings, now, out),
        UsersCommand::Clear => clear(settings, now, out),
    }?;
    Ok(0)
}

fn list(settings: &Settings, now: Timestamp, out: &mut Printer) -> Result<(), Failure> {
    let listed: Vec<_> = entries(settings, now)?.into_iter().map(|entry| UserEntry::new(entry, now)).collect();
    out.list(&listed, NOBODY)
}

fn show(id: &str, settings: &Settings, now: Timestamp, out: &mut Printer) -> Result<(), Failure> {
    let entries = entries(settings, now)?;
    let entry = meant(id, &entries)?.clone();
    out.object(&UserEntry::new(entry, now))
}

fn export(settings: &Settings, now: Timestamp, out: &mut Printer) -> Result<(), Failure> {
    if settings.format == OutputFormat::Text {
        out.set_options(OutputOptions { format: OutputFormat::Csv, ..OutputOptions::of_process(settings) });
    }
    list(settings, now, out)
}

fn history(span: [Option<TimeSpec>; 2], settings: &Settings, now: Timestamp, out: &mut Printer) -> Result<(), Failure> {
    let [since, until] = span.map(|moment| moment.map(|moment| moment.resolve(now)));
    let Some(store) = settled(settings, now)? else { return tell(Vec::new(), "nothing happened yet", out) };
    if settings.format == OutputFormat::Text {
        // A table needs all of its rows before it can be aligned.
        let mut events = Vec::new();
        store.history(since, until, |event| {
            events.push(event);
            ControlFlow::Continue(())
        })?;
        return tell(events, "nothing happened in that time", out);
    }
    out.begin::<views::EventView>()?;
    let mut printed = Ok(());
    store.history(since, until, |event| {
        printed = out.item(&views::EventView::from(event));
        if printed.is_ok() && !out.is_closed() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    printed
}

fn deny(id: &str, settings: &Settings, now: Timestamp, out: &mut Printer) -> Result<(), Failure> {
    let mut store = store(settings)?;
    store.settle(now, settings)?;
    let entries = store.entries()?;
    let id = deniable(id, &entries)?;
    let events = store.order(&Input::Deny { id: id.clone() }, now, settings)?;
    let nobody = format!("nobody here has the id {id}; whoever comes with it is refused from now on");
    tell(of(Reason::Denied, events), &nobody, out)
}

fn denied(settings: &Settings, now: Timestamp, out: &mut Printer) -> Result<(), Failure> {
    let ids = settled(settings, now)?.map(|mut store| store.denied()).transpose()?.unwrap_or_default();
    let ids: Vec<_> = ids.into_iter().map(|id| views::Denied { schema: views::Schema::default(), id }).collect();
    out.list(&ids, "nobody is denied here")
}

fn allow(id: &str, settings: &Settings, now: Timestamp, out: &mut Printer) -> Result<(), Failure> {
    let mut store = store(settings)?;
    let id = token_id(id).map_or_else(|| id.to_owned(), |token_id| token_id.to_string());
    if !store.list()?.is_denied(&id) {
        return Err(Failure::new(ExitClass::No, "users.not-denied", format!("{id} is not denied here"))
            .hint("rollcall users denied lists who is"));
    }
    store.order(&Input::Allow { id: id.clone() }, now, settings)?;
    out.note(&format!("{id} is let in again, with the next tap"));
    Ok(())
}

fn clear(settings: &Settings, now: Timestamp, out: &mut Printer) -> Result<(), Failure> {
    let here = entries(settings, now)?.len();
    if here > 0 {
        let who = if here == 1 { "1 entry".to_owned() } else { format!("{here} entries") };
        confirm(settings, out, &format!("this takes {who} off the list"), "clear")?;
        let events = store(settings)?.order(&Input::Clear, Timestamp::now(), settings)?;
        return tell(of(Reason::Cleared, events), NOBODY, out);
    }
    tell(Vec::new(), "the list is empty already", out)
}

/// The events that an order caused; others may have come in between.
fn of(reason: Reason, events: Vec<Event>) -> Vec<Event> {
    events.into_iter().filter(|event| event.reason == Some(reason)).collect()
}

fn tell(events: Vec<Event>, nothing: &str, out: &mut Printer) -> Result<(), Failure> {
    let events: Vec<_> = events.into_iter().map(views::EventView::from).collect();
    out.list(&events, nothing)
}

/// The store, up to date; none where nothing was stored yet, for a look makes nothing.
fn settled(settings: &Settings, now: Timestamp) -> Result<Option<TerminalStore>, Failure> {
    let store = TerminalStore::open_if_there(&settings.state_folder)?;
    store.map(|mut store| store.settle(now, settings).map(|()| store)).transpose().map_err(Failure::from)
}

fn entries(settings: &Settings, now: Timestamp) -> Result<Vec<Entry>, Failure> {
    match settled(settings, now)? {
        Some(mut store) => Ok(store.entries()?),
        None => Ok(Vec::new()),
    }
}

/// The one entry that is meant by a user id, a token id, or the first digits of one.
fn meant<'a>(id: &str, entries: &'a [Entry]) -> Result<&'a Entry, Failure> {
    let token_id = token_id(id);
    let exact: Vec<_> = entries.iter().filter(|e| e.user.id == id || Some(e.token_id) == token_id).collect();
    let found = if exact.is_empty() { beginning_with(id, entries) } else { exact };
    match found.as_slice() {
        [entry] => Ok(entry),
        [] => Err(Failure::new(ExitClass::No, "users.unknown", format!("{id} is not on the list"))
            .hint("rollcall users lists who is; rollcall users history tells who was")),
        several => Err(ambiguous(id, several)),
    }
}

/// What may be denied: the whole id of a token, or any user id. Digits that might as well be those of a token on the
/// list are refused, lest the wrong one gets in.
fn deniable(id: &str, entries: &[Entry]) -> Result<String, Failure> {
    if id.trim().is_empty() {
        return Err(
            Failure::new(ExitClass::Usage, "users.empty-id", "the id is empty").hint("give a user id or a token id")
        );
    }
    let is_user = entries.iter().any(|entry| entry.user.id == id);
    if let (Some(token_id), false) = (token_id(id), is_user) {
        return Ok(token_id.to_string());
    }
    let tokens = beginning_with(id, entries);
    if is_user || tokens.is_empty() { Ok(id.to_owned()) } else { Err(ambiguous(id, &tokens)) }
}

fn ambiguous(id: &str, entries: &[&Entry]) -> Failure {
    let tokens: Vec<_> = entries.iter().map(|entry| entry.token_id.to_string()).collect();
    Failure::new(ExitClass::Usage, "users.ambiguous", format!("{id} may stand for more than one"))
        .hint(format!("give the whole token id: {}", tokens.join(", ")))
}

/// A whole token id, as a UUID with or without hyphens.
fn token_id(id: &str) -> Option<Uuid> {
    matches!(id.len(), 32 | 36).then(|| Uuid::try_parse(id).ok()).flatten()
}

/// The entries whose token id begins with these hex digits, hyphens or not; none when they are too few.
fn beginning_with<'a>(id: &str, entries: &'a [Entry]) -> Vec<&'a Entry> {
    let digits: String = id.chars().filter(|c| *c != '-').collect::<String>().to_ascii_lowercase();
    if digits.len() < SHORTEST_PREFIX || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Vec::new();
    }
    entries.iter().filter(|entry| entry.token_id.simple().to_string().starts_with(&digits)).collect()
}

#[cfg(test)]
mod tests;
