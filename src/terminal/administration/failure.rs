//! The reasons why a token was not changed, and how each is shown to an operator.

use crate::{
    card::link::LinkError,
    crypto::x509::TerminalRole,
    failure::{ExitClass, Failure, Remedy},
    terminal::tap::{TapError, failure::token},
    token::TokenError,
};

/// Why a token was not changed.
#[derive(Debug, thiserror::Error)]
pub enum AdministrationError {
    /// The token, the link or the channel failed.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The card has no Rollcall applet.
    #[error("the card has no Rollcall applet")]
    Foreign,
    /// A token in open mode has no set.
    #[error("the token is in open mode: it has no set key")]
    Open,
    /// The private token belongs to another set than the one whose key is replaced.
    #[error("the token is of the set {0}")]
    OtherSet(String),
    /// The card came with the public test keys, so it accepts no set key.
    #[error("the token takes no set key")]
    NoSetKey,
    /// The progress of the rotation could not be recorded.
    #[error("the list of tokens that have the new key cannot be written: {0}")]
    NotNoted(String),
    /// There is no previous CA here.
    #[error("the CA is not being rotated")]
    NoRotation,
    /// The new CA does not certify the token's keys.
    #[error("the new CA did not certify the token's keys: {0}")]
    NotCertified(String),
    /// The card on the reader is not the one that was confirmed.
    #[error("this is not the card that was confirmed, or its state has changed")]
    OtherCard,
    /// The role in this terminal's certificate is too low.
    #[error("this needs a terminal with the role {needed}; this one has {held}", needed = .needed.word(), held = .held.word())]
    Role {
        /// The role that is required.
        needed: TerminalRole,
        /// The role in the certificate.
        held: TerminalRole,
    },
}

impl AdministrationError {
    /// Whether the operation may be retried at once with the same card.
    pub fn worth_another_try(&self) -> bool {
        matches!(self, Self::Token(TokenError::Link(error)) if error.worth_another_try())
    }

    /// The failure as an operator sees it; `exchanges` says how far the operation had come.
    pub fn to_failure(&self, exchanges: u32) -> Failure {
        let message = self.to_string();
        match self {
            // Unlike in a tap, something may have been written.
            Self::Token(TokenError::Link(LinkError::CardRemoved)) => {
                let place = if exchanges == 0 { String::new() } else { format!(" at exchange {exchanges}") };
                Failure::new(ExitClass::CardLeft, "card.left", format!("the card left the reader{place}"))
                    .hint("put the same card back and run the same command again: it resumes where it stopped")
            }
            Self::Token(e) => token(e, exchanges),
            Self::Foreign => TapError::Foreign.to_failure(exchanges),
            Self::Open => Failure::new(ExitClass::No, "token.open-mode", message).hint(Remedy::with(
                "only tokens in private mode have a set; see what this one is",
                "rollcall token info",
            )),
            Self::OtherSet(_) => Failure::new(ExitClass::No, "token.other-set", message).hint(Remedy::with(
                "put a token of the set on the reader whose key is replaced",
                "rollcall token rotate --set ID",
            )),
            Self::NoSetKey => Failure::new(ExitClass::Refused, "token.no-set-key", message)
                .hint("it came with the public test keys: enroll its user on another card"),
            Self::NotNoted(_) => Failure::new(ExitClass::Io, "pki.file", message)
                .hint("check the permissions and the space of the folder pki/sets, and run the command again"),
            Self::OtherCard => Failure::new(ExitClass::CardLeft, "token.other-card", message)
                .hint("nothing was changed; put the right card on the reader, and run the command again"),
            Self::NoRotation => Failure::new(ExitClass::No, "pki.no-rotation", message)
                .hint(Remedy::with("begin one where the CA key is", "rollcall pki rotate-ca")),
            Self::NotCertified(_) => Failure::new(ExitClass::Refused, "enroll.not-certified", message)
                .hint(Remedy::with("show the CA", "rollcall pki list")),
            Self::Role { .. } => Failure::new(ExitClass::Refused, "token.role", message)
                .hint("run it where the CA key is, or with a terminal that was issued with this role"),
        }
    }
}

impl From<AdministrationError> for Failure {
    fn from(error: AdministrationError) -> Self {
        error.to_failure(0)
    }
}
