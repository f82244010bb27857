//! One change of the token in a reader: found, confirmed by whoever asked for it, carried out, and reported to the server.

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

/// What somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenOrder {
    /// Change what is named of its user information.
    Write(UserPatch),
    /// Take it out of use for now.
    Block,
    /// Take it into use again.
    Unblock,
    /// Take it out of use for ever.
    Terminate,
}

impl TokenOrder {
    /// The least role that may do this.
    const fn role(&self) -> TerminalRole {
        match self {
            Self::Write(_) => TerminalRole::Write,
            Self::Block | Self::Unblock | Self::Terminate => TerminalRole::Admin,
        }
    }
}

/// What an order means for the token that was found.
#[derive(Debug)]
pub struct PlannedChange {
    /// What is to be done.
    pub operation: TokenOperation,
    /// To which token.
    pub target: Target,
    /// Whose token it becomes by a write.
    pub user: Option<User>,
    /// What a write changes about what the card says.
    pub changes: Vec<UserChange>,
    /// The fields that the card has and the server does not know, which a write leaves as they are.
    pub kept: Vec<String>,
    /// What of the changes nobody named: the card says otherwise than the server, whose record is the base.
    pub drift: Vec<UserChange>,
    /// What was named, and the server's record of the user does not say so: before is what it says.
    pub unlike_server: Vec<UserChange>,
    /// Whether there is nothing left to do.
    pub is_done: bool,
    /// Why the server was not asked what it knows of the user; then what the card says is the base.
    pub unasked: Option<Failure>,
}

/// A change that was asked for. Between [`TokenChangeRun::find`] and [`TokenChangeRun::carry_out`] no card is held.
pub struct TokenChangeRun {
    terminal: TerminalContext,
    credentials: Credentials,
    reader: String,
    order: TokenOrder,
}

/// What became of a change.
#[derive(Debug)]
pub struct TokenChangeReport {
    /// Whether there was something to do.
    pub changed: bool,
    /// The state that the token is in now.
    pub state: LifeCycle,
    /// How the server then has the token registered; nothing where there is no server, or nothing to report. The card is
    /// changed also when this failed.
    pub server: Result<Option<ServerStatus>, Failure>,
}

impl TokenChangeRun {
    /// Loads this terminal's keys, before a card is touched.
    ///
    /// # Errors
    /// When they are missing, or their role does not suffice.
    pub fn open(terminal: TerminalContext, reader: String, order: TokenOrder) -> Result<Self, Failure> {
        let credentials = terminal.credentials(Timestamp::now())?;
        check_role_of(credentials.certificate.class(), order.role())?;
        Ok(Self { terminal, credentials, reader, order })
    }

    /// The token in the reader, and what the order means for it; nothing on it changes.
    ///
    /// # Errors
    /// When there is none, or one that can never be changed so.
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

    /// What the server knows of the user is the base, with the fields that only their card has; where the server knows
    /// nothing, what the card says.
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
        // Another write may have put onto the card what the server was never told.
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

    /// Does it to the token that was confirmed, and to no other.
    ///
    /// # Errors
    /// When another card lies there, or the exchange fails: where a change was sent, nobody knows whether it was carried out,
    /// and the same once more finishes it.
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
        // The card is changed in any case: a register that cannot be written comes second to that.
        let noted = target.token_id.map_or(Ok(()), |id| self.note(id, planned));
        let server = self.terminal.server.as_ref();
        let server = target.token_id.map_or(Ok(None), |id| report(operation, id, server));
        let server = noted.and(server);
        Ok(TokenChangeReport { changed, state: operation.target(target.state), server })
    }

    /// In the register of the cards that were issued here.
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

/// Where card, reader or service do not answer any more, nobody knows what became of the change that was sent.
fn unfinished(failure: Failure) -> Failure {
    if !matches!(failure.class, ExitClass::CardLeft | ExitClass::Unavailable | ExitClass::Busy) {
        return failure;
    }
    let message = format!("{}; whether the token was changed is unknown", failure.message);
    let again = "run the same command again: it finishes what was begun";
    let hint = failure.hint.map_or_else(|| again.into(), |hint| hint.and(again));
    Failure::new(failure.class, failure.code, message).hint(hint)
}
