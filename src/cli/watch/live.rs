//! The screen of `watch` on a terminal: who is present, what happened last, and what is wrong.
//!
//! The terminal is restored at the end, at the first SIGINT or SIGTERM, and before a panic is reported. Nothing is read
//! from it: typed characters are not shown, and Ctrl-Z, Ctrl-\ and Ctrl-S do nothing.
//!
//! One thread draws. Threads that change the content, or print a message, never wait for the terminal, and the end
//! waits only a moment for a terminal that accepts no output.

mod content;
mod frame;
mod tty;

use std::{
    fs::File,
    io::{self, Write},
    sync::{
        Arc, Mutex, MutexGuard, Once, PoisonError, TryLockError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, SyncSender},
    },
    thread,
    time::{Duration, Instant},
};

use jiff::tz::TimeZone;
use rustix::termios::{Termios, tcgetwinsize};
use signal_hook::{
    consts::{SIGINT, SIGTERM, SIGWINCH},
    iterator::{Handle, Signals},
};

pub(super) use self::{content::LiveContent, tty::is_in_background};
use self::{
    frame::{Size, frame},
    tty::{picture, put, restore, silence, stdout},
};
use crate::{
    cli::{printer::output_failed, table::Screen, wall_clock::WallClock},
    failure::{ExitClass, Failure},
    terminal::thread::no_thread,
};

/// Alternate screen, hidden cursor, and no automatic wrapping.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
/// Undoes all of that.
const LEAVE: &[u8] = b"\x1b[?7h\x1b[?25h\x1b[?1049l";
/// How long the end waits for a terminal that accepts no output.
const LAST: Duration = Duration::from_secs(1);
/// How often the end checks whether the terminal is free.
const LOOK: Duration = Duration::from_millis(10);

/// The screen while it is shown. Dropping it ends it, and prints the messages since then on stderr.
pub struct LiveScreen {
    shared: Arc<Shared>,
    signals: Handle,
}

/// Shared by the threads for drawing and for signals, the panic hook and the writer of messages.
struct Shared {
    content: Mutex<LiveContent>,
    /// Held while writing.
    out: Mutex<File>,
    /// Requests a redraw; one pending request is enough.
    order: SyncSender<()>,
    is_shown: AtomicBool,
    leaving: Once,
    /// The terminal did not accept even the end: messages would block there as well.
    is_stalled: AtomicBool,
    /// Nothing can be written any more.
    is_closed: AtomicBool,
    /// Why, if that is a failure.
    fault: Mutex<Option<Failure>>,
    /// Called then, once.
    on_closed: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// The terminal's previous modes; none if nothing was changed.
    modes: Option<Termios>,
    colour: bool,
    /// None for UTC.
    zone: Option<TimeZone>,
}

impl LiveScreen {
    /// Takes over the terminal. `on_closed` is called when nothing can be written to it any more.
    ///
    /// # Errors
    /// `interrupt.install` when signals cannot be handled, `system.no-thread` without the threads; `output.failed`.
    pub fn begin(
        content: LiveContent,
        colour: bool,
        zone: Option<TimeZone>,
        on_closed: impl FnOnce() + Send + 'static,
    ) -> Result<Self, Failure> {
        let mut signals = Signals::new([SIGWINCH, SIGINT, SIGTERM]).map_err(|error| {
            Failure::new(ExitClass::Bug, "interrupt.install", format!("signals cannot be handled: {error}"))
        })?;
        let (order, orders) = mpsc::sync_channel(1);
        let shared = Arc::new(Shared {
            content: Mutex::new(content),
            out: Mutex::new(stdout().map_err(|error| output_failed(&error))?),
            order,
            is_shown: AtomicBool::new(true),
            leaving: Once::new(),
            is_stalled: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            fault: Mutex::new(None),
            on_closed: Mutex::new(Some(Box::new(on_closed))),
            modes: silence(),
            colour,
            zone,
        });
        let screen = Self { shared: Arc::clone(&shared), signals: signals.handle() };
        let hooked = Arc::clone(&shared);
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            hooked.leave();
            report(panic);
        }));
        let told = Arc::clone(&shared);
        let listen = move || {
            for signal in signals.forever() {
                // A second SIGINT or SIGTERM ends the process at once.
                if signal == SIGWINCH { told.redraw() } else { told.leave() }
            }
        };
        thread::Builder::new().name("screen-signals".to_owned()).spawn(listen).map_err(no_thread)?;
        shared.write(ENTER);
        shared.draw();
        let draw = move || {
            for () in orders {
                if !shared.is_shown.load(Ordering::SeqCst) {
                    return;
                }
                shared.draw();
            }
        };
        thread::Builder::new().name("screen".to_owned()).spawn(draw).map_err(no_thread)?;
        Ok(screen)
    }

    /// The destination of messages while it is shown; afterwards they go to stderr.
    pub fn messages(&self) -> impl Write + Send + use<> {
        Messages { shared: Arc::clone(&self.shared), line: Vec::new() }
    }

    /// Changes the content and redraws.
    pub fn update(&self, change: impl FnOnce(&mut LiveContent)) {
        change(&mut self.shared.lock());
        self.shared.redraw();
    }

    /// Whether nothing can be written any more.
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed.load(Ordering::SeqCst)
    }

    /// Returns the failure, once.
    ///
    /// # Errors
    /// `output.failed` for a reason other than that nobody reads the output.
    pub fn check(&self) -> Result<(), Failure> {
        self.shared.fault.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}

