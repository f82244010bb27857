//! The errors between terminal and server, and what the user sees of them.

use super::{
    addresses::UnknownHost,
    tls::{CertificateFault, TlsError},
};
use crate::{
    api::{problem::ProblemCode, v1::Problem},
    failure::{ExitClass, Failure, Remedy},
};

/// A fault of the server data kept on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheFault {
    /// The message, with the file.
    pub text: String,
    /// The cause, which decides the hint.
    pub cause: CacheCause,
}

/// Why the kept data cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheCause {
    /// The disk is full.
    Full,
    /// It is not writable.
    ReadOnly,
    /// Another process keeps it locked.
    Locked,
    /// It belongs to another user.
    Denied,
    /// It is not ours, or damaged.
    Damaged,
    /// Anything else.
    Other,
}

impl std::fmt::Display for CacheFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<String> for CacheFault {
    fn from(text: String) -> Self {
        Self { text, cause: CacheCause::Other }
    }
}

impl CacheCause {
    const fn hint(self) -> &'static str {
        match self {
            Self::Full => "make room, and restart it: what the server says is kept in memory only",
            Self::ReadOnly => "set ROLLCALL_HOME to a folder that can be written",
            Self::Locked => "try again; if that does not help, find the process that holds it",
            Self::Denied => "give it back to this user with sudo chown, or run this as its owner",
            Self::Damaged => "remove directory.db in the state folder: it will be rebuilt",
            Self::Other => "check the folder that ROLLCALL_HOME names, and its permissions",
        }
    }
}

impl CertificateFault {
    fn remedy(&self) -> Remedy {
        match self {
            Self::Name { asked, names } => {
                let all: Vec<_> = names.iter().chain([asked]).map(|name| format!(" --name {name}")).collect();
                let words = format!(
                    "use a name that is in the certificate ({}) in url under [server], or issue one for {asked}, too, on \
                     the server",
                    names.join(", ")
                );
                Remedy::with(&words, format!("rollcall pki issue server{}", all.concat()))
            }
            Self::Issuer => Remedy::with(
                "another CA issued it: a proxy in front of the server must not end TLS but pass it through (HAProxy: mode \
                 tcp; nginx: stream); a terminal that missed a rotation of the CA needs a new bundle from an \
                 administrator",
                BUNDLE,
            ),
            Self::Other => Remedy::with(
                "the URL must use a name from the server's certificate, which this terminal's CA issued; a \
                 terminal that missed a rotation of the CA needs a new bundle from an administrator",
                BUNDLE,
            ),
        }
    }
}

/// Why a request to the server failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// The URL is not `https://HOST[:PORT]`.
    #[error("{0:?} is not the URL of a server")]
    Url(String),
    /// There is no connection, or it broke.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// Its name, the first, has no address, for the second reason.
    #[error("the server cannot be reached: {0}: {1}")]
    Unresolved(String, String),
    /// It was unavailable a moment ago, and is not asked again yet.
    #[error("the server was away a moment ago")]
    Away,
    /// It did not answer in time.
    #[error("the server did not answer in time")]
    Slow,
    /// Its certificate was not issued by our CA for this name.
    #[error("the server's certificate is not accepted: {0}")]
    Certificate(String, CertificateFault),
    /// Its certificate has expired, or is not valid yet.
    #[error("the server's certificate is not valid now: {0}")]
    CertificateTime(String),
    /// It does not accept our certificate, or this terminal may not do this; with its code, if it gave one.
    #[error("the server refuses this terminal: {0}")]
    Refused(String, Option<ProblemCode>),
    /// It asks to wait (429, 503), or a proxy in front of it does not reach it (502, 504); with its code, if it gave one.
    #[error("{} {}", waiting(*.1), .0)]
    Busy(String, Option<ProblemCode>),
    /// Its answer does not conform to `/v1`.
    #[error("the server breaks the protocol: {0}")]
    Protocol(String),
    /// It refuses the request, and says why.
    #[error("{}", wording(.0))]
    Problem(Box<Problem>),
    /// The server's audit log is not the one whose head this terminal was given.
    #[error(
        "the server has lost record {seen} of its audit log, which this terminal has seen: it was restored from a backup, \
         or records were taken away"
    )]
    RolledBack {
        /// The newest record whose head this terminal was given.
        seen: u64,
    },
    /// The server data kept on this machine cannot be used.
    #[error("{0}")]
    Cache(CacheFault),
    /// A library failed on this machine.
    #[error("{0}")]
    Local(String),
}

fn wording(problem: &Problem) -> String {
    problem.detail.as_ref().map_or_else(|| problem.title.clone(), |detail| format!("{}: {detail}", problem.title))
}

/// A server whose store is away is not busy: waiting alone may not help.
const fn waiting(code: Option<ProblemCode>) -> &'static str {
    if matches!(code, Some(ProblemCode::ServerStore)) { "the server answers, but" } else { "the server is busy:" }
}

