//! `rollcall watch` on a pseudo-terminal: its screen fits, follows the size, and the terminal is restored.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

#[path = "common/program.rs"]
mod program;

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use rollcall::{
    api::User,
    terminal::presence::{Holder, Input, PresenceMode, Source, Tap, TerminalStore},
};
use rustix::{
    fs::OFlags,
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Action, InputModes, LocalModes, SpecialCodeIndex, Winsize, tcflow, tcgetattr, tcsetwinsize},
};
use tempfile::TempDir;
use unicode_width::UnicodeWidthStr;

const PATIENCE: Duration = Duration::from_secs(60);
const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";
const HOME: &str = "\x1b[H";

/// A terminal with keys, and three people on its list at a door in mode toggle.
fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    assert!(program::rollcall(home.path(), &["pki", "init"]).output().unwrap().status.success());
    fs::write(home.path().join("config.toml"), "[presence]\ndefault = \"toggle\"\n").unwrap();
    let mut store = TerminalStore::open(home.path()).unwrap();
    for (n, name) in (1_u64..).zip(["Ada Lovelace", "山田 太郎", "Zoë"]) {
        let user = User { id: format!("u{n}"), name: name.to_owned(), ..User::default() };
        let holder = Holder {
            token_id: uuid::Uuid::from_u128(n.into()),
            user,
            source: Source::Card,
            authenticated: true,
            resumed: false,
        };
        let tap = Input::Tap(Tap { reader: "Door".to_owned(), insertion: n.into(), holder });
        store.apply(&tap, jiff::Timestamp::now(), &PresenceMode::Toggle).unwrap();
    }
    home
}

/// A pseudo-terminal with `rollcall watch` on it.
struct Terminal {
    master: File,
    slave: File,
    program: Child,
    pieces: Receiver<Vec<u8>>,
    shown: String,
}

impl Terminal {
    fn start(home: &Path, (rows, columns): (u16, u16), args: &[&str]) -> Self {
        Self::run(watch(home, args), (rows, columns))
    }

