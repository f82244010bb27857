//! The one small transport trait that everything about cards is written against.

use serde::{Deserialize, Serialize};

use super::trace::{Question, RecordedVerdict, TraceRecord};

/// Whether the bytes of a command may appear in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sensitivity {
    /// The command may be traced as it is.
    #[default]
    Plain,
    /// The command carries a secret in clear (a PIN, a key): a trace hides its data.
    Sensitive,
}

/// Why a link could not bring back an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum LinkError {
    /// The card was removed.
    #[error("the card left the reader")]
    CardRemoved,
    /// Another program, or the reader, reset the card: the session is gone.
    #[error("the card was reset by another program or by the reader")]
    CardReset,
    /// Something is in the field that does not answer.
    #[error("the card does not answer")]
    CardMute,
    /// The time limit of an exchange or of a tap ran out.
    #[error("the card did not answer within its time limit")]
    TimedOut,
    /// Another program holds the card.
    #[error("another program holds the reader")]
    SharingViolation,
    /// The reader was unplugged.
    #[error("the reader was unplugged")]
    ReaderGone,
    /// The PC/SC service went away.
    #[error("the PC/SC service went away")]
    ServiceLost,
    /// The answer is shorter than a status word or longer than any answer may be.
    #[error("the card's answer is malformed ({0} bytes)")]
    Malformed(usize),
    /// Anything else, by the PC/SC name of the error.
    #[error("the reader reported: {0}")]
    Other(String),
}

/// A card that takes a command APDU and gives back a response APDU.
pub trait Link {
    /// Sends the encoded command, and returns the answer with its two status bytes at the end.
    fn transmit(&mut self, command: &[u8], sensitivity: Sensitivity) -> Result<Vec<u8>, LinkError>;

    /// Takes note of what the layers above know of the exchanges. Only a link that is being traced makes the record.
    fn note(&mut self, _: &dyn Fn() -> TraceRecord) {}

    /// What a trace says where only keys that are not in it could tell. A link to a card says nothing: there, the keys
    /// decide. Only the replay of a trace answers, and nothing that it comes to reaches the list.
    fn recorded(&mut self, _: Question) -> Option<RecordedVerdict> {
        None
    }
}

impl<L: Link + ?Sized> Link for &mut L {
    fn transmit(&mut self, command: &[u8], sensitivity: Sensitivity) -> Result<Vec<u8>, LinkError> {
        (**self).transmit(command, sensitivity)
    }

    fn note(&mut self, record: &dyn Fn() -> TraceRecord) {
        (**self).note(record);
    }

    fn recorded(&mut self, question: Question) -> Option<RecordedVerdict> {
        (**self).recorded(question)
    }
}

impl<L: Link + ?Sized> Link for Box<L> {
    fn transmit(&mut self, command: &[u8], sensitivity: Sensitivity) -> Result<Vec<u8>, LinkError> {
        (**self).transmit(command, sensitivity)
    }

    fn note(&mut self, record: &dyn Fn() -> TraceRecord) {
        (**self).note(record);
    }

    fn recorded(&mut self, question: Question) -> Option<RecordedVerdict> {
        (**self).recorded(question)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;

    impl Link for Echo {
        fn transmit(&mut self, command: &[u8], _: Sensitivity) -> Result<Vec<u8>, LinkError> {
            Ok(command.to_vec())
        }
    }

    fn through(mut link: impl Link) -> Vec<u8> {
        link.transmit(&[1, 2, 3], Sensitivity::Plain).unwrap()
    }

    #[test]
    fn a_reference_and_a_box_are_the_link_itself() {
        assert_eq!(through(&mut Echo), [1, 2, 3]);
        let boxed: Box<dyn Link> = Box::new(Echo);
        assert_eq!(through(boxed), [1, 2, 3]);
    }
}
