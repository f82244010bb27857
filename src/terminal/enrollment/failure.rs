//! The reasons why an enrollment stops or a batch cannot continue, and how each is shown to an operator.

use std::{io, path::PathBuf};

use uuid::Uuid;

use super::traces::{self, TrackableTrait};
use crate::{
    api::User,
    card::link::LinkError,
    channel::ChannelError,
    crypto::{CryptoError, x509::CertificateError},
    failure::{ExitClass, Failure},
    pki::PkiError,
    terminal::tap::{TapError, failure::token},
    token::{TokenError, record::RecordError, select::LifeCycle},
};

/// Why an enrollment stopped. The next run can continue after any of them.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The token, the link or the channel failed.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The card has no Rollcall applet.
    #[error("the card has no Rollcall applet")]
    Foreign,
    /// The card is issued already. With its token id, if it reveals it outside a channel.
    #[error("the card is enrolled already")]
    AlreadyIssued(Option<Uuid>),
    /// No user is left for a blank card.
    #[error("there is no row left for this card")]
    NobodyLeft,
    /// The card was started for a row that is no longer in the file of the batch.
    #[error("this card was begun for {0}, who is no longer in the file")]
    RowGone(String),
    /// An earlier run started the card for somebody else, and that was not abandoned.
    #[error("this card was begun for {}{}, and is not finished", user.id, named(user))]
    BegunForAnother {
        /// The card (diversification data, hex).
        card: String,
        /// The user it was started for.
        user: Box<User>,
    },
    /// Another enrollment for the same user is in progress.
    #[error("another enrollment for {0} is in progress")]
    UserBusy(String),
    /// The journal of the batch cannot be used.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The card is blocked or terminated.
    #[error("the card is {}", .0.word())]
    NotBlank(LifeCycle),
    /// The card holds neither the start keys nor the test keys.
    #[error("the card does not know our start keys")]
    WrongStartKeys,
    /// The card does not hold the per-token keys derived from our personalisation key.
    #[error("the card was personalised under another personalisation key")]
    WrongPersoKeys,
    /// The card reports a KVN that the protocol does not use.
    #[error("the card has keys in force that are not ours (KVN {0:02X})")]
    UnknownKeys(u8),
    /// The user does not fit on the card.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Another card was presented while the first one's keys were being certified.
    #[error("this is not the same card as before")]
    OtherCard,
    /// The server that certifies was not reached, or refused.
    #[error("{0}")]
    Server(Failure),
    /// The personalisation key cannot be used.
    #[error(transparent)]
    PersoKey(PkiError),
    /// The key of a set, or its list of members, cannot be used.
    #[error(transparent)]
    Set(PkiError),
    /// The card came with the test keys, so an eavesdropper would learn the key of the whole set.
    #[error("the card came with the public test keys: no set key goes onto it")]
    TestKeysPrivate,
    /// The card can be recognised by something outside the applet.
    #[error("the card can be recognised without its key: {}", traces::list(.0))]
    Trackable(Vec<TrackableTrait>),
    /// The CA refused to certify a key.
    #[error("the CA did not certify the card's key: {0}")]
    Certify(String),
    /// The journal cannot be read or written.
    #[error("the journal of enrollments cannot be used ({path}): {error}", path = .0.display(), error = .1)]
    Journal(PathBuf, io::Error),
    /// The journal lacks what an earlier step must have written.
    #[error("the journal of this enrollment is damaged")]
    JournalDamaged,
}

/// The name that goes with an id, if there is one.
fn named(user: &User) -> String {
    if user.name.is_empty() { String::new() } else { format!(" ({})", user.name) }
}

