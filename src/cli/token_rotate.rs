//! `rollcall token rotate`: moves the card in a reader, or a whole fleet card by card, to the new CA.
//!
//! What is done stands on the cards themselves; a list beside the CA says which tokens are left. So whatever ends a run,
//! the same command goes on.

use std::{collections::BTreeSet, sync::mpsc, time::Duration};

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    args::TokenRotateArgs,
    confirm::{confirm, short},
    enroll::{one_reader, remember},
    interrupt::Interrupt,
    json,
    printer::Printer,
    station,
    token_change::with_card,
};
use crate::{
    card::apdu::Format,
    config::Settings,
    crypto::random::{SystemRandom, bytes},
    failure::{Class, Failure},
    manage::{
        ManageError,
        rotate::{Found, find, rotate},
    },
    pki::{Ca, Caution, Home, PkiError},
    reader::monitor::{Event, Monitor},
    roster::store::Store,
    tap::failure::token,
    token::{
        TokenError,
        open::{Credentials, Forgetful, Item, Visit},
    },
};

/// Runs the command.
pub fn run(args: &TokenRotateArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let home = Home::new(settings.pki_folder());
    let left = home.rotation()?.left;
    if args.all && args.dry_run {
        return out.object(&summary(&home)?).map(|()| 0);
    }
    let caution = if settings.yes { Caution::Waived } else { Caution::Usual };
    let mut desk = Desk {
        settings,
        ca: home.load_ca(caution)?,
        credentials: station::credentials(home.load_admin_terminal(Timestamp::now())?),
        store: station::store(settings)?,
        home,
        left,
    };
    if args.all {
        return fleet(args, &mut desk, out);
    }
    let reader = one_reader(settings)?;
    let found = desk.look(&reader)?;
    if let (Found::Old(id), false) = (found, args.dry_run) {
        confirm(settings, out, &format!("this moves the token {id} to the new CA"), &short(id))?;
    }
    let (id, result) = match found {
        Found::Old(id) if args.dry_run => (id, json::TokenChanged::Planned),
        Found::Moved(id) if args.dry_run => (id, json::TokenChanged::Unchanged),
        Found::Old(id) | Found::Moved(id) => desk.rotate(&reader, Some(id))?,
    };
    out.object(&object(&reader, Some(id), Some(result), None))?;
    Ok(0)
}

struct Desk<'a> {
    settings: &'a Settings,
    home: Home,
    ca: Ca,
    credentials: Credentials,
    store: Store,
    /// Tokens that are not known to be moved.
    left: BTreeSet<Uuid>,
}

impl Desk<'_> {
    fn look(&self, reader: &str) -> Result<Found, Failure> {
        let mut random = SystemRandom;
        let visit = visit(&self.credentials, &mut random)?;
        with_card(self.settings, reader, |link| Ok(find(link, &visit)?.0))
    }

    /// Moves the card; `meant` is the one that was confirmed.
    fn rotate(&mut self, reader: &str, meant: Option<Uuid>) -> Result<(Uuid, json::TokenChanged), Failure> {
        let mut random = SystemRandom;
        let mut visit = visit(&self.credentials, &mut random)?;
        let ca = &mut self.ca;
        let mut certify = |id, ecka: &_, identity: &_| {
            if meant.is_some_and(|meant| meant != id) {
                return Err(ManageError::OtherCard);
            }
            let (now, refused) = (Timestamp::now(), |error: PkiError| ManageError::NotCertified(error.to_string()));
            let ecka = ca.certify_token_ecka(id, ecka, now, &mut SystemRandom).map_err(refused)?;
            let identity = ca.certify_identity(id, identity, now, &mut SystemRandom).map_err(refused)?;
            Ok((ecka, identity))
        };
        let done = with_card(self.settings, reader, |link| rotate(link, &mut visit, &mut certify));
        let learned: Vec<(Item, Option<Vec<u8>>)> = std::mem::take(&mut visit.learned);
        let (id, was_old) = done?;
        remember(&mut self.store, &learned)?;
        if self.left.remove(&id) {
            self.home.note_rotated(id)?;
        }
        Ok((id, if was_old { json::TokenChanged::Done } else { json::TokenChanged::Unchanged }))
    }
}

