//! One logical exchange: command chaining outwards, GET RESPONSE inwards (ISO/IEC 7816-4, 5.3.3 and 5.3.4).

use super::{
    apdu::{Command, Format, Response, SHORT_LE},
    link::{Link, LinkError, Privacy},
    status::Status,
};

/// The longest answer that is put together; the longest of our protocol is a certificate of 480 bytes.
pub const ANSWER_MAX: usize = 4096;
/// How often an answer may say "more": enough for the longest answer in pieces of a small reader.
pub const PIECES_MAX: usize = 64;

/// Sends the command in the given format and returns its whole answer.
///
/// A refusal in the middle of a chain ends it and is the answer. An answer that never ends is refused.
pub fn exchange(link: &mut dyn Link, command: &Command, format: Format) -> Result<Response, LinkError> {
    let mut response = Response::status(Status::OK);
    let apdus = command.encode(format);
    let last = apdus.len() - 1;
    for (i, apdu) in apdus.iter().enumerate() {
        response = transmit(link, apdu, command.privacy)?;
        if i < last && !(response.status.is_ok() && response.data.is_empty()) {
            return Ok(Response::status(if response.status.is_ok() { Status::UNKNOWN } else { response.status }));
        }
    }
    let correctable = format == Format::Short && command.answers && response.data.is_empty();
    if let Some(le) = response.status.correct_le().filter(|_| correctable) {
        response = transmit(link, &with_le(&apdus[last], le), command.privacy)?;
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
        // GET RESPONSE is transport: it carries the plain class, whatever the command's was.
        let le = u8::try_from(waiting).unwrap_or(SHORT_LE).min(SHORT_LE);
        let mut next = transmit(link, &[0, 0xC0, 0, 0, le], command.privacy)?;
        if let Some(le) = next.status.correct_le().filter(|_| next.data.is_empty()) {
            next = transmit(link, &with_le(&[0, 0xC0, 0, 0, 0], le), command.privacy)?;
        }
        response.status = next.status;
        response.data.extend_from_slice(&next.data);
        if response.data.len() > ANSWER_MAX {
            return Err(LinkError::Malformed(response.data.len()));
        }
    }
    Ok(response)
}

fn transmit(link: &mut dyn Link, apdu: &[u8], privacy: Privacy) -> Result<Response, LinkError> {
    let bytes = link.transmit(apdu, privacy)?;
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
        fn transmit(&mut self, command: &[u8], _: Privacy) -> Result<Vec<u8>, LinkError> {
            self.1.push(hex::encode_upper(command));
            Ok(hex::decode(if self.0.len() > 1 { self.0.remove(0) } else { self.0[0] }).unwrap())
        }
    }

    fn run(answers: Vec<&'static str>, command: &Command) -> (Result<Response, LinkError>, Vec<String>) {
        let mut script = Script(answers, Vec::new());
        let result = exchange(&mut script, command, Format::Short);
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

    /// Sixteen pieces of 255 bytes and what fills 4096, or one byte more.
    #[test]
    fn an_answer_has_room_for_4096_bytes() {
        for (last, fits) in [(16, true), (17, false)] {
            let piece = |length: usize, status: &str| format!("{}{status}", "AB".repeat(length));
            let mut pieces = vec![piece(255, "6100"); 16];
            pieces.push(piece(last, "9000"));
            let answers = pieces.iter().map(|piece| &*piece.clone().leak()).collect();
            let outcome = run(answers, &Command::new(0, 0xCA, 1, 1)).0;
            assert_eq!(outcome.map(|response| response.data.len()).ok(), fits.then_some(ANSWER_MAX), "{last}");
        }
        for (length, fits) in [(ANSWER_MAX, true), (ANSWER_MAX + 1, false)] {
            let answer = format!("{}9000", "AB".repeat(length)).leak();
            assert_eq!(run(vec![answer], &Command::new(0, 0xCA, 1, 1)).0.is_ok(), fits, "{length}");
        }
    }

    #[test]
    fn a_piece_of_a_chain_is_answered_nothing() {
        let command = Command::new(0x80, 0x2A, 3, 0x10).data(vec![0; 300]);
        let (response, sent) = run(vec!["019000", "9000"], &command);
        assert_eq!((response.unwrap(), sent.len()), (Response::status(Status::UNKNOWN), 1));
    }
}
