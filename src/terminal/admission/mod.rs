//! Decides whether an authenticated token is admitted, and which user it stands for: one pure function,
//! [`Decision::decide`], of what the card showed, what this terminal knows about it, and what the server said.
//! [`TapOutcome`] reads the terminal's knowledge from the store and turns the decision into an input for the presence
//! list.

mod outcome;
mod refusal;
mod server;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    api::User,
    terminal::{
        lookups::LookupOutcome,
        presence::Source,
        tap::{Seen, TapError, TooFar},
    },
    token::open::AuthenticatedToken,
};
pub use outcome::TapOutcome;
pub use refusal::Refusal;
pub use server::{Clearance, Rules, UserPreference, consult};

/// The server's verdict on a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerVerdict {
    /// The server knows the token and admits it.
    Known,
    /// The server did not answer.
    Away,
    /// The server knows the token and refuses it, or does not know it.
    Refused,
}

/// The decision about a card that was tapped.
#[derive(Debug)]
pub enum Decision {
    /// The card is admitted.
    Admitted(Box<Admission>),
    /// The card gave its id, and no proof was asked for.
    Identified(Uuid),
    /// The card is not admitted.
    Refused(Box<Rejection>),
}

/// An admitted token.
#[derive(Debug)]
pub struct Admission {
    /// The token; its user is the one that counts, whether from the card or the server.
    pub token: AuthenticatedToken,
    /// Where the user comes from.
    pub source: Source,
    /// The server's verdict; `None` when it was not asked.
    pub server: Option<ServerVerdict>,
    /// A message for the person at the reader that is not a failure.
    pub warning: Option<String>,
}

/// A card that is not admitted.
#[derive(Debug)]
pub struct Rejection {
    /// Why.
    pub reason: Refusal,
    /// The token and its user, if that was proved.
    pub holder: Option<(Uuid, User)>,
    /// The server's verdict; `None` when it was not asked or did not matter.
    pub server: Option<ServerVerdict>,
    /// An additional message for the person at the reader.
    pub warning: Option<String>,
}

/// What this terminal knows about an authenticated token.
pub struct Knowledge<'a> {
    /// The newest use counter seen, if the one in this proof is not greater.
    pub last_counter: Option<u32>,
    /// How far the token exceeds the distance bound, if it does.
    pub too_far: Option<TooFar>,
    /// Whether the operator denied the token or the user with this id.
    pub denied: &'a dyn Fn(&str) -> bool,
    /// The server's answer, if it was asked, and the rules for applying it.
    pub server: Option<(&'a LookupOutcome, &'a Rules)>,
}

impl Decision {
    /// Decides. Local objections to the token come before the server's answer; a user whom the operator denied is
    /// refused also under the id that the server gives.
    pub fn decide(seen: Result<Seen, TapError>, known: &Knowledge<'_>, now: Timestamp) -> Self {
        let mut token = match seen {
            Ok(Seen::Identified(token_id)) => return Self::Identified(token_id),
            Ok(Seen::Authenticated(token)) => *token,
            Err(error) => return Self::Refused(Rejection::of(error.into(), None)),
        };
        let (token_id, found) = (token.token_id, token.counter());
        if let Some(last) = known.last_counter {
            return Self::Refused(Rejection::of(Refusal::Counter { last, found }, Some((token_id, token.user))));
        }
        if (known.denied)(&token_id.to_string()) || (known.denied)(&token.user.id) {
            return Self::Refused(Rejection::of(Refusal::Denied, Some((token_id, token.user))));
        }
        if let Some(too_far) = known.too_far {
            return Self::Refused(Rejection::of(Refusal::TooFar(too_far), Some((token_id, token.user))));
        }
        let Some((answered, rules)) = known.server else {
            return Self::Admitted(Box::new(Admission { token, source: Source::Card, server: None, warning: None }));
        };
        match consult(&token.user, answered, rules, now) {
            Err(reason) => Self::Refused(Rejection::of(reason, Some((token_id, token.user)))),
            Ok(Clearance { user, verdict, warning, .. }) if (known.denied)(&user.id) => {
                let (holder, server) = (Some((token_id, user)), Some(verdict));
                Self::Refused(Box::new(Rejection { reason: Refusal::Denied, holder, server, warning }))
            }
            Ok(Clearance { user, source, verdict, warning }) => {
                token.user = user;
                Self::Admitted(Box::new(Admission { token, source, server: Some(verdict), warning }))
            }
        }
    }

    /// The token, if it is admitted.
    pub fn admitted(&self) -> Option<&Admission> {
        if let Self::Admitted(admission) = self { Some(admission) } else { None }
    }

    /// Why it is refused, if it is.
    pub fn refused(&self) -> Option<&Rejection> {
        if let Self::Refused(rejection) = self { Some(rejection) } else { None }
    }

    /// The token and its user, if that was proved; also for a refused token.
    pub fn holder(&self) -> Option<(Uuid, &User)> {
        match self {
            Self::Admitted(admission) => Some((admission.token.token_id, &admission.token.user)),
            Self::Identified(_) => None,
            Self::Refused(rejection) => rejection.holder.as_ref().map(|(token_id, user)| (*token_id, user)),
        }
    }

    /// The server's verdict; `None` when it was not asked or did not matter.
    pub fn server(&self) -> Option<ServerVerdict> {
        match self {
            Self::Admitted(admission) => admission.server,
            Self::Identified(_) => None,
            Self::Refused(rejection) => rejection.server,
        }
    }

    /// A message for the person at the reader that is not a failure.
    pub fn warning(&self) -> Option<&str> {
        match self {
            Self::Admitted(admission) => admission.warning.as_deref(),
            Self::Identified(_) => None,
            Self::Refused(rejection) => rejection.warning.as_deref(),
        }
    }
}

impl Rejection {
    fn of(reason: Refusal, holder: Option<(Uuid, User)>) -> Box<Self> {
        Box::new(Self { server: reason.server_verdict(), reason, holder, warning: None })
    }
}
