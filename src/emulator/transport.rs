//! Command chaining and GET RESPONSE on the card's side (ISO/IEC 7816-4, 5.3.3 and 5.3.4).

use zeroize::Zeroizing;

use crate::{
    card::{
        apdu::{CHAINING, Received},
        status::Status,
    },
    token::constants::INS_GET_RESPONSE,
};

/// The longest answer to a short APDU without a smaller Le.
const SHORT_ANSWER: usize = 256;

/// What is pending between two APDUs.
#[derive(Default)]
pub(super) struct Transport {
    /// An incomplete command.
    pub(super) chain: Option<Chain>,
    /// The rest of an answer.
    pub(super) waiting: Vec<u8>,
}

/// The pieces of a command so far.
pub(super) struct Chain {
    /// Without the "more follows" bits.
    pub(super) header: [u8; 4],
    pub(super) data: Zeroizing<Vec<u8>>,
}

/// A reassembled command.
pub(super) struct Whole {
    /// Without the "more follows" bits: in this form it is part of the C-MAC.
    pub(super) header: [u8; 4],
    pub(super) data: Zeroizing<Vec<u8>>,
    /// Lc as it is part of the C-MAC: one byte, or `00 hh ll`.
    pub(super) lc: Vec<u8>,
}

impl Whole {
    /// A command from one APDU, or from a chain, which counts as one short APDU if it would fit into one.
    #[allow(clippy::cast_possible_truncation)] // an APDU has less than 64 KiB
    pub(super) fn new(header: [u8; 4], data: Zeroizing<Vec<u8>>, extended: bool, chained: bool) -> Self {
        let length = data.len();
        let long = if chained { length > 255 } else { extended };
        let lc = if long { vec![0, (length >> 8) as u8, length as u8] } else { vec![length as u8] };
        Self { header, data, lc }
    }
}

/// The header without the chaining bit of CLA.
pub(super) const fn without_chaining([cla, ins, p1, p2]: [u8; 4]) -> [u8; 4] {
    [cla & !CHAINING, ins, p1, p2]
}

impl Transport {
    /// The response APDU: complete for an extended APDU, at most Le bytes for a short one, and then 61xx.
    /// GET RESPONSE always answers as for a short one.
    pub(super) fn respond(&mut self, reply: Result<Vec<u8>, Status>, received: &Received<'_>) -> Vec<u8> {
        let mut data = match reply {
            Ok(data) => data,
            Err(status) => return status.0.to_be_bytes().to_vec(),
        };
        let whole = received.extended && received.header[1] != INS_GET_RESPONSE;
        let limit = if whole { usize::MAX } else { received.expected.unwrap_or(SHORT_ANSWER).min(SHORT_ANSWER) };
        let mut status = Status::OK;
        if data.len() > limit {
            self.waiting = data.split_off(limit);
            status = Status(0x6100 | u16::from(u8::try_from(self.waiting.len()).unwrap_or(0)));
        }
        data.extend_from_slice(&status.0.to_be_bytes());
        data
    }

    /// GET RESPONSE: the rest of the answer.
    pub(super) fn next(&mut self) -> Result<Vec<u8>, Status> {
        if self.waiting.is_empty() { Err(Status::CONDITIONS) } else { Ok(std::mem::take(&mut self.waiting)) }
    }
}
