//! Chooses the set that a private token joins, and checks whether its card may.

use jiff::Timestamp;

use super::{
    failure::EnrollError,
    private::SetProvider,
    traces::{FieldReset, traces},
};
use crate::{
    card::{apdu::ApduFormat, link::LinkError, meter::Metered},
    crypto::random::SystemRandom,
    pki::{ClockCheck, PkiDir, PkiError, Set, SetId},
    reader::pcsc::Transaction,
    terminal::context::TerminalContext,
    token::{TokenError, open::identify, select::LifeCycle},
};

/// The options for tokens in private mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrivateRequest {
    /// The set to join.
    pub set: SetRequest,
    /// Whether a card that can be recognised by something outside the applet is accepted anyway.
    pub accept_trackable: bool,
}

/// Which set to join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetRequest {
    /// This one.
    Named(SetId),
    /// One of this size with room, or a new one.
    Sized(u16),
}

/// Chooses the set for the tokens of one run, and checks each card.
#[derive(Debug, Clone)]
pub struct SetChoice {
    pki: PkiDir,
    clock_check: ClockCheck,
    request: PrivateRequest,
}

impl SetChoice {
    /// Checks that a named set exists and belongs to this CA.
    ///
    /// # Errors
    /// As [`PkiDir::find_set`].
    pub fn new(request: PrivateRequest, terminal: &TerminalContext) -> Result<Self, PkiError> {
        let pki = terminal.pki.clone();
        if let SetRequest::Named(id) = request.set {
            pki.find_set(id)?;
        }
        Ok(Self { pki, clock_check: terminal.clock_check, request })
    }

    /// Refuses a card that is recognisable without its key, before the first step that changes it. Only cards that
    /// would be enrolled are checked.
    ///
    /// # Errors
    /// [`EnrollError::Trackable`] with the traits found; [`EnrollError::Token`] when the link fails.
    pub fn check(&self, card: &mut Metered<Transaction<'_>>, format: ApduFormat) -> Result<(), EnrollError> {
        let state = identify(card, format)?.map(|selected| selected.state);
        if self.request.accept_trackable || !matches!(state, Some(LifeCycle::Blank | LifeCycle::Personalised)) {
            return Ok(());
        }
        let found = traces(card, format).map_err(TokenError::from)?;
        if found.is_empty() { Ok(()) } else { Err(EnrollError::Trackable(found)) }
    }

    fn create(&self) -> Result<Set, PkiError> {
        let mut ca = self.pki.load_ca(self.clock_check)?;
        self.pki.create_set(&mut ca, Timestamp::now(), &mut SystemRandom)
    }
}

impl SetProvider for &SetChoice {
    fn join(&mut self, card: &str) -> Result<Set, PkiError> {
        match self.request.set {
            SetRequest::Named(id) => self.pki.join_set(id, card),
            SetRequest::Sized(size) => self.pki.join_set_of(size, card, &mut || self.create()),
        }
    }

    fn leave(&mut self, card: &str) -> Result<(), PkiError> {
        self.pki.leave_sets(card)
    }
}

impl FieldReset for Metered<Transaction<'_>> {
    fn renew(&mut self) -> Result<(), LinkError> {
        self.link.renew().map(drop)
    }
}
