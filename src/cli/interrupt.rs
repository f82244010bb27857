//! SIGINT, SIGTERM and SIGHUP: the first asks a command to end, a second one ends the process at once.
//!
//! A signal within `ECHO` of the first counts as the same one: timeout(1) and some supervisors signal the process and
//! then its group, and no person repeats a signal that quickly.

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use signal_hook::low_level::exit;

use crate::failure::{ExitClass, Failure};
use crate::terminal::thread::no_thread;

/// How soon after the first signal another one counts as the same.
const ECHO: Duration = Duration::from_millis(500);

/// Called at the first signal.
type Wake = Box<dyn FnOnce() + Send>;

/// Asks the command to end while it exists. The listening thread remains, so that what hangs afterwards can be ended,
/// too.
pub struct Interrupt {
    number: Arc<AtomicU8>,
    wake: Arc<Mutex<Option<Wake>>>,
}

impl Interrupt {
    /// From now on the first signal calls `wake` (once, on a thread of its own; it sends to the channel that the
    /// command waits on), and one that comes later than `ECHO` after it ends the process with its status, whatever
    /// hangs.
    ///
    /// # Errors
    /// `interrupt.install` when signals cannot be handled, `system.no-thread` without a thread for them.
    pub fn install(wake: impl FnOnce() + Send + 'static) -> Result<Self, Failure> {
        // What nohup started stays when its terminal goes.
        if ignores_hang_up() { Self::on(&[SIGINT, SIGTERM], wake) } else { Self::on(&[SIGINT, SIGTERM, SIGHUP], wake) }
    }

    fn on(signals: &[i32], wake: impl FnOnce() + Send + 'static) -> Result<Self, Failure> {
        let mut signals = Signals::new(signals).map_err(|error| not_handled(&error))?;
        let number = Arc::new(AtomicU8::new(0));
        let wake: Arc<Mutex<Option<Wake>>> = Arc::new(Mutex::new(Some(Box::new(wake))));
        let (seen, first) = (Arc::clone(&number), Arc::clone(&wake));
        let listen = move || {
            let mut patience = Patience::default();
            for signal in signals.forever() {
                match patience.came(Instant::now()) {
                    Meaning::End => {
                        seen.store(u8::try_from(signal).unwrap_or(0), Ordering::SeqCst);
                        let wake = first.lock().unwrap_or_else(PoisonError::into_inner).take();
                        if let Some(wake) = wake {
                            wake();
                        }
                    }
                    Meaning::Echo => {}
                    Meaning::EndAtOnce => exit(128 + signal),
                }
            }
        };
        thread::Builder::new().name("signals".into()).spawn(listen).map_err(no_thread)?;
        Ok(Self { number, wake })
    }

    /// As [`Self::install`], for a long-running command: SIGHUP does not end it. Its log goes to stderr, so there is no
    /// log file to reopen; a trace is not a log, and continues in its file.
    ///
    /// # Errors
    /// As [`Self::install`].
    pub fn install_staying(wake: impl FnOnce() + Send + 'static) -> Result<Self, Failure> {
        flag::register(SIGHUP, Arc::default()).map_err(|error| not_handled(&error))?;
        Self::on(&[SIGINT, SIGTERM], wake)
    }

    /// The signal received: exit status 129, 130 or 143.
    pub fn signal(&self) -> Option<ExitClass> {
        match self.number.load(Ordering::SeqCst) {
            0 => None,
            number => Some(ExitClass::Signal(number)),
        }
    }

    /// The exit status for the signal, if one was received.
    pub fn exit_status(&self) -> Option<u8> {
        self.signal().map(ExitClass::exit_status)
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        // The callback holds channels of the command that has ended.
        let wake = self.wake.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(wake);
    }
}

/// Whether the program was started so that a hang-up does not end it (proc(5), `SigIgn`: the lowest bit is SIGHUP).
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

fn not_handled(error: &io::Error) -> Failure {
    Failure::new(ExitClass::Bug, "interrupt.install", format!("signals cannot be handled: {error}"))
}

/// The meaning of a signal.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    /// End the command.
    End,
    /// A repetition of the one before.
    Echo,
    /// End the process immediately.
    EndAtOnce,
}

