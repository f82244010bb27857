//! AES-128-CMAC (RFC 4493, NIST SP 800-38B).

use openssl::{pkey::PKey, sign::Signer, symm::Cipher};

use super::{CryptoError, Key128};

/// The full 16-byte CMAC over the concatenation of the parts.
///
/// # Errors
/// [`CryptoError`] when OpenSSL fails.
pub fn cmac(key: &Key128, parts: &[&[u8]]) -> Result<[u8; 16], CryptoError> {
    let pkey = PKey::cmac(&Cipher::aes_128_cbc(), key.expose())?;
    let mut signer = Signer::new_without_digest(&pkey)?;
    for part in parts {
        signer.update(part)?;
    }
    let mut mac = [0; 16];
    signer.sign(&mut mac)?;
    Ok(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 4493, section 4.
    #[test]
    fn rfc_4493() {
        let key = Key128::new(*b"\x2b\x7e\x15\x16\x28\xae\xd2\xa6\xab\xf7\x15\x88\x09\xcf\x4f\x3c");
        let message = hex::decode(
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
        )
        .unwrap();
        for (length, expected) in [
            (0, "bb1d6929e95937287fa37d129b756746"),
            (16, "070a16b46b4d4144f79bdd9dd04a287c"),
            (40, "dfa66747de9ae63030ca32611497c827"),
            (64, "51f0bebf7e3b9d92fc49741779363cfe"),
        ] {
            let (head, tail) = message[..length].split_at(length / 3);
            assert_eq!(hex::encode(cmac(&key, &[head, tail]).unwrap()), expected);
        }
    }
}
