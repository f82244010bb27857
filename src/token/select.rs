//! The answer to SELECT: what a token reveals before anything is proved.
//!
//! Specification: docs/protocol.md, "SELECT".

use crate::channel::CommandName;
use uuid::Uuid;

use super::TokenError;
use crate::{
    card::{
        apdu::{Command, Response},
        status::Status,
        tlv::{self, TlvError, TlvReader},
    },
    token::constants::{AID, VERSION},
};

/// The life-cycle state of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifeCycle {
    /// 07: newly installed, or after RESET.
    Blank,
    /// 0F: enrollment has begun.
    Personalised,
    /// 1F: in use. A blocked token in private mode claims this too, until a channel is open.
    Issued,
    /// 9F: blocked by an administrator.
    Blocked,
    /// 7F: terminated permanently.
    Terminated,
}

impl LifeCycle {
    /// The state for this byte.
    pub const fn parse(byte: u8) -> Option<Self> {
        match byte {
            0x07 => Some(Self::Blank),
            0x0F => Some(Self::Personalised),
            0x1F => Some(Self::Issued),
            0x9F => Some(Self::Blocked),
            0x7F => Some(Self::Terminated),
            _ => None,
        }
    }

    /// The byte for this state, as used in SET STATUS.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Blank => 0x07,
            Self::Personalised => 0x0F,
            Self::Issued => 0x1F,
            Self::Blocked => 0x9F,
            Self::Terminated => 0x7F,
        }
    }

    /// The word for it in output.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::Personalised => "personalised",
            Self::Issued => "issued",
            Self::Blocked => "blocked",
            Self::Terminated => "terminated",
        }
    }
}

/// How an issued token identifies itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenMode {
    /// It reveals its token id to everybody.
    Open(Uuid),
    /// It reveals only the identifier of its set.
    Private([u8; 8]),
}

/// The parsed answer to SELECT. Nothing in it is proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// The raw answer without status: it enters the channel binding.
    pub raw: Vec<u8>,
    /// The life-cycle state that the token claims.
    pub state: LifeCycle,
    /// The KVN of the ECKA key to use; zero when there is none.
    pub ecka_kvn: u8,
    /// The first 8 bytes of the identifier of its oldest CA key; zeros when there is none.
    pub ca_prefix: [u8; 8],
    /// Token id or set id; `None` before ISSUED and when TERMINATED.
    pub mode: Option<TokenMode>,
}

/// SELECT by AID (ISO/IEC 7816-4, 11.2.2).
pub fn select() -> Command {
    Command::new(0x00, 0xA4, 0x04, 0x00).data(AID).answered()
}

impl Selected {
    /// Parses the answer. `Ok(None)` means that the card has no Rollcall applet.
    ///
    /// # Errors
    /// [`TokenError::Form`] when our applet's answer is malformed.
    pub fn parse(response: Response) -> Result<Option<Self>, TokenError> {
        if response.status != Status::OK || !names_our_application(&response.data) {
            return Ok(None);
        }
        Self::parse_ours(response.data).map(Some).map_err(|_| TokenError::Form(CommandName::Select))
    }

    fn parse_ours(raw: Vec<u8>) -> Result<Self, TlvError> {
        let mut fci = TlvReader::new(tlv::only(&raw, 0x6F)?);
        fci.value(0x84)?;
        let mut inside = TlvReader::new(fci.value(0xA5)?);
        fci.end()?;
        if inside.array(0x80)? != VERSION {
            return Err(TlvError::ValueLength(0x80));
        }
        let [state] = inside.array(0x81)?;
        let state = LifeCycle::parse(state).ok_or(TlvError::ValueLength(0x81))?;
        let [ecka_kvn] = inside.array(0x82)?;
        let ca_prefix = inside.array(0x83)?;
        let set = inside.optional(0x84)?;
        let id = inside.optional(0x85)?;
        inside.end()?;
        let mode = match (state, set, id) {
            (LifeCycle::Issued | LifeCycle::Blocked, None, Some(id)) => {
                Some(TokenMode::Open(Uuid::from_slice(id).map_err(|_| TlvError::ValueLength(0x85))?))
            }
            (LifeCycle::Issued, Some(set), None) => {
                Some(TokenMode::Private(set.try_into().map_err(|_| TlvError::ValueLength(0x84))?))
            }
            (LifeCycle::Blank | LifeCycle::Personalised | LifeCycle::Terminated, None, None) => None,
            _ => return Err(TlvError::Trailing),
        };
        Ok(Self { raw, state, ecka_kvn, ca_prefix, mode })
    }
}

