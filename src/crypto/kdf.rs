//! The two key derivations of the protocol: X9.63 for SCP11, and the CMAC counter mode of SCP03.

use zeroize::Zeroizing;

use super::{CryptoError, Key128, cmac::cmac, sha256};

/// ANSI X9.63 KDF with SHA-256 (BSI TR-03111, 4.3.3): `length` bytes from the shared secret and the SharedInfo.
pub fn x963(secret: &[u8], shared_info: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(length + 32));
    let mut counter: u32 = 1;
    while out.len() < length {
        out.extend_from_slice(&sha256(&[secret, &counter.to_be_bytes(), shared_info]));
        counter += 1;
    }
    out.truncate(length);
    out
}

/// One 16-byte block of the SCP03 derivation (GP Amendment D, 4.1.5; NIST SP 800-108 counter mode); `bits` is the
/// length of all that is derived.
///
/// # Errors
/// [`CryptoError`] when OpenSSL fails.
pub fn scp03_block(key: &Key128, constant: u8, bits: u16, context: &[u8]) -> Result<[u8; 16], CryptoError> {
    cmac(key, &[&scp03_head(constant, bits), context])
}

/// What precedes the context in that block: the label (eleven zero bytes and `constant`), then `00`, the length in
/// bits, and the counter 01.
pub fn scp03_head(constant: u8, bits: u16) -> [u8; 16] {
    let mut head = [0; 16];
    head[11] = constant;
    head[13..15].copy_from_slice(&bits.to_be_bytes());
    head[15] = 1;
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    // NIST CAVP, ANSX963_2001 SHA-256, shared secret length 192, first case.
    #[test]
    fn x963_matches_nist() {
        let z = hex::decode("96c05619d56c328ab95fe84b18264b08725b85e33fd34f08").unwrap();
        assert_eq!(hex::encode(&*x963(&z, &[], 16)), "443024c3dae66b95e6f5670601558f71");
    }
}
