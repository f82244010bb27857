//! The fixed certificate profile of the protocol (RFC 5280): its classes, and how certificates are issued and verified.
//!
//! Cards, terminals and server know one level of certificates: a CA whose key they hold, and what it certified. So
//! there is no path building here, and nothing but the CA's public point is trusted.
//!
//! Deliberately absent: files, the clock, revocation.
//!
//! Specification: docs/protocol.md, "Certificates".

mod authority;
mod der;
mod issue;
mod leaf;
mod request;
#[cfg(test)]
mod tests;
mod tls;
mod tls_use;
mod walk;

pub use authority::Authority;
pub use der::DerError;
pub use issue::{CertificateTemplate, IssueError, UTC_TIME_END, from_pem, issue, to_pem};
use jiff::Timestamp;
pub use request::CertificateRequest;
pub use tls::{ServerName, TlsCertificate, TlsTemplate};
pub use tls_use::TlsUse;

use super::{CryptoError, ec::Point};

/// The arc of the classes; RFC 5612 reserves the number 32473 for examples.
pub const CLASS_ARC: &str = "1.3.6.1.4.1.32473.82";
/// The same in DER (X.690, 8.19), without tag and length; the number of the class follows as one byte.
pub const CLASS_ARC_DER: [u8; 9] = [0x2B, 0x06, 0x01, 0x04, 0x01, 0x81, 0xFD, 0x59, 0x52];

/// The longest certificate of a terminal that a card accepts, in bytes.
pub const TERMINAL_LIMIT: usize = 416;
/// The longest certificate of any other class, in bytes: a card has no room for more.
pub const CARD_LIMIT: usize = 480;

/// What a terminal may do to a token. Each role includes the lower ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TerminalRole {
    /// Authenticate and read.
    Read,
    /// Also write the user record.
    Write,
    /// Also block, rotate keys, and terminate.
    Admin,
}

impl TerminalRole {
    /// The word for people and scripts: `read`, `write`, `admin`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// What a certificate of the token protocol is for. Each side refuses every class except the one it expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CertificateProfile {
    /// A terminal's key for the key agreement with tokens.
    Terminal(TerminalRole),
    /// A token's own key for the key agreement.
    TokenEcka,
    /// The key that a set of private tokens shares.
    SetEcka,
    /// The key with which a token signs presence proofs.
    Identity,
    /// The key with which a server signs what terminals accept from it.
    ServerSignature,
}

impl CertificateProfile {
    /// Every class.
    pub const ALL: [Self; 7] = [
        Self::Terminal(TerminalRole::Read),
        Self::Terminal(TerminalRole::Write),
        Self::Terminal(TerminalRole::Admin),
        Self::TokenEcka,
        Self::SetEcka,
        Self::Identity,
        Self::ServerSignature,
    ];
    /// The classes of terminals, which a card expects.
    pub const TERMINAL: [Self; 3] =
        [Self::Terminal(TerminalRole::Read), Self::Terminal(TerminalRole::Write), Self::Terminal(TerminalRole::Admin)];

    /// The number of the class under [`CLASS_ARC`].
    pub const fn number(self) -> u8 {
        match self {
            Self::Terminal(TerminalRole::Read) => 1,
            Self::Terminal(TerminalRole::Write) => 2,
            Self::Terminal(TerminalRole::Admin) => 3,
            Self::TokenEcka => 8,
            Self::SetEcka => 9,
            Self::Identity => 10,
            Self::ServerSignature => 11,
        }
    }

    /// The class with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.number() == number)
    }

    /// The longest certificate of this class, in bytes.
    pub const fn limit(self) -> usize {
        match self {
            Self::Terminal(_) => TERMINAL_LIMIT,
            _ => CARD_LIMIT,
        }
    }

    /// The word for people and scripts.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Terminal(TerminalRole::Read) => "terminal-read",
            Self::Terminal(TerminalRole::Write) => "terminal-write",
            Self::Terminal(TerminalRole::Admin) => "terminal-admin",
            Self::TokenEcka => "token",
            Self::SetEcka => "set",
            Self::Identity => "identity",
            Self::ServerSignature => "server-signature",
        }
    }

    /// The content of the keyUsage bit string (RFC 5280, 4.2.1.3): unused bits, then the bits.
    const fn key_usage(self) -> [u8; 2] {
        match self {
            Self::Terminal(_) | Self::TokenEcka | Self::SetEcka => [3, 0x08], // keyAgreement
            Self::Identity | Self::ServerSignature => [7, 0x80],              // digitalSignature
        }
    }
}

/// Everything for which a CA certifies keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The token protocol.
    Class(CertificateProfile),
    /// TLS between terminal and server.
    Tls(TlsUse),
}

impl Purpose {
    /// The word for people and scripts.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Class(class) => class.word(),
            Self::Tls(usage) => usage.word(),
        }
    }
}

impl std::fmt::Display for CertificateProfile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

