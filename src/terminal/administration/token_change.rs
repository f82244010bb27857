//! One change of the token in a reader: found, confirmed by whoever asked for it, carried out, and reported to the server.

use jiff::Timestamp;

use super::{
    Target, TokenOperation,
    card::in_transaction,
    change, check_role,
    status::{ServerStatus, report},
};
use crate::{
    card::link::Link,
    failure::Failure,
    terminal::context::TerminalContext,
    token::{
        open::{AuthenticationContext, Credentials},
        select::LifeCycle,
    },
};

/// A change that was asked for. Between [`TokenChangeRun::find`] and [`TokenChangeRun::carry_out`] no card is held.
pub struct TokenChangeRun {
    terminal: TerminalContext,
    credentials: Credentials,
    reader: String,
    operation: TokenOperation,
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
    pub fn open(terminal: TerminalContext, reader: String, operation: TokenOperation) -> Result<Self, Failure> {
        let credentials = terminal.credentials(Timestamp::now())?;
        check_role(credentials.certificate.class(), &operation)?;
        Ok(Self { terminal, credentials, reader, operation })
    }

    /// What is to be done.
    pub const fn operation(&self) -> &TokenOperation {
        &self.operation
    }

    /// The token in the reader; nothing on it changes.
    ///
    /// # Errors
    /// When there is none, or one that can never be changed so.
    pub fn find(&self) -> Result<Target, Failure> {
        let find =
            |link: &mut dyn Link, context: &mut AuthenticationContext<'_>| Target::find(link, context, &self.operation);
        in_transaction(&self.terminal, &self.credentials, &self.reader, find).map(|(target, _)| target)
    }

    /// Does it to the token that was confirmed, and to no other.
    ///
    /// # Errors
    /// When another card lies there, or the exchange fails: then nothing is known of the card, and the same once more
    /// finishes it.
    pub fn carry_out(&self, confirmed: &Target) -> Result<TokenChangeReport, Failure> {
        let work = |link: &mut dyn Link, context: &mut AuthenticationContext<'_>| {
            change(link, context, confirmed, &self.operation)
        };
        let (changed, _) = in_transaction(&self.terminal, &self.credentials, &self.reader, work)?;
        let server = self.terminal.server.as_ref();
        let server = confirmed.token_id.map_or(Ok(None), |id| report(&self.operation, id, server));
        Ok(TokenChangeReport { changed, state: self.operation.target(confirmed.state), server })
    }
}
