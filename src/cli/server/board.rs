//! Serves the board of a server: who is present at all doors.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::Value;

use super::args::RunArgs;
use crate::{
    api::v1::{PresenceTerminal, PresentUser},
    board::{Board, SiteBoard},
    cli::{board_service, printer::Printer},
    config::Settings,
    failure::Failure,
    server::follow::{Audience, PresenceAudience},
};

impl PresenceAudience for SiteBoard {
    fn everybody(&self, people: BTreeMap<String, PresentUser>, at: Timestamp) {
        Self::everybody(self, &people, at);
    }

    fn some(&self, asked: &BTreeSet<String>, here: BTreeMap<String, PresentUser>, at: Timestamp) {
        Self::some(self, asked, &here, at);
    }

    fn terminals(&self, terminals: &[PresenceTerminal], at: Timestamp) {
        Self::terminals(self, terminals, at);
    }

    fn refused(&self, terminal: &str, event: &Value) {
        Self::refused(self, terminal, event);
    }

    fn store(&self, is_away: bool, at: Timestamp) {
        Self::store(self, is_away, at);
    }

    fn forget(&self) {
        Self::forget(self);
    }
}

/// Serves the board that the command line or the configuration asks for, while the result lives; a server reports
/// presence to it.
///
/// # Errors
/// `board.…`; `csv.…` for the file of expected users.
pub fn start(args: &RunArgs, settings: &Settings, out: &mut Printer) -> Result<Option<(Board, Audience)>, Failure> {
    let expected = args.expected.as_deref();
    let Some(listen) = board_service::address(args.board, settings.server.board, expected)? else { return Ok(None) };
    // The names are already complete.
    let names = Box::new(str::to_owned);
    let hub = board_service::unread_hub(names, expected, settings)?;
    let board = board_service::serve(listen, Arc::clone(&hub), settings, out)?;
    let aliases = settings.clone();
    let door = move |terminal: &str, reader: Option<&str>| match reader.and_then(|reader| aliases.alias(reader)) {
        Some(alias) => format!("{terminal} · {alias}"),
        None => terminal.to_owned(),
    };
    Ok(Some((board, Audience(Arc::new(SiteBoard::new(hub, Box::new(door)))))))
}
