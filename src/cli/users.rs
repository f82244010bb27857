//! `rollcall users`: the current user list and its history.

use std::{collections::BTreeSet, ops::ControlFlow};

use jiff::Timestamp;

use super::{
    args::{UsersArgs, UsersCommand},
    confirm::confirm,
    json::{Event, UserEntry},
    moment::Moment,
    printer::{Look, Printer},
    station,
};
use crate::{
    config::{Format, Settings},
    failure::{Class, Failure},
    roster::{Entry, Input, store::Store},
};

/// How many hex digits of a token id are enough to name it.
const SHORT: usize = 4;

/// Runs the command.
pub fn run(args: &UsersArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let now = Timestamp::now();
    let mut store = station::store(settings)?;
    store.settle(now, settings)?;
    match args.command.as_ref().unwrap_or(&UsersCommand::List) {
        UsersCommand::List => list(&mut store, out)?,
        UsersCommand::Show { id } => {
            let entry = find(store.entries()?, id)?;
            out.object(&UserEntry::from(entry))?;
        }
        UsersCommand::Export => {
            if out.format() == Format::Text {
                out.set_look(Look { format: Format::Csv, ..Look::of_process(settings) });
            }
            list(&mut store, out)?;
        }
        UsersCommand::History { since, until } => history(&store, *since, *until, now, out)?,
        UsersCommand::Deny { id } => {
            forms(id).into_iter().try_for_each(|id| order(&mut store, &Input::Deny { id }, settings))?;
        }
        UsersCommand::Allow { id } => {
            let (ids, denied) = (forms(id), store.denied()?);
            if !ids.iter().any(|id| denied.contains(id)) {
                return Err(Failure::new(Class::No, "users.not-denied", format!("{id} is not denied here")));
            }
            ids.into_iter().try_for_each(|id| order(&mut store, &Input::Allow { id }, settings))?;
        }
        UsersCommand::Clear => {
            let count = store.entries()?.len();
            confirm(settings, out, &format!("this takes {count} entries off the list"), "clear")?;
            order(&mut store, &Input::Clear, settings)?;
        }
    }
    Ok(0)
}

/// What is denied with this id: as a user id, itself; as a token id, the one form that the list compares.
fn forms(id: &str) -> BTreeSet<String> {
    let token_id = uuid::Uuid::try_parse(id).map(|token_id| token_id.to_string());
    token_id.into_iter().chain([id.to_owned()]).collect()
}

fn list(store: &mut Store, out: &mut Printer) -> Result<(), Failure> {
    let entries: Vec<_> = store.entries()?.into_iter().map(UserEntry::from).collect();
    out.list(&entries, "nobody is here")
}

fn order(store: &mut Store, input: &Input, settings: &Settings) -> Result<(), Failure> {
    store.order(input, Timestamp::now(), settings)?;
    Ok(())
}

fn history(
    store: &Store,
    since: Option<Moment>,
    until: Option<Moment>,
    now: Timestamp,
    out: &mut Printer,
) -> Result<(), Failure> {
    out.begin::<Event>()?;
    let mut told = Ok(());
    store.history(since.map(|m| m.resolve(now)), until.map(|m| m.resolve(now)), |event| {
        told = out.item(&Event::from(event));
        if told.is_err() || out.is_closed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    told
}

/// The one entry of this user id, token id, or beginning of a token id.
fn find(entries: Vec<Entry>, id: &str) -> Result<Entry, Failure> {
    let mut found: Vec<_> = entries.into_iter().filter(|entry| names(entry, id)).collect();
    match (found.pop(), found.len()) {
        (Some(entry), 0) => Ok(entry),
        (Some(last), more) => {
            let tokens: Vec<_> = found.iter().chain([&last]).map(|entry| entry.token_id.to_string()).collect();
            let message = format!("{id} is {} entries: {}", more + 1, tokens.join(", "));
            Err(Failure::new(Class::Usage, "users.ambiguous", message).hint("give the token id"))
        }
        (None, _) => Err(Failure::new(Class::No, "users.unknown", format!("{id} is not on the list"))
            .hint("rollcall users shows who is")),
    }
}

fn names(entry: &Entry, id: &str) -> bool {
    let short = id.len() >= SHORT && entry.token_id.to_string().starts_with(&id.to_ascii_lowercase());
    entry.user.id == id || short
}
