//! `rollcall scan`: identify, authenticate and read what is in range, and note who is here.

pub mod file;
pub mod until;

use std::{
    collections::HashSet,
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Instant,
};

use jiff::{Timestamp, Zoned};

use self::{
    file::{FileError, Records},
    until::WaitLimit,
};
use super::{
    args::ScanArgs,
    inquiry::{self, LookupService},
    interrupt::Interrupt,
    json,
    outcome::{account, scan_view},
    printer::Printer,
    station::{self, Message, ReaderPool},
};
use crate::{
    config::{OutputFormat, Settings},
    failure::{ExitClass, Failure, summary},
    reader::{self, Insertion, ReaderState, monitor::Monitor},
    terminal::admission::TapOutcome,
    terminal::lookups::ServerEvent,
    terminal::presence::{Input, store::TerminalStore},
    terminal::tap::{Depth, Tapped, terminal::TapTerminal, worker::ReaderReport},
};

/// Runs the command.
pub fn run(args: &ScanArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    if args.out.is_some() && matches!(settings.format, OutputFormat::Text | OutputFormat::Json) {
        return Err(FileError::Form.into());
    }
    let end = WaitLimit {
        limit: args.timeout.map(|limit| Instant::now() + limit),
        at: args.until.map(|until| until.resolve(&Zoned::now())),
    };
    let depth = if args.identify_only { Depth::Identify } else { Depth::Authenticate };
    let mut terminal = station::terminal(settings, depth)?;
    station::warn_of_end(&terminal, out);
    let (told, news) = mpsc::channel();
    let inquiry = match depth {
        Depth::Identify => None,
        Depth::Authenticate => LookupService::start(settings, false, move |news| drop(told.send(news)))?,
    };
    terminal.nonces = inquiry.as_ref().map(LookupService::nonces);
    let store = station::store(settings)?;
    let (sink, tally) = match &args.out {
        None => (ScanSink::Stdout, ScanTally::default()),
        Some(path) => {
            let (records, distinct) = Records::open(path, settings.format, args.resume)?;
            let known = distinct.len();
            (ScanSink::File(records), ScanTally { distinct, known, ..ScanTally::default() })
        }
    };
    let scan = ScanRun { settings, store, out, proof: args.proof, sink, tally, inquiry, news };
    match (args.count, args.until) {
        (None, None) => scan.now(&terminal),
        (count, _) => scan.wait(terminal, count.map(|count| count as usize), end),
    }
}

/// Where the objects go.
enum ScanSink {
    /// All of them to stdout.
    Stdout,
    /// Those of tokens that were read into a file; of the others, stderr tells.
    File(Records),
}

#[derive(Default)]
struct ScanTally {
    failures: Vec<ExitClass>,
    succeeded: usize,
    /// Every token that was authenticated, in this run or by the file that it goes on with.
    distinct: HashSet<uuid::Uuid>,
    /// How many of them the file brought.
    known: usize,
}

impl ScanTally {
    fn is_full(&self, count: Option<usize>) -> bool {
        count.is_some_and(|count| self.distinct.len() >= count)
    }
}

struct ScanRun<'a> {
    settings: &'a Settings,
    store: TerminalStore,
    out: &'a mut Printer,
    proof: bool,
    sink: ScanSink,
    tally: ScanTally,
    inquiry: Option<LookupService>,
    news: Receiver<ServerEvent>,
}

type Finished = (Timestamp, ReaderState, Tapped);