impl ServerError {
    /// Maps a problem to what it means for a terminal.
    pub(super) fn from_problem(problem: Problem) -> Self {
        match problem.status {
            401 | 403 => Self::Refused(wording(&problem), problem.known_code()),
            429 | 503 => Self::Busy(wording(&problem), problem.known_code()),
            _ => Self::Problem(Box::new(problem)),
        }
    }

    pub(super) fn from_ureq(error: ureq::Error) -> Self {
        use ureq::Error;
        match error {
            Error::Timeout(_) => Self::Slow,
            Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => Self::Slow,
            Error::Io(error) => Self::Unreachable(error.to_string()),
            Error::ConnectionFailed => Self::Unreachable("no connection".into()),
            Error::Other(other) => match other.downcast::<TlsError>().map(|error| *error) {
                Ok(TlsError::Certificate(why, fault)) => Self::Certificate(why, fault),
                Ok(TlsError::CertificateTime(why)) => Self::CertificateTime(why),
                Ok(TlsError::Refused(why, is_expired)) => {
                    Self::Refused(why, is_expired.then_some(ProblemCode::TerminalExpired))
                }
                Ok(TlsError::Protocol(why)) => Self::Protocol(why),
                Err(other) => match other.downcast::<UnknownHost>() {
                    Ok(unknown) => Self::Unresolved(unknown.host, unknown.why),
                    Err(other) => Self::Protocol(other.to_string()),
                },
            },
            other => Self::Protocol(other.to_string()),
        }
    }

    /// Whether the server was not reached, did not answer in time, or was busy.
    pub const fn is_absence(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Unresolved(..) | Self::Away | Self::Slow | Self::Busy(..))
    }

    /// The problem with which the server refused the request, if it did.
    pub fn problem(&self) -> Option<&Problem> {
        if let Self::Problem(problem) = self { Some(problem) } else { None }
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
                Remedy::with("check whether it is running", "rollcall server run"),
            ),
            ServerError::Unresolved(host, _) => (
                ExitClass::Unavailable,
                "server.unreachable",
                Remedy::with(
                    "this machine must know that name: correct url under [server], or the name in the DNS or in /etc/hosts, \
                     and look it up",
                    format!("getent hosts {host}"),
                ),
            ),
            ServerError::Slow => {
                (ExitClass::Unavailable, "server.slow", "check its load, or raise timeout in [server]".into())
            }
            ServerError::Certificate(_, fault) => (ExitClass::Refused, "server.certificate", fault.remedy()),
            ServerError::CertificateTime(_) => (
                ExitClass::Refused,
                "server.certificate",
                Remedy::with(
                    "see whether the clock here is right; a server renews its certificates by itself, and if they have \
                     expired, its log says why; there",
                    "rollcall pki renew",
                ),
            ),
            ServerError::Refused(_, code) => (ExitClass::Refused, "server.refused", admission(*code)),
            ServerError::Busy(_, Some(ProblemCode::ServerStore)) => (
                ExitClass::Busy,
                "server.busy",
                Remedy::with(
                    "try again in a moment; if the store stays away, see the log of the server, and run on its machine",
                    "rollcall status",
                ),
            ),
            ServerError::Busy(..) => (ExitClass::Busy, "server.busy", "try again in a moment".into()),
            ServerError::Protocol(_) => (
                ExitClass::Protocol,
                "server.protocol",
                "the URL must be that of a Rollcall server of the same release".into(),
            ),
            ServerError::Problem(problem) => return refused(problem, message),
            ServerError::RolledBack { .. } => (
                ExitClass::Protocol,
                "server.rolled-back",
                Remedy::with(
                    "whoever was refused here stays refused until an administrator has checked, on the server",
                    "rollcall server audit reconcile",
                ),
            ),
            ServerError::Cache(fault) => (ExitClass::Io, "server.cache", fault.cause.hint().into()),
            ServerError::Local(_) => return Self::new(ExitClass::Bug, "server.local", message),
        };
        Self::new(class, code, message).hint(hint)
    }
}

/// The command that makes a bundle if there is a server; one made by `pki issue terminal` is not registered there.
const BUNDLE: &str = "rollcall server terminal add NAME --out FILE";

/// How a terminal that the server refuses gets access. Commands for administrators are marked as such, since a refused
/// terminal cannot run them.
fn admission(code: Option<ProblemCode>) -> Remedy {
    match code {
        Some(ProblemCode::TerminalRole) => {
            "let an administrator do it, or give this terminal another role: revoke it, and add \
                                            it with --role"
                .into()
        }
        Some(ProblemCode::TerminalRevoked) => {
            Remedy::with("it stays out until an administrator gives it a new bundle, under the same name", BUNDLE)
        }
        Some(ProblemCode::TerminalUnknown) => {
            Remedy::with("an administrator makes a bundle for it", BUNDLE).and("then here: rollcall pki import FILE")
        }
        Some(ProblemCode::TerminalExpired) => Remedy::with(
            "see whether both clocks are right; where its certificate has expired, an administrator makes a new bundle",
            BUNDLE,
        ),
        _ => Remedy::with(
            "it was certified by another CA, or missed a rotation of the CA: an administrator makes a new bundle",
            BUNDLE,
        ),
    }
}

