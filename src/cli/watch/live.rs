//! `watch` on a terminal: a screen that shows who is here, what happened last, and what is out of order.
//!
//! The terminal is given back as it was: at the end, at the first SIGINT or SIGTERM, and before a panic is reported.
//! Nothing is read from it; what is typed meanwhile is not shown, and Ctrl-Z does nothing.

mod content;
mod frame;

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use jiff::tz::TimeZone;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use signal_hook::{
    consts::{SIGINT, SIGTERM, SIGWINCH},
    iterator::{Handle, Signals},
};

pub(super) use self::content::LiveContent;
use self::frame::{Size, frame};
use crate::{
    cli::{table::Screen, wall_clock::WallClock},
    failure::{ExitClass, Failure},
    terminal::thread::no_thread,
};

/// The other screen, no cursor, and lines that are too long end at the edge.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
/// All of that undone.
const LEAVE: &[u8] = b"\x1b[?7h\x1b[?25h\x1b[?1049l";

/// The screen while it is shown. It ends when it is dropped, and what was said meanwhile stands on stderr then.
pub struct LiveScreen {
    shared: Arc<Shared>,
    signals: Handle,
}

/// What the thread for signals, the hook of panics and the writer of messages have in common.
struct Shared {
    content: Mutex<LiveContent>,
    is_shown: AtomicBool,
    /// Nobody looks any more: the terminal is gone.
    is_closed: AtomicBool,
    /// As the terminal was; none where nothing was changed.
    modes: Option<Termios>,
    colour: bool,
    /// None for UTC.
    zone: Option<TimeZone>,
}

impl LiveScreen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// `interrupt.install` when signals cannot be handled, `system.no-thread` without a thread for them.
    pub fn begin(content: LiveContent, colour: bool, zone: Option<TimeZone>) -> Result<Self, Failure> {
        let mut signals = Signals::new([SIGWINCH, SIGINT, SIGTERM]).map_err(|error| {
            Failure::new(ExitClass::Bug, "interrupt.install", format!("signals cannot be handled: {error}"))
        })?;
        let shared = Arc::new(Shared {
            content: Mutex::new(content),
            is_shown: AtomicBool::new(true),
            is_closed: AtomicBool::new(false),
            modes: silence(),
            colour,
            zone,
        });
        let screen = Self { shared: Arc::clone(&shared), signals: signals.handle() };
        shared.write(ENTER);
        let hooked = Arc::clone(&shared);
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // Whoever panics may hold the content.
            let held = hooked.content.try_lock();
            hooked.leave();
            drop(held);
            report(panic);
        }));
        let listen = move || {
            for signal in signals.forever() {
                if signal == SIGWINCH {
                    shared.draw(&shared.lock());
                } else {
                    // A second one ends the process at once.
                    let held = shared.lock();
                    shared.leave();
                    drop(held);
                }
            }
        };
        thread::Builder::new().name("screen".to_owned()).spawn(listen).map_err(no_thread)?;
        screen.shared.draw(&screen.shared.lock());
        Ok(screen)
    }

    /// Where messages go while it is shown; afterwards they go to stderr.
    pub fn messages(&self) -> impl Write + Send + use<> {
        Messages { shared: Arc::clone(&self.shared), line: Vec::new() }
    }

    /// Changes what is shown, and shows it.
    pub fn update(&self, change: impl FnOnce(&mut LiveContent)) {
        let mut content = self.shared.lock();
        change(&mut content);
        self.shared.draw(&content);
    }

    /// Whether the terminal is gone.
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed.load(Ordering::SeqCst)
    }
}

impl Drop for LiveScreen {
    fn drop(&mut self) {
        self.signals.close();
        let mut content = self.shared.lock();
        self.shared.leave();
        for line in content.take_messages() {
            let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, LiveContent> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self, content: &LiveContent) {
        if !self.is_shown.load(Ordering::SeqCst) {
            return;
        }
        let size = tcgetwinsize(io::stdout()).map_or((0, 0), |size| (size.ws_row, size.ws_col));
        let size = Size::of(size.0.into(), size.1.into());
        let clock = self.zone.clone().map(WallClock::now);
        let screen = Screen { width: Some(size.columns), colour: self.colour, clock };
        // Each line is written over the one that stands there, so that nothing flickers.
        let lines = frame(content, size, &screen).join("\x1b[K\r\n");
        self.write(format!("\x1b[H{lines}\x1b[K\x1b[J").as_bytes());
    }

    /// Once. Whoever calls it holds the content, so that nothing is drawn afterwards.
    fn leave(&self) {
        if self.is_shown.swap(false, Ordering::SeqCst) {
            self.write(LEAVE);
            if let Some(modes) = &self.modes {
                // What was typed meanwhile was for nobody.
                let _ = tcsetattr(io::stdin(), OptionalActions::Flush, modes);
            }
        }
    }

    fn write(&self, bytes: &[u8]) {
        let mut out = io::stdout().lock();
        if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
            self.is_closed.store(true, Ordering::SeqCst);
        }
    }
}

/// What is typed is not shown, and Ctrl-Z does nothing; how the terminal was before.
fn silence() -> Option<Termios> {
    if !io::stdin().is_terminal() {
        return None;
    }
    let before = tcgetattr(io::stdin()).ok()?;
    let mut modes = before.clone();
    modes.local_modes.remove(LocalModes::ECHO);
    modes.special_codes[SpecialCodeIndex::VSUSP] = 0;
    tcsetattr(io::stdin(), OptionalActions::Now, &modes).ok()?;
    Some(before)
}

/// Takes messages line by line.
struct Messages {
    shared: Arc<Shared>,
    line: Vec<u8>,
}

impl Write for Messages {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut content = self.shared.lock();
        if !self.shared.is_shown.load(Ordering::SeqCst) {
            return io::stderr().write(bytes);
        }
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

    /// Set in the process that the test below starts.
    const CHILD: &str = "ROLLCALL_TEST_SCREEN";

    /// Whoever panics may hold what is shown. A hook is the whole process's, so the test starts itself once more.
    #[test]
    fn a_panic_gives_the_terminal_back_before_it_is_reported() {
        if std::env::var_os(CHILD).is_some() {
            let content = LiveContent::new(&PresenceList::default(), [], str::to_owned);
            let screen = LiveScreen::begin(content, false, None).unwrap();
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
