//! The commands of our applet, one function each: header and data, no exchange. Answers are parsed where they are used.
//!
//! Specification: docs/protocol.md, "Commands".

use crate::{
    card::{apdu::Command, tlv},
    channel::scp03::StaticKeys,
    crypto::{CryptoError, Key128, aes, ec::Point},
    token::constants::{KEY_CA, KEY_ECKA, KEY_IDENTITY, KVN_IDENTITY, KVN_TOKEN_KEYS},
};

use super::select::LifeCycle;

/// The longest part of one PUT DATA part or GET DATA part, in bytes.
pub const PART_MAX: usize = 224;

/// GET DATA, certificate of an ECKA key (GP Amendment F, 6.4.1.2): bare DER comes back.
pub fn ecka_certificate(kvn: u8) -> Command {
    let key = tlv::object(0x83, &[KEY_ECKA, kvn]);
    Command::new(0x00, 0xCA, 0xBF, 0x21).data(tlv::object(0xA6, &key)).answered()
}

/// GET DATA, CA lookup: returns `83 02 10 KVN` for a CA identifier.
pub fn ca_lookup(identifier: &[u8; 20]) -> Command {
    Command::new(0x00, 0xCA, 0x00, 0x83).data(tlv::object(0xA6, &tlv::object(0x42, identifier))).answered()
}

/// INTERNAL AUTHENTICATE (ISO/IEC 7816-4, 11.5.2): the presence proof over this nonce, with the compact record.
pub fn internal_authenticate(nonce: &[u8; 32]) -> Command {
    Command::new(0x00, 0x88, 0x00, 0x01).data(*nonce).answered()
}

/// INTERNAL AUTHENTICATE with a slot: the token stores the key of this channel, so that a later one can be resumed.
pub fn internal_authenticate_with_slot(nonce: &[u8; 32]) -> Command {
    Command::new(0x00, 0x88, 0x01, 0x01).data(*nonce).answered()
}

/// INTERNAL AUTHENTICATE of a resumed channel: id, counter, uses left and record, without a signature.
pub fn resumed_presence() -> Command {
    Command::new(0x00, 0x88, 0x02, 0x01).answered()
}

/// The heartbeat: returns one byte of life-cycle state; nothing is signed or written.
pub fn heartbeat() -> Command {
    Command::new(0x00, 0xCA, 0x01, 0x00).answered()
}

/// GET DATA of a whole object inside the channel.
pub fn read_object(tag: u16) -> Command {
    let [p1, p2] = tag.to_be_bytes();
    Command::new(0x00, 0xCA, p1, p2).answered()
}

/// GET DATA of the part of an object, at most [`PART_MAX`] bytes, at this offset in bytes (ISO/IEC 7816-4, READ BINARY
/// with offset object).
pub fn read_part(tag: u16, offset: u16) -> Command {
    let [p1, p2] = tag.to_be_bytes();
    Command::new(0x00, 0xB1, p1, p2).data(tlv::object(0x54, &offset.to_be_bytes())).answered()
}

/// PUT DATA of a whole object.
pub fn write_object(tag: u16, value: &[u8]) -> Command {
    let [p1, p2] = tag.to_be_bytes();
    Command::new(0x00, 0xDA, p1, p2).data(value)
}

/// PUT DATA of one part, at most [`PART_MAX`] bytes, in order from offset 0, into the inactive copy; `offset` in bytes.
pub fn write_part(tag: u16, offset: u16, data: &[u8]) -> Command {
    let [p1, p2] = tag.to_be_bytes();
    let body = [tlv::object(0x54, &offset.to_be_bytes()), tlv::object(0x53, data)].concat();
    Command::new(0x00, 0xD7, p1, p2).data(body)
}

/// PUT DATA, commit: activates the parts sent before, if the length in bytes and the SHA-256 match.
pub fn commit_parts(tag: u16, length: u16, hash: &[u8; 32]) -> Command {
    write_object(tag, &[tlv::object(0x80, &length.to_be_bytes()), tlv::object(0x81, hash)].concat())
}