impl Drop for LiveScreen {
    fn drop(&mut self) {
        self.signals.close();
        self.shared.leave();
        let messages = self.shared.lock().take_messages();
        for line in messages {
            let _ = self.shared.say(format!("{line}\n").as_bytes());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, LiveContent> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn redraw(&self) {
        // A pending request, or a thread that has ended, is fine.
        let _ = self.order.try_send(());
    }

    fn draw(&self) {
        // The terminal now belongs to another job.
        if self.is_closed.load(Ordering::SeqCst) || is_in_background(io::stdout()) {
            return;
        }
        let size = tcgetwinsize(io::stdout()).map_or((0, 0), |size| (size.ws_row, size.ws_col));
        let size = Size::of(size.0.into(), size.1.into());
        let clock = self.zone.clone().map(WallClock::now);
        let screen = Screen { width: Some(size.columns), colour: self.colour, clock };
        let lines = frame(&self.lock(), size, &screen);
        self.write(picture(&lines, size.rows).as_bytes());
    }

    /// Writes while the screen is shown, however long the terminal takes.
    fn write(&self, bytes: &[u8]) {
        let out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let is_shown = || self.is_shown.load(Ordering::SeqCst);
        if is_shown()
            && let Err(error) = put(&*out, bytes, is_shown)
        {
            self.close(&error);
        }
    }

    /// Leaves the screen once; other callers wait until that is done. Nothing is drawn afterwards.
    fn leave(&self) {
        self.leaving.call_once(|| {
            self.is_shown.store(false, Ordering::SeqCst);
            self.redraw();
            let until = Instant::now() + LAST;
            let is_early = || Instant::now() < until;
            match self.out_while(is_early).map(|out| put(&*out, LEAVE, is_early)) {
                Some(Ok(true)) => {}
                None | Some(Ok(false)) => self.is_stalled.store(true, Ordering::SeqCst),
                Some(Err(error)) => self.close(&error),
            }
            if let Some(modes) = &self.modes {
                restore(modes);
            }
        });
    }

    /// The output, unless a write hangs in it.
    fn out_while(&self, is_early: impl Fn() -> bool) -> Option<MutexGuard<'_, File>> {
        loop {
            match self.out.try_lock() {
                Ok(out) => return Some(out),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) if is_early() => thread::sleep(LOOK),
                Err(TryLockError::WouldBlock) => return None,
            }
        }
    }

    /// Writes to stderr, after the end.
    fn say(&self, bytes: &[u8]) -> io::Result<usize> {
        self.leave();
        if self.is_stalled.load(Ordering::SeqCst) { Ok(bytes.len()) } else { io::stderr().write(bytes) }
    }

    /// That nobody reads the output is not a failure.
    fn close(&self, error: &io::Error) {
        if self.is_closed.swap(true, Ordering::SeqCst) {
            return;
        }
        if error.kind() != io::ErrorKind::BrokenPipe {
            *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(output_failed(error));
        }
        if let Some(tell) = self.on_closed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            tell();
        }
    }
}

/// Collects messages line by line.
struct Messages {
    shared: Arc<Shared>,
    line: Vec<u8>,
}

impl Write for Messages {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.shared.is_shown.load(Ordering::SeqCst) {
            return self.shared.say(bytes);
        }
        let mut content = self.shared.lock();
        self.line.extend(bytes);
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<_> = self.line.drain(..=end).collect();
            content.say(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::terminal::presence::PresenceList;

    /// Set in the child process that the test below starts.
    const CHILD: &str = "ROLLCALL_TEST_SCREEN";

    /// The panicking thread may hold the content's lock. A panic hook affects the whole process, so the test runs as a
    /// child.
    #[test]
    fn a_panic_gives_the_terminal_back_before_it_is_reported() {
        if std::env::var_os(CHILD).is_some() {
            let content = LiveContent::new(&PresenceList::default(), [], str::to_owned);
            let screen = LiveScreen::begin(content, false, None, || {}).unwrap();
            screen.update(|_| panic!("while it is shown"));
            return;
        }
        let name = "cli::watch::live::tests::a_panic_gives_the_terminal_back_before_it_is_reported";
        let mut child = Command::new(std::env::current_exe().unwrap());
        let output = child.args(["--exact", name, "--nocapture"]).env(CHILD, "1").output().unwrap();
        assert_eq!(output.status.code(), Some(101));
        let stdout = String::from_utf8(output.stdout).unwrap();
        let [enter, leave] = [ENTER, LEAVE].map(|bytes| std::str::from_utf8(bytes).unwrap());
        let (_, shown) = stdout.split_once(enter).unwrap();
        let (shown, after) = shown.split_once(leave).unwrap();
        assert!(shown.contains("0 here") && !after.contains(leave), "{stdout}");
        assert!(String::from_utf8(output.stderr).unwrap().contains("panicked at"));
    }
}
