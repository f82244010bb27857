//! P-256: points verified to be on the curve, key pairs, ECDH, and ECDSA with SHA-256 (SEC 1, FIPS 186-5).

use std::sync::OnceLock;

use openssl::{
    bn::{BigNum, BigNumContext},
    derive::Deriver,
    ec::{EcGroup, EcGroupRef, EcKey, EcPoint, PointConversionForm},
    ecdsa::EcdsaSig,
    nid::Nid,
    pkey::{PKey, Private, Public},
};
use zeroize::Zeroizing;

use super::{CryptoError, random::Random, sha256};

/// Why bytes are not a valid key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not 65 bytes that begin with 04 (SEC 1 uncompressed), or not on P-256.
    #[error("not an uncompressed point of P-256")]
    NotAPoint,
    /// Not a number from 1 to n-1.
    #[error("not a private key of P-256")]
    NotAScalar,
    /// Not a PEM file with a P-256 private key (PKCS#8).
    #[error("not a P-256 private key in PEM")]
    NotPem,
    /// The library failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

impl From<openssl::error::ErrorStack> for KeyError {
    fn from(e: openssl::error::ErrorStack) -> Self {
        Self::Crypto(e.into())
    }
}

/// P-256, created once, because that takes a seventh of the time of verifying a signature.
fn group() -> Result<&'static EcGroupRef, CryptoError> {
    static GROUP: OnceLock<EcGroup> = OnceLock::new();
    if let Some(group) = GROUP.get() {
        return Ok(group);
    }
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    Ok(GROUP.get_or_init(|| group))
}

/// A public key: an uncompressed point that was checked to be on P-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Point([u8; 65]);

impl Point {
    /// Parses 65 bytes `04 x y`; refuses anything else, including infinity and compressed forms.
    ///
    /// # Errors
    /// [`KeyError::NotAPoint`]; [`KeyError::Crypto`] when OpenSSL fails.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes: [u8; 65] = bytes.try_into().map_err(|_| KeyError::NotAPoint)?;
        if bytes[0] != 4 {
            return Err(KeyError::NotAPoint);
        }
        let group = group()?;
        let mut context = BigNumContext::new().map_err(CryptoError)?;
        // OpenSSL refuses points off the curve here; P-256 has cofactor 1, so no further check is needed.
        EcPoint::from_bytes(group, &bytes, &mut context).map_err(|_| KeyError::NotAPoint)?;
        Ok(Self(bytes))
    }

    /// The 65 bytes `04 x y`.
    pub const fn as_bytes(&self) -> &[u8; 65] {
        &self.0
    }

    /// The affine coordinates, 32 bytes each.
    pub fn coordinates(&self) -> (&[u8], &[u8]) {
        self.0[1..].split_at(32)
    }

    /// The CA identifier (docs/protocol.md, "Keys and identifiers"): the first 20 bytes of SHA-256 over the point.
    pub fn key_identifier(&self) -> [u8; 20] {
        let mut id = [0; 20];
        id.copy_from_slice(&sha256(&[&self.0])[..20]);
        id
    }

    /// The key in OpenSSL's form.
    ///
    /// # Errors
    /// [`CryptoError`] when OpenSSL fails.
    pub fn to_pkey(&self) -> Result<PKey<Public>, CryptoError> {
        let group = group()?;
        let mut context = BigNumContext::new()?;
        let point = EcPoint::from_bytes(group, &self.0, &mut context)?;
        Ok(PKey::from_ec_key(EcKey::from_public_key(group, &point)?)?)
    }

    /// Verifies a DER-encoded ECDSA signature over SHA-256 of the message.
    ///
    /// # Errors
    /// [`CryptoError`] when OpenSSL fails. An invalid signature, or one not in its only valid encoding, gives `false`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<bool, CryptoError> {
        let Ok(parsed) = EcdsaSig::from_der(signature) else {
            return Ok(false);
        };
        // OpenSSL's parser accepts trailing bytes and loose lengths, but a signature has only one encoding.
        if parsed.to_der()? != signature {
            return Ok(false);
        }
        let key = self.to_pkey()?.ec_key()?;
        Ok(parsed.verify(&sha256(&[message]), &key).unwrap_or(false))
    }
}

impl std::fmt::Debug for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Point({}…)", hex::encode(&self.0[..9]))
    }
}

/// A P-256 key pair. The private half cannot be printed; OpenSSL clears it when freeing it.
#[derive(Clone)]
pub struct KeyPair {
    private: PKey<Private>,
    public: Point,
}

impl KeyPair {
    /// Generates a key pair from the given source of randomness, rejecting scalars out of range.
    ///
    /// # Errors
    /// [`CryptoError`] when OpenSSL or `random` fails.
    pub fn generate(random: &mut dyn Random) -> Result<Self, CryptoError> {
        loop {
            let mut scalar = Zeroizing::new([0; 32]);
            random.fill(&mut *scalar)?;
            match Self::from_scalar(&scalar) {
                Ok(pair) => return Ok(pair),
                Err(KeyError::Crypto(e)) => return Err(e),
                Err(_) => {}
            }
        }
    }

