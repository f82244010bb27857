//! What a user sees when something fails: what happened, what to do, a stable code, and the exit status.

use serde::{Deserialize, Serialize};

/// The class of a failure decides the exit status (docs/cli.md, "Exit status"; the numbers of sysexits.h where
/// they fit).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExitClass {
    /// Done, but the answer is no, or some items failed.
    No,
    /// The command line was wrong.
    Usage,
    /// Input data are bad.
    Data,
    /// A service is not there: PC/SC, the server.
    Unavailable,
    /// A bug of ours.
    Bug,
    /// A local file, disk or database.
    Io,
    /// The exchange with the card broke: it left.
    CardLeft,
    /// Try again later: busy, locked.
    Busy,
    /// The peer broke the protocol.
    Protocol,
    /// Refused: authentication or permission.
    Refused,
    /// The configuration is wrong or incomplete.
    Config,
    /// Ended by a signal (its number).
    Signal(u8),
}

impl ExitClass {
    /// Every class but the signals, in the order of their exit statuses.
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

    /// What it means, as the manual says it.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::No => "Done, but the answer is no, or some items failed.",
            Self::Usage => "The command line was wrong.",
            Self::Data => "Input data are bad.",
            Self::Unavailable => "A service is not there: PC/SC, the server.",
            Self::Bug => "A bug of rollcall.",
            Self::Io => "A local file, disk or database.",
            Self::CardLeft => "The exchange with the card broke: it left.",
            Self::Busy => "Try again later: busy, locked.",
            Self::Protocol => "The peer broke the protocol.",
            Self::Refused => "Refused: authentication or permission.",
            Self::Config => "The configuration is wrong or incomplete.",
            Self::Signal(_) => "Ended by a signal.",
        }
    }
}

/// A failure as it is shown: every error enum of the library turns into one of these at its edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Decides the exit status.
    pub class: ExitClass,
    /// Stable, for scripts: `pcsc.service-down`.
    pub code: &'static str,
    /// What happened, one line, without a full stop.
    pub message: String,
    /// What to do about it, where anything can be done.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(class: ExitClass, code: &'static str, message: impl Into<String>) -> Self {
        Self { class, code, message: message.into(), hint: None }
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The three values that a failed outcome carries in JSON.
    pub fn to_json(&self) -> ErrorObject {
        ErrorObject { code: self.code.to_owned(), message: self.message.clone(), hint: self.hint.clone() }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The exit status of a run over several items: 0 when none failed, their common one, or 1 when they differ or when
/// some succeeded.
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_a_run_over_several() {
        assert_eq!(summary(&[], 3), 0);
        assert_eq!(summary(&[ExitClass::Refused, ExitClass::Refused], 0), 77);
        assert_eq!(summary(&[ExitClass::Refused, ExitClass::CardLeft], 0), 1);
        assert_eq!(summary(&[ExitClass::Refused], 1), 1);
    }
}
