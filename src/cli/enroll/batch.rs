//! `rollcall enroll --from`: a card for every row, at as many readers as there are.
//!
//! This thread owns the printer and decides; each card is enrolled by a thread of its own, and takes its row from the book
//! when it has proven that it is ours.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::Duration,
};

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    failure::{batch as journal_failure, enrollment},
    object,
    office::{Done, EnrollmentContext, Failed},
    portrait::Portraits,
    remember, warn_of_test_keys,
};
use crate::{
    api::{User, v1::TokenStatus},
    card::link::LinkError,
    cli::{
        args::{BatchArgs, PrivateArgs},
        confirm::confirm,
        interrupt::Interrupt,
        json,
        printer::Printer,
        station,
    },
    config::Settings,
    failure::{ExitClass, Failure},
    reader::monitor::{Monitor, ReaderEvent},
    server_client::ServerError,
    terminal::enrollment::{
        EnrollError, HolderSource,
        batch::{BatchError, BatchLedger, RowState},
        journal::{JournalEntry, Progress},
    },
    terminal::{presence::store::TerminalStore, tap::failure::link, user_csv},
};

/// Runs the command.
pub fn run(args: &BatchArgs, private: &PrivateArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let Some(file) = &args.from else { return Ok(ExitClass::Usage.exit_status()) };
    let mut portraits = Portraits::default();
    let folder = file.parent().unwrap_or(Path::new(""));
    let users = user_csv::load_checked(file, &mut |user| portraits.take(user, folder))?;
    let rows: Vec<_> = users.into_iter().map(|user| portraits.row(user)).collect();
    let office = EnrollmentContext::open(settings, private)?;
    let path = args.journal.clone().unwrap_or_else(|| {
        let mut name = file.clone().into_os_string();
        name.push(".journal");
        PathBuf::from(name)
    });
    if args.dry_run {
        let book = BatchLedger::read(&path, rows, &office.authority()).map_err(|e| journal_failure(&e))?;
        return out.object(&summary(&book, &path, true)).map(|()| 0);
    }
    let mut book = BatchLedger::open(&path, rows, &office.authority()).map_err(|e| journal_failure(&e))?;
    settle(&office, &book)?;
    if args.abandon {
        abandon(&office, &mut book, settings, out)?;
    }
    let store = station::store(settings)?;
    let (messages, inbox) = mpsc::channel();
    let desk = Arc::new(BatchShared { office, portraits, book: Mutex::new(book) });
    let batch = BatchRun {
        settings,
        out,
        store,
        desk,
        messages,
        slots: BTreeMap::new(),
        failures: 0,
        most: args.max_failures,
        warned: false,
        quiet: args.timeout,
        stop: None,
    };
    batch.run(&inbox, &path)
}

/// A run that was killed between its last two steps left entries behind of tokens that are done.
fn settle(office: &EnrollmentContext, book: &BatchLedger) -> Result<(), Failure> {
    let failed = |e: EnrollError| enrollment(&e, 0);
    for entry in office.journal.all().map_err(failed)? {
        if book.holder(entry.token_id).is_some() {
            office.journal.close(&entry).map_err(failed)?;
        }
    }
    Ok(())
}

/// Gives up what was begun. What the server may have registered is revoked there first.
fn abandon(
    office: &EnrollmentContext,
    book: &mut BatchLedger,
    settings: &Settings,
    out: &mut Printer,
) -> Result<(), Failure> {
    let failed = |e: EnrollError| enrollment(&e, 0);
    let begun: Vec<_> = book
        .rows()
        .filter_map(|(user, state)| match state {
            RowState::Begun(card) => Some((user.clone(), card.clone())),
            _ => None,
        })
        .collect();
    if begun.is_empty() {
        return Ok(());
    }
    let what = format!("this gives up {} cards that were begun, and with a server revokes their tokens", begun.len());
    confirm(settings, out, &what, "abandon")?;
    let entries = office.journal.all().map_err(failed)?;
    for (user, card) in begun {
        if let Some(entry) = entries.iter().find(|entry| entry.card == card) {
            revoke(entry, settings)?;
            office.journal.close(entry).map_err(failed)?;
        }
        office.leave_sets(&card)?;
        book.abandon(&user).map_err(|e| journal_failure(&e))?;
    }
    Ok(())
}

