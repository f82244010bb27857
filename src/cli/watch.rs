//! `rollcall watch`: runs continuously and keeps the list of present users up to date.

mod complaints;
mod feedback;
mod live;
mod resume;

use std::{
    cell::LazyCell,
    io::{self, IsTerminal},
    time::Instant,
};

use jiff::Timestamp;
use uuid::Uuid;

use self::{
    complaints::Complaints,
    live::{LiveContent, LiveScreen, is_in_background},
};
use super::{
    args::WatchArgs,
    board_show::BoardShow,
    context::{admission_rules, lookup_server, pool_policy, terminal_context, with_stored_list},
    interrupt::Interrupt,
    outcome::account,
    printer::{Printer, form},
    service::{PATIENCE, ServiceOutage, in_words, lost_service, warn_of_none, warn_of_undecided},
    views,
};
use crate::{
    config::{OutputFormat, Settings},
    failure::{ExitClass, Failure, number_of},
    reader::{ReaderError, ReaderState, pcsc::list_within},
    terminal::{
        feedback::{AfterSignal, Feedback},
        hooks::{HookReport, How},
        lookups::ServerEvent,
        presence::{Event, EventKind, StoreNotice},
        watch::{HookCommand, TapEffect, Watch, WatchConfig, WatchEvent, WatchObserver},
    },
};

/// The readers as the service lists them.
type ListedReaders = Result<Vec<ReaderState>, ReaderError>;

/// Runs until a signal ends it. Each event is passed to `on_event`, or to the configured command.
///
/// # Errors
/// `watch.already-running`, `pki.…`, `store.…` and that of the server before it begins; later that of the store or of
/// the output.
pub fn run(args: &WatchArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let command = args.on_event.as_deref().or(settings.on_event.as_deref());
    let (resumption, without) = resume::start(settings);
    let mut watch = Watch::open(WatchConfig {
        context: terminal_context(settings),
        pool: pool_policy(settings, true),
        tap: settings.limits.tap,
        rules: admission_rules(settings),
        hook: command.map(|command| HookCommand {
            command: command.to_owned(),
            limit: settings.limits.hook,
            object: event_object,
        }),
        portraits: shows_portraits(args, settings),
        resumption,
    })?;
    let stopper = watch.stopper();
    let signal = Interrupt::install_staying(move || stopper.stop())?;
    watch.connect(lookup_server(settings)?)?;
    // Listed on first use, so that a hanging service is waited for only once.
    let listed = LazyCell::new(|| list_within(PATIENCE));
    // The screen hides what was printed before.
    let live = live(args, settings, &mut watch, &listed, out)?;
    if let Some(text) = without {
        out.warning(&text, None);
    }
    let board = board(args, settings, &mut watch, out)?;
    if live.is_none() {
        show_who_is_here(&mut watch, out)?;
        out.begin::<views::EventView>()?;
    }
    let feedback = feedback::start(settings);
    let mut printer = WatchPrinter {
        out,
        complaints: Complaints::default(),
        outage: ServiceOutage::default(),
        board,
        feedback,
        live,
        settings,
    };
    printer.warn_of_readers(&listed);
    watch.run(&mut printer)?;
    match (signal.exit_status(), &printer.live) {
        (Some(status), _) => Ok(status),
        (None, live) => live.as_ref().map_or(Ok(()), LiveScreen::check).map(|()| 0),
    }
}

#[cfg(feature = "board")]
use super::board::shows_portraits;

#[cfg(not(feature = "board"))]
const fn shows_portraits(_: &WatchArgs, _: &Settings) -> bool {
    false
}

