//! What can go wrong between terminal and server, by situation.

use super::tls::TlsError;
use crate::{
    api::v1::Problem,
    failure::{ExitClass, Failure, Remedy},
};

/// What can go wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// The URL is not `https://HOST[:PORT]`.
    #[error("{0:?} is not the URL of a server")]
    Url(String),
    /// No connection, or it broke.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// It was asked a moment ago, and was away: it is not asked again yet.
    #[error("the server was away a moment ago")]
    Away,
    /// It did not answer in time.
    #[error("the server did not answer in time")]
    Slow,
    /// Its certificate is not one of our CA for this name.
    #[error("the server's certificate is not accepted: {0}")]
    Certificate(String),
    /// It does not take our certificate, or this terminal may not do this.
    #[error("the server refuses this terminal: {0}")]
    Refused(String),
    /// It asks to be left alone for a while (429, 503).
    #[error("the server is busy: {0}")]
    Busy(String),
    /// It answered something else than `/v1` says.
    #[error("the server breaks the protocol: {0}")]
    Protocol(String),
    /// It says no, and why.
    #[error("{}", said(.0))]
    Problem(Box<Problem>),
    /// The audit log of the server is shorter than it was, or another.
    #[error("the server's audit log ended at record {seen}, and now at record {told}: records were taken away")]
    AuditCut {
        /// The newest record that was seen.
        seen: u64,
        /// The newest record now.
        told: u64,
    },
    /// What is kept of the server on this machine cannot be used.
    #[error("{0}")]
    Cache(String),
    /// A library of ours failed.
    #[error("{0}")]
    Local(String),
}

fn said(problem: &Problem) -> String {
    problem.detail.as_ref().map_or_else(|| problem.title.clone(), |detail| format!("{}: {detail}", problem.title))
}

impl ServerError {
    /// A problem by what it means to us.
    pub(super) fn from_problem(problem: Problem) -> Self {
        match problem.status {
            401 | 403 => Self::Refused(said(&problem)),
            429 | 503 => Self::Busy(said(&problem)),
            _ => Self::Problem(Box::new(problem)),
        }
    }

    pub(super) fn from_ureq(error: ureq::Error) -> Self {
        use ureq::Error;
        match error {
            Error::Timeout(_) => Self::Slow,
            Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => Self::Slow,
            Error::Io(error) => Self::Unreachable(error.to_string()),
            Error::HostNotFound => Self::Unreachable("no such host".into()),
            Error::ConnectionFailed => Self::Unreachable("no connection".into()),
            Error::Other(other) => match other.downcast::<TlsError>().map(|error| *error) {
                Ok(TlsError::Certificate(why)) => Self::Certificate(why),
                Ok(TlsError::Refused(why)) => Self::Refused(why),
                Ok(TlsError::Protocol(why)) => Self::Protocol(why),
                Err(other) => Self::Protocol(other.to_string()),
            },
            other => Self::Protocol(other.to_string()),
        }
    }

