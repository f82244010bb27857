//! Reads the file with the SCP03 start keys, which a real card gets with its install parameters.

use zeroize::Zeroizing;

use crate::{channel::scp03::StaticKeys, crypto::Key128};

/// Why a file contains no start keys. The contents are never quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StartKeyError {
    /// Neither one nor three keys.
    #[error("expected one key of 32 hexadecimal digits, or three lines of 32 (ENC, MAC, DEK), found {0} words")]
    Count(usize),
    /// An invalid key.
    #[error("key {0} is not 32 hexadecimal digits")]
    Digits(usize),
}

/// Parses a start key file: 32 hexadecimal digits, one key that serves for all three, or three lines of 32 digits
/// (ENC, MAC, DEK).
///
/// # Errors
/// [`StartKeyError::Count`] for another number of words; [`StartKeyError::Digits`] names the first that is not 32
/// hexadecimal digits.
pub fn parse_start_keys(text: &str) -> Result<StaticKeys, StartKeyError> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let key = |n: usize| -> Result<Key128, StartKeyError> {
        let mut bytes = Zeroizing::new([0; 16]);
        hex::decode_to_slice(words[n], &mut *bytes).map_err(|_| StartKeyError::Digits(n + 1))?;
        Ok(Key128::new(*bytes))
    };
    match words.len() {
        1 => Ok(StaticKeys::all(&key(0)?)),
        3 => Ok(StaticKeys { enc: key(0)?, mac: key(1)?, dek: key(2)? }),
        n => Err(StartKeyError::Count(n)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_or_three() {
        let one = "00112233445566778899aabbccddeeff";
        let two = "ffeeddccbbaa99887766554433221100";
        assert_eq!(parse_start_keys(&format!("{one}\n")).unwrap().dek.expose()[1], 0x11);
        let three = parse_start_keys(&format!("{one}\n{two}\n{one}\n")).unwrap();
        assert_eq!((three.enc.expose()[0], three.mac.expose()[0]), (0, 0xFF));
    }

    #[test]
    fn anything_else_is_refused_without_being_quoted() {
        let one = "00112233445566778899aabbccddeeff";
        assert_eq!(parse_start_keys("").unwrap_err(), StartKeyError::Count(0));
        assert_eq!(parse_start_keys(&format!("{one} {one}")).unwrap_err(), StartKeyError::Count(2));
        for bad in ["00", "zz112233445566778899aabbccddeeff", "00112233445566778899aabbccddeeff00"] {
            let error = parse_start_keys(bad).unwrap_err();
            assert_eq!(error, StartKeyError::Digits(1));
            assert!(!error.to_string().contains(bad));
        }
    }
}
