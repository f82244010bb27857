//! Shows the outcome of a tap at the reader, with its lights and buzzer, and plays sounds on the computer. Callers
//! never wait: each reader has its own thread, signals that it cannot show in time are dropped, and failures are
//! reported.
//!
//! A signal is sent after the tap, when its transaction has ended. Within one insertion each signal is shown once,
//! however often the card is tried again.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    card::link::LinkError,
    reader::{
        Insertion,
        feedback::{FeedbackChoice, FeedbackModel, ReaderCommand, Signal, SignalError},
    },
    terminal::{
        admission::{Decision, TapOutcome},
        sound::{Sounds, TimedSignal},
    },
};

/// How long to wait before giving back the lights of a reader that another program holds.
const RETRY: Duration = Duration::from_millis(500);
/// How often that is retried.
const RETRIES: u32 = 10;
/// How long giving back the remaining lights may take at the end.
const LAST_COMMANDS: Duration = Duration::from_millis(500);

/// A signal that could not be shown or played.
#[derive(Debug)]
pub enum FeedbackFailure {
    /// A reader did not show it.
    Reader {
        /// The reader.
        reader: String,
        /// The reason.
        error: SignalError,
    },
    /// No player worked, with the reason for each.
    Sound(String),
}

/// Sends commands to a reader; may block.
pub type SendSignal = fn(&str, &[ReaderCommand]) -> Result<(), SignalError>;

/// Called once a signal was shown.
pub type AfterSignal = Box<dyn FnOnce() + Send>;

/// The number of signals that a reader still has to show, and the callback for when none is left.
#[derive(Default)]
struct Unshown {
    signals: usize,
    then: Option<AfterSignal>,
}

/// Shared by the caller and the thread of the reader.
type SharedUnshown = Arc<Mutex<Unshown>>;

fn lock(unshown: &Mutex<Unshown>) -> MutexGuard<'_, Unshown> {
    unshown.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts one signal less; calls the callback after the last one.
fn one_less(unshown: &Mutex<Unshown>) {
    let then = {
        let mut unshown = lock(unshown);
        unshown.signals = unshown.signals.saturating_sub(1);
        if unshown.signals == 0 { unshown.then.take() } else { None }
    };
    if let Some(then) = then {
        then();
    }
}

/// The feedback configured for a reader; `None` where nothing is shown.
type ChooseFeedback = Box<dyn Fn(&str) -> Option<FeedbackChoice>>;

/// Shows the outcomes of taps at the readers.
pub struct Feedback {
    choose: ChooseFeedback,
    send: SendSignal,
    threads: HashMap<String, (SyncSender<TimedSignal>, SharedUnshown)>,
    /// The last signal at each reader, and its insertion.
    shown: HashMap<String, (Insertion, Signal)>,
    sounds: Option<Sounds>,
    report: Sender<FeedbackFailure>,
    failures: Receiver<FeedbackFailure>,
}

impl Feedback {
    /// Creates the feedback; nothing is sent yet.
    pub fn new(choose: impl Fn(&str) -> Option<FeedbackChoice> + 'static, send: SendSignal) -> Self {
        let (report, failures) = mpsc::channel();
        let choose = Box::new(choose);
        Self { choose, send, threads: HashMap::new(), shown: HashMap::new(), sounds: None, report, failures }
    }

    /// Also plays sounds on this computer, wherever the reader is.
    #[must_use]
    pub fn with_sounds(mut self) -> Self {
        let report = self.report.clone();
        // The receiver may be gone.
        let tell = move |fault| drop(report.send(FeedbackFailure::Sound(fault)));
        match Sounds::start(tell) {
            Ok(sounds) => self.sounds = Some(sounds),
            // The receiver is in `self`, so this cannot fail.
            Err(error) => drop(self.report.send(FeedbackFailure::Sound(error.to_string()))),
        }
        self
    }

    /// Shows the outcome of a tap, if configured. Never waits.
    pub fn tapped(&mut self, outcome: &TapOutcome) {
        if let Some(signal) = signal_of(outcome) {
            self.show(&outcome.reader, outcome.insertion, signal);
        }
    }

    /// Like [`Self::tapped`], for a card that left before it was admitted where it has to stay: it is not admitted
    /// then.
    pub fn lifted(&mut self, outcome: &TapOutcome) {
        if let Some(signal) = signal_of(outcome) {
            self.show(&outcome.reader, outcome.insertion, when_lifted(signal));
        }
    }

