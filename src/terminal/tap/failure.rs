//! The reasons why a tap authenticated no token, and how each is shown to a user.

use crate::channel::CommandName;
pub use crate::reader::causes::link;
use crate::{
    card::{link::LinkError, status::Status},
    channel::ChannelError,
    crypto::x509::CertificateError,
    failure::{ExitClass, Failure, Remedy},
    token::{TokenError, select::LifeCycle},
};

/// Why a tap yielded no token.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// The token, its link or its channel failed.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The reader could not connect to the card.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The card has no Rollcall applet.
    #[error("the card has no Rollcall applet")]
    Foreign,
    /// `--identify-only` on a token that does not reveal its id.
    #[error("the token is in private mode and reveals its id only inside a channel")]
    Private,
}

impl TapError {
    /// Whether the same card may be tried again at once: another program reset it, or an exchange failed.
    pub fn worth_another_try(&self) -> bool {
        let (Self::Link(error) | Self::Token(TokenError::Link(error))) = self else { return false };
        error.worth_another_try()
    }

    /// Whether the card does not answer to reset.
    pub const fn is_mute(&self) -> bool {
        let (Self::Link(error) | Self::Token(TokenError::Link(error))) = self else { return false };
        matches!(error, LinkError::CardMute | LinkError::Unpowered)
    }

    /// Whether the card was removed, which says nothing about the card itself.
    pub const fn is_departure(&self) -> bool {
        matches!(self, Self::Link(LinkError::CardRemoved) | Self::Token(TokenError::Link(LinkError::CardRemoved)))
    }

    /// The failure to show; `exchanges` says how far the tap had come.
    pub fn to_failure(&self, exchanges: u32) -> Failure {
        match self {
            Self::Token(error) => token(error, exchanges),
            Self::Link(error) => link(error, exchanges),
            Self::Foreign => Failure::new(ExitClass::No, "token.foreign", self.to_string())
                .hint("present a Rollcall token, or load the applet onto this card (see the README)"),
            Self::Private => Failure::new(ExitClass::No, "token.private", self.to_string())
                .hint("leave out --identify-only, so that the token is authenticated"),
        }
    }
}

/// The failure of a token, as shown to a user.
pub fn token(error: &TokenError, exchanges: u32) -> Failure {
    let message = error.to_string();
    let refused = |code| Failure::new(ExitClass::Refused, code, message.clone());
    let protocol = || Failure::new(ExitClass::Protocol, "token.protocol", message.clone());
    match error {
        TokenError::Link(e) => link(e, exchanges),
        TokenError::NotIssued(LifeCycle::Blank | LifeCycle::Personalised) => {
            Failure::new(ExitClass::No, "token.blank", "the token is not enrolled yet")
                .hint(Remedy::with("enroll it", "rollcall enroll --id ID --name NAME"))
        }
        TokenError::NotIssued(LifeCycle::Terminated) => {
            refused("token.terminated").hint("it can never be used again: enroll a new card")
        }
        TokenError::NotIssued(_)
        | TokenError::Refused { step: CommandName::InternalAuthenticate, status: Status::CONDITIONS } => {
            Failure::new(ExitClass::Refused, "token.blocked", "the token is blocked")
                .hint("the administrator who blocked it can unblock it")
        }
        TokenError::OtherAuthority => refused("token.other-authority").hint(
            Remedy::with("if the CA of this terminal has a successor, fetch it", "rollcall pki renew")
                .and("otherwise it is not ours"),
        ),
        TokenError::TerminalRefused(_)
        | TokenError::Channel(ChannelError::Refused { status: Status::CONDITIONS, .. }) => {
            refused("token.refused-terminal")
                .hint(Remedy::with("renew this terminal's certificate", "rollcall pki renew"))
        }
        TokenError::Certificate(CertificateError::Expired { .. }) => {
            refused("token.certificate-expired").hint("enroll the holder on a new card")
        }
        // Dates are compared after the signature was verified, so it is a certificate of our CA.
        TokenError::Certificate(CertificateError::NotYetValid { from, now }) => Failure::new(
            ExitClass::Refused,
            "token.certificate-not-yet-valid",
            format!("the card's certificate is valid only from {from:.0}, and the clock here says {now:.0}"),
        )
        .hint("set the clock right here (timedatectl), or where the card was enrolled, and then enroll it again"),
        TokenError::IdentityMismatch
        | TokenError::Certificate(_)
        | TokenError::Proof(_)
        | TokenError::Channel(ChannelError::Receipt | ChannelError::Cryptogram) => {
            refused("token.not-genuine")
                .hint("do not trust this card: it does not have the keys that it claims to have")
        }
        // A byte lost by a reader at T=0 shows only as a wrong MAC.
        TokenError::Channel(ChannelError::ResponseMac) => refused("token.not-genuine")
            .hint("try again: an answer that was damaged on the way looks the same; if it happens again, do not trust this card"),
        TokenError::Cloned { .. } => {
            refused("token.counter").hint("a copy of this token may be in use: block it, and enroll a new one")
        }
        TokenError::Channel(ChannelError::Crypto(_) | ChannelError::NoDek) => {
            Failure::new(ExitClass::Bug, "crypto.failed", message)
        }
        TokenError::Form(_)
        | TokenError::Record(_)
        | TokenError::Refused { .. }
        | TokenError::Channel(ChannelError::Refused { .. } | ChannelError::Form(_) | ChannelError::Padding) => {
            protocol().hint("the card violates the Rollcall protocol: try it once more")
        }
    }
}
