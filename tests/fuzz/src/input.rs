//! Decodes the fuzzer's bytes. Missing bytes at the end count as zero, so that every input is meaningful.

use rollcall::crypto::{CryptoError, ec::KeyPair, random::Random};

/// The rest of an input.
#[derive(Debug)]
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// The next byte, or none at the end.
    pub fn more(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next byte, or zero.
    pub fn byte(&mut self) -> u8 {
        self.more().unwrap_or(0)
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.byte()) % from.len()]
    }

    /// A run of bytes: its length stands before it, and it ends with the input.
    pub fn run(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        let (run, rest) = self.0.split_at(length);
        self.0 = rest;
        run
    }

    /// As [`Self::run`], with two bytes of length.
    pub fn long_run(&mut self) -> &'a [u8] {
        let length = usize::from(u16::from_be_bytes([self.byte(), self.byte()])).min(self.0.len());
        let (run, rest) = self.0.split_at(length);
        self.0 = rest;
        run
    }
}

/// Random numbers that are the same in every run: a failure can be repeated.
#[derive(Debug)]
pub struct Counting(pub u8);

impl Random for Counting {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), CryptoError> {
        for byte in buffer {
            self.0 = self.0.wrapping_mul(5).wrapping_add(17);
            *byte = self.0;
        }
        Ok(())
    }
}

/// The key pair of the scalar that repeats this byte.
///
/// # Panics
/// For 00 and FF, which make no scalar.
#[must_use]
pub fn pair(byte: u8) -> KeyPair {
    KeyPair::from_scalar(&[byte; 32]).expect("a scalar")
}