/// The screen, if stdout is a terminal in the foreground, and no other format is requested.
fn live(
    args: &WatchArgs,
    settings: &Settings,
    watch: &mut Watch,
    listed: &LazyCell<ListedReaders, impl FnOnce() -> ListedReaders>,
    out: &mut Printer,
) -> Result<Option<LiveScreen>, Failure> {
    let options = out.options();
    if !options.live || args.plain || is_in_background(io::stdout()) {
        return Ok(None);
    }
    let readers =
        listed.iter().flatten().map(|reader| reader.name.clone()).filter(|name| settings.readers.matches(name));
    let names = settings.clone();
    let alias = move |reader: &str| names.alias(reader).unwrap_or(reader).to_owned();
    let zone = options.is_local.then(|| out.zone());
    let content = LiveContent::new(watch.list()?, readers, alias);
    let stopper = watch.stopper();
    let screen = LiveScreen::begin(content, options.colour_out, zone, move || stopper.stop())?;
    if io::stderr().is_terminal() {
        out.divert(Box::new(screen.messages()));
    }
    Ok(Some(screen))
}

/// Prints the present users before the first event, for people; programs replay the history instead.
fn show_who_is_here(watch: &mut Watch, out: &mut Printer) -> Result<(), Failure> {
    let now = Timestamp::now();
    let entries: Vec<_> = watch.list()?.entries().map(|entry| views::UserEntry::new(entry.clone(), now)).collect();
    if out.format() == OutputFormat::Text && !entries.is_empty() { out.list(&entries, "") } else { Ok(()) }
}

#[cfg(feature = "board")]
fn board(
    args: &WatchArgs,
    settings: &Settings,
    watch: &mut Watch,
    out: &mut Printer,
) -> Result<Option<BoardShow>, Failure> {
    super::board::start(args, settings, watch, out)
}

/// A program without the board serves none: if one is configured, it says so.
#[cfg(not(feature = "board"))]
fn board(_: &WatchArgs, settings: &Settings, _: &mut Watch, _: &mut Printer) -> Result<Option<BoardShow>, Failure> {
    match settings.board.listen {
        Some(_) => Err(Failure::new(ExitClass::Config, "board.not-built", "this program was built without the board")
            .hint("build it with the feature board, or take board out of config.toml")),
        None => Ok(None),
    }
}

fn event_object(event: &Event) -> Result<String, Failure> {
    form::json(&views::EventView::from(event.clone()))
}

/// Prints the events.
struct WatchPrinter<'a> {
    out: &'a mut Printer,
    complaints: Complaints,
    outage: ServiceOutage,
    board: Option<BoardShow>,
    feedback: Option<Feedback>,
    live: Option<LiveScreen>,
    settings: &'a Settings,
}

