//! Status words (ISO/IEC 7816-4, 5.6).

use std::fmt;

/// The two status bytes of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub u16);

impl Status {
    /// Normal processing.
    pub const OK: Self = Self(0x9000);
    /// Authentication of the host cryptogram failed (GP Amendment D).
    pub const AUTHENTICATION_FAILED: Self = Self(0x6300);
    /// Wrong length.
    pub const WRONG_LENGTH: Self = Self(0x6700);
    /// Last command of a chain expected.
    pub const ODD_CHAIN: Self = Self(0x6883);
    /// Security status not satisfied.
    pub const SECURITY: Self = Self(0x6982);
    /// Conditions of use not satisfied.
    pub const CONDITIONS: Self = Self(0x6985);
    /// Incorrect parameters in the command data field, or in P1 P2 as our protocol defines.
    pub const WRONG_DATA: Self = Self(0x6A80);
    /// File or application not found.
    pub const NOT_FOUND: Self = Self(0x6A82);
    /// Not enough memory.
    pub const NO_ROOM: Self = Self(0x6A84);
    /// Referenced data not found.
    pub const NO_DATA: Self = Self(0x6A88);
    /// Instruction code not supported.
    pub const UNKNOWN_INSTRUCTION: Self = Self(0x6D00);
    /// Class not supported.
    pub const UNKNOWN_CLASS: Self = Self(0x6E00);
    /// No precise diagnosis.
    pub const UNKNOWN: Self = Self(0x6F00);

    /// Whether the command was successful (9000).
    pub fn is_ok(self) -> bool {
        self == Self::OK
    }

    /// For 61xx: how many bytes are waiting, where 256 stands for "256 or more".
    pub fn more(self) -> Option<usize> {
        match self.0.to_be_bytes() {
            [0x61, 0] => Some(256),
            [0x61, n] => Some(n.into()),
            _ => None,
        }
    }

    /// For 6Cxx: the Le that the card expects instead, 1 to 256 bytes.
    pub fn correct_le(self) -> Option<usize> {
        match self.0.to_be_bytes() {
            [0x6C, 0] => Some(256),
            [0x6C, n] => Some(n.into()),
            _ => None,
        }
    }

    /// Whether a response under secure messaging carries a MAC (9000 and the warnings 62xx, 63xx).
    pub fn carries_mac(self) -> bool {
        self.is_ok() || matches!(self.0 >> 8, 0x62 | 0x63)
    }

    /// What the status word means, in ISO's words.
    pub fn meaning(self) -> &'static str {
        match self.0 {
            0x9000 => "done",
            0x6300 => "the host's cryptogram is wrong",
            0x6700 => "wrong length",
            0x6883 => "the last command of a chain was expected",
            0x6982 => "security status not satisfied",
            0x6983 => "authentication method blocked",
            0x6985 => "conditions of use not satisfied",
            0x6986 => "no application is selected",
            0x6A80 => "incorrect data or parameters",
            0x6A81 => "function not supported",
            0x6A82 => "application or file not found",
            0x6A84 => "not enough memory on the card",
            0x6A86 => "incorrect P1 P2",
            0x6A88 => "referenced data not found",
            0x6B00 => "wrong P1 P2",
            0x6D00 => "instruction not supported",
            0x6E00 => "class not supported",
            0x6F00 => "the card failed without a diagnosis",
            sw => match sw >> 8 {
                0x61 => "more data waits",
                0x62 => "warning, memory unchanged",
                0x63 => "warning, memory changed",
                0x64 | 0x65 => "execution error",
                0x66 => "security-related failure",
                0x67 => "wrong length",
                0x68 => "function in CLA not supported",
                0x69 => "command not allowed",
                0x6A => "wrong parameters",
                0x6C => "wrong Le",
                _ => "unknown status",
            },
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04X}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_apart() {
        for sw in 0..=0xFFFF {
            let status = Status(sw);
            let [high, low] = sw.to_be_bytes();
            let length = Some(if low == 0 { 256 } else { usize::from(low) });
            assert_eq!(status.is_ok(), sw == 0x9000);
            assert_eq!(status.more(), if high == 0x61 { length } else { None });
            assert_eq!(status.correct_le(), if high == 0x6C { length } else { None });
            assert_eq!(status.carries_mac(), sw == 0x9000 || high == 0x62 || high == 0x63);
        }
        assert_eq!(Status(0x6A80).to_string(), "6A80");
    }

    #[test]
    fn each_word_has_its_meaning() {
        for (sw, meaning) in [
            (0x9000, "done"),
            (0x6300, "the host's cryptogram is wrong"),
            (0x6700, "wrong length"),
            (0x6883, "the last command of a chain was expected"),
            (0x6982, "security status not satisfied"),
            (0x6983, "authentication method blocked"),
            (0x6985, "conditions of use not satisfied"),
            (0x6986, "no application is selected"),
            (0x6A80, "incorrect data or parameters"),
            (0x6A81, "function not supported"),
            (0x6A82, "application or file not found"),
            (0x6A84, "not enough memory on the card"),
            (0x6A86, "incorrect P1 P2"),
            (0x6A88, "referenced data not found"),
            (0x6B00, "wrong P1 P2"),
            (0x6D00, "instruction not supported"),
            (0x6E00, "class not supported"),
            (0x6F00, "the card failed without a diagnosis"),
            (0x617F, "more data waits"),
            (0x627F, "warning, memory unchanged"),
            (0x637F, "warning, memory changed"),
            (0x647F, "execution error"),
            (0x657F, "execution error"),
            (0x667F, "security-related failure"),
            (0x677F, "wrong length"),
            (0x687F, "function in CLA not supported"),
            (0x697F, "command not allowed"),
            (0x6A7F, "wrong parameters"),
            (0x6C7F, "wrong Le"),
            (0x0000, "unknown status"),
            (0x9001, "unknown status"),
        ] {
            assert_eq!(Status(sw).meaning(), meaning, "{sw:04X}");
        }
    }
}
