//! `rollcall token rotate`: moves the card in a reader, or a whole fleet card by card, to the new CA, or to the new key of
//! its set.
//!
//! What is done stands on the cards themselves; a list beside the CA or the set says which tokens are left. So whatever ends a run,
//! the same command goes on.

use std::{sync::mpsc, time::Duration};

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    args::TokenRotateArgs,
    confirm::{confirm, short},
    enroll::one_reader,
    interrupt::Interrupt,
    json,
    pki::set_rotation_view,
    printer::Printer,
    station,
    token_change::with_card,
};
use crate::{
    card::apdu::ApduFormat,
    config::Settings,
    crypto::{
        ec::Point,
        random::{SystemRandom, bytes},
    },
    failure::{ExitClass, Failure},
    pki::{Ca, ClockCheck, PkiDir, PkiError, Rotation, Set, SetRotation},
    reader::monitor::{Monitor, ReaderEvent},
    terminal::administration::{
        ManageError, RotationTarget,
        rotate::{RotationAuthority, find, rotate},
        sets::{self, SetKey},
    },
    terminal::memory::remember,
    terminal::presence::store::TerminalStore,
    terminal::tap::failure::token,
    token::{
        TokenError,
        open::{Credentials, NoMemory, RememberedItem, Visit},
    },
};

/// Runs the command.
pub fn run(args: &TokenRotateArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let home = PkiDir::new(settings.pki_folder());
    let goal = match args.set {
        Some(set) => Goal::Set(Box::new(home.set_rotation(set)?)),
        None => Goal::Ca(home.rotation()?),
    };
    if args.all && args.dry_run {
        return goal.tell(out).map(|()| 0);
    }
    let clock_check = ClockCheck::skipped_if(settings.yes);
    let mut desk = RotationRun {
        settings,
        ca: home.load_ca(clock_check)?,
        credentials: station::credentials(home.load_admin_terminal(Timestamp::now())?),
        store: station::store(settings)?,
        home,
        goal,
    };
    if args.all {
        return fleet(args, &mut desk, out);
    }
    let reader = one_reader(settings)?;
    let found = desk.look(&reader)?;
    if let (RotationTarget::Old(id), false) = (found, args.dry_run) {
        confirm(settings, out, &format!("this moves the token {id} to {}", desk.goal.words()), &short(id))?;
    }
    let (id, result) = match found {
        RotationTarget::Old(id) if args.dry_run => (id, json::TokenChanged::Planned),
        RotationTarget::Moved(id) if args.dry_run => (id, json::TokenChanged::Unchanged),
        RotationTarget::Old(id) | RotationTarget::Moved(id) => desk.rotate(&reader, Some(id))?,
    };
    out.object(&object(&reader, Some(id), Some(result), None))?;
    Ok(0)
}

/// What the tokens are moved to, and how far that is.
enum Goal {
    Ca(Rotation),
    Set(Box<SetRotation>),
}

impl Goal {
    fn words(&self) -> String {
        match self {
            Self::Ca(_) => "the new CA".to_owned(),
            Self::Set(rotation) => format!("the set {}", rotation.to.id),
        }
    }

    /// How many tokens there are.
    fn tokens(&self) -> usize {
        match self {
            Self::Ca(rotation) => rotation.done.len() + rotation.left.len(),
            Self::Set(rotation) => rotation.tokens,
        }
    }

    /// How many are not known to be moved.
    fn left(&self) -> usize {
        match self {
            Self::Ca(rotation) => rotation.left.len(),
            Self::Set(rotation) => rotation.left(),
        }
    }

    fn tell(&self, out: &mut Printer) -> Result<(), Failure> {
        match self {
            Self::Ca(rotation) => out.object(&json::RotationState {
                schema: json::Schema::default(),
                tokens: self.tokens(),
                done: rotation.done.len(),
                left: rotation.left.iter().copied().collect(),
            }),
            Self::Set(rotation) => out.object(&set_rotation_view(rotation, false)),
        }
    }
}

struct RotationRun<'a> {
    settings: &'a Settings,
    home: PkiDir,
    ca: Ca,
    credentials: Credentials,
    store: TerminalStore,
    goal: Goal,
}

