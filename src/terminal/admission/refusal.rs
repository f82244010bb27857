//! The reasons why a card is not admitted, and how each is shown to a user.

use super::ServerVerdict;
use crate::{
    api::v1::TokenStatus,
    card::link::LinkError,
    failure::{ExitClass, Failure, Remedy},
    server_client::{ServerError, signed},
    terminal::{
        presence::denied_here,
        tap::{TapError, TooFar},
    },
    token::TokenError,
};

/// Why a card is not admitted.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is not an issued token of ours, or the exchange with it broke.
    #[error(transparent)]
    Card(#[from] TapError),
    /// The use counter did not rise: two cards share one identity, or a proof was replayed.
    #[error("the token's use counter fell back: {found} after {last}")]
    Counter {
        /// The last counter that this terminal has seen.
        last: u32,
        /// The counter of this proof.
        found: u32,
    },
    /// The operator denied this token or its user here.
    #[error("{}", denied_here().message)]
    Denied,
    /// It answers too slowly: something may be relaying between the card and this reader.
    #[error("{0}")]
    TooFar(TooFar),
    /// The server says that the token is not active.
    #[error("the token is {}{}", signed::word(*.status), because(.reason.as_deref()))]
    NotActive {
        /// Its status.
        status: TokenStatus,
        /// The reason.
        reason: Option<String>,
    },
    /// The server is required, and refuses or does not answer.
    #[error(transparent)]
    Server(#[from] ServerError),
}

fn because(reason: Option<&str>) -> String {
    reason.map(|reason| format!(": {}", reason.escape_debug())).unwrap_or_default()
}

impl Refusal {
    /// The server's verdict, if it is the server that refuses.
    pub const fn server_verdict(&self) -> Option<ServerVerdict> {
        match self {
            Self::NotActive { .. } | Self::Server(ServerError::Problem(_)) => Some(ServerVerdict::Refused),
            Self::Server(_) => Some(ServerVerdict::Away),
            Self::Card(_) | Self::Counter { .. } | Self::Denied | Self::TooFar(_) => None,
        }
    }

    /// Whether the refusal concerns the token itself, wherever it is presented. Not a fallen counter: the other card
    /// may be the copy. Nor distance, which concerns this tap alone.
    pub const fn bars(&self) -> bool {
        matches!(self, Self::NotActive { .. } | Self::Denied)
    }

    /// Whether the refusal is about the exchange and says nothing about who is there. A mute card, though, is a card
    /// present.
    pub const fn is_about_the_link(&self) -> bool {
        match self {
            Self::Card(TapError::Link(error) | TapError::Token(TokenError::Link(error))) => !matches!(
                error,
                LinkError::CardMute
                    | LinkError::Unpowered
                    | LinkError::TimedOut
                    | LinkError::TapLimit(_)
                    | LinkError::Malformed(_)
            ),
            _ => false,
        }
    }

    /// Whether this says nothing against the card, which did not answer, or not completely.
    pub const fn is_unanswered(&self) -> bool {
        match self {
            Self::Card(TapError::Link(error) | TapError::Token(TokenError::Link(error))) => {
                !matches!(error, LinkError::Malformed(_))
            }
            _ => false,
        }
    }

    /// Whether the reader has a card but exchanges with it fail.
    pub const fn is_broken(&self) -> bool {
        match self {
            Self::Card(TapError::Link(error) | TapError::Token(TokenError::Link(error))) => {
                matches!(error, LinkError::Transmission(_) | LinkError::ProtocolRefused)
            }
            _ => false,
        }
    }

    /// The failure to show; `exchanges` says how far the tap had come.
    pub fn to_failure(&self, exchanges: u32) -> Failure {
        match self {
            Self::Card(error) => error.to_failure(exchanges),
            Self::Denied => denied_here(),
            Self::Counter { .. } => Failure::new(ExitClass::Refused, "token.counter", self.to_string())
                .hint("a copy of this token may be in use: block it, and enroll a new one"),
            Self::TooFar(_) => Failure::new(ExitClass::Refused, "token.too-far", self.to_string()).hint(
                "lay the card itself on the reader, flat and alone; if the reader, its cable or its USB port was changed: set the \
                 reader to `false` under [distance] in config.toml, restart `watch`, put back the old \
                 value, and restart it again",
            ),
            Self::Server(error) => error.clone().into(),
            Self::NotActive { status, .. } => {
                let (code, hint) = not_active(*status);
                Failure::new(ExitClass::Refused, code, self.to_string()).hint(hint)
            }
        }
    }
}

fn not_active(status: TokenStatus) -> (&'static str, Remedy) {
    match status {
        TokenStatus::Lost => ("token.lost", "keep the card: it was reported lost".into()),
        TokenStatus::Revoked => ("token.revoked", "enroll the holder on a new card".into()),
        TokenStatus::Suspended | TokenStatus::Active => (
            "token.suspended",
            Remedy::with("an administrator can let it in again", "rollcall server token status ID active"),
        ),
    }
}
