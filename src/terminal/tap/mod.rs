//! The way of one tap: connect once, one PC/SC transaction (a second when another program has reset the card), handshake
//! and proof, and an outcome.
//!
//! Deliberately absent: network, prompts and writes to a disk between the first and the last exchange, and any printing.
//! What is remembered of a token is read from the store, which no writer holds up.

pub mod failure;
pub mod replay;
pub mod tap_terminal;
pub mod worker;

use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::{
    card::{link::Link, meter::Metered},
    failure::Failure,
    token::{
        TokenError,
        open::{AuthenticatedToken, AuthenticationContext, RememberedItem, identify},
        select::{LifeCycle, TokenMode},
        session::Session,
        trace_points,
    },
};
pub use failure::TapError;

/// How far a tap is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Only the id that SELECT tells: "identified", never "authenticated".
    Identify,
    /// Handshake, proof and user information.
    Authenticate,
}

/// What a card turned out to be.
#[derive(Debug)]
pub enum Seen {
    /// It told this id, and nothing was proved.
    Identified(Uuid),
    /// Handshake and proof hold.
    Authenticated(Box<AuthenticatedToken>),
}

/// Where the time of a tap went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// From the request to the open connection.
    pub connect: Duration,
    /// SELECT to the verified proof.
    pub authenticate: Duration,
    /// Reading what the proof does not carry.
    pub read: Duration,
    /// All of it.
    pub total: Duration,
    /// The part spent inside the link.
    pub inside: Duration,
}

/// One finished visit to a card, successful or not.
#[derive(Debug)]
pub struct Tapped {
    /// The id that SELECT told, whether or not anything was proved afterwards.
    pub told: Option<Uuid>,
    /// What came of it.
    pub result: Result<Seen, TapError>,
    /// Exchanges with the card.
    pub exchanges: u32,
    /// Where the time went; `connect` is the caller's to fill in.
    pub timings: Timings,
    /// The open channel of an authenticated token.
    pub session: Option<Session>,
    /// Whether the nonce was the server's, and not this terminal's own.
    pub server_nonce: bool,
    /// What is worth remembering, and what to forget.
    pub learned: Vec<(RememberedItem, Option<Vec<u8>>)>,
    /// Which transaction of the trace it is, where one is written; zero for none.
    pub traced: u32,
}

impl Tapped {
    /// A tap that failed before the first exchange.
    pub fn failed(error: TapError) -> Self {
        Self {
            told: None,
            result: Err(error),
            exchanges: 0,
            timings: Timings::default(),
            session: None,
            server_nonce: false,
            learned: Vec::new(),
            traced: 0,
        }
    }

    /// The failure to show, when there is one.
    pub fn failure(&self) -> Option<Failure> {
        self.result.as_ref().err().map(|e| e.to_failure(self.exchanges))
    }
}

/// Visits the card behind a link, inside one transaction of the caller's.
pub fn tap_card(link: &mut dyn Link, context: &mut AuthenticationContext<'_>, depth: Depth) -> Tapped {
    let start = Instant::now();
    let mut link = Metered::new(link);
    trace_points::record_visit(&mut link, context, depth == Depth::Identify);
    let mut tapped = Tapped::failed(TapError::Foreign);
    tapped.result = run(&mut link, context, depth, &mut tapped);
    tapped.exchanges = link.exchanges;
    tapped.timings.inside = link.inside;
    tapped.timings.total = start.elapsed();
    tapped.timings.authenticate = tapped.timings.total.saturating_sub(tapped.timings.read);
    tapped.learned = std::mem::take(&mut context.learned);
    tapped
}

fn run(
    link: &mut dyn Link,
    context: &mut AuthenticationContext<'_>,
    depth: Depth,
    tapped: &mut Tapped,
) -> Result<Seen, TapError> {
    let selected = identify(link, context.format)?.ok_or(TapError::Foreign)?;
    if let Some(TokenMode::Open(id)) = selected.mode {
        tapped.told = Some(id);
    }
    if selected.state != LifeCycle::Issued {
        return Err(TokenError::NotIssued(selected.state).into());
    }
    match (depth, selected.mode) {
        (Depth::Identify, Some(TokenMode::Open(id))) => Ok(Seen::Identified(id)),
        (Depth::Identify, _) => Err(TapError::Private),
        (Depth::Authenticate, _) => {
            let proved = context.prove(link, &selected)?;
            let reading = Instant::now();
            let (token, session) = proved.read(link)?;
            tapped.timings.read = reading.elapsed();
            tapped.session = Some(session);
            Ok(Seen::Authenticated(Box::new(token)))
        }
    }
}

#[cfg(test)]
mod tests;
