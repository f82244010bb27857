//! What a user sees when something fails: what happened, what to do, a stable code, and the exit status.

use std::{fmt::Display, io, net::SocketAddr};

use serde::{Deserialize, Serialize};

/// The class of a failure decides the exit status (docs/cli.md, "Exit status"; the numbers of sysexits.h where
/// they fit).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExitClass {
    /// Completed, but the answer is no, or some items failed.
    No,
    /// The command line was wrong.
    Usage,
    /// The input data are bad.
    Data,
    /// A service is not available: PC/SC, the server.
    Unavailable,
    /// An internal error of rollcall.
    Bug,
    /// A local file, disk or database failed.
    Io,
    /// The card was removed during an exchange.
    CardLeft,
    /// Try again later: busy, locked.
    Busy,
    /// The peer violated the protocol.
    Protocol,
    /// Refused: authentication or permission.
    Refused,
    /// The configuration is wrong or incomplete.
    Config,
    /// Ended by this signal.
    Signal(u8),
}

impl ExitClass {
    /// Every class except the signals, in the order of their exit statuses.
    pub const ALL: [Self; 11] = [
        Self::No,
        Self::Usage,
        Self::Data,
        Self::Unavailable,
        Self::Bug,
        Self::Io,
        Self::CardLeft,
        Self::Busy,
        Self::Protocol,
        Self::Refused,
        Self::Config,
    ];

    /// The exit status of the process.
    pub const fn exit_status(self) -> u8 {
        match self {
            Self::No => 1,
            Self::Usage => 2,
            Self::Data => 65,
            Self::Unavailable => 69,
            Self::Bug => 70,
            Self::Io => 73,
            Self::CardLeft => 74,
            Self::Busy => 75,
            Self::Protocol => 76,
            Self::Refused => 77,
            Self::Config => 78,
            Self::Signal(number) => 128 + number,
        }
    }

    /// The description in the manual.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::No => "Done, but the answer is no, or some items failed.",
            Self::Usage => "The command line was wrong.",
            Self::Data => "Input data are bad.",
            Self::Unavailable => "A service is unavailable: PC/SC, the server.",
            Self::Bug => "A bug in rollcall.",
            Self::Io => "A local file, disk or database.",
            Self::CardLeft => "The exchange with the card broke off: it left.",
            Self::Busy => "Try again later: busy, locked.",
            Self::Protocol => "The peer broke the protocol.",
            Self::Refused => "Refused: authentication or permission.",
            Self::Config => "The configuration is wrong or incomplete.",
            Self::Signal(_) => "Ended by a signal.",
        }
    }
}

/// What to do about a failure, in words, and the command to type, if it is one that can be typed.
///
/// Dereferences to its text, which contains the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    /// For people: one line, without a full stop.
    pub text: String,
    /// The part to type.
    pub command: Option<ShellCommand>,
}

impl Remedy {
    /// A command to type.
    pub fn run(command: impl Into<String>) -> Self {
        let text = command.into();
        Self { command: Some(ShellCommand(text.clone())), text }
    }

    /// A command to type, preceded by why or when.
    pub fn with(words: &str, command: impl Into<String>) -> Self {
        let remedy = Self::run(command);
        Self { text: format!("{words}: {}", remedy.text), ..remedy }
    }

    /// Adds something else to do.
    #[must_use]
    pub fn and(self, words: &str) -> Self {
        Self { text: format!("{}; {words}", self.text), ..self }
    }

    /// What helps where a server cannot listen.
    pub fn for_listening(at: SocketAddr, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::AddrNotAvailable {
            let every = if at.is_ipv6() { "[::]" } else { "0.0.0.0" };
            let words = format!("name an address of this machine, or {every}:{} for every one", at.port());
            return Self::with(&words, "ip addr");
        }
        if error.kind() == io::ErrorKind::PermissionDenied {
            return "choose a port above 1023, or give the program the right to lower ones (setcap, or its service)"
                .into();
        }
        Self::with("see who has that port", format!("ss -ltnp 'sport = :{}'", at.port()))
    }
}

