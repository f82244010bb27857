//! What the server's word means for a token: what it says now, and what it said last.

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

/// A token that the server lets in, now or by what it said last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clearance {
    /// Whose it is.
    pub user: User,
    /// Who said so; the server now or some time ago.
    pub source: Source,
    /// What the server said.
    pub verdict: ServerVerdict,
    /// What whoever stands there is to know.
    pub warning: Option<String>,
}

/// What the server's word means for a token that has proved who it is; `card` is the user information that it brought.
///
/// # Errors
/// [`Refusal::NotActive`] for a status other than active; [`Refusal::Server`] when the server refuses, or does not
/// answer and the rules do not let in without it.
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

/// What was known as not active stays so, however long ago that was. For the rest the feed has to be young enough,
/// or the card has to do.
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
        let warning = (!current).then(|| "the server's list of suspended tokens is too old; the card counts".into());
        return Ok(Clearance { user: card.clone(), source: Source::Card, verdict, warning });
    }
    let user = kept.user.as_ref().filter(|(_, at)| current && now.duration_since(*at) <= rules.offline_max_age);
    match user {
        Some((user, _)) => Ok(Clearance { user: user.clone(), source: Source::Server, verdict, warning: None }),
        None => Err(error.clone().into()),
    }
}