    fn run(mut command: Command, size: (u16, u16)) -> Self {
        let (master, slave) = pseudo_terminal(size);
        let program = on(&slave, &mut command);
        let (tell, pieces) = mpsc::channel();
        let mut read = master.try_clone().unwrap();
        thread::spawn(move || {
            let mut room = [0; 4096];
            while let Ok(count @ 1..) = read.read(&mut room) {
                if tell.send(room[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { master, slave, program, pieces, shown: String::new() }
    }

    /// Waits until this holds for everything shown so far.
    fn until(&mut self, what: &str, holds: impl Fn(&str) -> bool) {
        let until = Instant::now() + PATIENCE;
        let mut bytes = self.shown.clone().into_bytes();
        while !holds(&self.shown) {
            let piece = self.pieces.recv_timeout(until.saturating_duration_since(Instant::now()));
            bytes.extend(piece.unwrap_or_else(|_| panic!("never {what}: {}", self.shown)));
            self.shown = String::from_utf8_lossy(&bytes).into_owned();
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.program), signal).unwrap();
    }

    fn echoes(&self) -> bool {
        tcgetattr(&self.slave).unwrap().local_modes.contains(LocalModes::ECHO)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// Its two ends.
fn pseudo_terminal((rows, columns): (u16, u16)) -> (File, File) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let flags = i32::try_from(OFlags::NOCTTY.bits()).unwrap();
    let slave = OpenOptions::new().read(true).write(true).custom_flags(flags).open(name.to_str().unwrap()).unwrap();
    let master = File::from(master);
    resize(&master, rows, columns);
    (master, slave)
}

fn watch(home: &Path, args: &[&str]) -> Command {
    let mut command = program::rollcall(home, &[&["watch"], args].concat());
    command.env("TERM", "xterm").env("TZ", "UTC").env_remove("COLUMNS");
    command
}

fn on(terminal: &File, command: &mut Command) -> Child {
    let same = || Stdio::from(terminal.try_clone().unwrap());
    command.stdin(same()).stdout(same()).stderr(same()).spawn().unwrap()
}

fn resize(terminal: &File, ws_row: u16, ws_col: u16) {
    tcsetwinsize(terminal, Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
}

/// The lines of the last complete screen, without control sequences.
fn last_screen(shown: &str) -> Vec<String> {
    // It begins and ends at the upper left.
    let (Some(first), Some(end)) = (shown.find(HOME), shown.rfind(HOME)) else { return Vec::new() };
    let frame = shown[first..end].rsplit(HOME).find(|frame| !frame.is_empty()).unwrap_or_default();
    // The terminal turns each line end into two characters.
    let mut lines: Vec<_> = frame.split('\n').map(|line| without_escapes(line.trim_end_matches('\r'))).collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

fn without_escapes(line: &str) -> String {
    let mut pieces = line.split("\x1b[");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| {
        text + piece.trim_start_matches(|c: char| !c.is_ascii_alphabetic()).get(1..).unwrap_or_default()
    })
}

fn fits(shown: &str, rows: usize, columns: usize) -> bool {
    let lines = last_screen(shown);
    !lines.is_empty() && lines.len() <= rows && lines.iter().all(|line| line.width() <= columns)
}

#[test]
fn a_screen_shows_who_is_here_and_follows_its_size() {
    let home = home();
    let mut terminal = Terminal::start(home.path(), (24, 80), &[]);
    let is_there = |shown: &str, text: &str| last_screen(shown).iter().any(|line| line.contains(text));
    terminal.until("the list", |shown| {
        ["3 here", "Ada Lovelace", "山田 太郎", "Zoë"].iter().all(|text| is_there(shown, text))
    });
    terminal.until("what is wrong", |shown| is_there(shown, "warning: "));
    assert!(fits(&terminal.shown, 24, 80), "{:#?}", last_screen(&terminal.shown));
    assert!(!terminal.echoes(), "what is typed would stand on the screen");
    let modes = tcgetattr(&terminal.slave).unwrap();
    let keys = [SpecialCodeIndex::VSUSP, SpecialCodeIndex::VQUIT].map(|key| modes.special_codes[key]);
    assert!(keys == [0; 2] && !modes.input_modes.contains(InputModes::IXON), "a key would stop it, or end it");
    for (rows, columns) in [(12, 40), (24, 80), (12, 40)] {
        resize(&terminal.master, rows, columns);
        terminal.shown.clear();
        terminal.signal(Signal::WINCH);
        // One that was drawn before may come first.
        let is_new = |shown: &str| fits(shown, rows.into(), columns.into()) && is_there(shown, "3 here");
        terminal.until("a screen that fits", is_new);
        assert!(is_there(&terminal.shown, "Zoë"), "{:#?}", last_screen(&terminal.shown));
    }
}

#[test]
fn the_terminal_is_given_back() {
    let home = home();
    for (signal, status) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let mut terminal = Terminal::start(home.path(), (24, 80), &[]);
        terminal.until("the list", |shown| last_screen(shown).iter().any(|line| line.contains("3 here")));
        terminal.signal(signal);
        assert_eq!(terminal.program.wait().unwrap().code(), Some(status));
        terminal.until("the end", |shown| shown.contains(LEAVE));
        assert!(terminal.echoes(), "{signal:?}");
        let modes = tcgetattr(&terminal.slave).unwrap();
        assert!(modes.special_codes[SpecialCodeIndex::VQUIT] != 0 && modes.input_modes.contains(InputModes::IXON));
        let (before, after) = terminal.shown.split_once(LEAVE).unwrap();
        assert!(before.contains(ENTER) && before.ends_with("\x1b[?7h\x1b[?25h"), "{before}");
        assert!(!after.contains("\x1b[H"), "it goes on being drawn: {after}");
    }
}

/// A link of the board is among what is said on the screen.
#[test]
#[cfg(feature = "board")]
fn what_is_said_at_the_start_stands_on_the_screen() {
    let home = home();
    let mut terminal = Terminal::start(home.path(), (24, 80), &["--board=127.0.0.1:0"]);
    terminal.until("the link", |shown| last_screen(shown).iter().any(|line| line.contains("the board: http://")));
    let before = terminal.shown.split_once(ENTER).unwrap().0;
    assert!(!before.contains("http://"), "the screen hides it: {before}");
}

/// Ctrl-S on a terminal that honours it, or a stalled connection.
#[test]
fn a_terminal_that_takes_nothing_holds_up_no_end() {
    let home = home();
    let mut terminal = Terminal::start(home.path(), (24, 80), &[]);
    terminal.until("the list", |shown| last_screen(shown).iter().any(|line| line.contains("3 here")));
    tcflow(&terminal.slave, Action::OOff).unwrap();
    terminal.signal(Signal::WINCH);
    terminal.signal(Signal::TERM);
    assert_eq!(terminal.program.wait().unwrap().code(), Some(143));
    assert!(terminal.echoes());
}

#[test]
fn a_terminal_that_is_gone_is_a_failure_of_the_output() {
    let home = home();
    let (mut master, slave) = pseudo_terminal((24, 80));
    let mut program = on(&slave, &mut watch(home.path(), &[]));
    let (mut shown, mut room) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&shown).contains("3 here") {
        let count = master.read(&mut room).unwrap();
        shown.extend(&room[..count]);
    }
    drop((master, slave));
    kill_process(Pid::from_child(&program), Signal::WINCH).unwrap();
    assert_eq!(program.wait().unwrap().code(), Some(73));
}

/// The kernel stops a background job that changes its terminal's settings.
#[test]
fn a_job_in_the_background_prints_lines() {
    let home = home();
    let watch = watch(home.path(), &[]);
    let mut shell = Command::new("setsid");
    shell.args(["--ctty", "/bin/sh", "-c", r#"set -m; "$@" & read -r line; kill $!; wait $!; echo "status $?""#, "sh"]);
    shell.arg(watch.get_program()).args(watch.get_args());
    for (name, value) in watch.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let mut terminal = Terminal::run(shell, (24, 80));
    terminal.until("the list", |shown| shown.contains("Zoë"));
    assert!(!terminal.shown.contains("\x1b[?") && terminal.echoes(), "{}", terminal.shown);
    terminal.master.write_all(b"\n").unwrap();
    terminal.until("the end", |shown| shown.contains("status 143"));
}

/// With `--plain`, and in a pipe: lines, and who is here first.
#[test]
fn lines_begin_with_who_is_here() {
    let home = home();
    let mut terminal = Terminal::start(home.path(), (24, 80), &["--plain"]);
    terminal.until("the list", |shown| shown.contains("Zoë"));
    assert!(!terminal.shown.contains("\x1b[?") && terminal.echoes(), "{}", terminal.shown);
    terminal.signal(Signal::TERM);
    assert_eq!(terminal.program.wait().unwrap().code(), Some(143));
    for format in ["text", "ndjson"] {
        let mut child = program::rollcall(home.path(), &["--output", format, "watch"]);
        let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // By the first warning the list has been printed.
        assert_eq!(child.stderr.take().unwrap().read(&mut [0; 1]).unwrap(), 1);
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        let stdout = std::io::read_to_string(child.stdout.take().unwrap()).unwrap();
        child.wait().unwrap();
        if format == "text" {
            assert!(stdout.starts_with("USER") && stdout.contains("Ada Lovelace"), "{stdout}");
        } else {
            assert!(stdout.lines().all(|line| line.starts_with("{\"schema\":\"rollcall.event/1\"")), "{stdout}");
        }
    }
}

/// A terminal that shows escapes as signs gets none, and neither does one that nobody has named.
#[test]
fn a_dumb_terminal_gets_plain_text() {
    let home = home();
    for (term, is_coloured) in [(Some("xterm"), true), (Some("dumb"), false), (None, false)] {
        let mut command = program::rollcall(home.path(), &["users"]);
        match term {
            Some(term) => command.env("TERM", term),
            None => command.env_remove("TERM"),
        };
        let mut terminal = Terminal::run(command, (24, 80));
        let status = terminal.program.wait().unwrap();
        terminal.slave.write_all(b"the end").unwrap();
        terminal.until("the end", |shown| shown.contains("the end"));
        assert!(status.success() && terminal.shown.contains("Zoë"), "{}", terminal.shown);
        assert_eq!(terminal.shown.contains('\x1b'), is_coloured, "{term:?}: {:?}", terminal.shown);
    }
    let mut command = watch(home.path(), &[]);
    command.env("TERM", "dumb");
    let mut terminal = Terminal::run(command, (24, 80));
    terminal.until("the list and what is wrong", |shown| shown.contains("Zoë") && shown.contains("warning: "));
    assert!(!terminal.shown.contains('\x1b') && terminal.echoes(), "{:?}", terminal.shown);
}

/// Neither on the list nor among the events.
#[test]
fn who_is_forgotten_goes_from_the_screen() {
    let home = home();
    let mut terminal = Terminal::start(home.path(), (24, 80), &[]);
    let is_there = |shown: &str, text: &str| last_screen(shown).iter().any(|line| line.contains(text));
    terminal.until("the list", |shown| is_there(shown, "3 here") && is_there(shown, "Ada Lovelace"));
    let forgotten = program::rollcall(home.path(), &["users", "forget", "u1", "--yes"]).output().unwrap();
    let noted = String::from_utf8_lossy(&forgotten.stderr).replace('\n', " ");
    assert!(noted.contains("the journal of a batch (FILE.journal) is not searched"), "{noted}");
    assert!(forgotten.status.success(), "{forgotten:?}");
    terminal.until("the others", |shown| {
        is_there(shown, "2 here") && is_there(shown, "Zoë") && !is_there(shown, "Ada Lovelace")
    });
}