impl RotationRun<'_> {
    fn look(&self, reader: &str) -> Result<RotationTarget, Failure> {
        let mut random = SystemRandom;
        let mut visit = visit(&self.credentials, &mut random)?;
        with_card(self.settings, reader, |link| match &self.goal {
            Goal::Ca(_) => find(link, &mut visit),
            Goal::Set(set) => sets::find(link, &mut visit, *set.from.as_bytes(), &key_of(&set.to)),
        })
    }

    /// Moves the card; `meant` is the one that was confirmed.
    fn rotate(&mut self, reader: &str, meant: Option<Uuid>) -> Result<(Uuid, json::TokenChanged), Failure> {
        let mut random = SystemRandom;
        let mut visit = visit(&self.credentials, &mut random)?;
        let (home, settings) = (&self.home, self.settings);
        let done = match &mut self.goal {
            Goal::Ca(_) => {
                let mut authority = RotationCertifier { ca: &mut self.ca, home };
                with_card(settings, reader, |link| rotate(link, &mut visit, meant, &mut authority))
            }
            Goal::Set(set) => {
                let (from, to) = (*set.from.as_bytes(), key_of(&set.to));
                let mut begin = |id| {
                    if meant.is_some_and(|meant| meant != id) {
                        return Err(ManageError::OtherCard);
                    }
                    home.note_moved(set, id, false).map_err(|error| ManageError::NotNoted(error.to_string()))
                };
                with_card(settings, reader, |link| sets::replace(link, &mut visit, (from, &to), &mut begin))
            }
        };
        let learned: Vec<(RememberedItem, Option<Vec<u8>>)> = std::mem::take(&mut visit.learned);
        let (id, was_old) = done?;
        remember(&mut self.store, &learned)?;
        self.note(id)?;
        Ok((id, if was_old { json::TokenChanged::Done } else { json::TokenChanged::Unchanged }))
    }

    fn note(&mut self, id: Uuid) -> Result<(), Failure> {
        match &mut self.goal {
            Goal::Set(rotation) => self.home.note_moved(rotation, id, true)?,
            Goal::Ca(rotation) => {
                if rotation.left.remove(&id) {
                    rotation.done.insert(id);
                    self.home.note_rotated(id)?;
                }
            }
        }
        Ok(())
    }
}

/// The CA that is here, for a token that is moved to it.
struct RotationCertifier<'a> {
    ca: &'a mut Ca,
    home: &'a PkiDir,
}

impl RotationAuthority for RotationCertifier<'_> {
    fn certify(&mut self, id: Uuid, ecka: &Point, identity: &Point) -> Result<(Vec<u8>, Vec<u8>), ManageError> {
        let now = Timestamp::now();
        let ecka = self.ca.certify_token_ecka(id, ecka, now, &mut SystemRandom).map_err(|e| refused(&e))?;
        let identity = self.ca.certify_identity(id, identity, now, &mut SystemRandom).map_err(|e| refused(&e))?;
        Ok((ecka, identity))
    }

    fn follower(&mut self, announced: [u8; 8]) -> Result<SetKey, ManageError> {
        let (id, home, ca) = (announced.into(), self.home, &mut *self.ca);
        match home.load_set(id) {
            Ok(set) => Ok(key_of(&set)),
            // Of the CA before: all its tokens go to one new set.
            Err(PkiError::Certificate { .. }) => {
                let mut create = || home.create_set(ca, Timestamp::now(), &mut SystemRandom);
                Ok(key_of(&home.begin_set_rotation(id, &mut create).map_err(|e| refused(&e))?.to))
            }
            Err(error) => Err(refused(&error)),
        }
    }
}

fn refused(error: &PkiError) -> ManageError {
    ManageError::NotCertified(error.to_string())
}

fn key_of(set: &Set) -> SetKey {
    SetKey { id: *set.id.as_bytes(), key: set.key.clone(), certificate: set.certificate.clone() }
}

