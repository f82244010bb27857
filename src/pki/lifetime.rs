//! How long the certificates of terminals and servers are valid, and when they are to be renewed.

use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

use super::{CLOCK_TOLERANCE, days};
use crate::crypto::x509::Authority;

/// The most days that a certificate of a terminal or a server may be valid.
pub const DAYS_MAX: u16 = 366;
/// A certificate that is older than this is renewed, however long it is still valid: so most of a long life is left for
/// the time in which a terminal is switched off.
const RENEWED_AFTER: SignedDuration = days(30);
/// A certificate is never said to end soon while it has more than this left.
const EXPIRING: SignedDuration = days(30);

/// For how many days a certificate is valid: 1 to [`DAYS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CertificateDays(u16);

impl CertificateDays {
    /// None for what is out of bounds.
    pub const fn new(days: u16) -> Option<Self> {
        if days == 0 || days > DAYS_MAX { None } else { Some(Self(days)) }
    }

    /// The number of days.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// As a duration.
    pub fn duration(self) -> SignedDuration {
        days(self.0.into())
    }

    /// Those of a certificate under one of these CAs; none for one that ends with its CA, which was cut short.
    pub fn of<'a>(
        (not_before, not_after): (Timestamp, Timestamp),
        authorities: impl IntoIterator<Item = &'a Authority>,
    ) -> Option<Self> {
        if authorities.into_iter().any(|authority| authority.not_after() == not_after) {
            return None;
        }
        let half = SignedDuration::from_hours(12);
        let hours = (life(not_before, not_after) + half).as_hours();
        u16::try_from(hours / 24).ok().and_then(Self::new)
    }
}

impl FromStr for CertificateDays {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let days = text.parse().ok().and_then(Self::new);
        days.ok_or_else(|| format!("a number of days from 1 to {DAYS_MAX} is expected"))
    }
}

/// Who decides how long a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Nobody: it is what is usual for its class.
    Usual,
    /// The certificate that it replaces. Where the CA ends before, it ends with the CA.
    Kept(CertificateDays),
    /// Whoever asks for it. Where the CA ends before, it is refused.
    Asked(CertificateDays),
}

impl Lifetime {
    /// As it was asked for, or as it is usual.
    pub fn asked(days: Option<CertificateDays>) -> Self {
        days.map_or(Self::Usual, Self::Asked)
    }

    /// As it was, or as it is usual.
    pub fn kept(days: Option<CertificateDays>) -> Self {
        days.map_or(Self::Usual, Self::Kept)
    }

    /// The same for a CA that may end earlier: that is no reason to refuse it.
    #[must_use]
    pub const fn within_ca(self) -> Self {
        match self {
            Self::Asked(days) => Self::Kept(days),
            other => other,
        }
    }

    /// How long it is, where this is usual.
    pub(super) fn or_usual(self, usual: SignedDuration) -> SignedDuration {
        match self {
            Self::Usual => usual,
            Self::Kept(days) | Self::Asked(days) => days.duration(),
        }
    }
}

/// From its issue to its end: it begins a little earlier, for the clocks of others.
fn life(not_before: Timestamp, not_after: Timestamp) -> SignedDuration {
    not_after.duration_since(not_before) - CLOCK_TOLERANCE
}

/// When the certificates of a terminal are to be renewed, and when they end: the first of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenewalTime {
    /// When it is time to renew one.
    pub due: Timestamp,
    /// When one ends.
    pub end: Timestamp,
}

impl RenewalTime {
    /// That of one certificate.
    pub fn of(not_before: Timestamp, not_after: Timestamp) -> Self {
        Self { due: renewal_due(not_before, not_after), end: not_after }
    }

    /// The first of both.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self { due: self.due.min(other.due), end: self.end.min(other.end) }
    }

    /// Whether it is time.
    pub fn is_due(&self, now: Timestamp) -> bool {
        now >= self.due
    }
}

/// When a certificate is to be renewed: when it has three sevenths of its life left, at the latest after 30 days. For a
/// terminal that is the fourth of its seven days.
fn renewal_due(not_before: Timestamp, not_after: Timestamp) -> Timestamp {
    let life = life(not_before, not_after);
    let left = (life / 7 * 3).max(life - RENEWED_AFTER);
    not_after.saturating_sub(left).unwrap_or(not_after)
}

/// Whether a certificate ends soon: it has less than three sevenths of its life left, and less than 30 days.
pub fn ends_soon(not_before: Timestamp, not_after: Timestamp, now: Timestamp) -> bool {
    let margin = (not_after.duration_since(not_before) / 7 * 3).min(EXPIRING);
    not_after.duration_since(now) < margin
}
