//! Randomness is passed in as a parameter, so that test vectors can fix it and tests can repeat it.

use super::CryptoError;

/// A source of cryptographically secure random bytes.
pub trait Random {
    /// Fills the whole buffer.
    ///
    /// # Errors
    /// [`CryptoError`] when there is no randomness: then nothing in the buffer may be used.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), CryptoError>;
}

/// The system's generator, through OpenSSL.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), CryptoError> {
        Ok(openssl::rand::rand_bytes(buffer)?)
    }
}

/// `N` random bytes.
///
/// # Errors
/// As [`Random::fill`].
pub fn bytes<const N: usize>(random: &mut dyn Random) -> Result<[u8; N], CryptoError> {
    let mut out = [0; N];
    random.fill(&mut out)?;
    Ok(out)
}