fn visit<'a>(credentials: &'a Credentials, random: &'a mut SystemRandom) -> Result<Visit<'a>, Failure> {
    Ok(Visit {
        credentials,
        memory: &Forgetful,
        nonce: bytes(random).map_err(|e| token(&TokenError::from(e), 0))?,
        now: Timestamp::now(),
        format: Format::Short,
        random,
        learned: Vec::new(),
    })
}

enum Message {
    Reader(Event),
    Signal,
}

/// Card after card, at every reader that is meant, until none is left, nobody brings one, or too many fail in a row.
fn fleet(args: &TokenRotateArgs, desk: &mut Desk<'_>, out: &mut Printer) -> Result<u8, Failure> {
    let state = summary(&desk.home)?;
    if !state.left.is_empty() {
        let what =
            format!("this moves every card that is put on a reader to the new CA ({} are left)", state.left.len());
        confirm(desk.settings, out, &what, "rotate")?;
    }
    let (messages, inbox) = mpsc::channel();
    let signal = {
        let messages = messages.clone();
        Interrupt::install(move || drop(messages.send(Message::Signal)))?
    };
    let monitor = Monitor::start(move |event| messages.send(Message::Reader(event)).is_ok());
    let monitor = monitor.map_err(station::no_thread)?;
    out.begin::<json::Rotation>()?;
    let (mut failures, mut stopped) = (0, false);
    while !desk.left.is_empty() && failures < args.max_failures && !out.is_closed() {
        out.work("put the next card on", (state.tokens - desk.left.len()) as u64, state.tokens as u64);
        match next(&inbox, args.timeout) {
            Some(Message::Reader(Event::CardInserted { reader, .. })) if desk.settings.readers.matches(&reader) => {
                failures = one(desk, &reader, failures, out)?;
            }
            Some(Message::Reader(_)) => {}
            Some(Message::Signal) => stopped = true,
            None => break,
        }
        if stopped {
            break;
        }
    }
    monitor.stop();
    out.progress_end();
    end(desk.left.len(), failures >= args.max_failures, signal.exit_status(), out)
}

fn next(inbox: &mpsc::Receiver<Message>, quiet: Option<Duration>) -> Option<Message> {
    let Some(quiet) = quiet else { return inbox.recv().ok() };
    inbox.recv_timeout(quiet).ok()
}

/// One card, told at once; the number of failures in a row comes back.
fn one(desk: &mut Desk<'_>, reader: &str, failures: u32, out: &mut Printer) -> Result<u32, Failure> {
    match desk.rotate(reader, None) {
        Ok((id, result)) => {
            out.item(&object(reader, Some(id), Some(result), None))?;
            Ok(0)
        }
        // What is wrong here would be wrong with every card.
        Err(failure) if failure.class == Class::Io => Err(failure),
        Err(failure) => {
            out.item(&object(reader, None, None, Some(&failure)))?;
            Ok(failures + 1)
        }
    }
}

fn end(left: usize, failed: bool, signal: Option<u8>, out: &mut Printer) -> Result<u8, Failure> {
    if left == 0 {
        out.note("every token has the new CA: end the rotation with rollcall pki rotate-ca --finish");
        return Ok(0);
    }
    let message = format!("{left} tokens are left");
    if let Some(signal) = signal {
        out.note(&message);
        return Ok(signal);
    }
    let code = if failed { "batch.too-many-failures" } else { "batch.incomplete" };
    Err(Failure::new(Class::No, code, message).hint("run the same command again: it goes on where it stopped"))
}

fn summary(home: &Home) -> Result<json::RotationState, Failure> {
    let rotation = home.rotation()?;
    Ok(json::RotationState {
        schema: json::Schema::default(),
        tokens: rotation.done.len() + rotation.left.len(),
        done: rotation.done.len(),
        left: rotation.left.into_iter().collect(),
    })
}

fn object(
    reader: &str,
    token_id: Option<Uuid>,
    result: Option<json::TokenChanged>,
    failed: Option<&Failure>,
) -> json::Rotation {
    json::Rotation {
        schema: json::Schema::default(),
        at: Timestamp::now().into(),
        reader: reader.to_owned(),
        token_id,
        result,
        error: failed.map(Failure::to_json),
    }
}