impl WatchPrinter<'_> {
    /// Equal warnings are given once, and then counted.
    fn warn(&mut self, key: &str, text: &str, hint: Option<&str>) {
        if self.complaints.is_new(key, text, Instant::now()) {
            self.out.warning(text, hint);
        }
    }

    /// Reports what would otherwise go unnoticed: that there is no service, which is an event only once in each outage,
    /// or no reader that is meant; and names in the configuration that match none.
    fn warn_of_readers(&mut self, listed: &ListedReaders) {
        let readers = match listed {
            Ok(readers) => readers,
            Err(error) => return self.warn_of_service(&Failure::from(error.clone())),
        };
        warn_of_none(readers, &self.settings.readers, self.out);
        let names: Vec<_> = readers.iter().map(|reader| reader.name.as_str()).collect();
        let unmatched: Vec<_> = self.settings.unmatched(&names).iter().map(ToString::to_string).collect();
        if !unmatched.is_empty() {
            let told = unmatched.join(", ");
            let hint = "plug it in, or correct config.toml: rollcall readers lists the names";
            self.out.warning(&format!("the configuration has names that match no reader: {told}"), Some(hint));
        }
    }

    /// Why the service is away, unless that was reported last.
    fn warn_of_service(&mut self, failure: &Failure) {
        if self.outage.is_news(failure) {
            self.warn(failure.code, &in_words(failure), failure.hint.as_deref());
        }
    }

    fn hook(&mut self, report: &HookReport) {
        match report {
            HookReport::Failed { seq, how, said } => {
                let said = if said.is_empty() { String::new() } else { format!(": {said}") };
                let what = format!("{}{said}", manner(how));
                self.warn(&what, &format!("the command for events, at event {seq}: {what}"), None);
            }
            HookReport::Full { seq } => self.out.warning(
                &format!(
                    "the command for events is too slow: event {seq} and those after it are skipped until it catches up"
                ),
                None,
            ),
            HookReport::Missed(count) => {
                self.out.note(&format!("the command for events was not run for {count} events"));
            }
        }
    }

    /// Reads the list again, since changes by other processes came in between; erased persons are no longer shown.
    fn read_again(&self, notice: &StoreNotice) {
        let forgotten = matches!(notice, StoreNotice::Forgotten);
        if let (Some(live), StoreNotice::Back { .. } | StoreNotice::Forgotten) = (&self.live, notice) {
            with_stored_list(&self.settings.state_folder, |list| {
                live.update(|content| if forgotten { content.forget(list) } else { content.reset(list) });
            });
        }
    }

    fn store(&mut self, notice: &StoreNotice) {
        match notice {
            StoreNotice::Lost(failure) => {
                let text = format!(
                    "{failure} ({}); the list is kept in memory, and written as soon as that works",
                    failure.code
                );
                self.warn(&text, &text, failure.hint.as_deref());
            }
            StoreNotice::Back { stored, renumbered, dropped } => {
                self.out.note(&format!(
                    "the list can be written again; stored: {} that waited",
                    number_of(*stored, "event")
                ));
                if *renumbered > 0 {
                    let text = format!(
                        "another command changed the list meanwhile: {renumbered} of these events have another \
                         seq in the history than the one reported"
                    );
                    self.out.warning(&text, None);
                }
                if *dropped > 0 {
                    let text =
                        format!("missing in the history: {} for which there was no room", number_of(*dropped, "event"));
                    self.out.warning(&text, None);
                }
            }
            StoreNotice::Forgotten => {}
        }
    }
}

impl WatchObserver for WatchPrinter<'_> {
    fn event(&mut self, event: WatchEvent<'_>) -> Result<(), Failure> {
        if let Some(board) = &self.board {
            (board.show)(&event);
        }
        match event {
            WatchEvent::Presence(event) => {
                let is_lost = event.event == EventKind::ServiceLost;
                let is_back = event.event == EventKind::ServiceBack;
                match &self.live {
                    Some(live) => live.update(|content| content.event(event)),
                    None => self.out.item(&views::EventView::from(event))?,
                }
                if is_back {
                    self.outage = ServiceOutage::default();
                }
                if let Some(failure) = is_lost.then(lost_service).flatten() {
                    self.warn_of_service(&failure);
                }
            }
            WatchEvent::ServiceAway(failure) => self.warn_of_service(&failure),
            WatchEvent::Tap(outcome, effect) => {
                // A service that was silent for a while may not have gone away.
                if outcome.authenticated().is_some() {
                    self.outage = ServiceOutage::default();
                }
                match (&mut self.feedback, effect) {
                    (Some(feedback), TapEffect::Decided) => feedback.tapped(outcome),
                    (Some(feedback), TapEffect::Lifted) => feedback.lifted(outcome),
                    (Some(_), TapEffect::Overtaken) | (None, _) => {}
                }
                if let Some(warning) = outcome.decision.warning() {
                    let text = format!("{}: {warning}", outcome.reader);
                    self.warn(&text, &text, None);
                }
                self.out.detail(&account(outcome));
            }
            WatchEvent::TapFailed(outcome) => match outcome.failure() {
                // The cause is the same for all readers.
                Some(failure) if failure.code == "pcsc.service-hangs" => self.warn_of_service(&failure),
                Some(failure) => {
                    let text = format!("{}: {}", outcome.reader, failure.message);
                    let key = format!("{} {}", failure.code, outcome.reader);
                    self.warn(&key, &text, failure.hint.as_deref());
                }
                None => {}
            },
            WatchEvent::Undecided { reader } => warn_of_undecided(&reader, self.out),
            WatchEvent::Server(event) => {
                if let (Some(live), ServerEvent::Lost(_) | ServerEvent::Back) = (&self.live, &event) {
                    let lost = matches!(event, ServerEvent::Lost(_)).then(Timestamp::now);
                    live.update(|content| content.server_lost = lost);
                }
                show_server_event(&event, self.out);
            }
            WatchEvent::Renewed(end) => {
                self.out.note(&format!("this terminal's certificates were renewed, and expire at {end}"));
            }
            WatchEvent::NotRenewed(end, failure) => {
                let text = format!("this terminal's certificates expire at {end} and were not renewed: {failure}");
                self.warn(&format!("{} {end}", failure.code), &text, failure.hint.as_deref());
            }
            WatchEvent::Hook(report) => self.hook(&report),
            WatchEvent::Store(notice) => {
                self.store(&notice);
                self.read_again(&notice);
            }
            WatchEvent::Flapping(failure) | WatchEvent::Evicted(failure) => {
                let text = format!("{failure} ({})", failure.code);
                self.warn(&text, &text, failure.hint.as_deref());
            }
            // It is for the board.
            WatchEvent::Portrait(..) => {}
        }
        Ok(())
    }

    fn is_closed(&self) -> bool {
        self.out.is_closed() || self.live.as_ref().is_some_and(LiveScreen::is_closed)
    }

    fn wants_portrait(&self, token_id: Uuid) -> bool {
        self.board.as_ref().is_some_and(|board| (board.wants_portrait)(token_id))
    }

    fn after_signal(&mut self, reader: &str, then: AfterSignal) -> bool {
        self.feedback.as_ref().is_some_and(|feedback| feedback.after_signal(reader, then))
    }

    fn pause(&mut self) {
        for failed in self.feedback.as_ref().map(Feedback::failures).unwrap_or_default() {
            let (text, hint) = feedback::failure(&failed);
            self.warn(&text, &text, Some(&hint));
        }
        for (text, times, span) in self.complaints.due(Instant::now()) {
            let times = if times == 1 { "once more".to_owned() } else { format!("{times} times more") };
            self.out.warning(&format!("{text}; {times} in {} min", span.as_secs() / 60), None);
        }
        // Show recent messages, and the passage of time.
        if let Some(live) = &self.live {
            live.update(|_| {});
        }
    }
}

