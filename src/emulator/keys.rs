//! PUT KEY, GENERATE KEY, STORE DATA and DELETE KEY (GP Card Specification, 11.2, 11.8, 11.11; GP Amendment F, 7).

use zeroize::Zeroizing;

use super::{
    certificate::ParsedCertificate,
    encoding::SecretPair,
    objects::{next_key_reference, wrong},
    persistent::{PersistentCard, Reply, failed},
};
use crate::{
    card::{
        status::Status,
        tlv::{self, TlvReader},
    },
    channel::scp03::StaticKeys,
    crypto::{
        Key128, aes,
        ec::{KeyError, KeyPair, Point},
        same,
    },
    token::constants::{
        CERTIFICATE_MAX, KEY_CA, KEY_ECKA, KEY_IDENTITY, KVN_CA, KVN_IDENTITY, KVN_OWN, KVN_SET, KVN_TOKEN_KEYS,
        TAG_CA_ID, TAG_ECKA_CERTIFICATE, TAG_KEY_REFERENCE, TAG_TEMPLATE,
    },
};

/// The end of a key in PUT KEY: key parameter reference 0 (P-256), and no check value.
const P256_WITHOUT_CHECK: [u8; 4] = [0xF0, 0x01, 0x00, 0x00];
/// The same in GENERATE KEY, which has no check value.
const P256: [u8; 3] = [0xF0, 0x01, 0x00];

impl PersistentCard {
    /// PUT KEY of the SCP03 set: three AES keys, encrypted under the DEK, each with its check value.
    pub(super) fn put_scp03_keys(&mut self, old: u8, data: &[u8], dek: Option<&Key128>) -> Reply {
        let dek = dek.ok_or(Status::CONDITIONS)?;
        if old != 0 && old != self.state.scp03_kvn() {
            return Err(Status::WRONG_DATA);
        }
        let [KVN_TOKEN_KEYS, blocks @ ..] = data else {
            return Err(Status::WRONG_DATA);
        };
        // Some clients include the key length, some do not.
        let (head, length): (&[u8], usize) = match blocks.len() {
            66 => (&[0x88, 0x10], 22),
            69 => (&[0x88, 0x11, 0x10], 23),
            _ => return Err(Status::WRONG_DATA),
        };
        let mut keys = Vec::with_capacity(3);
        let mut answer = vec![KVN_TOKEN_KEYS];
        for block in blocks.chunks_exact(length) {
            let (key, check) = aes_key(block.strip_prefix(head).ok_or(Status::WRONG_DATA)?, dek)?;
            keys.push(key);
            answer.extend_from_slice(&check);
        }
        let [enc, mac, dek] = <[Key128; 3]>::try_from(keys).map_err(|_| Status::WRONG_DATA)?;
        self.clear_slots()?;
        self.change(|state| state.put_token_keys(&StaticKeys { enc, mac, dek }))?;
        Ok(answer)
    }

    /// PUT KEY of a terminal CA's public key.
    pub(super) fn put_ca_key(&mut self, old: u8, data: &[u8]) -> Reply {
        let (version, point) = key_data::<65>(old, data, &KVN_CA)?;
        let point = Point::parse(point).map_err(|_| Status::WRONG_DATA)?;
        self.clear_slots()?;
        self.change(|state| state.put_ca_key(version, point))?;
        Ok(vec![version])
    }

    /// PUT KEY of a set key, which stays pending until its certificate is stored. A card with test keys never accepts
    /// one: whoever recorded its enrollment would know a secret of the whole set.
    pub(super) fn put_set_key(&mut self, old: u8, data: &[u8], dek: Option<&Key128>) -> Reply {
        let dek = dek.filter(|_| self.state.is_private() && !self.state.has_test_keys()).ok_or(Status::CONDITIONS)?;
        let (version, sealed) = key_data::<32>(old, data, &KVN_SET)?;
        let opened = aes::cbc_decrypt(dek, &[0; aes::BLOCK], sealed).map_err(|e| failed(&e))?;
        let mut scalar = Zeroizing::new([0; 32]);
        scalar.copy_from_slice(&opened);
        let pair = KeyPair::from_scalar(&scalar).map_err(|e| match e {
            KeyError::Crypto(e) => failed(&e),
            _ => Status::WRONG_DATA,
        })?;
        self.clear_slots()?;
        self.change(|state| state.ecka_keys.entry(version).or_default().pending = Some(SecretPair(pair)))?;
        Ok(vec![version])
    }

    /// GENERATE KEY of the own ECKA key, which stays pending until its certificate is stored.
    pub(super) fn generate_own_key(&mut self, old: u8, data: &[u8]) -> Reply {
        require_generation(old, data, KVN_OWN)?;
        let pair = self.generate()?;
        let answer = tlv::object(0xB0, pair.public().as_bytes());
        self.clear_slots()?;
        self.change(|state| state.ecka_keys.entry(KVN_OWN).or_default().pending = Some(SecretPair(pair)))?;
        Ok(answer)
    }

    /// GENERATE KEY of the identity key: active at once, but its certificate has to follow before ISSUED.
    pub(super) fn generate_identity_key(&mut self, old: u8, data: &[u8]) -> Reply {
        require_generation(old, data, KVN_IDENTITY)?;
        let pair = self.generate()?;
        let answer = tlv::object(0xB0, pair.public().as_bytes());
        self.clear_slots()?;
        self.change(|state| state.identity_key = Some(SecretPair(pair)))?;
        Ok(answer)
    }

    fn generate(&mut self) -> Result<KeyPair, Status> {
        KeyPair::generate(&mut *self.random).map_err(|e| failed(&e))
    }