impl ScanRun<'_> {
    /// Takes the readers with a card now, side by side; each outcome is printed as soon as it is there.
    fn now(mut self, terminal: &TapTerminal) -> Result<u8, Failure> {
        let readers = reader::pcsc::list()?;
        let any = !readers.is_empty();
        let unknown = if any { self.settings.readers.pick(&readers).err() } else { None };
        let (occupied, empty): (Vec<_>, Vec<_>) =
            readers.into_iter().filter(|r| self.settings.readers.matches(&r.name)).partition(|r| r.slot.is_occupied());
        self.begin()?;
        if terminal.depth == Depth::Authenticate {
            let empty: Vec<_> = empty.into_iter().map(|r| Input::Empty { reader: r.name }).collect();
            self.deliver(&empty)?;
        }
        if occupied.is_empty() {
            // A name that fits no reader is why nobody is there.
            return Err(unknown.map_or_else(|| nobody(any), Into::into));
        }
        let finished = tap_all(terminal, occupied)?;
        for (at, reader, tapped) in finished {
            self.judge(at, reader.name, reader.insertion, tapped)?;
        }
        self.finish();
        Ok(summary(&self.tally.failures, self.tally.succeeded))
    }

    /// Waits until so many different tokens were authenticated, or the time is over.
    fn wait(mut self, terminal: TapTerminal, count: Option<usize>, end: WaitLimit) -> Result<u8, Failure> {
        let (messages, inbox) = mpsc::channel();
        let signal = {
            let messages = messages.clone();
            Interrupt::install(move || drop(messages.send(Message::Signal)))?
        };
        self.begin()?;
        let monitor = Monitor::start(station::teller(&messages)).map_err(station::no_thread)?;
        let mut station = ReaderPool::new(self.settings, terminal, messages, false);
        while !self.tally.is_full(count) && !self.out.is_closed() {
            self.out.progress("different tokens read", self.tally.distinct.len() as u64, count.map(|c| c as u64));
            let Some(wait) = end.wait(Instant::now(), Timestamp::now()) else { break };
            match inbox.recv_timeout(wait) {
                Ok(Message::Reader(event)) => drop(station.reader(&event)?),
                Ok(Message::Worker(ReaderReport::Tapped { reader, insertion, at, tapped })) => {
                    self.judge(at, reader, insertion, *tapped)?;
                }
                Ok(Message::Signal) => return Ok(signal.exit_status().unwrap_or_default()),
                Ok(
                    Message::Worker(ReaderReport::Alive { .. })
                    | Message::Woken(_)
                    | Message::LookupOutcome { .. }
                    | Message::Server(_)
                    | Message::Renewed(_)
                    | Message::Hook(_),
                )
                | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        monitor.stop();
        self.finish();
        self.told_enough(count)
    }

    /// The answer of a scan that waited.
    fn told_enough(&self, count: Option<usize>) -> Result<u8, Failure> {
        let found = self.tally.distinct.len();
        match count {
            _ if self.out.is_closed() => Ok(0),
            Some(count) if found < count => Err(too_few(found, count)),
            None if found == 0 => Err(nobody_came()),
            _ => Ok(0),
        }
    }

    fn begin(&mut self) -> Result<(), Failure> {
        match self.sink {
            ScanSink::Stdout => self.out.begin::<json::ScanView>(),
            ScanSink::File(_) => Ok(()),
        }
    }

    /// Asks the server where there is one; the readers go on meanwhile, each on its own thread.
    fn judge(&mut self, at: Timestamp, reader: String, insertion: Insertion, tapped: Tapped) -> Result<(), Failure> {
        let answered = self.inquiry.as_ref().and_then(|inquiry| inquiry.ask_and_wait(&tapped));
        self.hear();
        let said = answered.as_ref().zip(self.inquiry.as_ref().map(|inquiry| &inquiry.rules));
        let outcome = TapOutcome::of(&mut self.store, at, reader, insertion, tapped, said)?;
        if let Some(warning) = outcome.decision.warning() {
            self.out.warning(&format!("{}: {warning}", outcome.reader), None);
        }
        self.out.detail(&account(&outcome));
        self.take(&outcome)
    }

    /// Tells what happened to the server.
    fn hear(&mut self) {
        for news in self.news.try_iter() {
            inquiry::tell(&news, self.out);
        }
    }

    fn finish(&mut self) {
        if let Some(inquiry) = self.inquiry.take() {
            inquiry.finish();
        }
        self.hear();
        self.out.progress_end();
        if let ScanSink::File(records) = &self.sink {
            let (all, new) = (self.tally.distinct.len(), self.tally.distinct.len() - self.tally.known);
            self.out.note(&format!("{}: {all} different tokens, {new} of them new", records.path().display()));
        }
    }

    fn take(&mut self, outcome: &TapOutcome) -> Result<(), Failure> {
        match outcome.class() {
            Some(class) => self.tally.failures.push(class),
            None => self.tally.succeeded += 1,
        }
        let fresh = outcome.authenticated().is_none_or(|id| self.tally.distinct.insert(id));
        if fresh {
            self.tell(outcome)?;
        }
        self.deliver(outcome.input().as_slice())
    }

    fn tell(&mut self, outcome: &TapOutcome) -> Result<(), Failure> {
        match &mut self.sink {
            ScanSink::Stdout => self.out.item(&scan_view(outcome, self.proof)),
            ScanSink::File(records) => match outcome.failure() {
                None => records.add(&scan_view(outcome, self.proof)),
                Some(failure) => {
                    self.out.warning(&format!("{}: {}", outcome.reader, failure.message), failure.hint.as_deref());
                    Ok(())
                }
            },
        }
    }

    fn deliver(&mut self, inputs: &[Input]) -> Result<(), Failure> {
        if !inputs.is_empty() {
            self.store.deliver(inputs, Timestamp::now(), self.settings)?;
        }
        Ok(())
    }
}

/// One thread for each reader, so that none waits for another.
fn tap_all(terminal: &TapTerminal, readers: Vec<ReaderState>) -> Result<Receiver<Finished>, Failure> {
    let (done, finished) = mpsc::channel();
    for reader in readers {
        let (terminal, done) = (terminal.clone(), done.clone());
        let work = move || {
            let (tapped, _) = terminal.tap(&reader.name);
            let _ = done.send(((terminal.clock)(), reader, tapped));
        };
        thread::Builder::new().name("reader".to_owned()).spawn(work).map_err(station::no_thread)?;
    }
    Ok(finished)
}

fn nobody(any: bool) -> Failure {
    let hint = if any { "put a token on a reader" } else { "plug in a reader; rollcall readers shows what is there" };
    Failure::new(ExitClass::No, "scan.nobody", "no card is in range").hint(hint)
}

fn too_few(found: usize, count: usize) -> Failure {
    let message = format!("the time is over: {found} of {count} tokens were authenticated");
    Failure::new(ExitClass::No, "scan.too-few", message).hint("what was read is stored; run it again for the others")
}

fn nobody_came() -> Failure {
    Failure::new(ExitClass::No, "scan.nobody", "the time is over: no token was authenticated")
        .hint("put tokens on a reader")
}