/// Reports an event of the server to people.
pub fn show_server_event(event: &ServerEvent, out: &mut Printer) {
    match event {
        ServerEvent::Back => out.note("the server is back"),
        ServerEvent::CacheBack => out.note("directory.db can be written again"),
        // The consequences are events of the list.
        ServerEvent::NotActive(_) => {}
        ServerEvent::Lost(error) | ServerEvent::Alarm(error) => {
            let failure = Failure::from(error.clone());
            let message = match failure.class {
                ExitClass::Unavailable | ExitClass::Busy => {
                    format!("{}; until it is back, what it said last counts", failure.message)
                }
                _ => failure.message,
            };
            out.warning(&format!("{message} ({})", failure.code), failure.hint.as_deref());
        }
    }
}

fn manner(how: &How) -> String {
    match how {
        How::NotStarted(error) => format!("it could not be started: {error}"),
        How::Status(status) => format!("exit status {status}"),
        How::Signal(signal) => format!("it was ended by signal {signal}"),
        How::Late => "it took too long and was ended".to_owned(),
        How::Ended => "it was ended because watch ended".to_owned(),
    }
}

#[cfg(all(test, feature = "server"))]
mod tests {
    use crate::{
        api::v1::Problem,
        failure::{ExitClass, Failure},
        server::store::ProofRefusal,
        server_client::ServerError,
    };

    /// Every refusal of a proof is reported under its own code.
    #[test]
    fn what_the_server_refuses_keeps_its_code() {
        for refusal in ProofRefusal::ALL {
            let code = refusal.code().as_str();
            let problem =
                Problem { kind: String::new(), title: "no".into(), status: 409, detail: None, code: code.into() };
            let failure = Failure::from(ServerError::Problem(Box::new(problem)));
            assert_eq!((failure.code, failure.class), (code, ExitClass::Refused));
            assert!(failure.hint.is_some());
        }
    }
}
