//! Why the PC/SC service refuses a terminal: for the readers as a whole, and for a connection to one card.

use serde::{Deserialize, Serialize};

/// Why the service gives no information about the readers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum ReaderError {
    /// No PC/SC service listens.
    #[error("the PC/SC service is not running")]
    ServiceDown,
    /// Neither the service's program nor a socket exists.
    #[error("no PC/SC service is installed")]
    NotInstalled,
    /// The service exists but does not answer.
    #[error("the PC/SC service does not answer")]
    ServiceHangs,
    /// This user may not write to the service's socket.
    #[error("this user may not write to the socket of the PC/SC service, {0}")]
    SocketDenied(String),
    /// The service closed the connection before it read anything: polkit refuses.
    #[error(
        "the PC/SC service refused this user: polkit has to allow org.debian.pcsc-lite.access_pcsc and access_card"
    )]
    Denied,
    /// The thread that asks the service could not be started.
    #[error("no thread could be started: {0}")]
    NoThread(String),
    /// The service refuses everybody because it cannot ask polkit.
    #[error("the PC/SC service refused this user because it cannot ask polkit: {}", missing(*.0))]
    NoPolkit(MissingGate),
    /// The service and this process's library speak different versions of their protocol.
    #[error("{}", versions(*.0))]
    Version(Option<ProtocolVersion>),
    /// The service has the usual version of the protocol, and ends the connection or reports an error at the greeting or
    /// right after it.
    #[error("the PC/SC service accepts the connection, and then fails")]
    Broken,
    /// Anything else, by the PC/SC name of the error.
    #[error("the PC/SC service reported: {0}")]
    Other(String),
}

const fn missing(gate: MissingGate) -> &'static str {
    match gate {
        MissingGate::Bus => "D-Bus does not run",
        MissingGate::Polkit => "polkit is not installed",
        MissingGate::Masked => "polkit is masked, and does not run",
        MissingGate::Processes => "/proc is mounted with hidepid, so that polkit cannot see who asks",
    }
}

/// Two versions are in use, 4:4 and 4:5: a service of one refuses a library of the other.
fn versions(service: Option<ProtocolVersion>) -> String {
    match service {
        None => "the PC/SC service closed the connection because of its protocol version: the library here is from \
            another release"
            .to_owned(),
        Some(service) => {
            let other = if service > ProtocolVersion::USUAL { "an older" } else { "a newer" };
            format!("the PC/SC service speaks version {service} of its protocol, and the library here {other} one")
        }
    }
}

/// A version of the protocol between library and service, which must be equal on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProtocolVersion {
    /// 4 in all current services.
    pub major: u32,
    /// 4 or 5.
    pub minor: u32,
}

impl ProtocolVersion {
    /// The version of most current libraries.
    pub const USUAL: Self = Self { major: 4, minor: 4 };
}

impl std::fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// Why the service cannot ask polkit, which it treats as a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingGate {
    /// D-Bus does not run.
    Bus,
    /// polkit is not installed.
    Polkit,
    /// Its unit is masked, so that nothing starts it.
    Masked,
    /// `/proc` hides the processes of others, so that polkit cannot see who asks.
    Processes,
}
