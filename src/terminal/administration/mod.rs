//! Administration of one issued token over an SCP11a channel of the role WRITE or ADMIN: its user information and its
//! life cycle. Every change is ordered so that repeating it completes what a card removed too early left half-done.
//!
//! A private token reveals neither id nor state until it is opened under its own key, so it is opened even before the
//! operator is asked whether it is the right one.

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

/// A change to a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenOperation {
    /// Replace its user information with this.
    Write(Layout),
    /// Take it out of use temporarily.
    Block,
    /// Put it back into use.
    Unblock,
    /// Take it out of use permanently.
    Terminate,
}

impl TokenOperation {
    /// The lowest role that may do this.
    pub const fn role(&self) -> TerminalRole {
        match self {
            Self::Write(_) => TerminalRole::Write,
            Self::Block | Self::Unblock | Self::Terminate => TerminalRole::Admin,
        }
    }

    /// The state of the token after this operation.
    pub const fn target(&self, now: LifeCycle) -> LifeCycle {
        match self {
            Self::Write(_) => now,
            Self::Block => LifeCycle::Blocked,
            Self::Unblock => LifeCycle::Issued,
            Self::Terminate => LifeCycle::Terminated,
        }
    }

    /// Whether a token in this state needs no change. The state does not show what the record says, so a write never
    /// counts.
    fn is_done(&self, state: LifeCycle) -> bool {
        !matches!(self, Self::Write(_)) && self.target(state) == state
    }
}

/// A token whose keys are to be replaced, by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationTarget {
    /// It has been moved already.
    Moved(Uuid),
    /// It still has the previous keys.
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

/// A token as it presents itself before anything is proved, or, if private, after it was opened: enough to ask the
/// operator whether it is the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Its id. A terminated token does not reveal it.
    pub token_id: Option<Uuid>,
    /// Its state.
    pub state: LifeCycle,
}

impl Target {
    /// Identifies the card without changing it, and refuses one that can never be changed this way. A single SELECT is
    /// enough for a token in open mode.
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

    /// Whether nothing is left to do: an earlier run did it, and its answer may have been lost.
    pub fn is_done(&self, change: &TokenOperation) -> bool {
        change.is_done(self.state)
    }
}

/// Refuses a terminal whose role does not allow the change, before a card is touched.
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

/// Changes the token that was confirmed, and no other. Returns true when there was something to do.
///
/// `is_sent` says whether an earlier attempt with the same card sent the changing command: whether it was carried out
/// is then unknown, and a token already in the target state counts as changed. It is set before anything is sent.
///
/// # Errors
/// [`AdministrationError::Role`]; [`AdministrationError::OtherCard`] for another card, or the same card in another
/// state; [`AdministrationError::Token`] when the link or the channel fails, or the token refuses.
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
        // A terminated token reveals no id.
        if *is_sent && change.is_done(found.state) && found.token_id.is_none_or(|id| confirmed.token_id == Some(id)) {
            return Ok(true);
        }
        // When there was nothing to do, the operator was not asked; so the state must match too.
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

/// Opens the token under its own key. The certificate, which is verified here, names the id; the receipt proves that
/// the token holds that key.
fn open(
    link: &mut dyn Link,
    context: &mut AuthenticationContext<'_>,
    selected: &Selected,
) -> Result<(Target, Session), AdministrationError> {
    let (token_id, mut channel) = context.open_own(link, selected)?;
    let state = match channel.session.heartbeat(link) {
        Err(refusal @ TokenError::Refused { status: Status::CONDITIONS, .. }) if is_private(selected) => {
            // SELECT of a private token does not show that it is blocked; only an administrator may go on with a
            // blocked one.
            return Err(match context.blocked_or_outdated(link, selected, &mut channel.session, refusal) {
                TokenError::Refused { .. } => TokenError::NotIssued(LifeCycle::Blocked),
                other => other,
            }
            .into());
        }
        // The first command of the channel: this is where a token refuses an outdated terminal certificate.
        Err(TokenError::Refused { status: Status::CONDITIONS, .. }) => {
            return Err(TokenError::TerminalRefused(Status::CONDITIONS).into());
        }
        state => state?,
    };
    Ok((Target { token_id: Some(token_id), state }, channel.session))
}

/// Replaces the record. Details are written before the compact record that points to them, and details that nothing
/// points to any more are cleared last. If interrupted, the token shows its old or its new user in full; only when both
/// have details and their ids differ is it refused until this is run again.
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
