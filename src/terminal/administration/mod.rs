//! Administration of one issued token over an SCP11a channel of the role WRITE or ADMIN: its user information and its
//! life cycle. Every change is written so that repeating it finishes what a lifted card has left half-done.
//!
//! A private token shows neither id nor state until it is opened under its own key, so it is opened before it is asked
//! whether it is meant, too.

pub mod card;
pub mod card_record;
pub mod failure;
pub mod fleet;
pub mod rotate;
pub mod rotation_run;
pub mod sets;
pub mod status;
pub mod terminals;
pub mod token_change;

use crate::channel::CommandName;
use uuid::Uuid;

pub use failure::AdministrationError;

use crate::{
    card::{link::Link, status::Status},
    crypto::x509::{CertificateProfile, TerminalRole},
    token::{
        TokenError, commands,
        constants::{TAG_DETAILS, TAG_RECORD},
        open::{AuthenticationContext, identify},
        record::Layout,
        select::{LifeCycle, Selected, TokenMode},
        session::Session,
    },
};

/// What is to be done to a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenOperation {
    /// Replace its user information by this.
    Write(Layout),
    /// Take it out of use for now.
    Block,
    /// Take it into use again.
    Unblock,
    /// Take it out of use for ever.
    Terminate,
}

impl TokenOperation {
    /// The least role that may do this.
    pub const fn role(&self) -> TerminalRole {
        match self {
            Self::Write(_) => TerminalRole::Write,
            Self::Block | Self::Unblock | Self::Terminate => TerminalRole::Admin,
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

/// A token whose keys are to be replaced: by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationTarget {
    /// Nothing is left to do.
    Moved(Uuid),
    /// It has the keys before.
    Old(Uuid),
}

impl RotationTarget {
    /// Its id.
    pub const fn id(&self) -> Uuid {
        match self {
            Self::Moved(id) | Self::Old(id) => *id,
        }
    }
}

/// A token as it shows itself, before anything of it is proved, or as a private one was opened: enough to ask whether it
/// is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Its id. A terminated token tells none.
    pub token_id: Option<Uuid>,
    /// Its state.
    pub state: LifeCycle,
}

impl Target {
    /// Looks at the card, which changes nothing on it, and refuses what can never be changed so. One SELECT tells enough
    /// of a token in open mode.
    ///
    /// # Errors
    /// [`AdministrationError::Foreign`] without the applet; [`AdministrationError::Token`] for a token in a state that
    /// does not allow the change, and when the link or the channel fails.
    pub fn find(
        link: &mut dyn Link,
        context: &mut AuthenticationContext<'_>,
        change: &TokenOperation,
    ) -> Result<Self, AdministrationError> {
        let selected = identify(link, context.format)?.ok_or(AdministrationError::Foreign)?;
        if is_private(&selected) { Ok(open(link, context, &selected)?.0) } else { Self::of(&selected, change) }
    }

    fn of(selected: &Selected, change: &TokenOperation) -> Result<Self, AdministrationError> {
        let state = selected.state;
        match (state, selected.mode) {
            (LifeCycle::Terminated, _) if *change == TokenOperation::Terminate => Ok(Self { token_id: None, state }),
            (LifeCycle::Issued | LifeCycle::Blocked, Some(TokenMode::Open(id))) => {
                Ok(Self { token_id: Some(id), state })
            }
            _ => Err(TokenError::NotIssued(state).into()),
        }
    }

