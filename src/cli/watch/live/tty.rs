//! Controls the terminal device: whether it is ours, switching off its echo, and writing to it.

use std::{
    fs::File,
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
    thread,
    time::Duration,
};

use rustix::{
    fs::{Mode, OFlags, open},
    process::getpgrp,
    termios::{
        InputModes, LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush, tcgetattr,
        tcgetpgrp, tcsetattr,
    },
};

/// How often writing to a terminal that accepts no output is retried.
const AGAIN: Duration = Duration::from_millis(10);

/// Opens stdout again for drawing, so that writing does not block (`O_NONBLOCK`) while stdout itself stays unchanged
/// for others. If it is not a terminal, or cannot be opened, it is used as it is.
///
/// # Errors
/// That of the system.
pub fn stdout() -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let again = io::stdout().is_terminal().then(|| open("/proc/self/fd/1", flags, Mode::empty()));
    match again {
        Some(Ok(terminal)) => Ok(terminal.into()),
        _ => Ok(io::stdout().as_fd().try_clone_to_owned()?.into()),
    }
}

/// Whether another job of the shell has the terminal: changing it would stop this process (SIGTTOU).
pub fn is_in_background(terminal: impl AsFd) -> bool {
    // A terminal that is not the session's own has no jobs, and the call fails.
    tcgetpgrp(terminal).is_ok_and(|foreground| foreground != getpgrp())
}

/// Switches off echo, Ctrl-Z, Ctrl-\ and Ctrl-S. Returns the previous modes.
pub fn silence() -> Option<Termios> {
    if !io::stdin().is_terminal() || is_in_background(io::stdin()) {
        return None;
    }
    let before = tcgetattr(io::stdin()).ok()?;
    let mut modes = before.clone();
    modes.local_modes.remove(LocalModes::ECHO);
    modes.input_modes.remove(InputModes::IXON);
    modes.special_codes[SpecialCodeIndex::VSUSP] = 0;
    modes.special_codes[SpecialCodeIndex::VQUIT] = 0;
    tcsetattr(io::stdin(), OptionalActions::Now, &modes).ok()?;
    Some(before)
}

/// Restores the modes.
pub fn restore(modes: &Termios) {
    if !is_in_background(io::stdin()) {
        // Input typed meanwhile was for nobody. A terminal that accepts no output is not waited for.
        let _ = tcflush(io::stdin(), QueueSelector::IFlush);
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, modes);
    }
}

/// One whole screen. Each line is erased before it is written: after a full line the cursor stays on the last cell,
/// which would then be erased.
pub fn picture(lines: &[String], rows: usize) -> String {
    let blank = std::iter::repeat_n("", rows.saturating_sub(lines.len()));
    let lines: Vec<_> = lines.iter().map(String::as_str).chain(blank).map(|line| format!("\x1b[2K{line}")).collect();
    format!("\x1b[H{}\x1b[H", lines.join("\r\n"))
}

/// Writes the bytes; if the terminal accepts none, retries while `goes_on` says so. Returns whether all were written.
///
/// # Errors
/// That of the system.
pub fn put(mut out: impl Write, mut bytes: &[u8], mut goes_on: impl FnMut() -> bool) -> io::Result<bool> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if !goes_on() {
                    return Ok(false);
                }
                thread::sleep(AGAIN);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a terminal of this size shows that keeps its cursor on the last cell of a full line (`?7l`).
    fn shown(bytes: &str, rows: usize, columns: usize) -> Vec<String> {
        let mut cells = vec![vec!['#'; columns]; rows];
        let (mut row, mut column) = (0, 0);
        let mut rest = bytes.chars();
        while let Some(letter) = rest.next() {
            match letter {
                '\r' => column = 0,
                '\n' => row = (row + 1).min(rows - 1),
                '\x1b' => {
                    let sequence: String = rest.by_ref().take_while(|c| !c.is_ascii_alphabetic()).collect();
                    match sequence.as_str() {
                        "[" => (row, column) = (0, 0),
                        "[2" => cells[row].fill(' '),
                        other => panic!("{other:?}"),
                    }
                }
                letter => {
                    cells[row][column] = letter;
                    column = (column + 1).min(columns - 1);
                }
            }
        }
        cells.into_iter().map(|line| line.into_iter().collect::<String>().trim_end().to_owned()).collect()
    }

    #[test]
    fn lines_as_wide_as_the_screen_are_whole() {
        let lines = ["abcde", "fg", "hijkl"].map(str::to_owned);
        assert_eq!(shown(&picture(&lines, 3), 3, 5), lines);
        assert_eq!(shown(&picture(&lines[..2], 3), 3, 5), ["abcde", "fg", ""]);
        assert_eq!(shown(&picture(&[], 2), 2, 5), ["", ""]);
    }

    /// Accepts three bytes, then none for a few times, then the rest; or none at all.
    struct Slow(Vec<u8>, usize);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0.len() == 3 && self.1 > 0 {
                self.1 -= 1;
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let count = if self.0.is_empty() { 3 } else { bytes.len() };
            self.0.extend(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_terminal_that_takes_nothing_is_tried_again_and_not_for_ever() {
        let mut slow = Slow(Vec::new(), 4);
        assert!(put(&mut slow, b"abcdef", || true).unwrap());
        assert_eq!(slow.0, b"abcdef");
        let (mut stuck, mut tries) = (Slow(Vec::new(), usize::MAX), 0);
        let goes_on = || {
            tries += 1;
            tries < 3
        };
        assert!(!put(&mut stuck, b"abcdef", goes_on).unwrap());
        assert_eq!((&stuck.0[..], tries), (&b"abc"[..], 3));
    }
}
