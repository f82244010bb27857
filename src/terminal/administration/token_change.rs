//! One change to the token in a reader: found, confirmed by the caller, carried out, and reported to the server.

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Target, TokenOperation,
    card::in_transaction,
    card_record::CardRecord,
    change, check_role_of,
    status::{ServerStatus, report},
};
use crate::{
    api::User,
    card::link::Link,
    crypto::x509::TerminalRole,
    failure::{ExitClass, Failure},
    terminal::{
        context::TerminalContext,
        enrollment::EnrollError,
        presence::store::{CardState, TerminalStore},
        server_access::known_user,
        user_patch::{UserChange, UserPatch, changes, with_fields_of_card},
    },
    token::{
        open::{AuthenticationContext, Credentials},
        record::Layout,
        select::LifeCycle,
    },
};

/// A requested change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenOrder {
    /// Change the given parts of its user information.
    Write(UserPatch),
    /// Take it out of use temporarily.
    Block,
    /// Put it back into use.
    Unblock,
    /// Take it out of use permanently.
    Terminate,
}

impl TokenOrder {
    /// The lowest role that may do this.
    const fn role(&self) -> TerminalRole {
        match self {
            Self::Write(_) => TerminalRole::Write,
            Self::Block | Self::Unblock | Self::Terminate => TerminalRole::Admin,
        }
    }
}

/// A request, resolved for the token that was found.
#[derive(Debug)]
pub struct PlannedChange {
    /// What to do.
    pub operation: TokenOperation,
    /// The token to change.
    pub target: Target,
    /// The token's user after a write.
    pub user: Option<User>,
    /// How a write changes the user information on the card.
    pub changes: Vec<UserChange>,
    /// Fields on the card that the server does not know; a write keeps them.
    pub kept: Vec<String>,
    /// Changes that nobody requested: the card differs from the server, whose record is the base.
    pub drift: Vec<UserChange>,
    /// Requested values that differ from the server's record of the user; `before` is the server's value.
    pub unlike_server: Vec<UserChange>,
    /// Whether nothing is left to do.
    pub is_done: bool,
    /// Why the server's record of the user could not be fetched; the card is then the base.
    pub unasked: Option<Failure>,
}

/// A requested change. Between [`TokenChangeRun::find`] and [`TokenChangeRun::carry_out`] no card is held.
pub struct TokenChangeRun {
    terminal: TerminalContext,
    credentials: Credentials,
    reader: String,
    order: TokenOrder,
}

/// The result of a change.
#[derive(Debug)]
pub struct TokenChangeReport {
    /// Whether there was something to do.
    pub changed: bool,
    /// The state that the token is now in.
    pub state: LifeCycle,
    /// The status of the token at the server afterwards; `None` without a server, or when there is nothing to report.
    /// The card is changed even when this failed.
    pub server: Result<Option<ServerStatus>, Failure>,
}

impl TokenChangeRun {
    /// Loads this terminal's keys, before a card is touched.
    ///
    /// # Errors
    /// When they are missing, or their role is too low.
    pub fn open(terminal: TerminalContext, reader: String, order: TokenOrder) -> Result<Self, Failure> {
        let credentials = terminal.credentials(Timestamp::now())?;
        check_role_of(credentials.certificate.class(), order.role())?;
        Ok(Self { terminal, credentials, reader, order })
    }

    /// Finds the token in the reader and plans the change; nothing on the card changes.
    ///
    /// # Errors
    /// When there is no token, or one that can never be changed this way.
    pub fn find(&self) -> Result<PlannedChange, Failure> {
        let operation = match &self.order {
            TokenOrder::Write(patch) => return self.find_user(patch),
            TokenOrder::Block => TokenOperation::Block,
            TokenOrder::Unblock => TokenOperation::Unblock,
            TokenOrder::Terminate => TokenOperation::Terminate,
        };
        let find =
            |link: &mut dyn Link, context: &mut AuthenticationContext<'_>| Target::find(link, context, &operation);
        let (target, _) = in_transaction(&self.terminal, &self.credentials, &self.reader, find)?;
        let is_done = target.is_done(&operation);
        Ok(PlannedChange {
            operation,
            target,
            user: None,
            changes: Vec::new(),
            kept: Vec::new(),
            drift: Vec::new(),
            unlike_server: Vec::new(),
            is_done,
            unasked: None,
        })
    }

