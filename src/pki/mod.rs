//! The certification authority (CA) of a terminal: its files, what it certifies, and for how long.
//!
//! [`PkiDir`] is the folder `pki/` of the state: it makes the files, loads them into types, and refuses files that are
//! not private. [`Ca`] certifies; everything it ever issued is listed in its [`record`], which prevents one key from
//! getting two classes and reveals a clock that jumped.
//!
//! Deliberately absent: cards, readers, servers, the clock, printing.

mod bundle;
mod ca;
mod ca_rollover;
mod error;
mod folder_lock;
mod host;
mod init;
mod inventory;
mod lifetime;
mod load;
mod lost;
mod missing;
mod names;
mod new_bundle;
mod own_pairs;
mod perso;
pub mod pkcs11;
mod pkcs11_error;
mod pki_dir;
pub mod record;
mod remedy;
mod rotation;
mod set;
mod set_id;
mod takeover;
#[cfg(test)]
mod tests;

pub use bundle::{Bundle, BundledCertificates, BundledPrevious, TerminalKeys, TerminalRequests};
pub use ca::Ca;
pub use ca_rollover::Followed;
pub use error::{BUNDLE_FILE, PkiError};
pub use host::server_names;
pub use init::{FileOutcome, FileReport, IssueReport};
pub use inventory::{Age, CertificateClass, Content, Facts, InventoryItem};
use jiff::SignedDuration;
pub use lifetime::{CertificateDays, DAYS_MAX, Lifetime, RenewalTime, ends_soon};
pub use missing::{MissingFile, MissingUse};
pub use new_bundle::{ISSUE_TERMINAL, bundle_from_server, new_bundle};
pub use perso::PersoKey;
pub use pki_dir::{PkiDir, TerminalIdentity, Tls};
pub use record::ClockCheck;
pub use remedy::CertificatePlace;
pub use rotation::Rotation;
pub use set::{SET_SIZES, Set, SetRotation};
pub use set_id::SetId;
pub use takeover::{AuthorityChange, TerminalName};

/// The common name of every CA; its key identifier tells which one it is.
pub const AUTHORITY_NAME: &str = "Rollcall CA";

const fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

/// The life of a CA: 20 years.
pub const AUTHORITY_LIFE: SignedDuration = days(7_305);
/// The life of the certificates of tokens and sets: 10 years.
pub const TOKEN_LIFE: SignedDuration = days(3_652);
/// The usual life of a terminal's certificates, for tokens and for the server: short, because nothing revokes them.
pub const TERMINAL_LIFE: SignedDuration = days(7);
/// The usual life of a server's certificates: longer than a terminal's, so that a server may be off for weeks.
pub const SERVER_LIFE: SignedDuration = days(90);
/// How much earlier than now a certificate starts to be valid, to allow for other clocks; and how far a clock may be
/// behind the last issue, to allow for two processes that issue at once and for a corrected clock.
pub const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);
/// How far a clock may be ahead of the last issue: as far as a card's date advances in one step.
pub const CLOCK_LEAP: SignedDuration = days(90);
