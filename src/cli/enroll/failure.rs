//! What a user sees of an enrollment that failed, or of a batch that cannot go on.

use crate::{
    card::link::LinkError,
    failure::{ExitClass, Failure},
    terminal::enrollment::{EnrollError, batch::BatchError},
    terminal::tap::{TapError, failure::token},
    token::{TokenError, select::LifeCycle},
};

/// The failure of an enrollment.
pub fn enrollment(error: &EnrollError, exchanges: u32) -> Failure {
    let message = error.to_string();
    match error {
        EnrollError::Token(TokenError::Link(LinkError::CardRemoved)) => {
            Failure::new(ExitClass::CardLeft, "card.left", format!("the card left the reader at exchange {exchanges}"))
                .hint("put the same card back and run the same command again: it goes on where it stopped")
        }
        EnrollError::Token(e) => token(e, exchanges),
        EnrollError::Foreign => TapError::Foreign.to_failure(exchanges),
        EnrollError::AlreadyIssued(_) => Failure::new(ExitClass::No, "enroll.already-issued", message)
            .hint("take a blank card; rollcall scan shows whose this one is"),
        EnrollError::NobodyLeft => Failure::new(ExitClass::No, "enroll.nobody-left", message)
            .hint("put back the cards that were begun, or give them up: --abandon"),
        EnrollError::Batch(e) => batch(e),
        EnrollError::NotBlank(LifeCycle::Terminated) => token(&TokenError::NotIssued(LifeCycle::Terminated), exchanges),
        EnrollError::NotBlank(_) => Failure::new(ExitClass::No, "enroll.not-blank", message).hint("take a blank card"),
        EnrollError::WrongStartKeys => Failure::new(ExitClass::Refused, "enroll.wrong-start-keys", message).hint(
            "put the start keys that the card was installed with into pki/start.key; nothing was sent to the card",
        ),
        EnrollError::WrongPersoKeys => Failure::new(ExitClass::Refused, "enroll.wrong-perso-key", message)
            .hint("use the pki/perso.key under which this card was begun; nothing was sent to the card"),
        EnrollError::UnknownKeys(_) => Failure::new(ExitClass::Protocol, "enroll.unknown-keys", message),
        EnrollError::Record(_) => {
            Failure::new(ExitClass::Data, "enroll.too-long", message).hint("shorten id, name or fields")
        }
        EnrollError::OtherCard => Failure::new(ExitClass::CardLeft, "enroll.other-card", message)
            .hint("put the first card back, and run the same command again: it goes on where it stopped"),
        EnrollError::Server(failure) => {
            let again = "then run the same command again: it goes on where it stopped";
            let hint = failure.hint.as_ref().map_or_else(|| again.to_owned(), |hint| format!("{hint}; {again}"));
            failure.clone().hint(hint)
        }
        EnrollError::PersoKey(error) | EnrollError::Set(error) => error.to_failure(),
        EnrollError::TestKeysPrivate => Failure::new(ExitClass::Refused, "enroll.test-keys-private", message)
            .hint("install the applet with start keys of your own (see the README), or enroll it in open mode"),
        EnrollError::Trackable(_) => Failure::new(ExitClass::Refused, "enroll.trackable", message).hint(
            "take a card with a random UID and an empty CPLC; if that does not matter here, say so: --accept-trackable",
        ),
        EnrollError::Certify(_) => Failure::new(ExitClass::Refused, "enroll.not-certified", message)
            .hint(
            "nothing is lost: run the same command again when the CA is available; where it has a successor, after rollcall pki renew",
        ),
        EnrollError::Journal(..) => Failure::new(ExitClass::Io, "enroll.journal", message)
            .hint("check the permissions and the space of the state folder"),
        EnrollError::JournalDamaged => Failure::new(ExitClass::Io, "enroll.journal", message)
            .hint("remove the file of this card in the folder enrollments, and enroll it anew"),
    }
}

/// The failure of a batch's journal.
pub fn batch(error: &BatchError) -> Failure {
    let message = error.to_string();
    match error {
        BatchError::Io(..) => Failure::new(ExitClass::Io, "batch.journal", message)
            .hint("check the permissions and the space there, or name another file: --journal FILE"),
        BatchError::Busy(_) => Failure::new(ExitClass::Busy, "batch.busy", message)
            .hint("wait until it ends, or give each batch its own journal"),
        BatchError::Damaged { .. } => Failure::new(ExitClass::Data, "batch.journal-damaged", message)
            .hint("name the journal of this batch, or restore it from a copy: without it, cards may get a second row"),
        BatchError::OtherAuthority(_) => Failure::new(ExitClass::Data, "batch.other-authority", message)
            .hint("use the pki folder that the batch was begun with, or another journal"),
        BatchError::Changed { .. } => Failure::new(ExitClass::Data, "batch.row-changed", message)
            .hint("put the old text back, or take these rows into a batch of their own"),
    }
}
