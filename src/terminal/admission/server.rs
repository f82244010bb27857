//! Applies the server's answer about a token, the current one or the last one known, to an authenticated token.

use jiff::{SignedDuration, Timestamp};

use super::{Refusal, ServerVerdict};
use crate::{
    api::{
        User,
        problem::ProblemCode,
        v1::{Problem, TokenStatus},
    },
    server_client::ServerError,
    terminal::{lookups::LookupOutcome, presence::Source},
};

/// Whose user information counts. The status of the token is always the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserPreference {
    /// The card's if it is complete, otherwise the server's.
    Either,
    /// The card's.
    Card,
    /// The server's.
    Server,
}

/// Whose user information counts, and how old the server's answers may be while it is unreachable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Whose user information counts.
    pub wanted: UserPreference,
    /// The maximum age of the status feed.
    pub feed_max_age: SignedDuration,
    /// The maximum age of a signed user.
    pub offline_max_age: SignedDuration,
}

/// A token that the server admits, now or by its last answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clearance {
    /// The user.
    pub user: User,
    /// Where the user comes from: the card or the server.
    pub source: Source,
    /// The server's verdict.
    pub verdict: ServerVerdict,
    /// A message for the person at the reader.
    pub warning: Option<String>,
}

/// Applies the server's answer to an authenticated token; `card` is the user information read from the card.
///
/// # Errors
/// [`Refusal::NotActive`] for a status other than active; [`Refusal::Server`] when the server refuses, or does not
/// answer and the rules do not admit the token without it.
pub fn consult(card: &User, answered: &LookupOutcome, rules: &Rules, now: Timestamp) -> Result<Clearance, Refusal> {
    let error = match &answered.said {
        Ok(found) if found.status != TokenStatus::Active => {
            return Err(Refusal::NotActive { status: found.status, reason: found.reason.clone() });
        }
        Ok(found) => return present(card, found.user.as_ref(), rules.wanted),
        Err(error) => error,
    };
    match error.problem() {
        Some(problem) if is_unknown(problem) && uses_card(card, rules.wanted) => {
            let warning = Some("the server does not know this token".into());
            Ok(Clearance { user: card.clone(), source: Source::Card, verdict: ServerVerdict::Refused, warning })
        }
        Some(problem) if problem.is_of_token() => Err(error.clone().into()),
        _ => away(card, answered, error, rules, now),
    }
}

fn is_unknown(problem: &Problem) -> bool {
    problem.known_code() == Some(ProblemCode::TokenUnknown)
}

fn uses_card(card: &User, wanted: UserPreference) -> bool {
    let complete = !card.id.is_empty() && !card.name.is_empty();
    wanted == UserPreference::Card || (wanted == UserPreference::Either && complete)
}

fn present(card: &User, told: Option<&User>, wanted: UserPreference) -> Result<Clearance, Refusal> {
    let verdict = ServerVerdict::Known;
    if uses_card(card, wanted) {
        return Ok(Clearance { user: card.clone(), source: Source::Card, verdict, warning: None });
    }
    let none = || ServerError::Protocol("it let a token in, and did not say whose it is".into());
    let user = told.ok_or_else(none)?.clone();
    Ok(Clearance { user, source: Source::Server, verdict, warning: None })
}

/// Applies the cached answers. A status once known as not active stays, however old. Otherwise the feed must be recent
/// enough, or the card's own information must suffice.
fn away(
    card: &User,
    answered: &LookupOutcome,
    error: &ServerError,
    rules: &Rules,
    now: Timestamp,
) -> Result<Clearance, Refusal> {
    let kept = &answered.kept;
    if let Some((status, reason)) = &kept.status {
        return Err(Refusal::NotActive { status: *status, reason: reason.clone() });
    }
    let current = kept.feed_age.is_some_and(|age| age <= rules.feed_max_age);
    let verdict = ServerVerdict::Away;
    if uses_card(card, rules.wanted) {
        let warning =
            (!current).then(|| "the server's list of suspended tokens is too old; the card's own data is used".into());
        return Ok(Clearance { user: card.clone(), source: Source::Card, verdict, warning });
    }
    let user = kept.user.as_ref().filter(|(_, at)| current && now.duration_since(*at) <= rules.offline_max_age);
    match user {
        Some((user, _)) => Ok(Clearance { user: user.clone(), source: Source::Server, verdict, warning: None }),
        None => Err(error.clone().into()),
    }
}