    /// Whether nobody answered: the server was not reached, or not in time.
    pub const fn is_absence(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Away | Self::Slow | Self::Busy(_))
    }

    /// The code of what the server said, where it said something.
    pub fn problem_code(&self) -> Option<&str> {
        if let Self::Problem(problem) = self { Some(&problem.code) } else { None }
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        let message = error.to_string();
        let (class, code, hint) = match &error {
            ServerError::Url(_) => {
                (ExitClass::Config, "server.url", "write it as https://HOST:PORT, without a path".into())
            }
            ServerError::Unreachable(_) | ServerError::Away => (
                ExitClass::Unavailable,
                "server.unreachable",
                Remedy::with("look whether it runs", "rollcall server run"),
            ),
            ServerError::Slow => {
                (ExitClass::Unavailable, "server.slow", "look at its load, or allow more: timeout in [server]".into())
            }
            ServerError::Certificate(_) => (
                ExitClass::Refused,
                "server.certificate",
                Remedy::with(
                    "the URL must name one of the names in its certificate, which this terminal's CA issued; one that missed a rotation of the CA needs a new bundle",
                    "rollcall pki issue terminal",
                ),
            ),
            ServerError::Refused(_) => (
                ExitClass::Refused,
                "server.refused",
                Remedy::with("an administrator looks with", "rollcall server terminal list")
                    .and("an old certificate: rollcall pki renew"),
            ),
            ServerError::Busy(_) => (ExitClass::Busy, "server.busy", "try again in a moment".into()),
            ServerError::Protocol(_) => (
                ExitClass::Protocol,
                "server.protocol",
                "the URL must be that of a Rollcall server of the same release".into(),
            ),
            ServerError::Problem(problem) => return refused(problem, message),
            ServerError::AuditCut { .. } => (
                ExitClass::Protocol,
                "server.audit-cut",
                Remedy::with("let an administrator look at the server", "rollcall server audit verify")
                    .and("do not trust it until then"),
            ),
            ServerError::Cache(_) => (
                ExitClass::Io,
                "server.cache",
                "if it is damaged, remove directory.db in the state folder: it is made anew".into(),
            ),
            ServerError::Local(_) => return Self::new(ExitClass::Bug, "server.local", message),
        };
        Self::new(class, code, message).hint(hint)
    }
}

/// The failures that a server tells by a code of its own; each keeps it. A code that we do not know is told in words.
fn refused(problem: &Problem, message: String) -> Failure {
    const KNOWN: [(&str, ExitClass, &str); 22] = [
        ("token.unknown", ExitClass::Refused, "it is not registered with this server: enroll it, or register it"),
        ("user.unknown", ExitClass::No, "see which there are: rollcall server user list"),
        ("terminal.none", ExitClass::No, "see which there are: rollcall server terminal list"),
        ("token.conflict", ExitClass::Refused, "take a blank card"),
        ("token.not-theirs", ExitClass::Refused, "look whose it is: rollcall server token show ID"),
        ("token.final", ExitClass::Refused, "enroll the holder on a new card"),
        ("terminal.conflict", ExitClass::Refused, "choose another name, or revoke the terminal that has it"),
        ("terminal.self", ExitClass::Refused, "let another administrator do it"),
        ("key.taken", ExitClass::Refused, "make a new key"),
        ("proof.malformed", ExitClass::Refused, "do not trust this card"),
        (
            "proof.certificate",
            ExitClass::Refused,
            "do not trust this card: it shows another identity than it was given",
        ),
        ("proof.signature", ExitClass::Refused, "do not trust this card"),
        ("proof.terminal", ExitClass::Refused, "renew this terminal's certificate: rollcall pki renew"),
        ("proof.replayed", ExitClass::Refused, "present the card once more"),
        ("proof.foreign-nonce", ExitClass::Refused, "present the card once more"),
        ("proof.expired", ExitClass::Refused, "present the card once more"),
        ("proof.clone", ExitClass::Refused, "a copy of this token may be in use: suspend it, and enroll a new one"),
        ("request.malformed", ExitClass::Data, "look at the value that it names"),
        ("request.invalid", ExitClass::Data, "look at the value that it names"),
        ("request.too-large", ExitClass::Data, "send less at once"),
        ("request.route", ExitClass::Protocol, "terminal and server must be of the same release"),
        ("server.fault", ExitClass::Unavailable, "look at the log of the server"),
    ];
    match KNOWN.iter().find(|(code, ..)| *code == problem.code) {
        Some(&(code, class, hint)) => Failure::new(class, code, message).hint(hint),
        None => Failure::new(ExitClass::Protocol, "server.protocol", format!("{message} ({})", shown(&problem.code)))
            .hint("terminal and server must be of the same release"),
    }
}

/// A code that came from outside, cut short and without anything that a terminal window obeys.
fn shown(code: &str) -> String {
    code.chars().filter(|c| !c.is_control()).take(64).collect()
}
