//! Verifies presence proofs without Rollcall (docs/proof.md): `rollcall scan --proof -o json`, or ndjson, from stdin.
//!
//!     rollcall scan --proof -o json | verify ca.crt [NONCE in hex]
//!
//! Exit status: 0 every proof is valid, 1 one is not, 2 there is none. Freshness is for the caller to judge: give the
//! nonce that you expect, and remember the last counter of each token.

use std::{cmp::Ordering, error::Error, io::Read, process::ExitCode};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use coset::{CoseSign1, Label, RegisteredLabelWithPrivate, TaggedCborSerializable, cbor::Value, iana::Algorithm};
use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    ecdsa::EcdsaSig,
    nid::Nid,
    sha::sha256,
    x509::{X509, X509VerifyResult},
};

type Fault = Box<dyn Error>;

/// `extendedKeyUsage` with 1.3.6.1.4.1.32473.82.10 only, in DER.
const IDENTITY_USE: &[u8] = b"\x06\x03\x55\x1d\x25\x04\x0e\x30\x0c\x06\x0a\x2b\x06\x01\x04\x01\x81\xfd\x59\x52\x0a";

struct Claims {
    nonce: Vec<u8>,
    ueid: Vec<u8>,
    counter: u32,
}

fn require(holds: bool, otherwise: &str) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

/// The claims of a message that holds.
fn verify(message: &[u8], der: &[u8], ca: &X509, nonce: Option<&[u8]>) -> Result<Claims, Fault> {
    let message = CoseSign1::from_tagged_slice(message).map_err(|error| error.to_string())?;
    let header = &message.protected.header;
    require(
        header.alg == Some(RegisteredLabelWithPrivate::Assigned(Algorithm::ES256))
            && header.rest == [(Label::Int(16), Value::Text("application/x.rollcall-1".into()))],
        "another algorithm or type",
    )?;

    let identity = X509::from_der(der)?;
    require(
        ca.issued(&identity) == X509VerifyResult::OK && identity.verify(&*ca.public_key()?)?,
        "the certificate is not the CA's",
    )?;
    let now = Asn1Time::days_from_now(0)?;
    require(
        identity.not_before().compare(&now)? != Ordering::Greater
            && identity.not_after().compare(&now)? != Ordering::Less,
        "the certificate is not in time",
    )?;
    require(der.windows(IDENTITY_USE.len()).any(|part| part == IDENTITY_USE), "a certificate for another purpose")?;

    let payload: Value = coset::cbor::de::from_reader(message.payload.as_deref().unwrap_or_default())?;
    let claim = |label: i64| {
        let claims = payload.as_map().into_iter().flatten();
        claims.into_iter().find(|(name, _)| *name == Value::from(label)).map(|(_, value)| value)
    };
    let bytes = |label: i64| claim(label).and_then(Value::as_bytes).cloned().ok_or("a claim is missing");
    let found = Claims {
        nonce: bytes(10)?,
        ueid: bytes(256)?,
        counter: claim(-70002).and_then(|one| one.as_integer()?.try_into().ok()).ok_or("a claim is missing")?,
    };
    let name = identity.subject_name().entries_by_nid(Nid::COMMONNAME).next().ok_or("a certificate of nobody")?;
    let id = hex::decode(name.data().to_string()?.replace('-', ""))?;
    require(id.len() == 16 && message.unprotected.key_id == id, "another token's certificate")?;
    require(found.ueid == [&[1][..], &id].concat(), "another token's certificate")?;

    let key = identity.public_key()?.ec_key()?;
    message.verify_signature(b"", |signature, signed| {
        require(signature.len() == 64, "the signature is not of 64 bytes")?;
        let (r, s) = signature.split_at(32);
        let signature = EcdsaSig::from_private_components(BigNum::from_slice(r)?, BigNum::from_slice(s)?)?;
        require(signature.verify(&sha256(signed), &key)?, "the signature is wrong")
    })?;
    require(nonce.is_none_or(|nonce| nonce == found.nonce), "another nonce")?;
    Ok(found)
}

fn run() -> Result<ExitCode, Fault> {
    let arguments: Vec<_> = std::env::args().collect();
    let ca = X509::from_pem(&std::fs::read(arguments.get(1).ok_or("which CA?")?)?)?;
    let nonce = arguments.get(2).map(hex::decode).transpose()?;
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let scans: Vec<serde_json::Value> = match text.trim().starts_with('[') {
        true => serde_json::from_str(&text)?,
        false => {
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            lines.map(serde_json::from_str).collect::<Result<_, _>>()?
        }
    };
    let mut status = ExitCode::from(2);
    for scan in scans {
        let binary =
            |name: &str| scan["proof"][name].as_str().map(|text| BASE64_URL_SAFE_NO_PAD.decode(text)).transpose();
        let Some(message) = binary("cose")? else { continue };
        let certificate = binary("identity_certificate")?.ok_or("there is no certificate beside it")?;
        let Claims { nonce, ueid, counter } = verify(&message, &certificate, &ca, nonce.as_deref())?;
        let id = hex::encode(&ueid[1..]);
        let token = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-");
        println!("token {token}, counter {counter}, nonce {}: holds", hex::encode(nonce));
        status = ExitCode::SUCCESS;
    }
    Ok(status)
}

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        eprintln!("it does not hold: {error}");
        ExitCode::FAILURE
    })
}
