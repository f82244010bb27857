//! Whether a token that has proved itself is let in, and whose it is: one pure decision, [`Decision::decide`], from what the card
//! showed, what this terminal knows of it, and what the server said. [`TapOutcome`] asks the store for the second and
//! says what the list is to be given.

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

/// What becomes of a card that was tapped.
#[derive(Debug)]
pub enum Decision {
    /// It is let in.
    Admitted(Box<Admission>),
    /// It told its id, and nothing was proved, as was asked for.
    Identified(Uuid),
    /// It is not let in.
    Refused(Box<Rejection>),
}

/// A token that is let in.
#[derive(Debug)]
pub struct Admission {
    /// The token; its user is the one that counts, whoever named it.
    pub token: AuthenticatedToken,
    /// Who named the user.
    pub source: Source,
    /// What the server said; none when it was not asked.
    pub server: Option<ServerVerdict>,
    /// What whoever stands there is to know, though it is no failure.
    pub warning: Option<String>,
}

/// A card that is not let in.
#[derive(Debug)]
pub struct Rejection {
    /// Why.
    pub reason: Refusal,
    /// Which token it is and whose, where that was proved.
    pub holder: Option<(Uuid, User)>,
    /// What the server said; none when it was not asked, or did not matter.
    pub server: Option<ServerVerdict>,
    /// What whoever stands there is to know besides.
    pub warning: Option<String>,
}

/// What this terminal knows of a token that has proved who it is.
pub struct Knowledge<'a> {
    /// The newest use counter that was seen of it, where that of this proof is not greater.
    pub last_counter: Option<u32>,
    /// By how much it is above the bound on distance, where it is.
    pub too_far: Option<TooFar>,
    /// Whether the operator denied the token or the user with this id.
    pub denied: &'a dyn Fn(&str) -> bool,
    /// What the server said, where it was asked, and what of it counts.
    pub server: Option<(&'a LookupOutcome, &'a Rules)>,
}

impl Decision {
    /// Decides. What this terminal has against a token counts before the server is heard; whom the operator denied under
    /// the id that the server gives is refused too.
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

    /// The token that is let in.
    pub fn admitted(&self) -> Option<&Admission> {
        if let Self::Admitted(admission) = self { Some(admission) } else { None }
    }

    /// Why not.
    pub fn refused(&self) -> Option<&Rejection> {
        if let Self::Refused(rejection) = self { Some(rejection) } else { None }
    }

    /// Which token it is and whose, where that was proved; of a refused one too.
    pub fn holder(&self) -> Option<(Uuid, &User)> {
        match self {
            Self::Admitted(admission) => Some((admission.token.token_id, &admission.token.user)),
            Self::Identified(_) => None,
            Self::Refused(rejection) => rejection.holder.as_ref().map(|(token_id, user)| (*token_id, user)),
        }
    }

    /// What the server said; none when it was not asked, or did not matter.
    pub fn server(&self) -> Option<ServerVerdict> {
        match self {
            Self::Admitted(admission) => admission.server,
            Self::Identified(_) => None,
            Self::Refused(rejection) => rejection.server,
        }
    }

    /// What whoever stands there is to know, though it is no failure.
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
