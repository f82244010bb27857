//! Which set a private token joins, and whether its card may.

use jiff::Timestamp;

use crate::{
    card::{apdu::ApduFormat, link::LinkError, meter::Metered},
    cli::args::PrivateArgs,
    config::Settings,
    crypto::random::SystemRandom,
    failure::Failure,
    pki::{ClockCheck, PkiDir, PkiError, Set, SetId},
    reader::pcsc::Transaction,
    terminal::enrollment::{
        EnrollError,
        private::{self, FieldReset},
    },
    token::{TokenError, open::identify, select::LifeCycle},
};

/// What was asked for.
#[derive(Debug, Clone)]
pub struct SetChoice {
    home: PkiDir,
    wanted: SetRequest,
    clock_check: ClockCheck,
    accept_trackable: bool,
}

#[derive(Debug, Clone, Copy)]
enum SetRequest {
    Named(SetId),
    Sized(u16),
}

impl SetChoice {
    /// Nothing: the tokens are to be in open mode.
    pub fn of(args: &PrivateArgs, home: &PkiDir, settings: &Settings) -> Result<Option<Self>, Failure> {
        let wanted = match (args.set, args.set_size) {
            (Some(id), _) => SetRequest::Named(id),
            (None, Some(size)) => SetRequest::Sized(size),
            (None, None) => return Ok(None),
        };
        let clock_check = ClockCheck::skipped_if(settings.yes);
        if let SetRequest::Named(id) = wanted {
            // Before a card is touched: it is there, and it is this CA's.
            home.find_set(id)?;
        }
        Ok(Some(Self { home: home.clone(), wanted, clock_check, accept_trackable: args.accept_trackable }))
    }

    /// Refuses a card that gives itself away, before the first step that changes it. It is asked for only when it would
    /// be enrolled.
    pub fn check(&self, card: &mut Metered<Transaction<'_>>, format: ApduFormat) -> Result<(), EnrollError> {
        let state = identify(card, format)?.map(|selected| selected.state);
        if self.accept_trackable || !matches!(state, Some(LifeCycle::Blank | LifeCycle::Personalised)) {
            return Ok(());
        }
        let traces = private::traces(card, format).map_err(TokenError::from)?;
        if traces.is_empty() { Ok(()) } else { Err(EnrollError::Trackable(traces)) }
    }

    fn create(&self) -> Result<Set, PkiError> {
        let mut ca = self.home.load_ca(self.clock_check)?;
        self.home.create_set(&mut ca, Timestamp::now(), &mut SystemRandom)
    }
}

impl private::SetProvider for &SetChoice {
    fn join(&mut self, card: &str) -> Result<Set, PkiError> {
        match self.wanted {
            SetRequest::Named(id) => self.home.join_set(id, card),
            SetRequest::Sized(size) => self.home.join_set_of(size, card, &mut || self.create()),
        }
    }

    fn leave(&mut self, card: &str) -> Result<(), PkiError> {
        self.home.leave_sets(card)
    }
}

impl FieldReset for Metered<Transaction<'_>> {
    fn renew(&mut self) -> Result<(), LinkError> {
        self.link.renew().map(drop)
    }
}