    /// STORE DATA: an ECKA certificate, or the identifier of a CA key.
    pub(super) fn store_data(&mut self, data: &[u8]) -> Reply {
        let mut reader = TlvReader::new(data);
        let template = reader.value(TAG_TEMPLATE).map_err(wrong)?;
        if reader.is_empty() {
            return self.store_ca_id(template);
        }
        let [key, version] = next_key_reference(&mut TlvReader::new(data)).map_err(wrong)?;
        let certificate = reader.value(TAG_ECKA_CERTIFICATE).map_err(wrong)?;
        reader.end().map_err(wrong)?;
        if key != KEY_ECKA {
            return Err(Status::WRONG_DATA);
        }
        self.store_certificate(version, certificate)
    }

    /// The certificate of a pending key activates it; that of the active key may be stored again.
    fn store_certificate(&mut self, version: u8, der: &[u8]) -> Reply {
        let key = self.state.ecka_keys.get(&version).cloned().unwrap_or_default();
        let in_force = key.in_force.as_ref().map(|k| &k.pair);
        let pair = key.pending.as_ref().or(in_force).ok_or(Status::NO_DATA)?;
        if der.len() > CERTIFICATE_MAX {
            return Err(Status::NO_ROOM);
        }
        let certificate = ParsedCertificate::read(der).ok_or(Status::WRONG_DATA)?;
        if certificate.point != pair.0.public().as_bytes() {
            return Err(Status::WRONG_DATA);
        }
        self.clear_slots()?;
        self.change(|state| match &key.pending {
            Some(pending) => state.certify(version, pending.0.clone(), der),
            None => state.recertify(version, der),
        })?;
        Ok(Vec::new())
    }

    /// `80 00, 42 CA id, 83{10 KVN}`: checked but not stored, because the identifier follows from the key.
    fn store_ca_id(&self, template: &[u8]) -> Reply {
        let mut reader = TlvReader::new(template);
        let kind: [u8; 1] = reader.array(0x80).map_err(wrong)?;
        let id: [u8; 20] = reader.array(TAG_CA_ID).map_err(wrong)?;
        let [key, version] = reader.array(TAG_KEY_REFERENCE).map_err(wrong)?;
        reader.end().map_err(wrong)?;
        if kind != [0] || key != KEY_CA {
            return Err(Status::WRONG_DATA);
        }
        let ca = self.state.ca_keys.get(&version).ok_or(Status::NO_DATA)?;
        if ca.point.0.key_identifier() == id { Ok(Vec::new()) } else { Err(Status::WRONG_DATA) }
    }

    /// DELETE KEY: `D0 KID, D2 KVN`. Keys that the token needs cannot be deleted.
    pub(super) fn delete_key(&mut self, data: &[u8]) -> Reply {
        let mut reader = TlvReader::new(data);
        let [key]: [u8; 1] = reader.array(0xD0).map_err(wrong)?;
        let [version]: [u8; 1] = reader.array(0xD2).map_err(wrong)?;
        reader.end().map_err(wrong)?;
        let state = &self.state;
        let sets = KVN_SET.iter().filter(|v| state.ecka(**v).is_some()).count();
        let (there, needed) = match key {
            KEY_CA => (state.ca_keys.contains_key(&version), state.ca_keys.len() == 1),
            KEY_ECKA => (state.ecka(version).is_some(), version == KVN_OWN || sets == 1),
            KEY_IDENTITY => (version == KVN_IDENTITY && state.identity_key.is_some(), true),
            _ => return Err(Status::WRONG_DATA),
        };
        match (there, needed) {
            (false, _) => return Err(Status::NO_DATA),
            (true, true) => return Err(Status::CONDITIONS),
            (true, false) => {}
        }
        self.clear_slots()?;
        self.change(|state| {
            if key == KEY_CA {
                state.ca_keys.remove(&version);
            } else {
                state.ecka_keys.remove(&version);
            }
        })?;
        Ok(Vec::new())
    }
}

/// An AES key and its check value, after the block's head: `enc(16) 03 kcv(3)`.
fn aes_key(block: &[u8], dek: &Key128) -> Result<(Key128, [u8; 3]), Status> {
    let (sealed, check) = block.split_first_chunk::<16>().ok_or(Status::WRONG_DATA)?;
    let opened = aes::cbc_decrypt(dek, &[0; aes::BLOCK], sealed).map_err(|e| failed(&e))?;
    let mut key = Zeroizing::new([0; 16]);
    key.copy_from_slice(&opened);
    let key = Key128::new(*key);
    let expected = aes::check_value(&key).map_err(|e| failed(&e))?;
    match check {
        [3, check @ ..] if same(check, &expected) => Ok((key, expected)),
        _ => Err(Status::WRONG_DATA),
    }
}

/// `KVN, B0 or B1 N key, F0 01 00 00`, where the KVN is in the table, and P1 is 00 or the same.
fn key_data<'a, const N: usize>(old: u8, data: &'a [u8], versions: &[u8]) -> Result<(u8, &'a [u8; N]), Status> {
    let split = || {
        let (version, rest) = data.split_first()?;
        let key = TlvReader::new(rest).object(if N == 65 { 0xB0 } else { 0xB1 }).ok()?;
        (rest[key.whole.len()..] == P256_WITHOUT_CHECK).then_some((*version, key.value.try_into().ok()?))
    };
    let (version, key): (u8, &[u8; N]) = split().ok_or(Status::WRONG_DATA)?;
    let fits = versions.contains(&version) && (old == 0 || old == version);
    if fits { Ok((version, key)) } else { Err(Status::WRONG_DATA) }
}

fn require_generation(old: u8, data: &[u8], version: u8) -> Result<(), Status> {
    let fits = data == [&[version][..], &P256].concat() && (old == 0 || old == version);
    if fits { Ok(()) } else { Err(Status::WRONG_DATA) }
}
