//! How long the certificates of terminals and servers are valid, and when to renew them.

use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

use super::{CLOCK_TOLERANCE, days};
use crate::crypto::x509::Authority;

/// The most days for which a certificate of a terminal or a server may be valid.
pub const DAYS_MAX: u16 = 366;
/// A certificate older than this is renewed, however long it remains valid: so most of a long life is left for the time
/// in which a terminal is switched off.
const RENEWED_AFTER: SignedDuration = days(30);
/// A certificate is never reported as expiring soon while it has more than this left.
const EXPIRING: SignedDuration = days(30);

/// For how many days a certificate is valid: 1 to [`DAYS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CertificateDays(u16);

impl CertificateDays {
    /// `None` if out of bounds.
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

    /// The days of a certificate under one of these CAs; `None` for one that ends with its CA, since it was cut short.
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

/// What decides how long a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Nothing: it is as long as usual for its class.
    Usual,
    /// The certificate that it replaces. If the CA ends earlier, it ends with the CA.
    Kept(CertificateDays),
    /// The request. If the CA ends earlier, it is refused.
    Asked(CertificateDays),
}

impl Lifetime {
    /// The requested lifetime, or the usual one.
    pub fn asked(days: Option<CertificateDays>) -> Self {
        days.map_or(Self::Usual, Self::Asked)
    }

    /// The previous lifetime, or the usual one.
    pub fn kept(days: Option<CertificateDays>) -> Self {
        days.map_or(Self::Usual, Self::Kept)
    }

    /// The same for a CA that may end earlier, which is then no reason to refuse it.
    #[must_use]
    pub const fn within_ca(self) -> Self {
        match self {
            Self::Asked(days) => Self::Kept(days),
            other => other,
        }
    }

    /// The duration, given the usual one.
    pub(super) fn or_usual(self, usual: SignedDuration) -> SignedDuration {
        match self {
            Self::Usual => usual,
            Self::Kept(days) | Self::Asked(days) => days.duration(),
        }
    }
}

/// The lifetime from issue to end, without the earlier start that allows for other clocks.
fn life(not_before: Timestamp, not_after: Timestamp) -> SignedDuration {
    not_after.duration_since(not_before) - CLOCK_TOLERANCE
}

/// When the certificates of a terminal must be renewed, and when they end: the earliest of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenewalTime {
    /// When the first one should be renewed.
    pub due: Timestamp,
    /// When the first one ends.
    pub end: Timestamp,
}

impl RenewalTime {
    /// The times of one certificate.
    pub fn of(not_before: Timestamp, not_after: Timestamp) -> Self {
        Self { due: renewal_due(not_before, not_after), end: not_after }
    }

    /// The earlier of each time.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self { due: self.due.min(other.due), end: self.end.min(other.end) }
    }

    /// Whether renewal is due.
    pub fn is_due(&self, now: Timestamp) -> bool {
        now >= self.due
    }
}

/// When a certificate should be renewed: with three sevenths of its life left, and after 30 days at the latest. For a
/// terminal that is after four of its seven days.
fn renewal_due(not_before: Timestamp, not_after: Timestamp) -> Timestamp {
    let life = life(not_before, not_after);
    let left = (life / 7 * 3).max(life - RENEWED_AFTER);
    not_after.saturating_sub(left).unwrap_or(not_after)
}

/// Whether a certificate expires soon: it has less than three sevenths of its life left, and less than 30 days.
pub fn ends_soon(not_before: Timestamp, not_after: Timestamp, now: Timestamp) -> bool {
    let margin = (not_after.duration_since(not_before) / 7 * 3).min(EXPIRING);
    not_after.duration_since(now) < margin
}