    /// The pair of a private key given as 32 big-endian bytes, 0 < d < n.
    ///
    /// # Errors
    /// [`KeyError::NotAScalar`] for a number out of range; [`KeyError::Crypto`] when OpenSSL fails.
    pub fn from_scalar(scalar: &[u8; 32]) -> Result<Self, KeyError> {
        let group = group()?;
        let mut context = BigNumContext::new()?;
        let d = BigNum::from_slice(scalar)?;
        let mut order = BigNum::new()?;
        group.order(&mut order, &mut context)?;
        if d.num_bits() == 0 || d >= order {
            return Err(KeyError::NotAScalar);
        }
        let mut point = EcPoint::new(group)?;
        point.mul_generator2(group, &d, &mut context)?;
        let key = EcKey::from_private_components(group, &d, &point)?;
        Self::from_ec_key(key)
    }

    /// Reads a PEM file (PKCS#8, or the older EC form). A key on another curve is refused.
    ///
    /// # Errors
    /// [`KeyError::NotPem`] for anything else, including a key with a passphrase; [`KeyError::Crypto`] when OpenSSL
    /// fails.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let key = PKey::private_key_from_pem_callback(pem, |_| Ok(0)).map_err(|_| KeyError::NotPem)?;
        let key = key.ec_key().map_err(|_| KeyError::NotPem)?;
        if key.group().curve_name() != Some(Nid::X9_62_PRIME256V1) || key.check_key().is_err() {
            return Err(KeyError::NotPem);
        }
        Self::from_ec_key(key)
    }

    fn from_ec_key(key: EcKey<Private>) -> Result<Self, KeyError> {
        let mut context = BigNumContext::new()?;
        let bytes = key.public_key().to_bytes(key.group(), PointConversionForm::UNCOMPRESSED, &mut context)?;
        let public = Point::parse(&bytes)?;
        Ok(Self { private: PKey::from_ec_key(key)?, public })
    }

    /// The key as an unencrypted PKCS#8 PEM; the caller writes it with mode 0600.
    ///
    /// # Errors
    /// [`CryptoError`] when OpenSSL fails.
    pub fn to_pem(&self) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        Ok(Zeroizing::new(self.private.private_key_to_pem_pkcs8()?))
    }

    /// The private scalar, 32 bytes: for the import of a set key and for the virtual token's state only.
    ///
    /// # Errors
    /// [`CryptoError`] when OpenSSL fails.
    pub fn scalar(&self) -> Result<Zeroizing<[u8; 32]>, CryptoError> {
        let bytes = Zeroizing::new(self.private.ec_key()?.private_key().to_vec_padded(32)?);
        let mut out = Zeroizing::new([0; 32]);
        out.copy_from_slice(&bytes);
        Ok(out)
    }

    /// The public half.
    pub const fn public(&self) -> &Point {
        &self.public
    }

    /// The key in OpenSSL's form.
    pub const fn as_pkey(&self) -> &PKey<Private> {
        &self.private
    }

    /// ECDH (SEC 1, 3.3.1): the 32-byte x coordinate of the shared point.
    ///
    /// # Errors
    /// [`CryptoError`] when OpenSSL fails.
    pub fn agree(&self, peer: &Point) -> Result<Zeroizing<[u8; 32]>, CryptoError> {
        let peer = peer.to_pkey()?;
        let mut deriver = Deriver::new(&self.private)?;
        deriver.set_peer(&peer)?;
        let secret = Zeroizing::new(deriver.derive_to_vec()?);
        let mut out = Zeroizing::new([0; 32]);
        out.copy_from_slice(&secret);
        Ok(out)
    }

    /// Signs SHA-256 of the message; the signature is DER (ECDSA-Sig-Value).
    ///
    /// # Errors
    /// [`CryptoError`] when OpenSSL fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        Ok(self.signature(message)?.to_der()?)
    }

    /// Signs SHA-256 of the message; the signature is `r ‖ s`.
    ///
    /// # Errors
    /// [`CryptoError`] when OpenSSL fails.
    pub fn sign_raw(&self, message: &[u8]) -> Result<[u8; RAW_SIGNATURE], CryptoError> {
        to_raw(&self.signature(message)?)
    }

    fn signature(&self, message: &[u8]) -> Result<EcdsaSig, CryptoError> {
        let key = self.private.ec_key()?;
        Ok(EcdsaSig::sign(&sha256(&[message]), &key)?)
    }
}

