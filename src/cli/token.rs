//! `rollcall token`: shows the card in a reader. The commands that change it are in `token_change`.

use jiff::Timestamp;

use super::{
    args::{TokenArgs, TokenCommand, TokenVerifyArgs},
    context::{store, tap_terminal, terminal_context},
    issue::require_free,
    outcome::scan_view,
    printer::Printer,
    token_change, token_rotate, views,
};
use crate::{
    config::Settings,
    failure::{ExitClass, Failure},
    files,
    reader::Insertion,
    terminal::{
        administration::card::{inspect, read_portrait},
        admission::TapOutcome,
        enrollment::portrait::in_words,
        presence::{
            operator::is_name,
            store::{IssuedCard, TerminalStore},
        },
        readers::one_reader,
        tap::Depth,
    },
    token::select::{Selected, TokenMode},
};

/// Runs the command.
///
/// # Errors
/// That of the reader, the keys, the card or the server; with a change, `confirm.…`; that of the output.
pub fn run(args: &TokenArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    if let TokenCommand::Rotate(args) = &args.command {
        return token_rotate::run(args, settings, out);
    }
    if let TokenCommand::List(args) = &args.command {
        return list(args.user.as_deref(), settings, out);
    }
    let reader = one_reader(&settings.readers, settings.limits.exchange)?;
    match &args.command {
        TokenCommand::Info => info(settings, &reader, out),
        TokenCommand::Verify(args) => verify(args, settings, reader, out),
        _ => token_change::run(&args.command, settings, reader, out),
    }
}

/// The register of cards issued here. Without a store, none is created.
fn list(user: Option<&str>, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let mut cards = Vec::new();
    if let Some(mut store) = TerminalStore::open_if_there(&settings.state_folder)? {
        let all = store.cards(None)?;
        let list = store.list()?;
        let meant = |card: &IssuedCard| user.is_none_or(|user| card.user.id == user || is_name(&card.user.name, user));
        cards.extend(all.into_iter().filter(meant).map(|card| {
            let denied = list.denies(&card.user.id, card.token_id);
            views::IssuedCardView::new(card, denied)
        }));
    }
    let nothing = user.map(|user| format!("no card was issued here to {user:?}"));
    out.list(&cards, nothing.as_deref().unwrap_or("no card was issued here")).map(|()| 0)
}

/// What the card says about itself.
fn info(settings: &Settings, reader: &str, out: &mut Printer) -> Result<u8, Failure> {
    let (atr, selected) = inspect(&terminal_context(settings), reader)?;
    out.object(&object(reader, hex::encode_upper(atr), &selected))?;
    Ok(0)
}

fn object(reader: &str, atr: String, selected: &Selected) -> views::TokenView {
    let (mode, token_id, set_id) = match selected.mode {
        Some(TokenMode::Open(id)) => (Some(views::TokenModeView::Open), Some(id), None),
        Some(TokenMode::Private(set)) => (Some(views::TokenModeView::Private), None, Some(hex::encode(set))),
        None => (None, None, None),
    };
    views::TokenView {
        schema: views::Schema::default(),
        reader: reader.to_owned(),
        atr: Some(atr),
        state: selected.state.into(),
        mode,
        version: "1.0".to_owned(),
        token_id,
        set_id,
        ecka_kvn: (selected.ecka_kvn != 0).then(|| format!("{:02x}", selected.ecka_kvn)),
        ca_id: (selected.ca_prefix != [0; 8]).then(|| hex::encode(selected.ca_prefix)),
        authenticated: None,
        user: None,
        error: None,
        proof: None,
    }
}

/// A complete tap that does not change the list.
fn verify(args: &TokenVerifyArgs, settings: &Settings, reader: String, out: &mut Printer) -> Result<u8, Failure> {
    args.portrait.as_deref().map_or(Ok(()), require_free)?;
    let terminal = tap_terminal(settings, Depth::Authenticate)?;
    let mut store = store(settings)?;
    let (mut tapped, card) = terminal.tap(&reader);
    let portrait = match (&args.portrait, &mut tapped.session, card) {
        (Some(file), Some(session), Some(mut card)) => Some((file, read_portrait(session, &mut card)?)),
        _ => None,
    };
    let outcome = TapOutcome::of(&mut store, Timestamp::now(), reader, Insertion::default(), tapped, None)?;
    match portrait {
        None => {}
        Some((_, None)) => out.note("there is no picture on this card"),
        Some((file, Some(portrait))) => {
            files::replace(file, &portrait).map_err(|error| {
                Failure::new(ExitClass::Io, "file.unwritable", format!("{}: {error}", file.display()))
                    .hint("name a writable file")
            })?;
            out.note(&format!("{}: {}", file.display(), in_words(&portrait)));
        }
    }
    out.object(&scan_view(&outcome, true))?;
    Ok(outcome.class().map_or(0, crate::failure::ExitClass::exit_status))
}