/// The failures that a server reports with a specific code, which is kept. An unknown code is put into the message.
fn refused(problem: &Problem, message: String) -> Failure {
    use ProblemCode as Code;
    let Some(code) = problem.known_code() else { return unexpected(problem, &message) };
    let (class, hint): (_, Remedy) = match code {
        Code::TokenUnknown => {
            (ExitClass::Refused, "it is not registered with this server: enroll it, or register it".into())
        }
        Code::UserUnknown => (ExitClass::No, Remedy::with("list the users", "rollcall server user list")),
        Code::TerminalNone => (ExitClass::No, Remedy::with("list the terminals", "rollcall server terminal list")),
        Code::TokenConflict => (ExitClass::Refused, "use a blank card".into()),
        Code::TokenNotTheirs => (ExitClass::Refused, Remedy::with("see whose it is", "rollcall server token show ID")),
        Code::TokenFinal => (ExitClass::Refused, "enroll the holder on a new card".into()),
        Code::TerminalConflict => (
            ExitClass::Refused,
            Remedy::with(
                "choose another name, or revoke the terminal that has this one",
                "rollcall server terminal revoke NAME",
            )
            .and("then add it again"),
        ),
        Code::TerminalSelf => (ExitClass::Refused, "let another administrator do it".into()),
        Code::KeyTaken => (ExitClass::Refused, "make a new key".into()),
        Code::ProofMalformed | Code::ProofSignature => (ExitClass::Refused, "do not trust this card".into()),
        Code::ProofCertificate => {
            (ExitClass::Refused, "do not trust this card: it shows another identity than it was issued".into())
        }
        Code::ProofTerminal => {
            (ExitClass::Refused, Remedy::with("renew this terminal's certificate", "rollcall pki renew"))
        }
        Code::ProofReplayed | Code::ProofForeignNonce | Code::ProofExpired | Code::ProofRequired => {
            (ExitClass::Refused, "present the card once more".into())
        }
        Code::ProofClone => {
            (ExitClass::Refused, "a copy of this token may be in use: suspend it, and enroll a new one".into())
        }
        Code::RequestMalformed | Code::RequestInvalid => (ExitClass::Data, "correct the value that it names".into()),
        Code::RequestTooLarge => (ExitClass::Data, "send less at once".into()),
        Code::RequestRoute => (ExitClass::Protocol, "terminal and server must be of the same release".into()),
        Code::ServerFault => (ExitClass::Unavailable, "see the server's log".into()),
        // The status already says what these mean, or they are for requests that we do not send.
        Code::RequestMediaType
        | Code::RequestMethod
        | Code::TerminalUnknown
        | Code::TerminalRevoked
        | Code::TerminalExpired
        | Code::TerminalRole
        | Code::ServerRate
        | Code::ServerBusy
        | Code::ServerSlow
        | Code::ServerStore => return unexpected(problem, &message),
    };
    Failure::new(class, code.as_str(), message).hint(hint)
}

fn unexpected(problem: &Problem, message: &str) -> Failure {
    Failure::new(ExitClass::Protocol, "server.protocol", format!("{message} ({})", sanitized(&problem.code)))
        .hint("terminal and server must be of the same release")
}

/// A code from outside, shortened and without control characters, which a terminal window would obey.
fn sanitized(code: &str) -> String {
    code.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn who_is_slow_is_told_from_who_is_gone() {
        let of = |kind: ErrorKind| ServerError::from_ureq(ureq::Error::Io(Error::new(kind, "why")));
        assert_eq!(of(ErrorKind::TimedOut), ServerError::Slow);
        assert_eq!(of(ErrorKind::ConnectionReset), ServerError::Unreachable("why".into()));
    }

    /// For which errors a terminal continues without the server, and for which it does not.
    #[test]
    fn only_a_server_that_did_not_answer_is_absent() {
        let why = || "why".to_owned();
        for absent in [
            ServerError::Unreachable(why()),
            ServerError::Unresolved(why(), why()),
            ServerError::Away,
            ServerError::Slow,
            ServerError::Busy(why(), None),
        ] {
            assert!(absent.is_absence(), "{absent:?}");
        }
        for there in [
            ServerError::Certificate(why(), CertificateFault::Other),
            ServerError::Refused(why(), None),
            ServerError::Protocol(why()),
            ServerError::RolledBack { seen: 1 },
            ServerError::Cache(why().into()),
        ] {
            assert!(!there.is_absence(), "{there:?}");
        }
    }

    #[test]
    fn a_fault_of_the_cache_is_told_in_its_own_words() {
        let fault = CacheFault { text: "directory.db: locked".into(), cause: CacheCause::Locked };
        assert_eq!(ServerError::Cache(fault).to_string(), "directory.db: locked");
    }
}
