//! `rollcall scan`: identifies, authenticates and reads the tokens in range, and records who is present.

pub mod file;

use std::time::Instant;

use jiff::Timestamp;

use self::file::{Records, record_form};
use super::{
    args::ScanArgs,
    context::{admission_rules, lookup_server, pool_policy, tap_terminal, terminal_context, warn_of_end},
    interrupt::Interrupt,
    outcome::{account, scan_view},
    printer::Printer,
    service::{ServiceOutage, warn_of_no_reader, warn_of_same_names, warn_of_undecided},
    until::WaitLimit,
    views,
    watch::show_server_event,
};
use crate::{
    config::Settings,
    failure::{ExitClass, Failure, number_of},
    pki::RenewalTime,
    reader::select::Selection,
    terminal::{
        admission::TapOutcome,
        event_loop::EventLoop,
        renewal::renew_if_due,
        scan::{Scan, ScanConfig, ScanEnd, ScanEvent, ScanObserver},
        tap::Depth,
    },
};

/// Runs the command.
///
/// # Errors
/// `time.past`, `scan.…`, `pcsc.…`, `pki.…`, `store.…` and that of the server before a card is touched; later that of the store, the
/// file or the output. A card that is not admitted is an object in the output.
pub fn run(args: &ScanArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    if args.out.is_some() {
        record_form(settings.format)?;
    }
    let now = Timestamp::now();
    let at = args.until.map(|until| until.moment(now, out));
    if let Some(past) = at.filter(|at| *at <= now) {
        return Err(Failure::new(ExitClass::Usage, "time.past", format!("{} is in the past", views::At(past)))
            .hint("name a later time; a time of day alone is the next one"));
    }
    let end = WaitLimit { limit: args.timeout.map(|limit| Instant::now() + limit), at };
    let depth = if args.identify_only { Depth::Identify } else { Depth::Authenticate };
    let mut terminal = tap_terminal(settings, depth);
    let loaded = terminal.as_ref().ok().map(|terminal| terminal.keys.current());
    let time = loaded.map(|keys| RenewalTime::of(keys.certificate.not_before(), keys.certificate.not_after()));
    match renew_if_due(&terminal_context(settings), time) {
        Ok(None) => {}
        Ok(Some(end)) => {
            out.note(&format!("this terminal's certificates were renewed, and expire at {}", views::At(end)));
            terminal = tap_terminal(settings, depth);
        }
        // The next line reports faults of a certificate; the next scan asks an unreachable server again.
        Err(failure) if failure.code.starts_with("pki.") => {}
        Err(failure) => out.warning(&format!("this terminal's certificates were not renewed: {failure}"), None),
    }
    let terminal = terminal?;
    warn_of_end(&terminal, out);
    let server = if args.identify_only { None } else { lookup_server(settings)? };
    let config = ScanConfig {
        context: terminal_context(settings),
        pool: pool_policy(settings, false),
        rules: admission_rules(settings),
    };
    let mut scan = Scan::open(config, terminal, server)?;
    let count = args.count.map(|count| count as usize);
    let outage = ServiceOutage::default();
    let (chosen, sink) = (&settings.readers, ScanSink::Stdout);
    let mut printer = ScanPrinter { out, chosen, proof: args.proof, sink, count, known: 0, outage };
    if let Some(path) = &args.out {
        let (records, distinct) = Records::open(path, settings.format, args.resume)?;
        (printer.sink, printer.known) = (ScanSink::File(records), distinct.len());
        scan.resume(distinct);
    }
    if count.is_none() && args.until.is_none() {
        scan.now(&mut printer)?;
        printer.finish(&scan);
        return Ok(scan.tally().exit_status());
    }
    warn_of_no_reader(&settings.readers, printer.out);
    let events = EventLoop::new();
    let stopper = events.stopper();
    let signal = Interrupt::install(move || stopper.stop())?;
    let wait = || end.wait(Instant::now(), Timestamp::now());
    if scan.wait(events, count, &wait, &mut printer)? == ScanEnd::Stopped {
        return Ok(signal.exit_status().unwrap_or_default());
    }
    printer.finish(&scan);
    printer.told_enough(scan.tally().distinct.len())
}

/// Where the objects go.
enum ScanSink {
    /// All to stdout.
    Stdout,
    /// Those of tokens that were read into a file; stderr reports the others.
    File(Records),
}

/// Prints the outcomes.
struct ScanPrinter<'a> {
    out: &'a mut Printer,
    /// The selected readers.
    chosen: &'a Selection,
    proof: bool,
    sink: ScanSink,
    /// How many tokens to wait for.
    count: Option<usize>,
    /// How many tokens were already in the file.
    known: usize,
    outage: ServiceOutage,
}

impl ScanObserver for ScanPrinter<'_> {
    fn event(&mut self, event: ScanEvent<'_>) -> Result<(), Failure> {
        match event {
            ScanEvent::Listed(readers) => warn_of_same_names(readers, self.chosen, self.out),
            ScanEvent::Begun => match self.sink {
                ScanSink::Stdout => return self.out.begin::<views::ScanView>(),
                ScanSink::File(_) => {}
            },
            ScanEvent::Waiting { found } => {
                self.out.progress("different tokens read", found as u64, self.count.map(|count| count as u64));
            }
            ScanEvent::StoreLost(failure) => {
                let text = format!("{failure} ({}); what is read is stored as soon as that works", failure.code);
                self.out.warning(&text, failure.hint.as_deref());
            }
            ScanEvent::ServiceLost => self.outage.begin(self.out),
            ScanEvent::ServiceAway(failure) => self.outage.go_on(&failure, self.out),
            ScanEvent::Undecided { reader } => warn_of_undecided(reader, self.out),
            ScanEvent::Server(event) => show_server_event(&event, self.out),
            ScanEvent::Tap(outcome) => {
                if let Some(warning) = outcome.decision.warning() {
                    self.out.warning(&format!("{}: {warning}", outcome.reader), None);
                }
                self.out.detail(&account(outcome));
            }
            ScanEvent::Outcome(outcome) => return self.show(outcome),
        }
        Ok(())
    }

    fn is_closed(&self) -> bool {
        self.out.is_closed()
    }
}

impl ScanPrinter<'_> {
    fn show(&mut self, outcome: &TapOutcome) -> Result<(), Failure> {
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

    fn finish(&mut self, scan: &Scan) {
        self.out.progress_end();
        if let ScanSink::File(records) = &self.sink {
            let all = scan.tally().distinct.len();
            let new = all - self.known;
            self.out.note(&format!("{}: {all} different tokens, {new} of them new", records.path().display()));
        }
    }

    /// The result of a scan that waited.
    fn told_enough(&self, found: usize) -> Result<u8, Failure> {
        match self.count {
            _ if self.out.is_closed() => Ok(0),
            Some(count) if found < count => Err(too_few(found, count)),
            None if found == 0 => Err(nobody_came()),
            _ => Ok(0),
        }
    }
}

fn too_few(found: usize, count: usize) -> Failure {
    let message = format!("timed out: {found} of {} authenticated", number_of(count, "token"));
    Failure::new(ExitClass::No, "scan.too-few", message).hint("what was read is stored; run it again for the others")
}

fn nobody_came() -> Failure {
    Failure::new(ExitClass::No, "scan.nobody", "timed out: no token authenticated").hint("put tokens on a reader")
}
