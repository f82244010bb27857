//! The errors of keys and certificates, and what the user sees of them.

use std::{io, path::PathBuf};

use jiff::Timestamp;

use super::{
    CertificateDays,
    names::holds_a_ca,
    new_bundle::{ADD_TERMINAL, new_bundle},
    pkcs11_error::Pkcs11Error,
    set_id::SetId,
};
use crate::{
    crypto::{
        CryptoError,
        ec::KeyError,
        x509::{CertificateError, IssueError},
    },
    failure::{ExitClass, Failure, Remedy},
};

/// How to find a bundle.
pub const BUNDLE_FILE: &str = "name the file that rollcall server terminal add or rollcall pki issue terminal wrote";

/// Why an operation on keys or certificates failed.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file that `pki init` makes is missing.
    #[error("there is no {name} here", name = .0.display())]
    NotInitialised(PathBuf),
    /// A file of a terminal that was set up from a bundle is missing.
    #[error("there is no {name} here", name = .0.display())]
    NotImported(PathBuf),
    /// A file that cannot be made again is missing.
    #[error("there is no {name} here", name = .0.display())]
    FileLost(PathBuf),
    /// The certificate of the CA is here, but not its key.
    #[error("the CA key is not on this machine: there is no {name}", name = .0.display())]
    NoCaKey(PathBuf),
    /// Other users may read or change a private file.
    #[error("{name} is readable by other users (mode {mode:04o})", name = .path.display())]
    KeyPermissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file or the folder cannot be read or written.
    #[error("{name}: {error}", name = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// Not a P-256 private key in PEM.
    #[error("{name}: {error}", name = .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: KeyError,
    },
    /// Not 32 hex digits.
    #[error("{name} does not hold 32 hex digits", name = .0.display())]
    NotHex(PathBuf),
    /// Not a certificate in PEM.
    #[error("{name} is not a certificate in PEM", name = .0.display())]
    NotACertificate(PathBuf),
    /// Not a certificate that is accepted for this purpose.
    #[error("{name}: {error}", name = .path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: CertificateError,
    },
    /// The certificate is for another key than the one beside it.
    #[error("{name} is for another key than the one beside it", name = .0.display())]
    Mismatch(PathBuf),
    /// A certificate of this terminal has expired.
    #[error("this terminal's certificate {name} expired at {at}", name = .path.display())]
    TerminalExpired {
        /// The file.
        path: PathBuf,
        /// When.
        at: Timestamp,
    },
    /// A certificate is not valid yet, so the clock is wrong.
    #[error("{name} is valid only from {from}, which is later than the clock says", name = .path.display())]
    NotYetValid {
        /// The file.
        path: PathBuf,
        /// The start of its validity.
        from: Timestamp,
    },
    /// The CA's own certificate has expired.
    #[error("the CA expired at {0}")]
    CaExpired(Timestamp),
    /// The requested certificate would outlive its CA.
    #[error("the CA expires at {end}: a certificate cannot be valid for {} days", .days.get())]
    BeyondCa {
        /// The requested number of days.
        days: CertificateDays,
        /// When the CA ends.
        end: Timestamp,
        /// How many whole days that leaves.
        left: i64,
    },
    /// The clock is behind the last issue.
    #[error("the clock is behind: it says {now}, and the last certificate was issued at {last}")]
    ClockBehind {
        /// What the clock says.
        now: Timestamp,
        /// When the last certificate was issued.
        last: Timestamp,
    },
    /// The clock is far ahead of the last issue.
    #[error("the clock says {now}, and the last certificate was issued at {last}, more than 90 days before")]
    ClockAhead {
        /// What the clock says.
        now: Timestamp,
        /// When the last certificate was issued.
        last: Timestamp,
    },
    /// The key is already certified for another purpose or name, which is never done twice.
    #[error("the key is certified already, as {class} for {subject}")]
    KeyTaken {
        /// For what.
        class: String,
        /// For whom.
        subject: String,
    },
    /// The record of issued certificates is missing although the CA is here.
    #[error("the record of issued certificates is missing: {name}", name = .0.display())]
    RecordMissing(PathBuf),
    /// A line of the record cannot be read.
    #[error("{name}: line {line} cannot be read", name = .path.display())]
    RecordDamaged {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// A request is not signed by the key that it is for, or malformed.
    #[error("the request for a certificate is refused: {0}")]
    Request(CertificateError),
    /// The parts of a bundle, or certificates received, do not fit together.
    #[error("this does not fit together: {0} cannot be used")]
    Bundle(&'static str),
    /// The file of a bundle ends in the middle of its JSON, or is empty.
    #[error("this bundle is not whole: it ends too early")]
    BundleCut,
    /// The file is no bundle.
    #[error("this is not the bundle of a terminal")]
    NotABundle,
    /// The file is a bundle in the format of another release.
    #[error("this bundle is of another release of rollcall")]
    BundleRelease,
    /// The certificates of a bundle have expired.
    #[error("the certificates of this bundle expired at {0}")]
    BundleExpired(Timestamp),
    /// The server uses another CA, which the one here has not signed.
    #[error("the server renewed under another CA, which the one here has not signed as its successor")]
    NotEndorsed,
    /// The folder for a bundle already contains something else.
    #[error("{name} already exists and differs", name = .0.display())]
    Occupied(PathBuf),
    /// The set is not here.
    #[error("there is no set {0} here")]
    NoSet(SetId),
    /// The set already has as many tokens as it may have.
    #[error("the set {id} is full: it has {size} tokens")]
    SetFull {
        /// The set.
        id: SetId,
        /// How many tokens it may have.
        size: u16,
    },
    /// The set was replaced by another one.
    #[error("the set {id} is replaced by {by}")]
    SetReplaced {
        /// The set.
        id: SetId,
        /// The one that replaces it.
        by: SetId,
    },
    /// The set is not being replaced.
    #[error("the key of the set {0} is not being replaced")]
    NoSetRotation(SetId),
    /// The CA's own profile does not allow the request.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// A CA is already being rotated out.
    #[error("the CA is being rotated already")]
    RotationUnderWay,
    /// No CA is being rotated out.
    #[error("the CA is not being rotated")]
    NoRotation,
    /// A failure with a key in a PKCS#11 token.
    #[error(transparent)]
    Pkcs11(#[from] Pkcs11Error),
    /// The cryptographic library failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

impl PkiError {
    /// What the user sees: exit class, code, message and hint.
    pub fn to_failure(&self) -> Failure {
        let failure = |class, code| Failure::new(class, code, self.to_string());
        match self {
            Self::NotInitialised(_) => failure(ExitClass::Config, "pki.not-initialised")
                .hint(Remedy::with("make keys and certificates", "rollcall pki init")),
            Self::NotImported(_) => failure(ExitClass::Config, "pki.file-missing").hint(
                Remedy::with("import the bundle of this terminal once more", "rollcall pki import BUNDLE")
                    .and("without it, have a new one made where the CA key is"),
            ),
            Self::FileLost(_) => failure(ExitClass::Config, "pki.file-missing")
                .hint("put it back from a backup, or copy it from where it was made: another one does not fit the cards that were issued"),
            Self::NoCaKey(_) => failure(ExitClass::Config, "pki.no-ca-key")
                .hint("run this where the CA key is, or put ca.key back from a backup"),
            Self::KeyPermissions { path, .. } => failure(ExitClass::Refused, "pki.key-permissions")
                .hint(Remedy::with("remove those permissions", format!("chmod 600 {}", crate::files::word(path)))),
            Self::Io { .. } => {
                failure(ExitClass::Io, "pki.file").hint("check the permissions and the space of that folder")
            }
            Self::Key { .. } | Self::NotHex(_) | Self::NotACertificate(_) => failure(ExitClass::Io, "pki.file-damaged")
                .hint("put the file back from a backup; without one, remove it and run rollcall pki init"),
            Self::Certificate { .. } | Self::Mismatch(_) => failure(ExitClass::Io, "pki.mismatch").hint(Remedy::with(
                "the files of this folder do not belong together: put them back from one backup, or issue this \
                 certificate again",
                "rollcall pki renew",
            )),
            Self::TerminalExpired { .. } => failure(ExitClass::Config, "pki.terminal-expired")
                .hint(Remedy::with("where the CA key is", "rollcall pki renew").and(
                "elsewhere a new bundle is made for rollcall pki import: by an administrator of the server with rollcall \
                 server terminal add, without a server where the CA key is with rollcall pki issue terminal",
            )),
            Self::NotYetValid { .. } => {
                failure(ExitClass::Config, "pki.not-yet-valid").hint("set the clock right: timedatectl")
            }
            Self::CaExpired(_) => failure(ExitClass::Refused, "pki.ca-expired")
                .hint("make a new CA in another folder (ROLLCALL_HOME), and enroll the tokens again"),
            Self::BeyondCa { left: left @ 1.., .. } => failure(ExitClass::Usage, "pki.days")
                .hint(format!("name at most {left} with --days, or leave it out: certificates then end with the CA")),
            Self::BeyondCa { .. } => {
                failure(ExitClass::Usage, "pki.days").hint("leave --days out: certificates then end with the CA")
            }
            Self::ClockBehind { .. } | Self::ClockAhead { .. } => failure(ExitClass::Refused, "pki.clock")
                .hint("set the clock right (timedatectl); if it is right, say so with --yes"),
            Self::KeyTaken { .. } => failure(ExitClass::Refused, "pki.key-taken").hint("use a new key"),
            Self::RecordMissing(_) => failure(ExitClass::Config, "pki.record-missing")
                .hint("put it back from a backup; without one, begin a new record with --yes"),
            Self::RecordDamaged { .. } => {
                failure(ExitClass::Io, "pki.record-damaged").hint("put it back from a backup, or remove that line")
            }
            Self::Request(_) => failure(ExitClass::Data, "pki.request").hint("make a new request"),
            Self::Bundle(_) => failure(ExitClass::Data, "pki.bundle")
                .hint(Remedy::with("have a new one made", "rollcall pki issue terminal")),
            Self::BundleCut => failure(ExitClass::Data, "pki.bundle").hint("copy it once more, whole, from where it was made"),
            Self::NotABundle => failure(ExitClass::Data, "pki.bundle").hint(BUNDLE_FILE),
            Self::BundleRelease => {
                failure(ExitClass::Data, "pki.bundle").hint("terminal and server must be of the same release")
            }
            Self::BundleExpired(_) => failure(ExitClass::Data, "pki.bundle")
                .hint(new_bundle("have a new one made where the CA key is")),
            Self::NotEndorsed => failure(ExitClass::Refused, "pki.not-endorsed").hint(Remedy::with(
                "ask whoever runs the server; if its CA was replaced, an administrator makes a new bundle",
                ADD_TERMINAL,
            )),
            // Moving the keys of a CA away would end the work of its machine.
            Self::Occupied(path) if holds_a_ca().any(|name| path.ends_with(name)) => {
                failure(ExitClass::Refused, "pki.occupied").hint(Remedy::with(
                    "this machine has a CA of its own, and keeps it: set the terminal up in another folder",
                    "ROLLCALL_HOME=FOLDER rollcall pki import FILE",
                ))
            }
            Self::Occupied(_) => failure(ExitClass::Refused, "pki.occupied")
                .hint("set the terminal up in a folder of its own (ROLLCALL_HOME), or move pki/ away first"),
            Self::NoSet(_) => failure(ExitClass::Usage, "pki.no-set").hint(
                Remedy::with("list the sets", "rollcall pki list").and("or start a new one: --set-size K"),
            ),
            Self::SetFull { .. } => {
                failure(ExitClass::No, "pki.set-full").hint("name another set, or start a new one: --set-size K")
            }
            Self::SetReplaced { by, .. } => {
                failure(ExitClass::No, "pki.set-replaced").hint(format!("enroll into the set that replaced it: --set \
                    {by}"))
            }
            Self::NoSetRotation(id) => failure(ExitClass::No, "pki.no-set-rotation")
                .hint(Remedy::with("begin it where the CA key is", format!("rollcall pki rotate-set {id}"))),
            Self::Issue(_) => failure(ExitClass::Data, "pki.profile").hint("shorten the name, and check the clock"),
            Self::RotationUnderWay => failure(ExitClass::Refused, "pki.rotation-under-way").hint(Remedy::with(
                "move the tokens (rollcall token rotate --all), then end it",
                "rollcall pki rotate-ca --finish",
            )),
            Self::NoRotation => {
                failure(ExitClass::No, "pki.no-rotation").hint(Remedy::with("begin one", "rollcall pki rotate-ca"))
            }
            Self::Pkcs11(error) => error.to_failure(),
            Self::Crypto(_) => failure(ExitClass::Bug, "crypto.failed"),
        }
    }
}

impl From<PkiError> for Failure {
    fn from(error: PkiError) -> Self {
        error.to_failure()
    }
}
