//! Which set a private token joins, and whether its card may.

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

/// What was asked for: tokens in private mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrivateRequest {
    /// The set that they join.
    pub set: SetRequest,
    /// Whether a card that gives itself away beside the applet is taken all the same.
    pub accept_trackable: bool,
}

/// Which set tokens join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetRequest {
    /// This one.
    Named(SetId),
    /// One of this size that has room, or a new one.
    Sized(u16),
}

/// Which set the tokens of one run join, and whether a card may.
#[derive(Debug, Clone)]
pub struct SetChoice {
    pki: PkiDir,
    clock_check: ClockCheck,
    request: PrivateRequest,
}

impl SetChoice {
    /// A set that was named has to be there, and to be this CA's.
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

    /// Refuses a card that gives itself away, before the first step that changes it. It is asked for only when it would
    /// be enrolled.
    ///
    /// # Errors
    /// [`EnrollError::Trackable`] says by what; [`EnrollError::Token`] when the link fails.
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