/// Why a certificate is refused.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Longer than a card would accept.
    #[error("the certificate is longer than {limit} bytes")]
    TooLong {
        /// The longest accepted, in bytes.
        limit: usize,
    },
    /// The CA did not sign it, or it was changed afterwards.
    #[error("the certificate was not signed by this authority")]
    Signature,
    /// A part does not have the form of the profile.
    #[error("the {part} of the certificate: {error}")]
    Form {
        /// Which part.
        part: &'static str,
        /// What is wrong with its encoding.
        error: DerError,
    },
    /// The encoding is right, but the content is not allowed by the profile.
    #[error("the {0} of the certificate is outside the profile")]
    Profile(&'static str),
    /// The key is not an uncompressed point of P-256.
    #[error("the certified key is not an uncompressed point of P-256")]
    Key,
    /// The authorityKeyIdentifier names another CA.
    #[error("the certificate names another authority")]
    Authority,
    /// An extension that the profile requires is missing.
    #[error("the certificate has no {0}")]
    Missing(&'static str),
    /// An extension occurs twice (RFC 5280, 4.2).
    #[error("the certificate has an extension twice")]
    Duplicate,
    /// A critical extension is unknown.
    #[error("the certificate has an unknown critical extension")]
    Critical,
    /// A certificate of this authority, but for another purpose.
    #[error("a certificate of the class {found} is not accepted here")]
    Class {
        /// What it is for: the word of a [`CertificateProfile`] or of a [`TlsUse`].
        found: &'static str,
    },
    /// It is not valid yet.
    #[error("the certificate is valid only from {from}")]
    NotYetValid {
        /// Its notBefore.
        from: Timestamp,
        /// The time with which it was compared.
        now: Timestamp,
    },
    /// It has expired.
    #[error("the certificate expired at {at}")]
    Expired {
        /// Its notAfter.
        at: Timestamp,
    },
    /// The library failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// A certificate that was verified under a CA's point and read strictly. Only [`Certificate::verify`] creates one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    head: walk::CertificateHead,
    class: CertificateProfile,
    authority: [u8; 20],
}

impl Certificate {
    /// Bounds the outer lengths, verifies the signature over the signed part with the CA's point, and only then walks
    /// the signed bytes. Refuses every class that is not `expected`. The dates are not compared with a clock: see
    /// [`Certificate::check_time`].
    ///
    /// # Errors
    /// [`CertificateError`] says what is wrong: the length, the signature, the form of a part, the profile, or the
    /// class.
    pub fn verify(der: &[u8], ca: &Point, expected: &[CertificateProfile]) -> Result<Self, CertificateError> {
        let limit = expected.iter().map(|class| class.limit()).max().unwrap_or(0);
        let leaf = leaf::verify(der, ca, limit)?;
        let class = match leaf.purpose {
            Purpose::Class(class) if expected.contains(&class) => class,
            other => return Err(CertificateError::Class { found: other.word() }),
        };
        if der.len() > class.limit() {
            return Err(CertificateError::TooLong { limit: class.limit() });
        }
        Ok(Self { der: der.to_vec(), head: leaf.head, class, authority: leaf.authority })
    }

    /// The same under any of several CAs.
    ///
    /// # Errors
    /// As [`Certificate::verify`]: the error is that of the CA that signed it, if one did.
    pub fn verify_under(
        der: &[u8],
        authorities: &[Point],
        expected: &[CertificateProfile],
    ) -> Result<Self, CertificateError> {
        let mut refusal = CertificateError::Signature;
        for ca in authorities {
            match Self::verify(der, ca, expected) {
                Ok(certificate) => return Ok(certificate),
                Err(CertificateError::Signature) => {}
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    /// Refuses a certificate that is not valid at this time; both ends are included (RFC 5280, 4.1.2.5).
    ///
    /// # Errors
    /// [`CertificateError::NotYetValid`] or [`CertificateError::Expired`].
    pub fn check_time(&self, now: Timestamp) -> Result<(), CertificateError> {
        self.head.check_time(now)
    }

    /// The certificate as it was given, in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its class.
    pub const fn class(&self) -> CertificateProfile {
        self.class
    }

    /// The common name of the subject: for a token its id as UUID. At most 64 characters, no control characters.
    pub fn subject(&self) -> &str {
        &self.head.subject
    }

    /// The certified key.
    pub const fn point(&self) -> &Point {
        &self.head.point
    }

    /// The serial number as big-endian bytes without leading zeros, 1 to 20.
    pub fn serial(&self) -> &[u8] {
        &self.head.serial
    }

    /// The start of its validity.
    pub const fn not_before(&self) -> Timestamp {
        self.head.not_before.moment
    }

    /// The end of its validity.
    pub const fn not_after(&self) -> Timestamp {
        self.head.not_after.moment
    }

    /// The start of its validity as encoded, `YYMMDDhhmmss` in ASCII, which a card compares.
    pub const fn not_before_digits(&self) -> [u8; 12] {
        self.head.not_before.digits
    }

    /// The end of its validity as encoded, `YYMMDDhhmmss` in ASCII.
    pub const fn not_after_digits(&self) -> [u8; 12] {
        self.head.not_after.digits
    }

    /// The identifier of the CA that issued it.
    pub const fn authority(&self) -> [u8; 20] {
        self.authority
    }
}
