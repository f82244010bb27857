//! The rules, one by one, and the invariants for arbitrary inputs.

mod bounce;
mod by_hand;
pub(super) mod properties;
mod rules;
mod silence;

use jiff::Timestamp;
use uuid::Uuid;

use super::*;
use crate::api::User;
use crate::failure::ErrorObject;

/// A token of these tests.
pub(in crate::terminal::presence) fn token(n: u8) -> Uuid {
    Uuid::from_bytes([n; 16])
}

pub(in crate::terminal::presence) fn user(id: &str) -> User {
    User { id: id.to_owned(), name: format!("Name of {id}"), ..User::default() }
}

/// Milliseconds after the start of the test's time.
pub(in crate::terminal::presence) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_700_000_000_000 + ms).unwrap()
}

/// Token `n` belongs to user `un`.
pub(in crate::terminal::presence) fn tap(reader: &str, n: u8, insertion: u64) -> Input {
    tap_as(reader, n, insertion, &format!("u{n}"))
}

pub(in crate::terminal::presence) fn tap_as(reader: &str, n: u8, insertion: u64, id: &str) -> Input {
    // Every other tap is resumed: only the reported `resumed` depends on that.
    let resumed = insertion.is_multiple_of(2);
    let holder = Holder { token_id: token(n), user: user(id), source: Source::Card, authenticated: true, resumed };
    Input::Tap(Tap { reader: reader.to_owned(), insertion: insertion.into(), holder })
}

pub(in crate::terminal::presence) fn identified(reader: &str, n: u8, insertion: u64) -> Input {
    let holder = Holder {
        token_id: token(n),
        user: User::default(),
        source: Source::Card,
        authenticated: false,
        resumed: false,
    };
    Input::Tap(Tap { reader: reader.to_owned(), insertion: insertion.into(), holder })
}

pub(in crate::terminal::presence) fn refused(reader: &str, insertion: u64, code: &str) -> Input {
    let error = ErrorObject { code: code.to_owned(), message: "no".to_owned(), hint: None, command: None };
    Input::Refused(Refused {
        reader: reader.to_owned(),
        insertion: insertion.into(),
        error,
        silent: false,
        barred: false,
        token_id: None,
        user: None,
    })
}

/// A card that did not answer.
pub(in crate::terminal::presence) fn mute(reader: &str, insertion: u64) -> Input {
    let mut input = refused(reader, insertion, "token.mute");
    if let Input::Refused(refused) = &mut input {
        refused.silent = true;
    }
    input
}

pub(in crate::terminal::presence) fn silent(reader: &str) -> Input {
    Input::Silent { reader: reader.to_owned() }
}

pub(in crate::terminal::presence) fn unavailable(reader: &str) -> Input {
    let error = ErrorObject {
        code: "reader.unavailable".to_owned(),
        message: "it does not work".to_owned(),
        hint: None,
        command: None,
    };
    Input::ReaderUnavailable { reader: reader.to_owned(), error }
}

pub(in crate::terminal::presence) fn available(reader: &str) -> Input {
    Input::ReaderAvailable { reader: reader.to_owned() }
}

pub(in crate::terminal::presence) fn seen(reader: &str, n: u8) -> Input {
    Input::Seen { reader: reader.to_owned(), token_id: token(n) }
}

pub(in crate::terminal::presence) fn lifted(reader: &str) -> Input {
    Input::Lifted { reader: reader.to_owned() }
}

pub(in crate::terminal::presence) fn empty(reader: &str) -> Input {
    Input::Empty { reader: reader.to_owned() }
}

pub(in crate::terminal::presence) fn vacant(reader: &str) -> Input {
    Input::Vacant { reader: reader.to_owned() }
}

pub(in crate::terminal::presence) fn deny(id: &str) -> Input {
    Input::Deny { id: id.to_owned() }
}

pub(in crate::terminal::presence) fn allow(id: &str) -> Input {
    Input::Allow { id: id.to_owned() }
}

pub(in crate::terminal::presence) fn readers(names: &[&str]) -> Input {
    Input::Readers { attached: names.iter().map(|name| (*name).to_owned()).collect() }
}

fn hang(names: &[&str]) -> Input {
    Input::Hang { readers: names.iter().map(|name| (*name).to_owned()).collect() }
}

fn hand() -> Hand {
    Hand { by: "ada".to_owned(), note: Some("forgot it".to_owned()) }
}

pub(in crate::terminal::presence) fn check_in(reader: &str, n: u8, ms: i64) -> Input {
    let holder = Holder {
        token_id: token(n),
        user: user(&format!("u{n}")),
        source: Source::Card,
        authenticated: false,
        resumed: false,
    };
    Input::CheckIn(CheckIn { holder, reader: reader.to_owned(), at: at(ms), hand: hand() })
}

pub(in crate::terminal::presence) fn check_out(n: u8, ms: i64) -> Input {
    Input::CheckOut { token_id: token(n), at: at(ms), hand: hand() }
}

pub(in crate::terminal::presence) fn remove(n: u8) -> Input {
    Input::Remove { token_id: token(n), hand: hand() }
}

/// `field-…` and `toggle-…` in that mode, `until-…` for ten seconds.
pub(in crate::terminal::presence) fn by_name(reader: &str) -> PresenceMode {
    match reader.split('-').next() {
        Some("toggle") => PresenceMode::Toggle,
        Some("until") => PresenceMode::Until(std::time::Duration::from_secs(10)),
        _ => PresenceMode::Field,
    }
}

/// [`by_name`], with cards that bounce for three seconds.
pub(in crate::terminal::presence) struct Bouncing;

impl Policy for Bouncing {
    fn presence(&self, reader: &str) -> PresenceMode {
        by_name(reader)
    }

    fn min_stay(&self) -> std::time::Duration {
        std::time::Duration::from_secs(3)
    }
}

pub(in crate::terminal::presence) fn events(changes: Vec<Change>) -> Vec<Event> {
    let event = |change| if let Change::Event(event) = change { Some(*event) } else { None };
    changes.into_iter().filter_map(event).collect()
}