impl<T: Into<String>> From<T> for Remedy {
    /// Only words, without a command.
    fn from(text: T) -> Self {
        Self { text: text.into(), command: None }
    }
}

impl std::ops::Deref for Remedy {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl std::fmt::Display for Remedy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// The failure for a thread that could not be started.
pub fn no_thread(reason: &dyn std::fmt::Display) -> Failure {
    Failure::new(ExitClass::Busy, "system.no-thread", format!("no thread could be started: {reason}"))
        .hint("free memory, or raise the limit of processes")
}

/// A shell command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellCommand(String);

impl std::fmt::Display for ShellCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A failure as shown to a user: every error enum of the library is converted into one at its boundary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Decides the exit status.
    pub class: ExitClass,
    /// Stable, for scripts: `pcsc.service-down`.
    pub code: &'static str,
    /// What happened, one line, without a full stop.
    pub message: String,
    /// What to do about it, if anything can be done.
    pub hint: Option<Remedy>,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(class: ExitClass, code: &'static str, message: impl Into<String>) -> Self {
        Self { class, code, message: message.into(), hint: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Remedy>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The error object of a failed outcome in JSON.
    pub fn to_json(&self) -> ErrorObject {
        ErrorObject {
            code: self.code.to_owned(),
            message: self.message.clone(),
            hint: self.hint.as_ref().map(|hint| hint.text.clone()),
            command: self.hint.as_ref().and_then(|hint| hint.command.as_ref()).map(ToString::to_string),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The exit status of a run over several items: 0 if none failed; the common status if all failed alike; otherwise 1.
pub fn summary(failures: &[ExitClass], succeeded: usize) -> u8 {
    match failures {
        [] => 0,
        [first, rest @ ..] if succeeded == 0 && rest.iter().all(|c| c.exit_status() == first.exit_status()) => {
            first.exit_status()
        }
        _ => ExitClass::No.exit_status(),
    }
}

/// `error` in a JSON object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ErrorObject {
    /// Stable, for scripts.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// What to type of it, where it is a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// `1 reader`, `12 readers`: for messages that count.
pub fn number_of<N: Copy + Display + PartialEq + From<u8>>(count: N, what: &str) -> String {
    format!("{count} {what}{}", if count == N::from(1) { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_says_all_and_knows_what_to_type_of_it() {
        let parts = |remedy: Remedy| (remedy.text, remedy.command.map(|command| command.to_string()));
        assert_eq!(parts("lay it flat; another port".into()), ("lay it flat; another port".to_owned(), None));
        assert_eq!(parts(Remedy::run("df")), ("df".to_owned(), Some("df".to_owned())));
        assert_eq!(
            parts(Remedy::with("if that does not help", "sudo x; y").and("then another reader")),
            ("if that does not help: sudo x; y; then another reader".to_owned(), Some("sudo x; y".to_owned()))
        );
    }

    #[test]
    fn an_address_of_another_machine_is_told_from_a_port_that_is_taken() {
        let hint = |at: &str, kind: io::ErrorKind| Remedy::for_listening(at.parse().unwrap(), &kind.into()).text;
        let elsewhere = hint("192.0.2.1:7443", io::ErrorKind::AddrNotAvailable);
        assert!(elsewhere.contains("0.0.0.0:7443") && elsewhere.contains("ip addr"), "{elsewhere}");
        assert!(hint("[2001:db8::1]:1", io::ErrorKind::AddrNotAvailable).contains("[::]:1"));
        assert!(hint("0.0.0.0:443", io::ErrorKind::PermissionDenied).contains("above 1023"));
        assert!(hint("127.0.0.1:7443", io::ErrorKind::AddrInUse).contains("ss -ltnp 'sport = :7443'"));
    }

    #[test]
    fn the_status_of_a_run_over_several() {
        assert_eq!(summary(&[], 3), 0);
        assert_eq!(summary(&[ExitClass::Refused, ExitClass::Refused], 0), 77);
        assert_eq!(summary(&[ExitClass::Refused, ExitClass::CardLeft], 0), 1);
        assert_eq!(summary(&[ExitClass::Refused], 1), 1);
    }
}
