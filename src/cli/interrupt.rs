//! SIGINT and SIGTERM: the first asks a command to end, the second ends the process at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::{Handle, Signals};

use crate::failure::{ExitClass, Failure};
use crate::terminal::thread::no_thread;

/// Listens while it exists.
pub struct Interrupt {
    number: Arc<AtomicU8>,
    handle: Handle,
    listener: Option<thread::JoinHandle<()>>,
}

impl Interrupt {
    /// From now on the first signal calls `wake` (once, on a thread of its own; it sends to the channel that the
    /// command waits on), and the second ends the process with its status, whatever hangs.
    ///
    /// # Errors
    /// `interrupt.install` when signals cannot be handled, `system.no-thread` without a thread for them.
    pub fn install(wake: impl FnOnce() + Send + 'static) -> Result<Self, Failure> {
        let (number, handle, listen) = Self::handle_signals(wake).map_err(|error| {
            Failure::new(ExitClass::Bug, "interrupt.install", format!("signals cannot be handled: {error}"))
        })?;
        let listener = Some(thread::Builder::new().name("signals".into()).spawn(listen).map_err(no_thread)?);
        Ok(Self { number, handle, listener })
    }

    /// As [`Self::install`], for a command that stays: SIGHUP does not end it. It keeps no file of a log open that would
    /// have to be opened again.
    ///
    /// # Errors
    /// As [`Self::install`].
    pub fn install_staying(wake: impl FnOnce() + Send + 'static) -> Result<Self, Failure> {
        flag::register(SIGHUP, Arc::default()).map_err(|error| {
            Failure::new(ExitClass::Bug, "interrupt.install", format!("signals cannot be handled: {error}"))
        })?;
        Self::install(wake)
    }

    /// The number of the signal that came, what ends the wait for one, and that wait.
    fn handle_signals(
        wake: impl FnOnce() + Send + 'static,
    ) -> io::Result<(Arc<AtomicU8>, Handle, impl FnOnce() + Send)> {
        let came = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the shutdown looks at the flag before this very signal sets it.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&came))?;
            flag::register(signal, Arc::clone(&came))?;
        }
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let handle = signals.handle();
        let number = Arc::new(AtomicU8::new(0));
        let seen = Arc::clone(&number);
        let listen = move || {
            if let Some(signal) = signals.forever().next() {
                seen.store(u8::try_from(signal).unwrap_or(0), Ordering::SeqCst);
                wake();
            }
        };
        Ok((number, handle, listen))
    }

    /// The signal that came: exit status 130 or 143.
    pub fn signal(&self) -> Option<ExitClass> {
        match self.number.load(Ordering::SeqCst) {
            0 => None,
            number => Some(ExitClass::Signal(number)),
        }
    }

    /// The exit status that a signal asks for, if one came.
    pub fn exit_status(&self) -> Option<u8> {
        self.signal().map(ExitClass::exit_status)
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(listener) = self.listener.take() {
            // It only waits and wakes; a panic in there was told by the hook.
            let _ = listener.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signal_hook::low_level::raise;
    use std::process::Command;
    use std::sync::mpsc;

    /// Set in the process that the test below starts.
    const CHILD: &str = "ROLLCALL_TEST_SIGNAL";

    /// Signals are the whole process's, so the test starts itself once more and watches how that ends.
    #[test]
    fn the_first_signal_wakes_and_the_second_ends_the_process() {
        if let Ok(signal) = std::env::var(CHILD) {
            return raise_twice(signal.parse().unwrap());
        }
        for (signal, status) in [(SIGINT, 130), (SIGTERM, 143)] {
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "cli::interrupt::tests::the_first_signal_wakes_and_the_second_ends_the_process"])
                .env(CHILD, signal.to_string())
                .output()
                .unwrap();
            assert_eq!(child.status.code(), Some(status));
        }
    }

    /// In a process of its own, as above: without the handler it would end by the signal.
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

    fn raise_twice(signal: i32) {
        let (wake, woken) = mpsc::channel();
        let interrupt = Interrupt::install(move || wake.send(()).unwrap()).unwrap();
        assert_eq!(interrupt.signal(), None);
        raise(signal).unwrap();
        woken.recv().unwrap();
        let number = u8::try_from(signal).unwrap();
        assert_eq!(interrupt.signal(), Some(ExitClass::Signal(number)));
        assert_eq!(interrupt.exit_status(), Some(128 + number));
        raise(signal).unwrap();
        unreachable!("the second signal ends the process");
    }

    #[test]
    fn it_ends_without_a_signal() {
        let interrupt = Interrupt::install(|| {}).unwrap();
        assert_eq!(interrupt.exit_status(), None);
        drop(interrupt);
    }
}