    /// The failures since the last call.
    pub fn failures(&self) -> Vec<FeedbackFailure> {
        self.failures.try_iter().collect()
    }

    /// Calls `then` once all signals pending at this reader have been sent or dropped. Returns false, without calling
    /// it, when none is pending. An earlier callback still waiting is discarded: another card is there now.
    pub fn after_signal(&self, reader: &str, then: AfterSignal) -> bool {
        let Some((_, unshown)) = self.threads.get(reader) else { return false };
        let mut unshown = lock(unshown);
        if unshown.signals > 0 {
            unshown.then = Some(then);
        }
        unshown.signals > 0
    }

    fn show(&mut self, reader: &str, insertion: Insertion, signal: Signal) {
        if self.shown.get(reader) == Some(&(insertion, signal)) {
            return;
        }
        self.shown.insert(reader.to_owned(), (insertion, signal));
        if let Some(sounds) = &self.sounds {
            sounds.play(signal);
        }
        let Some(choice) = (self.choose)(reader) else { return };
        if let Err(error) = self.order(reader, choice, signal) {
            // The receiver is in `self`, so this cannot fail.
            let _ = self.report.send(FeedbackFailure::Reader { reader: reader.to_owned(), error });
        }
    }

    fn order(&mut self, reader: &str, choice: FeedbackChoice, signal: Signal) -> Result<(), SignalError> {
        let model = choice.model(reader).ok_or(SignalError::UnknownModel)?;
        if !self.threads.contains_key(reader) {
            let thread = self.start(reader, model).map_err(|error| LinkError::NoThread(error.to_string()))?;
            self.threads.insert(reader.to_owned(), thread);
        }
        let Some((orders, unshown)) = self.threads.get(reader) else { return Ok(()) };
        lock(unshown).signals += 1;
        let sent = orders.try_send(TimedSignal(signal, Instant::now()));
        if sent.is_err() {
            one_less(unshown);
        }
        match sent {
            Err(TrySendError::Full(_)) => Err(SignalError::Late),
            // The thread lives as long as `self`.
            _ => Ok(()),
        }
    }

    fn start(&self, reader: &str, model: FeedbackModel) -> io::Result<(SyncSender<TimedSignal>, SharedUnshown)> {
        let (orders, inbox) = mpsc::sync_channel(1);
        let (report, unshown) = (self.report.clone(), SharedUnshown::default());
        let shared = Arc::clone(&unshown);
        let work =
            ReaderLights { reader: reader.to_owned(), model, send: self.send, report, unshown: shared, set: None };
        thread::Builder::new().name("feedback".to_owned()).spawn(move || work.serve(&inbox))?;
        Ok((orders, unshown))
    }
}

impl Drop for Feedback {
    /// Ends the threads, which give back the lights they have set; one that hangs is left behind.
    fn drop(&mut self) {
        self.threads.clear();
        self.sounds = None;
        // After this, only the threads hold senders of the channel.
        self.report = mpsc::channel().0;
        let until = Instant::now() + LAST_COMMANDS;
        while self.failures.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok() {}
    }
}

/// The signal for this outcome.
fn signal_of(outcome: &TapOutcome) -> Option<Signal> {
    match &outcome.decision {
        Decision::Admitted(_) => Some(Signal::Admitted),
        Decision::Refused(_) if outcome.is_unanswered() => Some(Signal::HoldLonger),
        Decision::Refused(_) => Some(Signal::Refused),
        Decision::Identified(_) => None,
    }
}

const fn when_lifted(signal: Signal) -> Signal {
    match signal {
        Signal::Admitted => Signal::HoldLonger,
        Signal::Refused | Signal::HoldLonger => signal,
    }
}

/// Controls the lights and the buzzer of one reader.
struct ReaderLights {
    reader: String,
    model: FeedbackModel,
    send: SendSignal,
    report: Sender<FeedbackFailure>,
    unshown: SharedUnshown,
    /// The commands that end the current signal, when to send them, and how often that was tried.
    set: Option<(Instant, Vec<ReaderCommand>, u32)>,
}

/// The result of sending commands to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// All succeeded.
    All,
    /// One failed, not necessarily the first.
    Failed,
    /// Another program holds the reader.
    Nothing,
}

