//! Whether a token is let in, and whose it is: from the card, from the server, and from what the server said last.

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::{User, v1::TokenStatus},
    failure::{ExitClass, Failure},
    server_client::{ServerError, signed},
    terminal::lookups::LookupOutcome,
};

/// Whose word about the user counts. The status of the token is the server's in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserPreference {
    /// The card's when it is complete, the server's otherwise.
    Either,
    /// The card's.
    Card,
    /// The server's.
    Server,
}

/// How old what the server said may be while it is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Whose word counts.
    pub wanted: UserPreference,
    /// The feed of statuses.
    pub feed_max_age: SignedDuration,
    /// A signed user.
    pub offline_max_age: SignedDuration,
}

/// Who said who the user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The card.
    Card,
    /// The server, now or some time ago.
    Server,
}

/// What the server said to a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerVerdict {
    /// It knows it, and lets it in.
    Known,
    /// It did not answer.
    Away,
    /// It knows it, and does not let it in; or it does not know it.
    Refused,
}

/// A token that is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// Whose it is.
    pub user: User,
    /// Who said so.
    pub origin: Origin,
    /// What the server said.
    pub word: ServerVerdict,
    /// What whoever stands there is to know.
    pub warning: Option<String>,
}

/// Why a token is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The server says that it is not active.
    #[error("the token is {}{}", signed::word(*.status), because(.reason.as_deref()))]
    NotActive {
        /// What it is.
        status: TokenStatus,
        /// Why.
        reason: Option<String>,
    },
    /// The server is needed, and refuses or does not answer.
    #[error(transparent)]
    Server(#[from] ServerError),
}

fn because(reason: Option<&str>) -> String {
    reason.map(|reason| format!(": {}", reason.escape_debug())).unwrap_or_default()
}

impl Refusal {
    /// What the server said, in one word.
    pub const fn word(&self) -> ServerVerdict {
        match self {
            Self::NotActive { .. } | Self::Server(ServerError::Problem(_)) => ServerVerdict::Refused,
            Self::Server(_) => ServerVerdict::Away,
        }
    }
}

impl From<&Refusal> for Failure {
    fn from(refusal: &Refusal) -> Self {
        let status = match refusal {
            Refusal::Server(error) => return error.clone().into(),
            Refusal::NotActive { status, .. } => *status,
        };
        let (code, hint) = match status {
            TokenStatus::Lost => ("token.lost", "keep the card: it was reported lost"),
            TokenStatus::Revoked => ("token.revoked", "enroll the holder on a new card"),
            TokenStatus::Suspended | TokenStatus::Active => {
                ("token.suspended", "an administrator lets it in again: rollcall server token status ID active")
            }
        };
        Self::new(ExitClass::Refused, code, refusal.to_string()).hint(hint)
    }
}

/// Decides about a token that has proved who it is; `card` is the user information that it brought.
pub fn decide(card: &User, answered: &LookupOutcome, rules: &Rules, now: Timestamp) -> Result<Admitted, Refusal> {
    let error = match &answered.said {
        Ok(found) if found.status != TokenStatus::Active => {
            return Err(Refusal::NotActive { status: found.status, reason: found.reason.clone() });
        }
        Ok(found) => return present(card, found.user.as_ref(), rules.wanted),
        Err(error) => error,
    };
    match error.problem_code() {
        Some("token.unknown") if uses_card(card, rules.wanted) => {
            let warning = Some("the server does not know this token".into());
            Ok(Admitted { user: card.clone(), origin: Origin::Card, word: ServerVerdict::Refused, warning })
        }
        Some(code) if code == "token.unknown" || code.starts_with("proof.") => Err(error.clone().into()),
        _ => away(card, answered, error, rules, now),
    }
}

fn uses_card(card: &User, wanted: UserPreference) -> bool {
    let complete = !card.id.is_empty() && !card.name.is_empty();
    wanted == UserPreference::Card || (wanted == UserPreference::Either && complete)
}

fn present(card: &User, told: Option<&User>, wanted: UserPreference) -> Result<Admitted, Refusal> {
    let word = ServerVerdict::Known;
    if uses_card(card, wanted) {
        return Ok(Admitted { user: card.clone(), origin: Origin::Card, word, warning: None });
    }
    let none = || ServerError::Protocol("it let a token in, and did not say whose it is".into());
    let user = told.ok_or_else(none)?.clone();
    Ok(Admitted { user, origin: Origin::Server, word, warning: None })
}

/// What was known as not active stays so, however long ago that was. For the rest the feed has to be young enough,
/// or the card has to do.
fn away(
    card: &User,
    answered: &LookupOutcome,
    error: &ServerError,
    rules: &Rules,
    now: Timestamp,
) -> Result<Admitted, Refusal> {
    let kept = &answered.kept;
    if let Some((status, reason)) = &kept.status {
        return Err(Refusal::NotActive { status: *status, reason: reason.clone() });
    }
    let current = kept.feed_age.is_some_and(|age| age <= rules.feed_max_age);
    let word = ServerVerdict::Away;
    if uses_card(card, rules.wanted) {
        let warning = (!current).then(|| "what the server said of suspended tokens is too old; the card counts".into());
        return Ok(Admitted { user: card.clone(), origin: Origin::Card, word, warning });
    }
    let user = kept.user.as_ref().filter(|(_, at)| current && now.duration_since(*at) <= rules.offline_max_age);
    match user {
        Some((user, _)) => Ok(Admitted { user: user.clone(), origin: Origin::Server, word, warning: None }),
        None => Err(error.clone().into()),
    }
}
