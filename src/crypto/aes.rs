//! AES-128 as `GlobalPlatform` uses it: CBC without padding, and single blocks (NIST SP 800-38A).

use openssl::symm::{Cipher, Crypter, Mode};
use zeroize::Zeroizing;

use super::{CryptoError, Key128};

/// The block length of AES in bytes.
pub const BLOCK: usize = 16;

/// Encrypts whole blocks with AES-128-CBC. OpenSSL refuses `data` unless its length is a multiple of 16 bytes.
///
/// # Errors
/// [`CryptoError`] for any other length, or when OpenSSL fails.
pub fn cbc_encrypt(key: &Key128, iv: &[u8; BLOCK], data: &[u8]) -> Result<Vec<u8>, CryptoError> {
    run(Cipher::aes_128_cbc(), Mode::Encrypt, key, Some(iv), data).map(|v| v.to_vec())
}

/// Decrypts whole blocks with AES-128-CBC. OpenSSL refuses `data` unless its length is a multiple of 16 bytes.
///
/// # Errors
/// [`CryptoError`] for any other length, or when OpenSSL fails.
pub fn cbc_decrypt(key: &Key128, iv: &[u8; BLOCK], data: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    run(Cipher::aes_128_cbc(), Mode::Decrypt, key, Some(iv), data)
}

/// Encrypts one block (AES-128-ECB of 16 bytes).
///
/// # Errors
/// [`CryptoError`] when OpenSSL fails.
pub fn block_encrypt(key: &Key128, block: &[u8; BLOCK]) -> Result<[u8; BLOCK], CryptoError> {
    let out = run(Cipher::aes_128_ecb(), Mode::Encrypt, key, None, block)?;
    let mut result = [0; BLOCK];
    result.copy_from_slice(&out);
    Ok(result)
}

/// The key check value of an AES key: the first 3 bytes of AES(key, 01×16) (GP Card Specification, B.6).
///
/// # Errors
/// [`CryptoError`] when OpenSSL fails.
pub fn check_value(key: &Key128) -> Result<[u8; 3], CryptoError> {
    let block = block_encrypt(key, &[1; BLOCK])?;
    Ok([block[0], block[1], block[2]])
}

fn run(
    cipher: Cipher,
    mode: Mode,
    key: &Key128,
    iv: Option<&[u8; BLOCK]>,
    data: &[u8],
) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let mut crypter = Crypter::new(cipher, mode, key.expose(), iv.map(<[u8; BLOCK]>::as_slice))?;
    crypter.pad(false);
    let mut out = Zeroizing::new(vec![0; data.len() + BLOCK]);
    let mut length = crypter.update(data, &mut out)?;
    length += crypter.finalize(&mut out[length..])?;
    out.truncate(length);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    // FIPS 197, appendix B.
    #[test]
    fn block_matches_fips_197() {
        let key = Key128::new(*b"\x2b\x7e\x15\x16\x28\xae\xd2\xa6\xab\xf7\x15\x88\x09\xcf\x4f\x3c");
        let block = b"\x32\x43\xf6\xa8\x88\x5a\x30\x8d\x31\x31\x98\xa2\xe0\x37\x07\x34";
        assert_eq!(hex::encode(block_encrypt(&key, block).unwrap()), "3925841d02dc09fbdc118597196a0b32");
    }

    #[test]
    fn cbc_round_trip_and_refusal_of_partial_blocks() {
        let key = Key128::new([7; 16]);
        let sealed = cbc_encrypt(&key, &[9; 16], &[1; 32]).unwrap();
        assert_eq!(*cbc_decrypt(&key, &[9; 16], &sealed).unwrap(), [1; 32]);
        assert!(cbc_decrypt(&key, &[9; 16], &sealed[..31]).is_err());
    }
}