impl ReaderLights {
    fn serve(mut self, orders: &Receiver<TimedSignal>) {
        loop {
            let order = match &self.set {
                Some((at, ..)) => orders.recv_timeout(at.saturating_duration_since(Instant::now())),
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match order {
                Ok(order) => {
                    if let Some(signal) = order.if_fresh() {
                        self.begin(signal);
                    }
                    one_less(&self.unshown);
                }
                Err(RecvTimeoutError::Timeout) => self.give_back(),
                Err(RecvTimeoutError::Disconnected) => return self.give_back(),
            }
        }
    }

    fn begin(&mut self, signal: Signal) {
        let plan = self.model.plan(signal);
        let ends = (Instant::now() + plan.lasts, plan.end);
        let tries = match self.try_send(&plan.begin) {
            Sent::All => 0,
            // The lights may be on, with only the buzzer having failed; so try once to give them back.
            Sent::Failed => self.set.as_ref().map_or(RETRIES, |(.., tries)| *tries),
            Sent::Nothing => return,
        };
        if !ends.1.is_empty() {
            self.set = Some((ends.0, ends.1, tries));
        }
    }

    fn give_back(&mut self) {
        let Some((_, commands, tries)) = self.set.take() else { return };
        if self.try_send(&commands) != Sent::All && tries < RETRIES {
            self.set = Some((Instant::now() + RETRY, commands, tries + 1));
        }
    }

    /// Sends commands. A reader busy with the next tap, or held by another program, is not a failure.
    fn try_send(&self, commands: &[ReaderCommand]) -> Sent {
        match (self.send)(&self.reader, commands) {
            Ok(()) => Sent::All,
            Err(SignalError::Link(LinkError::SharingViolation)) => Sent::Nothing,
            Err(error) => {
                // The receiver may be gone.
                let _ = self.report.send(FeedbackFailure::Reader { reader: self.reader.clone(), error });
                Sent::Failed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::sound::STALE;

    /// The commands sent; each test uses readers of its own name.
    static SENT: Mutex<Vec<(String, Vec<ReaderCommand>)>> = Mutex::new(Vec::new());
    /// Held by a test whose reader hangs.
    static HANGS: Mutex<()> = Mutex::new(());

    fn sent() -> MutexGuard<'static, Vec<(String, Vec<ReaderCommand>)>> {
        SENT.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reader "hangs" accepts nothing while the test holds the lock; "refuses" accepts nothing at all, and "held"
    /// belongs to another program.
    fn send(reader: &str, commands: &[ReaderCommand]) -> Result<(), SignalError> {
        match reader {
            "hangs" => drop(HANGS.lock()),
            "refuses" => return Err(SignalError::EscapeRefused),
            "held" => return Err(LinkError::SharingViolation.into()),
            // Its buzzer command fails.
            "mute" if commands.len() > 1 => {
                sent().push((reader.to_owned(), commands[..1].to_vec()));
                return Err(SignalError::Answer(vec![0x6A, 0x81]));
            }
            _ => {}
        }
        sent().push((reader.to_owned(), commands.to_vec()));
        Ok(())
    }

    /// Shows these signals at a reader and ends; returns the commands sent and the number of failures reported.
    fn shown(reader: &str, model: FeedbackModel, signals: &[(Signal, Duration)]) -> (Vec<Vec<ReaderCommand>>, usize) {
        let (orders, inbox) = mpsc::channel();
        let (report, failures) = mpsc::channel();
        for (signal, age) in signals {
            let asked = Instant::now().checked_sub(*age).unwrap();
            orders.send(TimedSignal(*signal, asked)).unwrap();
        }
        drop(orders);
        let unshown = SharedUnshown::default();
        ReaderLights { reader: reader.to_owned(), model, send, report, unshown, set: None }.serve(&inbox);
        let all = sent();
        let mine = all.iter().filter(|(to, _)| to == reader).map(|(_, commands)| commands.clone());
        (mine.collect(), failures.iter().count())
    }

    #[test]
    fn the_lights_are_given_back_once_and_what_is_stale_is_left_out() {
        let model = FeedbackModel::SpringCardH663;
        let (now, long_ago) = (Duration::ZERO, STALE * 2);
        let signals = [(Signal::HoldLonger, now), (Signal::Refused, long_ago), (Signal::Admitted, now)];
        let (hold, admitted) = (model.plan(Signal::HoldLonger), model.plan(Signal::Admitted));
        let expected = vec![hold.begin, admitted.begin, admitted.end];
        assert_eq!(shown("lights", model, &signals), (expected, 0));
    }

    #[test]
    fn a_failure_is_reported_and_a_reader_in_use_is_none() {
        let signals = [(Signal::Admitted, Duration::ZERO), (Signal::Refused, Duration::ZERO)];
        assert_eq!(shown("refuses", FeedbackModel::Acr122u, &signals), (vec![], 2));
        assert_eq!(shown("held", FeedbackModel::Acr122u, &signals), (vec![], 0));
    }

    #[test]
    fn lights_are_given_back_also_where_the_buzzer_failed() {
        let model = FeedbackModel::SpringCardH663;
        let mut plan = model.plan(Signal::Admitted);
        // One command gives the lights back, and this reader accepts it.
        assert_eq!((plan.begin.len(), plan.end.len()), (2, 1));
        plan.begin.truncate(1);
        assert_eq!(shown("mute", model, &[(Signal::Admitted, Duration::ZERO)]), (vec![plan.begin, plan.end], 1));
        assert_eq!(shown("refuses", model, &[(Signal::Admitted, Duration::ZERO)]), (vec![], 2));
    }

    #[test]
    fn a_card_that_left_too_soon_is_to_be_held_longer_unless_it_is_refused() {
        assert_eq!(when_lifted(Signal::Admitted), Signal::HoldLonger);
        assert_eq!([Signal::Refused, Signal::HoldLonger].map(when_lifted), [Signal::Refused, Signal::HoldLonger]);
    }

    #[test]
    fn whoever_asks_never_waits_for_a_reader_that_hangs() {
        let meant = |name: &str| (name != "silent").then_some(FeedbackChoice::Model(FeedbackModel::SpringCore));
        let mut all = Feedback::new(meant, send);
        let hangs = HANGS.lock().unwrap();
        for _ in 0..10 {
            all.show("hangs", 1.into(), Signal::Admitted);
            all.show("silent", 1.into(), Signal::Admitted);
        }
        // Within one insertion a signal is shown once.
        assert!(all.failures().is_empty() && all.threads.len() == 1);
        for insertion in 2..12_u64 {
            all.show("hangs", insertion.into(), Signal::Admitted);
        }
        // One signal is being sent, unless the thread has not started yet, and one is queued.
        let failures = all.failures();
        assert!((9..11).contains(&failures.len()), "{failures:?}");
        let is_late = |failed: &FeedbackFailure| matches!(failed, FeedbackFailure::Reader { reader, error: SignalError::Late } if reader == "hangs");
        assert!(failures.iter().all(is_late), "{failures:?}");
        drop(hangs);
    }

    /// Reading a portrait takes about a second over the connection that the signal needs.
    #[test]
    fn what_would_take_the_reader_waits_until_the_signal_was_sent() {
        let mut all = Feedback::new(|_| Some(FeedbackChoice::Model(FeedbackModel::SpringCore)), send);
        let (told, heard) = mpsc::channel();
        let tell = |name: &'static str| -> AfterSignal {
            let told = told.clone();
            Box::new(move || told.send(name).unwrap())
        };
        assert!(!all.after_signal("hangs", tell("before any")));
        let hangs = HANGS.lock().unwrap_or_else(PoisonError::into_inner);
        all.show("hangs", 1.into(), Signal::Admitted);
        assert!(all.after_signal("hangs", tell("of a card that is gone")));
        assert!(all.after_signal("hangs", tell("once it was sent")));
        assert_eq!(heard.try_recv(), Err(mpsc::TryRecvError::Empty));
        drop(hangs);
        assert_eq!(heard.recv(), Ok("once it was sent"));
        assert!(!all.after_signal("hangs", tell("at once")) && !all.after_signal("other", tell("at once")));
        assert_eq!(heard.try_recv(), Err(mpsc::TryRecvError::Empty));
    }

    #[test]
    fn a_reader_whose_model_nobody_knows_is_told() {
        let mut all = Feedback::new(|_| Some(FeedbackChoice::Auto), send);
        all.show("Some Reader", 1.into(), Signal::Admitted);
        let failed = all.failures();
        assert!(
            matches!(&failed[..], [FeedbackFailure::Reader { error: SignalError::UnknownModel, .. }]),
            "{failed:?}"
        );
    }
}
