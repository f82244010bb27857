//! The small transport trait on which all card code is built.

use super::record::{Question, RecordedVerdict, TraceRecord};
pub use super::{
    error::{LinkError, Sensitivity},
    service::{MissingGate, ProtocolVersion, ReaderError},
};

/// A card that takes a command APDU and returns a response APDU.
pub trait Link {
    /// Sends the encoded command, and returns the answer with its two status bytes at the end.
    ///
    /// # Errors
    /// [`LinkError`] when there was no answer, or none from the card. A status word of the card's is not an error.
    fn transmit(&mut self, command: &[u8], sensitivity: Sensitivity) -> Result<Vec<u8>, LinkError>;

    /// Records what the layers above know of the exchanges. Only a traced link makes the record.
    fn note(&mut self, _: &dyn Fn() -> TraceRecord) {}

    /// The verdict in a trace that only keys outside the trace could give. A link to a card gives none: there, the keys
    /// decide. Only the replay of a trace answers, and its results never reach the list.
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

    /// Echoes a command, keeps the records, and knows one verdict.
    #[derive(Default)]
    struct Echo(Vec<TraceRecord>);

    impl Link for Echo {
        fn transmit(&mut self, command: &[u8], _: Sensitivity) -> Result<Vec<u8>, LinkError> {
            Ok(command.to_vec())
        }

        fn note(&mut self, record: &dyn Fn() -> TraceRecord) {
            self.0.push(record());
        }

        fn recorded(&mut self, question: Question) -> Option<RecordedVerdict> {
            (question == Question::Proof).then_some(RecordedVerdict::Holds)
        }
    }

    fn through(mut link: impl Link) {
        assert_eq!(link.transmit(&[1, 2, 3], Sensitivity::Plain), Ok(vec![1, 2, 3]));
        link.note(&|| TraceRecord::Heartbeat);
        assert_eq!(link.recorded(Question::Proof), Some(RecordedVerdict::Holds));
        assert_eq!(link.recorded(Question::Receipt), None);
    }

    #[test]
    fn a_reference_and_a_box_are_the_link_itself() {
        let mut echo = Echo::default();
        through(&mut echo);
        let boxed: Box<dyn Link + '_> = Box::new(&mut echo);
        through(boxed);
        assert_eq!(echo.0, [TraceRecord::Heartbeat, TraceRecord::Heartbeat]);
    }
}
