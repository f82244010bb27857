//! Performs one logical exchange: command chaining outwards, GET RESPONSE inwards (ISO/IEC 7816-4, 5.3.3 and 5.3.4).

use super::{
    apdu::{ApduFormat, Command, Response, SHORT_LE},
    link::{Link, LinkError, Sensitivity},
    status::Status,
};

/// The longest answer to assemble; the longest of our protocol is a certificate of 480 bytes.
pub const ANSWER_MAX: usize = 4096;
/// How often an answer may continue: enough for the longest answer in pieces of a small reader.
pub const PIECES_MAX: usize = 64;

/// Sends the command in the given format and returns its complete answer.
///
/// An error status in the middle of a chain ends it and is the answer. An endless answer is an error.
///
/// # Errors
/// Those of [`Link::transmit`]; [`LinkError::Malformed`] for an answer without a status word, or an endless one. A
/// status word of the card's is not an error.
pub fn exchange(link: &mut dyn Link, command: &Command, format: ApduFormat) -> Result<Response, LinkError> {
    let mut response = Response::status(Status::OK);
    let apdus = command.encode(format);
    let last = apdus.len() - 1;
    for (i, apdu) in apdus.iter().enumerate() {
        response = transmit(link, apdu, command.sensitivity)?;
        if i < last && !(response.status.is_ok() && response.data.is_empty()) {
            return Ok(Response::status(if response.status.is_ok() { Status::UNKNOWN } else { response.status }));
        }
    }
    let correctable = format == ApduFormat::Short && command.answers && response.data.is_empty();
    if let Some(le) = response.status.correct_le().filter(|_| correctable) {
        response = transmit(link, &with_le(&apdus[last], le), command.sensitivity)?;
    }
    collect(link, command, response)
}

fn collect(link: &mut dyn Link, command: &Command, mut response: Response) -> Result<Response, LinkError> {
    let mut pieces = 0;
    while let Some(waiting) = response.status.more() {
        pieces += 1;
        if pieces > PIECES_MAX {
            return Err(LinkError::Malformed(response.data.len()));
        }
        // GET RESPONSE belongs to the transport: its class is plain, whatever the command's was.
        let le = u8::try_from(waiting).unwrap_or(SHORT_LE).min(SHORT_LE);
        let mut next = transmit(link, &[0, 0xC0, 0, 0, le], command.sensitivity)?;
        if let Some(le) = next.status.correct_le().filter(|_| next.data.is_empty()) {
            next = transmit(link, &with_le(&[0, 0xC0, 0, 0, 0], le), command.sensitivity)?;
        }
        response.status = next.status;
        response.data.extend_from_slice(&next.data);
        if response.data.len() > ANSWER_MAX {
            return Err(LinkError::Malformed(response.data.len()));
        }
    }
    Ok(response)
}

fn transmit(link: &mut dyn Link, apdu: &[u8], sensitivity: Sensitivity) -> Result<Response, LinkError> {
    let bytes = link.transmit(apdu, sensitivity)?;
    Response::parse(&bytes).filter(|r| r.data.len() <= ANSWER_MAX).ok_or(LinkError::Malformed(bytes.len()))
}