fn visit<'a>(credentials: &'a Credentials, random: &'a mut SystemRandom) -> Result<Visit<'a>, Failure> {
    Ok(Visit {
        credentials,
        memory: &NoMemory,
        nonce: bytes(random).map_err(|e| token(&TokenError::from(e), 0))?,
        now: Timestamp::now(),
        format: ApduFormat::Short,
        random,
        learned: Vec::new(),
    })
}

enum RotationMessage {
    Reader(ReaderEvent),
    Signal,
}

/// Card after card, at every reader that is meant, until none is left, nobody brings one, or too many fail in a row.
fn fleet(args: &TokenRotateArgs, desk: &mut RotationRun<'_>, out: &mut Printer) -> Result<u8, Failure> {
    let left = desk.goal.left();
    if left > 0 {
        let what = format!("this moves every card that is put on a reader to {} ({left} are left)", desk.goal.words());
        confirm(desk.settings, out, &what, "rotate")?;
    }
    let (messages, inbox) = mpsc::channel();
    let signal = {
        let messages = messages.clone();
        Interrupt::install(move || drop(messages.send(RotationMessage::Signal)))?
    };
    let monitor = Monitor::start(move |event| messages.send(RotationMessage::Reader(event)).is_ok());
    let monitor = monitor.map_err(station::no_thread)?;
    out.begin::<json::RotationView>()?;
    let (mut failures, mut stopped) = (0, false);
    while desk.goal.left() > 0 && failures < args.max_failures && !out.is_closed() {
        let (left, all) = (desk.goal.left(), desk.goal.tokens());
        out.work("put the next card on", (all - left) as u64, all as u64);
        match next(&inbox, args.timeout) {
            Some(RotationMessage::Reader(ReaderEvent::CardInserted { reader, .. }))
                if desk.settings.readers.matches(&reader) =>
            {
                failures = one(desk, &reader, failures, out)?;
            }
            Some(RotationMessage::Reader(_)) => {}
            Some(RotationMessage::Signal) => stopped = true,
            None => break,
        }
        if stopped {
            break;
        }
    }
    monitor.stop();
    out.progress_end();
    end(&desk.goal, failures >= args.max_failures, signal.exit_status(), out)
}

fn next(inbox: &mpsc::Receiver<RotationMessage>, quiet: Option<Duration>) -> Option<RotationMessage> {
    let Some(quiet) = quiet else { return inbox.recv().ok() };
    inbox.recv_timeout(quiet).ok()
}

/// One card, told at once; the number of failures in a row comes back.
fn one(desk: &mut RotationRun<'_>, reader: &str, failures: u32, out: &mut Printer) -> Result<u32, Failure> {
    match desk.rotate(reader, None) {
        Ok((id, result)) => {
            out.item(&object(reader, Some(id), Some(result), None))?;
            Ok(0)
        }
        // What is wrong here would be wrong with every card.
        Err(failure) if failure.class == ExitClass::Io => Err(failure),
        Err(failure) => {
            out.item(&object(reader, None, None, Some(&failure)))?;
            Ok(failures + 1)
        }
    }
}

fn end(goal: &Goal, failed: bool, signal: Option<u8>, out: &mut Printer) -> Result<u8, Failure> {
    let left = goal.left();
    if left == 0 {
        out.note(&match goal {
            Goal::Ca(_) => {
                "every token has the new CA: end the rotation with rollcall pki rotate-ca --finish".to_owned()
            }
            Goal::Set(set) => {
                format!(
                    "every token has the new key: destroy the old one with rollcall pki rotate-set {} --finish",
                    set.from
                )
            }
        });
        return Ok(0);
    }
    let message = format!("{left} tokens are left");
    if let Some(signal) = signal {
        out.note(&message);
        return Ok(signal);
    }
    let code = if failed { "batch.too-many-failures" } else { "batch.incomplete" };
    Err(Failure::new(ExitClass::No, code, message).hint("run the same command again: it goes on where it stopped"))
}

fn object(
    reader: &str,
    token_id: Option<Uuid>,
    result: Option<json::TokenChanged>,
    failed: Option<&Failure>,
) -> json::RotationView {
    json::RotationView {
        schema: json::Schema::default(),
        at: Timestamp::now().into(),
        reader: reader.to_owned(),
        token_id,
        result,
        error: failed.map(Failure::to_json),
    }
}
