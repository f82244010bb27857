//! `rollcall board`, which manages who may view a board over a network; and the board of a watch.

use std::{net::SocketAddr, path::Path, sync::Arc};

use jiff::Timestamp;

use super::{
    args::{BoardArgs, BoardCommand, WatchArgs},
    board_service::{address, hub, serve},
    board_show::BoardShow,
    context::with_stored_list,
    printer::Printer,
    views::{BoardLinkView, LinkStateView},
};
use crate::{
    board::{BoardHub, RollSnapshot, links::Links, served::ServedAddress, url_of},
    config::{BoardSettings, Settings},
    crypto::random::SystemRandom,
    failure::{ExitClass, Failure},
    terminal::{
        lookups::ServerEvent,
        presence::StoreNotice,
        watch::{Watch, WatchEvent},
    },
};

/// Serves the board that the command line or the configuration asks for, starting with the watch's list. The result is
/// to be given every event, and serves the board as long as it lives.
///
/// # Errors
/// `board.…`; `csv.…` for the file of expected users; that of the store.
pub fn start(
    args: &WatchArgs,
    settings: &Settings,
    watch: &mut Watch,
    out: &mut Printer,
) -> Result<Option<BoardShow>, Failure> {
    let expected = args.expected.as_deref();
    let Some(listen) = address(args.board, settings.board.listen, expected)? else { return Ok(None) };
    let aliases = settings.clone();
    let names = Box::new(move |reader: &str| aliases.alias(reader).unwrap_or(reader).to_owned());
    let hub = hub(RollSnapshot::from(watch.list()?), names, expected, settings)?;
    let asked = Arc::clone(&hub);
    let board = serve(listen, hub, settings, out)?;
    let folder = settings.state_folder.clone();
    Ok(Some(BoardShow {
        show: Box::new(move |event| show(board.hub(), &folder, event)),
        wants_portrait: Box::new(move |token_id| asked.wants_portrait(token_id)),
    }))
}

/// Whether a watch should read portraits.
pub const fn shows_portraits(args: &WatchArgs, settings: &Settings) -> bool {
    settings.board.portraits && (args.board.is_some() || settings.board.listen.is_some())
}

fn show(hub: &BoardHub, state_folder: &Path, event: &WatchEvent<'_>) {
    match event {
        WatchEvent::Presence(event) => hub.event(event),
        // Without randomness the page keeps the initials.
        WatchEvent::Portrait(token_id, portrait) => {
            let _ = hub.portrait(*token_id, portrait.0.clone(), Timestamp::now(), &mut SystemRandom);
        }
        WatchEvent::Server(ServerEvent::Lost(_)) => hub.server(true, Timestamp::now()),
        WatchEvent::Server(ServerEvent::Back) => hub.server(false, Timestamp::now()),
        // Changes by other processes came in between the events.
        WatchEvent::Store(StoreNotice::Back { .. }) => {
            with_stored_list(state_folder, |list| hub.reset(RollSnapshot::from(list)));
        }
        WatchEvent::Store(StoreNotice::Forgotten) => {
            with_stored_list(state_folder, |list| hub.forget(RollSnapshot::from(list)));
        }
        _ => {}
    }
}

/// Runs the command.
///
/// # Errors
/// `board.…`; that of the output.
pub fn run(args: &BoardArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let (links, now) = (Links::at(&settings.state_folder), Timestamp::now());
    match &args.command {
        BoardCommand::Link { admits_for, label } => {
            // A board that is served announces its address, which may differ from the configuration.
            let served = ServedAddress::read(&settings.state_folder);
            let listen = served.or(settings.board.listen).or(settings.server.board).unwrap_or(BoardSettings::DEFAULT);
            let address = url_of(listen, &settings.board.hosts, true);
            if listen.ip().is_loopback() {
                return Err(only_here(listen));
            }
            let address = address.ok_or_else(|| {
                Failure::new(ExitClass::Config, "board.no-host", "a link needs the name of this machine")
                    .hint("say under which name browsers reach it: hosts = [\"desk.example.org\"] under [board]")
            })?;
            let made = links.make(label.clone(), *admits_for, now, &mut SystemRandom)?;
            let url = format!("{address}#{}", made.1.as_str());
            out.object(&BoardLinkView::new(made.0, LinkStateView::Waiting, Some(url)))?;
        }
        BoardCommand::Links => {
            let listed: Vec<_> = links.list(now)?.into_iter().map(BoardLinkView::from).collect();
            out.list(&listed, "there are no links")?;
        }
        BoardCommand::Revoke { id } => {
            let revoked = links.revoke(id, now)?;
            out.object(&BoardLinkView::new(revoked, LinkStateView::Revoked, None))?;
        }
    }
    Ok(0)
}

/// No board is served over the network, nor would one without an explicit address be.
fn only_here(listen: SocketAddr) -> Failure {
    let here = url_of(listen, &[], false).unwrap_or_default();
    let message = format!("no board is served over the network; on this machine it needs no link: {here}");
    let hint = "for other machines name listen, certificate and key under [board] in config.toml, or run this while \
                rollcall watch --board ADDRESS:PORT runs";
    Failure::new(ExitClass::Config, "board.local", message).hint(hint)
}
