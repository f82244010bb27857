//! `rollcall scan`: identify, authenticate and read what is in range, and note who is here.

pub mod file;
pub mod until;

use std::{
    collections::HashSet,
    ops::ControlFlow,
    sync::mpsc::{self, Receiver},
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
    context::{admission_rules, lookup_server, pool_policy, store, tap_terminal, terminal_context, warn_of_end},
    interrupt::Interrupt,
    json,
    outcome::{account, scan_view},
    printer::Printer,
    watch::show_server_event,
};
use crate::{
    config::{OutputFormat, Settings},
    failure::{ExitClass, Failure, summary},
    reader::{self, Insertion, ReaderState},
    terminal::admission::{Rules, TapOutcome},
    terminal::event_loop::{EventLoop, Handler, Message, Wait},
    terminal::lookups::{LookupService, ServerEvent},
    terminal::presence::{Input, store::TerminalStore},
    terminal::reader_pool::ReaderPool,
    terminal::tap::{Depth, Tapped, terminal::TapTerminal, worker::ReaderReport},
    terminal::thread::no_thread,
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
    let mut terminal = tap_terminal(settings, depth)?;
    warn_of_end(&terminal, out);
    let (told, news) = mpsc::channel();
    let inquiry = match depth {
        Depth::Identify => None,
        Depth::Authenticate => lookup_server(settings)?
            .map(|server| {
                let tell = move |event| drop(told.send(event));
                LookupService::start(server, &terminal_context(settings), false, tell)
            })
            .transpose()?,
    };
    terminal.nonces = inquiry.as_ref().map(LookupService::nonces);
    let store = store(settings)?;
    let (sink, tally) = match &args.out {
        None => (ScanSink::Stdout, ScanTally::default()),
        Some(path) => {
            let (records, distinct) = Records::open(path, settings.format, args.resume)?;
            let known = distinct.len();
            (ScanSink::File(records), ScanTally { distinct, known, ..ScanTally::default() })
        }
    };
    let scan = ScanRun {
        settings,
        rules: admission_rules(settings),
        store,
        out,
        proof: args.proof,
        sink,
        tally,
        inquiry,
        news,
    };
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
    rules: Rules,
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
        let mut events = EventLoop::new();
        let stopper = events.stopper();
        let signal = Interrupt::install(move || stopper.stop())?;
        self.begin()?;
        events.watch_readers()?;
        let tell = events.mailbox().forward(Message::Tap);
        let pool = ReaderPool::new(pool_policy(self.settings, false), terminal, tell);
        let mut waiting = WaitingScan { scan: self, pool, count, end, is_stopped: false };
        events.run(&mut waiting)?;
        if waiting.is_stopped {
            return Ok(signal.exit_status().unwrap_or_default());
        }
        waiting.scan.finish();
        waiting.scan.told_enough(count)
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
        let said = answered.as_ref().map(|answered| (answered, &self.rules));
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
            show_server_event(&news, self.out);
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

/// A scan that waits for tokens.
struct WaitingScan<'a> {
    scan: ScanRun<'a>,
    pool: ReaderPool,
    count: Option<usize>,
    end: WaitLimit,
    is_stopped: bool,
}

impl Handler for WaitingScan<'_> {
    fn wait(&mut self) -> Result<Wait, Failure> {
        let ScanRun { out, tally, .. } = &mut self.scan;
        if tally.is_full(self.count) || out.is_closed() {
            return Ok(Wait::End);
        }
        out.progress("different tokens read", tally.distinct.len() as u64, self.count.map(|count| count as u64));
        Ok(self.end.wait(Instant::now(), Timestamp::now()).map_or(Wait::End, Wait::AtMost))
    }

    fn message(&mut self, message: Message) -> Result<ControlFlow<()>, Failure> {
        match message {
            Message::Reader(event) => drop(self.pool.handle(&event)?),
            Message::Tap(ReaderReport::Tapped { reader, insertion, at, tapped }) => {
                self.scan.judge(at, reader, insertion, *tapped)?;
            }
            Message::Stop => {
                self.is_stopped = true;
                return Ok(ControlFlow::Break(()));
            }
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }

    fn idle(&mut self) -> Result<ControlFlow<()>, Failure> {
        Ok(ControlFlow::Continue(()))
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
        thread::Builder::new().name("reader".to_owned()).spawn(work).map_err(no_thread)?;
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