fn to_raw(signature: &EcdsaSig) -> Result<[u8; RAW_SIGNATURE], CryptoError> {
    let mut raw = [0; RAW_SIGNATURE];
    raw[..32].copy_from_slice(&signature.r().to_vec_padded(32)?);
    raw[32..].copy_from_slice(&signature.s().to_vec_padded(32)?);
    Ok(raw)
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyPair({:?})", self.public)
    }
}

/// The length of a raw ECDSA signature `r ‖ s` in bytes (RFC 9053, 2.1).
pub const RAW_SIGNATURE: usize = 64;

/// Turns a DER signature into `r ‖ s`; `None` when it is not canonical DER or out of range.
pub fn signature_to_raw(der: &[u8]) -> Option<[u8; RAW_SIGNATURE]> {
    let parsed = EcdsaSig::from_der(der).ok()?;
    if parsed.to_der().ok()? != der {
        return None;
    }
    to_raw(&parsed).ok()
}

/// Turns `r ‖ s` into a DER signature.
///
/// # Errors
/// [`CryptoError`] when OpenSSL fails. Whether `r` and `s` are in range is not checked.
pub fn signature_from_raw(raw: &[u8; RAW_SIGNATURE]) -> Result<Vec<u8>, CryptoError> {
    let r = BigNum::from_slice(&raw[..32])?;
    let s = BigNum::from_slice(&raw[32..])?;
    Ok(EcdsaSig::from_private_components(r, s)?.to_der()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::SystemRandom;

    #[test]
    fn agreement_is_symmetric() {
        let a = KeyPair::generate(&mut SystemRandom).unwrap();
        let b = KeyPair::generate(&mut SystemRandom).unwrap();
        assert_eq!(*a.agree(b.public()).unwrap(), *b.agree(a.public()).unwrap());
    }

    #[test]
    fn hostile_points_are_refused() {
        let good = *KeyPair::generate(&mut SystemRandom).unwrap().public().as_bytes();
        let mut off = good;
        off[64] ^= 1;
        let mut compressed = good[..33].to_vec();
        compressed[0] = 2;
        for bad in [&off[..], &compressed, &[0], &good[..64], &[4; 65]] {
            assert!(Point::parse(bad).is_err());
        }
    }

    #[test]
    fn scalars_out_of_range_are_refused() {
        assert!(KeyPair::from_scalar(&[0; 32]).is_err());
        assert!(KeyPair::from_scalar(&[0xff; 32]).is_err());
    }

    #[test]
    fn signatures_are_canonical() {
        let pair = KeyPair::generate(&mut SystemRandom).unwrap();
        let mut signature = pair.sign(b"message").unwrap();
        assert!(pair.public().verify(b"message", &signature).unwrap());
        assert!(!pair.public().verify(b"massage", &signature).unwrap());
        let raw = signature_to_raw(&signature).unwrap();
        assert_eq!(signature_from_raw(&raw).unwrap(), signature);
        signature.push(0);
        assert!(!pair.public().verify(b"message", &signature).unwrap());
        assert!(signature_to_raw(&signature).is_none());
    }

    #[test]
    fn a_pem_with_another_curve_or_a_wrong_point_is_no_key() {
        let pem = |curve: Nid, scalar: u32, point: u32| {
            let group = EcGroup::from_curve_name(curve).unwrap();
            let mut context = BigNumContext::new().unwrap();
            let mut public = EcPoint::new(&group).unwrap();
            public.mul_generator2(&group, &BigNum::from_u32(point).unwrap(), &mut context).unwrap();
            let scalar = BigNum::from_u32(scalar).unwrap();
            let key = EcKey::from_private_components(&group, &scalar, &public).unwrap();
            KeyPair::from_pem(&key.private_key_to_pem().unwrap())
        };
        assert!(pem(Nid::X9_62_PRIME256V1, 7, 7).is_ok());
        for bad in [pem(Nid::X9_62_PRIME256V1, 7, 8), pem(Nid::SECP384R1, 7, 7), pem(Nid::SECP256K1, 7, 7)] {
            assert!(matches!(bad, Err(KeyError::NotPem)));
        }
    }

    #[test]
    fn keys_print_a_point_at_most() {
        let pair = KeyPair::from_scalar(&[7; 32]).unwrap();
        let start = hex::encode(&pair.public().as_bytes()[..9]);
        assert_eq!(format!("{:?}", pair.public()), format!("Point({start}…)"));
        assert_eq!(format!("{pair:?}"), format!("KeyPair(Point({start}…))"));
        assert_eq!(format!("{:?}", crate::crypto::Key128::new([7; 16])), "Key128(…)");
    }

    #[test]
    fn private_keys_survive_pem_and_do_not_print() {
        let pair = KeyPair::generate(&mut SystemRandom).unwrap();
        let again = KeyPair::from_pem(&pair.to_pem().unwrap()).unwrap();
        assert_eq!(again.public(), pair.public());
        let printed = format!("{pair:?}");
        assert!(!printed.contains(&hex::encode(&pair.scalar().unwrap()[..4])));
    }
}