fn revoke(entry: &JournalEntry, settings: &Settings) -> Result<(), Failure> {
    if settings.server.url.is_none() || entry.progress < Progress::Generated {
        return Ok(());
    }
    let server = crate::cli::server::client::connect(settings)?;
    match server.set_status(entry.token_id, TokenStatus::Revoked, Some("its enrollment was given up".to_owned())) {
        Ok(_) => Ok(()),
        Err(ServerError::Problem(problem)) if problem.status == 404 => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn summary(book: &BatchLedger, path: &Path, dry_run: bool) -> json::BatchView {
    let (rows, done) = book.count();
    let begun = book.rows().filter(|(_, state)| matches!(state, RowState::Begun(_))).count();
    json::BatchView {
        schema: json::Schema::default(),
        rows: rows as u64,
        done: done as u64,
        begun: begun as u64,
        free: (rows - done - begun) as u64,
        journal: path.display().to_string(),
        dry_run,
    }
}

/// What the threads of the readers share.
struct BatchShared {
    office: EnrollmentContext,
    portraits: Portraits,
    book: Mutex<BatchLedger>,
}

impl BatchShared {
    fn book(&self) -> MutexGuard<'_, BatchLedger> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The book, and whom it named.
struct Asked<'a> {
    desk: &'a BatchShared,
    user: Option<User>,
}

impl HolderSource for Asked<'_> {
    fn user(&mut self, card: &str, begun: Option<&JournalEntry>) -> Result<User, EnrollError> {
        let user = self.desk.book().user(card, begun)?;
        self.user = Some(user.clone());
        Ok(user)
    }

    fn portrait(&mut self) -> Result<Option<Vec<u8>>, EnrollError> {
        self.user.as_ref().map_or(Ok(None), |user| self.desk.portraits.of(&user.id))
    }
}

enum BatchMessage {
    Reader(ReaderEvent),
    Step { reader: String, what: &'static str },
    Over { reader: String, user: Option<User>, result: Box<Result<Done, Failed>> },
    Signal,
}

/// One reader of the batch.
#[derive(Default)]
struct BatchReader {
    /// A thread is at work on its card.
    busy: bool,
    /// The next card lies there already.
    next: bool,
    /// The token that was enrolled there last, while it lies there: to be met again, because it was lifted for a moment
    /// before, it need not be told.
    last: Option<Uuid>,
}

/// Why no further card is begun.
enum StopReason {
    Signal,
    Failures,
    Quiet,
}

struct BatchRun<'a> {
    settings: &'a Settings,
    out: &'a mut Printer,
    store: TerminalStore,
    desk: Arc<BatchShared>,
    messages: Sender<BatchMessage>,
    slots: BTreeMap<String, BatchReader>,
    failures: u32,
    most: u32,
    warned: bool,
    quiet: Option<Duration>,
    stop: Option<StopReason>,
}

impl BatchRun<'_> {
    fn run(mut self, inbox: &Receiver<BatchMessage>, path: &Path) -> Result<u8, Failure> {
        let signal = {
            let messages = self.messages.clone();
            Interrupt::install(move || drop(messages.send(BatchMessage::Signal)))?
        };
        self.out.begin::<json::Enroll>()?;
        let monitor = {
            let messages = self.messages.clone();
            Monitor::start(move |event| messages.send(BatchMessage::Reader(event)).is_ok())
                .map_err(station::no_thread)?
        };
        self.tell("put a card on a reader");
        while !self.is_over() {
            match self.next(inbox) {
                Some(BatchMessage::Reader(event)) => self.reader(event)?,
                Some(BatchMessage::Step { reader, what }) => self.tell(&format!("{reader}: {what}")),
                Some(BatchMessage::Over { reader, user, result }) => self.over(&reader, user, *result)?,
                Some(BatchMessage::Signal) => self.stop = Some(StopReason::Signal),
                None => self.stop = self.stop.take().or(Some(StopReason::Quiet)),
            }
        }
        monitor.stop();
        self.out.progress_end();
        let left = summary(&self.desk.book(), path, false);
        self.end(&left, signal.exit_status())
    }

    fn end(self, left: &json::BatchView, signal: Option<u8>) -> Result<u8, Failure> {
        let json::BatchView { rows, done, begun, .. } = *left;
        if rows == done {
            self.out.note(&format!("all {rows} rows are enrolled"));
            return Ok(0);
        }
        let waiting = if begun == 0 { String::new() } else { format!(", {begun} of them begun") };
        let message = format!("{} of {rows} rows are left{waiting}", rows - done);
        match self.stop {
            Some(StopReason::Signal) => {
                self.out.note(&message);
                Ok(signal.unwrap_or_default())
            }
            Some(StopReason::Failures) => {
                let message = format!("{} failures in a row; {message}", self.failures);
                Err(Failure::new(ExitClass::No, "batch.too-many-failures", message)
                    .hint("find out why, then run the same command again: it goes on where it stopped"))
            }
            _ => Err(Failure::new(ExitClass::No, "batch.incomplete", message)
                .hint("run the same command again: it goes on where it stopped")),
        }
    }

    fn is_over(&self) -> bool {
        let busy = self.slots.values().any(|slot| slot.busy);
        let (rows, done) = self.desk.book().count();
        !busy && (self.stop.is_some() || rows == done || self.out.is_closed())
    }

    /// Nothing: no card came for the time that was given.
    fn next(&self, inbox: &Receiver<BatchMessage>) -> Option<BatchMessage> {
        let Some(quiet) = self.quiet else { return inbox.recv().ok() };
        match inbox.recv_timeout(quiet) {
            Ok(message) => Some(message),
            // A card that is being enrolled ends within limits of its own.
            Err(RecvTimeoutError::Timeout) if self.slots.values().any(|slot| slot.busy) => inbox.recv().ok(),
            Err(_) => None,
        }
    }

    fn reader(&mut self, event: ReaderEvent) -> Result<(), Failure> {
        match event {
            ReaderEvent::CardInserted { reader, .. } if self.settings.readers.matches(&reader) => self.begin(reader)?,
            ReaderEvent::CardMute { reader, .. } if self.settings.readers.matches(&reader) => {
                let failure = link(&LinkError::CardMute, 0);
                self.failed(&reader, None, None, &failure)?;
            }
            ReaderEvent::CardRemoved { reader } | ReaderEvent::ReaderRemoved { reader } => {
                if let Some(slot) = self.slots.get_mut(&reader) {
                    (slot.next, slot.last) = (false, None);
                }
            }
            ReaderEvent::ServiceLost => self.out.warning(
                "the PC/SC service is away; this waits until it is back",
                Some("start it: sudo systemctl start pcscd.socket"),
            ),
            _ => {}
        }
        Ok(())
    }

    /// Begins with the card in this reader, or keeps it for when the one before it is done.
    fn begin(&mut self, reader: String) -> Result<(), Failure> {
        if self.stop.is_some() {
            return Ok(());
        }
        let slot = self.slots.entry(reader.clone()).or_default();
        if slot.busy {
            slot.next = true;
            return Ok(());
        }
        (slot.busy, slot.next) = (true, false);
        let (desk, messages) = (Arc::clone(&self.desk), self.messages.clone());
        let work = move || {
            let mut asked = Asked { desk: &desk, user: None };
            let mut tell = |_, _, what| drop(messages.send(BatchMessage::Step { reader: reader.clone(), what }));
            let result = one(&reader, &desk, &mut asked, &mut tell);
            let user = asked.user;
            drop(messages.send(BatchMessage::Over { reader, user, result: Box::new(result) }));
        };
        thread::Builder::new().name("enroll".to_owned()).spawn(work).map_err(station::no_thread)?;
        Ok(())
    }

    fn over(&mut self, reader: &str, user: Option<User>, result: Result<Done, Failed>) -> Result<(), Failure> {
        match result {
            Ok(done) => {
                self.failures = 0;
                remember(&mut self.store, &done.learned)?;
                if done.report.test_keys && !std::mem::replace(&mut self.warned, true) {
                    warn_of_test_keys(self.out);
                }
                self.out.item(&object(reader, &done.report))?;
                if let Some(slot) = self.slots.get_mut(reader) {
                    slot.last = Some(done.report.token_id);
                }
            }
            Err(Failed { error: EnrollError::Batch(error), .. }) => return Err(journal_failure(&error)),
            Err(failed) => self.refused(reader, user, &failed)?,
        }
        let next = self.slots.get_mut(reader).is_some_and(|slot| {
            slot.busy = false;
            slot.next
        });
        if next {
            self.begin(reader.to_owned())?;
        }
        self.tell("put the next card on");
        Ok(())
    }

    /// A card that is done already, or that nobody is left for, says nothing about the cards to come.
    fn refused(&mut self, reader: &str, user: Option<User>, failed: &Failed) -> Result<(), Failure> {
        if let EnrollError::AlreadyIssued(Some(token_id)) = failed.error {
            if self.slots.get(reader).is_some_and(|slot| slot.last == Some(token_id)) {
                return Ok(());
            }
            let holder = self.desk.book().holder(token_id).cloned();
            if let Some(holder) = holder {
                let message = format!("this card was enrolled for {} in this batch", holder.id);
                let failure = Failure::new(ExitClass::No, "batch.done-already", message).hint("put the next card on");
                return self.object(reader, Some(token_id), Some(holder), &failure);
            }
        }
        let failure = failed.to_failure();
        if matches!(failed.error, EnrollError::NobodyLeft) {
            return self.object(reader, None, None, &failure);
        }
        let token_id = if let EnrollError::AlreadyIssued(token_id) = failed.error { token_id } else { None };
        self.failed(reader, token_id, user, &failure)
    }

    fn failed(
        &mut self,
        reader: &str,
        token_id: Option<Uuid>,
        user: Option<User>,
        failure: &Failure,
    ) -> Result<(), Failure> {
        self.failures += 1;
        if self.failures >= self.most {
            self.stop.get_or_insert(StopReason::Failures);
        }
        self.object(reader, token_id, user, failure)
    }

    fn object(
        &mut self,
        reader: &str,
        token_id: Option<Uuid>,
        user: Option<User>,
        failure: &Failure,
    ) -> Result<(), Failure> {
        self.out.item(&json::Enroll {
            schema: json::Schema::default(),
            at: Timestamp::now().into(),
            reader: reader.to_owned(),
            token_id,
            user,
            error: Some(failure.to_json()),
            result: None,
            set: None,
            test_keys: false,
        })
    }

    fn tell(&mut self, what: &str) {
        let (rows, done) = self.desk.book().count();
        self.out.work(what, done as u64, rows as u64);
    }
}

/// One card: its row is done on disk before its own journal is closed.
fn one(
    reader: &str,
    desk: &BatchShared,
    asked: &mut Asked<'_>,
    tell: &mut dyn FnMut(usize, usize, &'static str),
) -> Result<Done, Failed> {
    let done = desk.office.enroll(reader, asked, tell)?;
    desk.book().finish(&done.report.user, done.report.token_id).map_err(batch_error)?;
    desk.office.journal.close_token(done.report.token_id)?;
    Ok(done)
}

fn batch_error(error: BatchError) -> EnrollError {
    error.into()
}