fn with_le(apdu: &[u8], le: usize) -> Vec<u8> {
    let mut again = apdu.to_vec();
    if let Some(last) = again.last_mut() {
        *last = u8::try_from(le).unwrap_or(0);
    }
    again
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link that plays answers from a list, and records what it was sent.
    struct Script(Vec<&'static str>, Vec<String>);

    impl Link for Script {
        fn transmit(&mut self, command: &[u8], _: Sensitivity) -> Result<Vec<u8>, LinkError> {
            self.1.push(hex::encode_upper(command));
            Ok(hex::decode(if self.0.len() > 1 { self.0.remove(0) } else { self.0[0] }).unwrap())
        }
    }

    fn run(answers: Vec<&'static str>, command: &Command) -> (Result<Response, LinkError>, Vec<String>) {
        let mut script = Script(answers, Vec::new());
        let result = exchange(&mut script, command, ApduFormat::Short);
        (result, script.1)
    }

    #[test]
    fn answers_in_pieces_are_put_together() {
        let (response, sent) = run(vec!["01026102", "03049000"], &Command::new(0, 0xCA, 1, 1).answered());
        assert_eq!(response.unwrap(), Response { data: vec![1, 2, 3, 4], status: Status::OK });
        assert_eq!(sent, ["00CA0101F0", "00C0000002"]);
    }

    #[test]
    fn an_endless_answer_is_refused() {
        for answer in ["6100", "FFFFFFFFFFFFFFFF6108"] {
            assert!(matches!(run(vec![answer], &Command::new(0, 0xCA, 1, 1)).0, Err(LinkError::Malformed(_))));
        }
    }

    #[test]
    fn wrong_le_is_corrected_once() {
        let (response, sent) = run(vec!["6C05", "6C06"], &Command::new(0, 0xCA, 1, 1).answered());
        assert_eq!(response.unwrap().status, Status(0x6C06));
        assert_eq!(sent, ["00CA0101F0", "00CA010105"]);
    }

    #[test]
    fn a_chain_stops_at_the_first_refusal() {
        let command = Command::new(0x80, 0x2A, 3, 0x10).data(vec![0; 300]);
        let (response, sent) = run(vec!["6A88"], &command);
        assert_eq!((response.unwrap().status, sent.len()), (Status::NO_DATA, 1));
    }

    #[test]
    fn an_answer_without_status_is_refused() {
        assert_eq!(run(vec!["90"], &Command::new(0, 0xA4, 4, 0)).0, Err(LinkError::Malformed(1)));
    }

    #[test]
    fn le_is_corrected_for_a_short_command_that_answers_and_got_nothing() {
        let answers = Command::new(0, 0xCA, 1, 1).answered();
        let silent = Command::new(0, 0xDA, 1, 1).data([7; 5]);
        for (format, command, answer, sent) in [
            (ApduFormat::Short, &answers, "6C05", 2),
            (ApduFormat::Extended, &answers, "6C05", 1),
            (ApduFormat::Short, &silent, "6C05", 1),
            (ApduFormat::Extended, &silent, "6C05", 1),
            (ApduFormat::Short, &answers, "016C05", 1),
        ] {
            let mut script = Script(vec![answer, "9000"], Vec::new());
            exchange(&mut script, command, format).unwrap();
            assert_eq!(script.1.len(), sent, "{format:?} {command:?} {answer}");
        }
    }

    #[test]
    fn only_silence_with_9000_goes_on_with_a_chain() {
        let command = Command::new(0x80, 0x2A, 3, 0x10).data(vec![0; 300]);
        for (answer, status) in [("009000", Status::UNKNOWN), ("6282", Status(0x6282)), ("6102", Status(0x6102))] {
            let (response, sent) = run(vec![answer, "9000"], &command);
            assert_eq!((response.unwrap(), sent.len()), (Response::status(status), 1), "{answer}");
        }
        let (response, sent) = run(vec!["9000", "9000"], &command);
        assert_eq!((response.unwrap(), sent.len()), (Response::status(Status::OK), 2));
    }

    #[test]
    fn get_response_asks_for_what_waits_and_no_more_than_a_short_answer() {
        let command = Command::new(0x84, 0xCA, 1, 1).answered();
        for (more, le) in [("6101", "01"), ("61EF", "EF"), ("61F0", "F0"), ("61F1", "F0"), ("6100", "F0")] {
            let (_, sent) = run(vec![more, "009000"], &command);
            assert_eq!(sent[1], format!("00C00000{le}"));
        }
        let (response, sent) = run(vec!["6105", "6C02", "AABB9000"], &command);
        assert_eq!((response.unwrap().data, &sent[2][..]), (vec![0xAA, 0xBB], "00C0000002"));
        let (response, sent) = run(vec!["6105", "CC6C02", "AABB9000"], &command);
        assert_eq!((response.unwrap().status, sent.len()), (Status(0x6C02), 2));
    }

    /// Endless pieces of this many bytes.
    struct Pieces {
        length: usize,
        left: usize,
    }

    impl Link for Pieces {
        fn transmit(&mut self, _: &[u8], _: Sensitivity) -> Result<Vec<u8>, LinkError> {
            self.left -= 1;
            Ok([vec![1; self.length], vec![if self.left == 0 { 0x90 } else { 0x61 }, 0]].concat())
        }
    }

    #[test]
    fn an_answer_has_a_longest_length_and_a_largest_number_of_pieces() {
        let length = |length, pieces| {
            let mut link = Pieces { length, left: pieces };
            exchange(&mut link, &Command::new(0, 0xCA, 1, 1).answered(), ApduFormat::Short)
                .map(|answer| answer.data.len())
        };
        assert_eq!(length(ANSWER_MAX, 1), Ok(ANSWER_MAX));
        assert_eq!(length(ANSWER_MAX + 1, 1), Err(LinkError::Malformed(ANSWER_MAX + 3)));
        assert_eq!(length(256, 16), Ok(ANSWER_MAX));
        assert_eq!(length(241, 17), Err(LinkError::Malformed(4097)));
        assert_eq!(length(1, PIECES_MAX + 1), Ok(PIECES_MAX + 1));
        assert_eq!(length(1, PIECES_MAX + 2), Err(LinkError::Malformed(PIECES_MAX + 1)));
    }
}