    /// Whether there is nothing to do: an earlier run has done it, and perhaps its answer was lost.
    pub fn is_done(&self, change: &TokenOperation) -> bool {
        change.is_done(self.state)
    }
}

/// Refuses a terminal that may not do this, before a card is touched.
///
/// # Errors
/// [`AdministrationError::Role`].
pub fn check_role(class: CertificateProfile, change: &TokenOperation) -> Result<(), AdministrationError> {
    check_role_of(class, change.role())
}

fn check_role_of(class: CertificateProfile, needed: TerminalRole) -> Result<(), AdministrationError> {
    let held = match class {
        CertificateProfile::Terminal(role) => role,
        _ => TerminalRole::Read,
    };
    if held >= needed { Ok(()) } else { Err(AdministrationError::Role { needed, held }) }
}

/// Does it to the token that was confirmed, and to no other. True when there was something to do.
///
/// `is_sent` says whether an earlier attempt with the same card has sent what changes it: then nobody knows whether it was
/// carried out, and where it was, it is done. It is set before anything is sent.
///
/// # Errors
/// [`AdministrationError::Role`]; [`AdministrationError::OtherCard`] when another card lies there, or the same in
/// another state; [`AdministrationError::Token`] when the link or the channel fails, or the token refuses.
pub fn change(
    link: &mut dyn Link,
    context: &mut AuthenticationContext<'_>,
    confirmed: &Target,
    change: &TokenOperation,
    is_sent: &mut bool,
) -> Result<bool, AdministrationError> {
    let held = context.credentials.certificate.class();
    check_role(held, change)?;
    let selected = identify(link, context.format)?.ok_or(AdministrationError::OtherCard)?;
    if !is_private(&selected) {
        let found = Target::of(&selected, change)?;
        // One that is terminated tells no id.
        if *is_sent && change.is_done(found.state) && found.token_id.is_none_or(|id| confirmed.token_id == Some(id)) {
            return Ok(true);
        }
        // Where there was nothing to do nobody was asked: so the state counts, too.
        if found != *confirmed {
            return Err(AdministrationError::OtherCard);
        }
        if found.token_id.is_none() {
            return Ok(false);
        }
        if found.state == LifeCycle::Blocked && held != CertificateProfile::Terminal(TerminalRole::Admin) {
            return Err(TokenError::NotIssued(LifeCycle::Blocked).into());
        }
    }
    let (proved, mut session) = open(link, context, &selected)?;
    if *is_sent && change.is_done(proved.state) && proved.token_id == confirmed.token_id {
        return Ok(true);
    }
    if proved != *confirmed {
        let told = !is_private(&selected);
        return Err(if told { TokenError::IdentityMismatch.into() } else { AdministrationError::OtherCard });
    }
    let state = proved.state;
    if change.is_done(state) {
        return Ok(false);
    }
    *is_sent = true;
    match change {
        TokenOperation::Write(layout) => write(link, &mut session, layout)?,
        TokenOperation::Block | TokenOperation::Unblock | TokenOperation::Terminate => {
            session.tell(link, CommandName::SetStatus, &commands::set_status(change.target(state), None))?;
        }
    }
    Ok(true)
}

const fn is_private(selected: &Selected) -> bool {
    matches!(selected.mode, Some(TokenMode::Private(_)))
}

/// Opens the token under its own key. The certificate that this checks names the id; that the token holds its key is shown
/// by the receipt.
fn open(
    link: &mut dyn Link,
    context: &mut AuthenticationContext<'_>,
    selected: &Selected,
) -> Result<(Target, Session), AdministrationError> {
    let (token_id, mut channel) = context.open_own(link, selected)?;
    let state = match channel.session.heartbeat(link) {
        Err(refusal @ TokenError::Refused { status: Status::CONDITIONS, .. }) if is_private(selected) => {
            // It does not show in SELECT that it is blocked, and then this is for an administrator.
            return Err(match context.blocked_or_outdated(link, selected, &mut channel.session, refusal) {
                TokenError::Refused { .. } => TokenError::NotIssued(LifeCycle::Blocked),
                other => other,
            }
            .into());
        }
        // The first command of a channel: here a token refuses an outdated certificate.
        Err(TokenError::Refused { status: Status::CONDITIONS, .. }) => {
            return Err(TokenError::TerminalRefused(Status::CONDITIONS).into());
        }
        state => state?,
    };
    Ok((Target { token_id: Some(token_id), state }, channel.session))
}

/// Replaces the record. The compact one is written after the details that it points to, and old details that nothing
/// points to any more are emptied last. Torn between the two, the token shows its old or its new user whole; only when
/// both have details and their ids differ is it refused, until this is run again.
fn write(link: &mut dyn Link, session: &mut Session, layout: &Layout) -> Result<(), TokenError> {
    const STEP: CommandName = CommandName::PutData;
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
