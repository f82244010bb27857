//! What a user sees of an enrollment that failed, or of a batch that cannot go on.

use crate::{
    card::link::LinkError,
    failure::{Class, Failure},
    terminal::enrollment::{EnrollError, batch::BatchError},
    terminal::tap::{TapError, failure::token},
    token::{TokenError, select::LifeCycle},
};

/// The failure of an enrollment.
pub fn enrollment(error: &EnrollError, exchanges: u32) -> Failure {
    let message = error.to_string();
    match error {
        EnrollError::Token(TokenError::Link(LinkError::CardRemoved)) => {
            Failure::new(Class::CardLeft, "card.left", format!("the card left the reader at exchange {exchanges}"))
                .hint("put the same card back and run the same command again: it goes on where it stopped")
        }
        EnrollError::Token(e) => token(e, exchanges),
        EnrollError::Foreign => TapError::Foreign.to_failure(exchanges),
        EnrollError::AlreadyIssued(_) => Failure::new(Class::No, "enroll.already-issued", message)
            .hint("take a blank card; rollcall scan shows whose this one is"),
        EnrollError::NobodyLeft => Failure::new(Class::No, "enroll.nobody-left", message)
            .hint("put back the cards that were begun, or give them up: --abandon"),
        EnrollError::Batch(e) => batch(e),
        EnrollError::NotBlank(LifeCycle::Terminated) => token(&TokenError::NotIssued(LifeCycle::Terminated), exchanges),
        EnrollError::NotBlank(_) => Failure::new(Class::No, "enroll.not-blank", message).hint("take a blank card"),
        EnrollError::WrongStartKeys => Failure::new(Class::Refused, "enroll.wrong-start-keys", message).hint(
            "put the start keys that the card was installed with into pki/start.key; nothing was sent to the card",
        ),
        EnrollError::WrongPersoKeys => Failure::new(Class::Refused, "enroll.wrong-perso-key", message)
            .hint("use the pki/perso.key under which this card was begun; nothing was sent to the card"),
        EnrollError::UnknownKeys(_) => Failure::new(Class::Protocol, "enroll.unknown-keys", message),
        EnrollError::Record(_) => {
            Failure::new(Class::Data, "enroll.too-long", message).hint("shorten id, name or fields")
        }
        EnrollError::OtherCard => Failure::new(Class::CardLeft, "enroll.other-card", message)
            .hint("put the first card back, and run the same command again: it goes on where it stopped"),
        EnrollError::Server(failure) => {
            let again = "then run the same command again: it goes on where it stopped";
            let hint = failure.hint.as_ref().map_or_else(|| again.to_owned(), |hint| format!("{hint}; {again}"));
            failure.clone().hint(hint)
        }
        EnrollError::PersoKey(error) | EnrollError::Set(error) => error.to_failure(),
        EnrollError::TestKeysPrivate => Failure::new(Class::Refused, "enroll.test-keys-private", message)
            .hint("install the applet with start keys of your own (see the README), or enroll it in open mode"),
        EnrollError::Trackable(_) => Failure::new(Class::Refused, "enroll.trackable", message).hint(
            "take a card with a random UID and an empty CPLC; if that does not matter here, say so: --accept-trackable",
        ),
        EnrollError::Certify(_) => Failure::new(Class::Refused, "enroll.not-certified", message)
            .hint(
            "nothing is lost: run the same command again when the CA is available; where it has a successor, after rollcall pki renew",
        ),
        EnrollError::Journal(..) => Failure::new(Class::Io, "enroll.journal", message)
            .hint("check the permissions and the space of the state folder"),
        EnrollError::JournalDamaged => Failure::new(Class::Io, "enroll.journal", message)
            .hint("remove the file of this card in the folder enrollments, and enroll it anew"),
    }
}

/// The failure of a batch's journal.
pub fn batch(error: &BatchError) -> Failure {
    let message = error.to_string();
    match error {
        BatchError::Io(..) => Failure::new(Class::Io, "batch.journal", message)
            .hint("check the permissions and the space there, or name another file: --journal FILE"),
        BatchError::Busy(_) => Failure::new(Class::Busy, "batch.busy", message)
            .hint("wait until it ends, or give each batch its own journal"),
        BatchError::Damaged { .. } => Failure::new(Class::Data, "batch.journal-damaged", message)
            .hint("name the journal of this batch, or restore it from a copy: without it, cards may get a second row"),
        BatchError::OtherAuthority(_) => Failure::new(Class::Data, "batch.other-authority", message)
            .hint("use the pki folder that the batch was begun with, or another journal"),
        BatchError::Changed { .. } => Failure::new(Class::Data, "batch.row-changed", message)
            .hint("put the old text back, or take these rows into a batch of their own"),
    }
}