/// When the command was asked to end.
#[derive(Debug, Default)]
struct Patience {
    asked: Option<Instant>,
}

impl Patience {
    fn came(&mut self, now: Instant) -> Meaning {
        match self.asked {
            None => {
                self.asked = Some(now);
                Meaning::End
            }
            Some(asked) if now.duration_since(asked) < ECHO => Meaning::Echo,
            Some(_) => Meaning::EndAtOnce,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signal_hook::low_level::raise;
    use std::process::Command;
    use std::sync::mpsc;

    /// Set in the child process that the test below starts.
    const CHILD: &str = "ROLLCALL_TEST_SIGNAL";

    #[test]
    fn the_same_signal_within_half_a_second_is_no_second_one() {
        let (mut patience, begin) = (Patience::default(), Instant::now());
        let after = |ms| begin + Duration::from_millis(ms);
        let told = [0, 1, 499, 500, 501].map(|ms| patience.came(after(ms)));
        assert_eq!(told, [Meaning::End, Meaning::Echo, Meaning::Echo, Meaning::EndAtOnce, Meaning::EndAtOnce]);
    }

    /// Signals affect the whole process, so the test runs itself as a child and observes how that ends.
    #[test]
    fn the_first_signal_wakes_and_a_later_one_ends_the_process() {
        if let Ok(signal) = std::env::var(CHILD) {
            return raise_twice(signal.parse().unwrap());
        }
        for (signal, status) in [(SIGINT, 130), (SIGTERM, 143), (SIGHUP, 129)] {
            // Under nohup the child inherits that a hang-up is ignored, and would wait for ever.
            if signal == SIGHUP && ignores_hang_up() {
                continue;
            }
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "cli::interrupt::tests::the_first_signal_wakes_and_a_later_one_ends_the_process"])
                .env(CHILD, signal.to_string())
                .output()
                .unwrap();
            assert_eq!(child.status.code(), Some(status));
        }
    }

    /// In a child process, as above: without the handler the signal would end it.
    #[test]
    fn who_stays_is_not_ended_by_a_hang_up() {
        if std::env::var_os(CHILD).is_some() {
            let interrupt = Interrupt::install_staying(|| {}).unwrap();
            raise(SIGHUP).unwrap();
            assert_eq!(interrupt.signal(), None);
            std::process::exit(7);
        }
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "cli::interrupt::tests::who_stays_is_not_ended_by_a_hang_up"])
            .env(CHILD, "hang-up")
            .output()
            .unwrap();
        assert_eq!(child.status.code(), Some(7));
    }

    /// Started by nohup, the same program is not ended by a hang-up.
    #[test]
    fn a_hang_up_that_is_ignored_stays_ignored() {
        if std::env::var_os(CHILD).is_some() {
            assert!(ignores_hang_up());
            let interrupt = Interrupt::install(|| {}).unwrap();
            raise(SIGHUP).unwrap();
            assert_eq!(interrupt.signal(), None);
            std::process::exit(7);
        }
        let child = Command::new("nohup")
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "cli::interrupt::tests::a_hang_up_that_is_ignored_stays_ignored"])
            .env(CHILD, "hang-up")
            .output()
            .unwrap();
        assert_eq!(child.status.code(), Some(7));
    }

    fn raise_twice(signal: i32) {
        let (wake, woken) = mpsc::channel();
        let interrupt = Interrupt::install(move || wake.send(()).unwrap()).unwrap();
        assert_eq!(interrupt.signal(), None);
        raise(signal).unwrap();
        woken.recv().unwrap();
        let number = u8::try_from(signal).unwrap();
        assert_eq!(interrupt.signal(), Some(ExitClass::Signal(number)));
        assert_eq!(interrupt.exit_status(), Some(128 + number));
        // The command is over, and something hangs: signals are sent until one counts.
        drop(interrupt);
        loop {
            raise(signal).unwrap();
            thread::yield_now();
        }
    }

    #[test]
    fn it_ends_without_a_signal() {
        let interrupt = Interrupt::install(|| {}).unwrap();
        assert_eq!(interrupt.exit_status(), None);
    }
}