    /// Plans a write. The base is the server's record of the user plus the fields that only the card has; without such
    /// a record, what the card says.
    fn find_user(&self, patch: &UserPatch) -> Result<PlannedChange, Failure> {
        let ((target, record), _) = in_transaction(&self.terminal, &self.credentials, &self.reader, CardRecord::read)?;
        let (known, unasked) = match patch.id.as_ref().or(record.user.as_ref().map(|user| &user.id)) {
            Some(id) => match self.terminal.server.as_ref().map(|server| known_user(&server.connect()?, id)) {
                Some(Err(failure)) => (None, Some(failure)),
                Some(Ok(known)) => (known, None),
                None => (None, None),
            },
            None => (None, None),
        };
        let of_card = record.user.as_ref();
        // An earlier write may have put fields on the card that never reached the server.
        let of_one_user = matches!((&known, of_card), (Some(known), Some(card)) if known.id == card.id);
        let (base, mut kept) = match (&known, of_card) {
            (Some(known), Some(card)) if of_one_user => {
                let (base, only) = with_fields_of_card(known, card);
                (Some(base), only)
            }
            _ => (known.clone().or_else(|| of_card.cloned()), Vec::new()),
        };
        kept.retain(|key| !patch.fields.contains_key(key));
        let user = patch.apply(base.as_ref())?;
        let layout = Layout::of(&user).map_err(EnrollError::from)?;
        let (is_done, changed) = (record.is(&layout), changes(record.user.as_ref(), &user));
        let unnamed = |change: &&UserChange| of_one_user && !patch.names(&change.part);
        let drift = changed.iter().filter(unnamed).cloned().collect();
        let mut unlike_server = known.map(|known| changes(Some(&known), &user)).unwrap_or_default();
        unlike_server.retain(|change| patch.names(&change.part));
        let operation = TokenOperation::Write(layout);
        Ok(PlannedChange {
            operation,
            target,
            user: Some(user),
            changes: changed,
            kept,
            drift,
            unlike_server,
            is_done,
            unasked,
        })
    }

    /// Changes the token that was confirmed, and no other.
    ///
    /// # Errors
    /// When another card is there, or the exchange fails: if a change was sent, whether it was carried out is unknown,
    /// and repeating it completes it.
    pub fn carry_out(&self, planned: &PlannedChange) -> Result<TokenChangeReport, Failure> {
        let PlannedChange { operation, target, .. } = planned;
        if planned.is_done && matches!(operation, TokenOperation::Write(_)) {
            return Ok(TokenChangeReport { changed: false, state: target.state, server: Ok(None) });
        }
        let mut is_sent = false;
        let work = |link: &mut dyn Link, context: &mut AuthenticationContext<'_>| {
            change(link, context, target, operation, &mut is_sent)
        };
        let visited = in_transaction(&self.terminal, &self.credentials, &self.reader, work);
        let (changed, _) = visited.map_err(|failure| if is_sent { unfinished(failure) } else { failure })?;
        // The card is changed in any case: a register that cannot be written is reported, but does not undo that.
        let noted = target.token_id.map_or(Ok(()), |id| self.note(id, planned));
        let server = self.terminal.server.as_ref();
        let server = target.token_id.map_or(Ok(None), |id| report(operation, id, server));
        let server = noted.and(server);
        Ok(TokenChangeReport { changed, state: operation.target(target.state), server })
    }

    /// Records the change in the register of the cards issued here.
    fn note(&self, token_id: Uuid, planned: &PlannedChange) -> Result<(), Failure> {
        let Some(mut store) = TerminalStore::open_if_there(&self.terminal.state_folder)? else { return Ok(()) };
        let state = match planned.operation {
            TokenOperation::Write(_) => None,
            TokenOperation::Block => Some(CardState::Blocked),
            TokenOperation::Unblock => Some(CardState::Issued),
            TokenOperation::Terminate => Some(CardState::Terminated),
        };
        Ok(store.note_card(token_id, state, planned.user.as_ref(), Timestamp::now())?)
    }
}

/// When card, reader or service stopped responding, the outcome of the change that was sent is unknown.
fn unfinished(failure: Failure) -> Failure {
    if !matches!(failure.class, ExitClass::CardLeft | ExitClass::Unavailable | ExitClass::Busy) {
        return failure;
    }
    let message = format!("{}; whether the token was changed is unknown", failure.message);
    let again = "run the same command again: it finishes what was begun";
    let hint = failure.hint.map_or_else(|| again.into(), |hint| hint.and(again));
    Failure::new(failure.class, failure.code, message).hint(hint)
}