/// PUT KEY of the per-token SCP03 set (GP Card Specification, 11.8), wrapped under the session's DEK.
///
/// # Errors
/// [`CryptoError`] when OpenSSL fails.
pub fn put_token_keys(keys: &StaticKeys, dek: &Key128) -> Result<Command, CryptoError> {
    let mut data = vec![KVN_TOKEN_KEYS];
    for key in [&keys.enc, &keys.mac, &keys.dek] {
        data.extend_from_slice(&[0x88, 0x10]);
        data.extend_from_slice(&aes::cbc_encrypt(dek, &[0; 16], key.expose())?);
        data.push(3);
        data.extend_from_slice(&aes::check_value(key)?);
    }
    Ok(Command::new(0x80, 0xD8, 0x00, 0x81).data(data).answered())
}

/// PUT KEY of a terminal CA key (GP Amendment F, 6.3: key type B0, parameter reference P-256, no check value).
pub fn put_ca_key(kvn: u8, point: &Point) -> Command {
    let data = [&[kvn, 0xB0, 0x41], &point.as_bytes()[..], &[0xF0, 0x01, 0x00, 0x00]].concat();
    Command::new(0x80, 0xD8, 0x00, KEY_CA).data(data).answered()
}

/// PUT KEY of a set's private ECKA key, wrapped under the session's DEK.
///
/// # Errors
/// [`CryptoError`] when OpenSSL fails.
pub fn put_set_key(kvn: u8, scalar: &[u8; 32], dek: &Key128) -> Result<Command, CryptoError> {
    let wrapped = aes::cbc_encrypt(dek, &[0; 16], scalar)?;
    let data = [&[kvn, 0xB1, 0x20], &wrapped[..], &[0xF0, 0x01, 0x00, 0x00]].concat();
    Ok(Command::new(0x80, 0xD8, 0x00, KEY_ECKA).data(data).answered())
}

/// GENERATE KEY of the token's own ECKA key.
pub fn generate_ecka_key(kvn: u8) -> Command {
    generate(KEY_ECKA, kvn)
}

/// GENERATE KEY of the identity key.
pub fn generate_identity_key() -> Command {
    generate(KEY_IDENTITY, KVN_IDENTITY)
}

fn generate(kid: u8, kvn: u8) -> Command {
    Command::new(0x80, 0xF1, 0x00, kid).data([kvn, 0xF0, 0x01, 0x00]).answered()
}

/// STORE DATA of the certificate (DER) of an ECKA key (GP Amendment F, 6.3): activates the pending key pair.
pub fn store_ecka_certificate(kvn: u8, certificate: &[u8]) -> Command {
    let key = tlv::object(0xA6, &tlv::object(0x83, &[KEY_ECKA, kvn]));
    Command::new(0x80, 0xE2, 0x90, 0x00).data([key, tlv::object(0xBF21, certificate)].concat())
}

/// STORE DATA of the identifier of a CA key.
pub fn store_ca_identifier(kvn: u8, identifier: &[u8; 20]) -> Command {
    let inner = [tlv::object(0x80, &[0]), tlv::object(0x42, identifier), tlv::object(0x83, &[KEY_CA, kvn])].concat();
    Command::new(0x80, 0xE2, 0x90, 0x00).data(tlv::object(0xA6, &inner))
}

/// DELETE KEY (GP Card Specification, 11.2).
pub fn delete_key(kid: u8, kvn: u8) -> Command {
    let key = [tlv::object(0xD0, &[kid]), tlv::object(0xD2, &[kvn])].concat();
    Command::new(0x80, 0xE4, 0x00, 0x00).data(key)
}

/// GET DATA of the identifiers of all CA keys (GP Amendment F, 7.3), inside a channel.
pub fn ca_list() -> Command {
    Command::new(0x00, 0xCA, 0xFF, 0x33).answered()
}

/// SET STATUS (GP Card Specification, 11.10). ISSUED carries the manifest when it is set over SCP03.
pub fn set_status(state: LifeCycle, manifest: Option<[u8; 32]>) -> Command {
    let command = Command::new(0x80, 0xF0, 0x40, state.byte());
    match manifest {
        Some(manifest) => command.data(manifest),
        None => command,
    }
}
