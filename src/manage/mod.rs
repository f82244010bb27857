//! Administration of one issued token over an SCP11a channel of the role WRITE or ADMIN: its user information and its
//! life cycle. Every change is written so that repeating it finishes what a lifted card has left half-done.
//!
//! Deliberately absent: private tokens. Their own key, under which alone they take changes, is not fetched yet.

pub mod rotate;

use uuid::Uuid;

use crate::{
    card::{apdu::Format, link::Link, status::Status},
    crypto::x509::{Class, Role},
    token::{
        TokenError, commands,
        constants::{TAG_DETAILS, TAG_RECORD},
        open::{Visit, identify},
        record::Layout,
        select::{LifeCycle, Privacy, Selected},
        session::Session,
    },
};

/// What is to be done to a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Replace its user information by this.
    Write(Layout),
    /// Take it out of use for now.
    Block,
    /// Take it into use again.
    Unblock,
    /// Take it out of use for ever.
    Terminate,
}

impl Change {
    /// The least role that may do this.
    pub const fn role(&self) -> Role {
        match self {
            Self::Write(_) => Role::Write,
            Self::Block | Self::Unblock | Self::Terminate => Role::Admin,
        }
    }

    /// The state in which this leaves the token.
    pub const fn target(&self, now: LifeCycle) -> LifeCycle {
        match self {
            Self::Write(_) => now,
            Self::Block => LifeCycle::Blocked,
            Self::Unblock => LifeCycle::Issued,
            Self::Terminate => LifeCycle::Terminated,
        }
    }

    /// Whether a token in this state has nothing left to do. What a record says is not seen from outside.
    fn is_done(&self, state: LifeCycle) -> bool {
        !matches!(self, Self::Write(_)) && self.target(state) == state
    }
}

/// Why a token was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ManageError {
    /// The token, the link or the channel failed.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The card has no Rollcall applet.
    #[error("the card has no Rollcall applet")]
    Foreign,
    /// The token shows no id, and takes changes under its own key only.
    #[error("the token is in private mode: it cannot be administered yet")]
    Private,
    /// There is no CA before the one that is here.
    #[error("the CA is not being rotated")]
    NoRotation,
    /// The new CA does not certify the token's keys.
    #[error("the new CA did not certify the token's keys: {0}")]
    NotCertified(String),
    /// Another card lies there than the one that was confirmed.
    #[error("this is not the card that was confirmed, or not in the same state any more")]
    OtherCard,
    /// This terminal's certificate has too low a role.
    #[error("this takes a terminal with the role {needed}, and this one has {held}", needed = .needed.word(), held = .held.word())]
    Role {
        /// What it takes.
        needed: Role,
        /// What the certificate says.
        held: Role,
    },
}

/// A token as it shows itself, before anything of it is proved: enough to ask whether it is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Its id. A terminated token tells none.
    pub token_id: Option<Uuid>,
    /// Its state.
    pub state: LifeCycle,
}

impl Target {
    /// Looks at the card with one SELECT, which changes nothing on it, and refuses what can never be changed so.
    pub fn find(link: &mut dyn Link, format: Format, change: &Change) -> Result<Self, ManageError> {
        Self::of(&identify(link, format)?.ok_or(ManageError::Foreign)?, change)
    }

    fn of(selected: &Selected, change: &Change) -> Result<Self, ManageError> {
        let state = selected.state;
        match (state, selected.privacy) {
            (LifeCycle::Terminated, _) if *change == Change::Terminate => Ok(Self { token_id: None, state }),
            (LifeCycle::Issued | LifeCycle::Blocked, Some(Privacy::Open(id))) => Ok(Self { token_id: Some(id), state }),
            (LifeCycle::Issued | LifeCycle::Blocked, _) => Err(ManageError::Private),
            _ => Err(TokenError::NotIssued(state).into()),
        }
    }

    /// Whether there is nothing to do: an earlier run has done it, and perhaps its answer was lost.
    pub fn is_done(&self, change: &Change) -> bool {
        change.is_done(self.state)
    }
}

/// Refuses a terminal that may not do this, before a card is touched.
pub fn check_role(class: Class, change: &Change) -> Result<(), ManageError> {
    check_role_of(class, change.role())
}

fn check_role_of(class: Class, needed: Role) -> Result<(), ManageError> {
    let held = match class {
        Class::Terminal(role) => role,
        _ => Role::Read,
    };
    if held >= needed { Ok(()) } else { Err(ManageError::Role { needed, held }) }
}

/// Does it to the token that was confirmed, and to no other. True when there was something to do.
pub fn change(
    link: &mut dyn Link,
    visit: &mut Visit<'_>,
    confirmed: &Target,
    change: &Change,
) -> Result<bool, ManageError> {
    let held = visit.credentials.certificate.class();
    check_role(held, change)?;
    let selected = identify(link, visit.format)?.ok_or(ManageError::OtherCard)?;
    let found = Target::of(&selected, change)?;
    // Where there was nothing to do nobody was asked: so the state counts, too.
    if found != *confirmed {
        return Err(ManageError::OtherCard);
    }
    if found.token_id.is_none() {
        return Ok(false);
    }
    if found.state == LifeCycle::Blocked && held != Class::Terminal(Role::Admin) {
        return Err(TokenError::NotIssued(LifeCycle::Blocked).into());
    }
    // The certificate that this checks names the id; that the token holds its key is shown by the receipt.
    let mut session = visit.open(link, &selected)?.session;
    let state = proved_state(link, &mut session)?;
    if state != found.state {
        return Err(TokenError::IdentityMismatch.into());
    }
    if change.is_done(state) {
        return Ok(false);
    }
    match change {
        Change::Write(layout) => write(link, &mut session, layout)?,
        Change::Block | Change::Unblock | Change::Terminate => {
            session.tell(link, "SET STATUS", &commands::set_status(change.target(state), None))?;
        }
    }
    Ok(true)
}

/// The state as the channel tells it. This is its first command: here a token refuses an outdated certificate.
fn proved_state(link: &mut dyn Link, session: &mut Session) -> Result<LifeCycle, TokenError> {
    match session.heartbeat(link) {
        Err(TokenError::Refused { status: Status::CONDITIONS, .. }) => {
            Err(TokenError::TerminalRefused(Status::CONDITIONS))
        }
        state => state,
    }
}

/// Replaces the record. The compact one is written after the details that it points to, and old details that nothing
/// points to any more are emptied last. Torn between the two, the token shows its old or its new user whole; only when
/// both have details and their ids differ is it refused, until this is run again.
fn write(link: &mut dyn Link, session: &mut Session, layout: &Layout) -> Result<(), TokenError> {
    const STEP: &str = "PUT DATA";
    let compact = commands::write_object(TAG_RECORD, &layout.compact);
    if let Some(details) = &layout.details {
        session.write_parts(link, TAG_DETAILS, details)?;
        return session.tell(link, STEP, &compact);
    }
    session.tell(link, STEP, &compact)?;
    session.write_parts(link, TAG_DETAILS, &[])
}

#[cfg(test)]
mod tests;