/// Some platforms answer SELECT of an unknown AID with their own FCI, but only our applet names our AID.
fn names_our_application(data: &[u8]) -> bool {
    let Ok(fci) = tlv::only(data, 0x6F) else {
        return false;
    };
    TlvReader::new(fci).value(0x84).is_ok_and(|aid| aid == AID)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(inner: &str) -> Response {
        let inside = tlv::object(0xA5, &hex::decode(inner).unwrap());
        let data = tlv::object(0x6F, &[tlv::object(0x84, &AID), inside].concat());
        Response { data, status: Status::OK }
    }

    #[test]
    fn an_open_token_tells_its_id() {
        let id = "000102030405060708090a0b0c0d0e0f";
        let inner = format!("80020100 81011F 820141 83080102030405060708 8510{id}").replace(' ', "");
        let selected = Selected::parse(answer(&inner)).unwrap().unwrap();
        assert_eq!(selected.state, LifeCycle::Issued);
        assert_eq!(selected.ecka_kvn, 0x41);
        assert_eq!(selected.mode, Some(TokenMode::Open(Uuid::parse_str(id).unwrap())));
    }

    #[test]
    fn contradictions_are_refused() {
        let head = "80020100";
        for inner in [
            "80020200 81011F 820141 83080102030405060708 8510000102030405060708090a0b0c0d0e0f",
            "80020100 81011F 820141 83080102030405060708",
            "80020100 810107 820100 83080000000000000000 8510000102030405060708090a0b0c0d0e0f",
            "80020100 81011F 820141 83080102030405060708 84080102030405060708 8510000102030405060708090a0b0c0d0e0f",
            "80020100 81019F 820101 83080102030405060708 84080102030405060708",
            "80020100 810142 820141 83080102030405060708",
            head,
        ] {
            assert!(Selected::parse(answer(&inner.replace(' ', ""))).is_err(), "{inner}");
        }
    }

    #[test]
    fn nothing_may_stand_behind_what_is_told() {
        let fields =
            "80020100 81011F 820141 83080102030405060708 8510000102030405060708090a0b0c0d0e0f".replace(' ', "");
        assert!(Selected::parse(answer(&fields)).is_ok());
        for more in ["86020000", "85100000", "8510000102030405060708090a0b0c0d0e0f", "00"] {
            assert!(Selected::parse(answer(&format!("{fields}{more}"))).is_err(), "{more}");
        }
        let inside = tlv::object(0xA5, &hex::decode(&fields).unwrap());
        for more in [&[0xA5, 0][..], &[0x86, 0], &inside, &[0]] {
            let fci = tlv::object(0x6F, &[&tlv::object(0x84, &AID), &inside, more].concat());
            assert!(Selected::parse(Response { data: fci, status: Status::OK }).is_err(), "{more:02X?}");
        }
    }

    /// A warning or an error does not select, whatever data come with it.
    #[test]
    fn only_9000_selects() {
        let fields =
            "80020100 81011F 820141 83080102030405060708 8510000102030405060708090a0b0c0d0e0f".replace(' ', "");
        for status in [Status(0x6283), Status(0x6300), Status::NOT_FOUND, Status::CONDITIONS] {
            let response = Response { status, ..answer(&fields) };
            assert_eq!(Selected::parse(response).unwrap(), None, "{status}");
        }
    }

    #[test]
    fn every_state_of_a_life_is_told() {
        let head = "80020100";
        let set = Some(TokenMode::Private([9; 8]));
        let id = Some(TokenMode::Open(Uuid::from_bytes([7; 16])));
        let (set_id, token_id) = (format!("8408{}", "09".repeat(8)), format!("8510{}", "07".repeat(16)));
        for (byte, state, word, inner, mode) in [
            (0x07, LifeCycle::Blank, "blank", "", None),
            (0x0F, LifeCycle::Personalised, "personalised", "", None),
            (0x1F, LifeCycle::Issued, "issued", &token_id[..], id),
            (0x1F, LifeCycle::Issued, "issued", &set_id, set),
            (0x9F, LifeCycle::Blocked, "blocked", &token_id, id),
            (0x7F, LifeCycle::Terminated, "terminated", "", None),
        ] {
            assert_eq!((LifeCycle::parse(byte), state.byte(), state.word()), (Some(state), byte, word));
            let inner = format!("{head} 8101{byte:02X} 820141 83080102030405060708 {inner}").replace(' ', "");
            let selected = Selected::parse(answer(&inner)).unwrap().unwrap();
            assert_eq!((selected.state, selected.mode), (state, mode));
            assert_eq!(selected.ca_prefix, [1, 2, 3, 4, 5, 6, 7, 8]);
        }
        for byte in (0..=0xFF).filter(|byte| ![0x07, 0x0F, 0x1F, 0x9F, 0x7F].contains(byte)) {
            assert_eq!(LifeCycle::parse(byte), None);
        }
    }

    #[test]
    fn other_applications_are_foreign() {
        assert_eq!(Selected::parse(Response::status(Status::NOT_FOUND)).unwrap(), None);
        let other = Response { data: tlv::object(0x6F, &tlv::object(0x84, &[1, 2])), status: Status::OK };
        assert_eq!(Selected::parse(other).unwrap(), None);
    }
}