impl EnrollError {
    /// Whether to continue with the same card at once: an exchange failed, or another program reset the card.
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Token(TokenError::Link(LinkError::CardReset | LinkError::Transmission(_))))
    }

    /// The failure as an operator sees it; `exchanges` says how far the enrollment had come.
    pub fn to_failure(&self, exchanges: u32) -> Failure {
        let message = self.to_string();
        match self {
            Self::Token(TokenError::Link(LinkError::CardRemoved)) => {
                Failure::new(ExitClass::CardLeft, "card.left", format!("the card left the reader at exchange {exchanges}"))
                    .hint("put the same card back and run the same command again: it resumes where it stopped")
            }
            Self::Token(e) => token(e, exchanges),
            Self::Foreign => TapError::Foreign.to_failure(exchanges),
            Self::AlreadyIssued(_) => Failure::new(ExitClass::No, "enroll.already-issued", message)
                .hint("use a blank card; rollcall scan shows whose this one is"),
            Self::NobodyLeft => Failure::new(ExitClass::No, "enroll.nobody-left", message)
                .hint("put back the cards that were begun, or give them up: --abandon"),
            Self::RowGone(_) => Failure::new(ExitClass::No, "batch.row-gone", message)
                .hint("put the row back as it was, or give the card up: --abandon"),
            Self::BegunForAnother { .. } => Failure::new(ExitClass::No, "enroll.begun-for-another", message).hint(
                "finish it by the command that began it; or give it up: --abandon with the file that it was begun with, \
                 or --id and --yes for the new user; or take another card",
            ),
            Self::UserBusy(_) => Failure::new(ExitClass::Busy, "enroll.user-busy", message)
                .hint("put the card on again when that one has finished"),
            Self::Batch(e) => e.to_failure(),
            Self::NotBlank(LifeCycle::Terminated) => token(&TokenError::NotIssued(LifeCycle::Terminated), exchanges),
            Self::NotBlank(_) => Failure::new(ExitClass::No, "enroll.not-blank", message).hint("use a blank card"),
            Self::WrongStartKeys => Failure::new(ExitClass::Refused, "enroll.wrong-start-keys", message).hint(
                "put the start keys that the card was installed with into pki/start.key; nothing was sent to the card",
            ),
            Self::WrongPersoKeys => Failure::new(ExitClass::Refused, "enroll.wrong-perso-key", message)
                .hint("use the pki/perso.key under which this card was begun; nothing was sent to the card"),
            Self::UnknownKeys(_) => Failure::new(ExitClass::Protocol, "enroll.unknown-keys", message).hint(
                "the card was given keys of another version by somebody else: take another card; nothing was sent to this one",
            ),
            Self::Record(_) => {
                Failure::new(ExitClass::Data, "enroll.too-long", message).hint("shorten id, name or fields")
            }
            Self::OtherCard => Failure::new(ExitClass::CardLeft, "enroll.other-card", message)
                .hint("put the first card back, and run the same command again: it resumes where it stopped"),
            Self::Server(failure) => {
                let again = "then run the same command again: it resumes where it stopped";
                let hint = failure.hint.as_ref().map_or_else(|| again.to_owned(), |hint| format!("{hint}; {again}"));
                failure.clone().hint(hint)
            }
            Self::PersoKey(error) | Self::Set(error) => error.to_failure(),
            Self::TestKeysPrivate => Failure::new(ExitClass::Refused, "enroll.test-keys-private", message)
                .hint("install the applet with start keys of your own (see the README), or enroll it in open mode"),
            Self::Trackable(_) => Failure::new(ExitClass::Refused, "enroll.trackable", message).hint(
                "take a card with a random UID and an empty CPLC; if that does not matter here, say so: --accept-trackable",
            ),
            Self::Certify(_) => Failure::new(ExitClass::Refused, "enroll.not-certified", message)
                .hint(
                "nothing is lost: run the same command again when the CA is available; where it has a successor, after rollcall pki renew",
            ),
            Self::Journal(..) => Failure::new(ExitClass::Io, "enroll.journal", message)
                .hint("check the permissions and the space of the state folder"),
            Self::JournalDamaged => Failure::new(ExitClass::Io, "enroll.journal", message)
                .hint("remove the file of this card in the folder enrollments, and enroll the card again"),
        }
    }
}

impl From<Failure> for EnrollError {
    fn from(failure: Failure) -> Self {
        Self::Server(failure)
    }
}

impl From<ChannelError> for EnrollError {
    fn from(e: ChannelError) -> Self {
        Self::Token(e.into())
    }
}

impl From<CertificateError> for EnrollError {
    fn from(e: CertificateError) -> Self {
        Self::Token(e.into())
    }
}

impl From<CryptoError> for EnrollError {
    fn from(e: CryptoError) -> Self {
        Self::Token(e.into())
    }
}

/// Why the journal of a batch cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// It cannot be read or written.
    #[error("the journal {path} cannot be used: {error}", path = .0.display(), error = .1)]
    Io(PathBuf, io::Error),
    /// Another run is using it.
    #[error("another run is working with the journal {}", .0.display())]
    Busy(PathBuf),
    /// A line is not a journal line, or contradicts an earlier one.
    #[error("line {line} of {path} does not belong to a journal of this batch: {what}", path = .path.display())]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The batch was started under another CA.
    #[error("the batch of {} was begun under another CA", .0.display())]
    OtherAuthority(PathBuf),
    /// Rows changed after the run had read them.
    #[error("{} changed since {} went to a card", .users.join(", "), if .users.len() == 1 { "it" } else { "they" })]
    Changed {
        /// The ids of the users.
        users: Vec<String>,
    },
}

impl BatchError {
    /// The failure as an operator sees it.
    pub fn to_failure(&self) -> Failure {
        let message = self.to_string();
        match self {
            Self::Io(..) => Failure::new(ExitClass::Io, "batch.journal", message)
                .hint("check the permissions and the space there, or name another file: --journal FILE"),
            Self::Busy(_) => Failure::new(ExitClass::Busy, "batch.busy", message)
                .hint("wait until it ends, or give each batch its own journal"),
            Self::Damaged { .. } => Failure::new(ExitClass::Data, "batch.journal-damaged", message).hint(
                "name the journal of this batch, or restore it from a copy: without it, cards may get a second row",
            ),
            Self::OtherAuthority(_) => Failure::new(ExitClass::Data, "batch.other-authority", message)
                .hint("use the pki folder that the batch was begun with, or another journal"),
            Self::Changed { .. } => Failure::new(ExitClass::Data, "batch.row-changed", message)
                .hint("put the old text back, or put these rows into a batch of their own"),
        }
    }
}

impl From<EnrollError> for Failure {
    fn from(error: EnrollError) -> Self {
        error.to_failure(0)
    }
}

impl From<BatchError> for Failure {
    fn from(error: BatchError) -> Self {
        error.to_failure()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_meets_unknown_keys_knows_what_to_do_and_that_the_card_is_as_it_was() {
        let failure = EnrollError::UnknownKeys(0x42).to_failure(3);
        assert_eq!((failure.code, failure.class), ("enroll.unknown-keys", ExitClass::Protocol));
        let hint = failure.hint.expect("a hint").text;
        assert!(hint.contains("take another card") && hint.contains("nothing was sent"), "{hint}");
    }
}
