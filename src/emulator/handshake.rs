//! SELECT, and both handshakes on the card's side (GP Amendment F, 6.4; GP Amendment D, 7.1).

use super::{
    certificate::{TerminalCertificate, verify_terminal},
    command::Rights,
    core::SoftwareToken,
    persistent::{PersistentCard, Reply, failed, require_length},
    session::{PeerTerminal, SecureChannel, SessionPeer, TokenSession},
    state::Life,
    transport::Whole,
};
use crate::{
    card::{status::Status, tlv},
    channel::{
        messaging::{MAC, Messaging},
        scp03::{Agreed, I_PARAMETER, LEVEL},
        scp11::{self, PARAMETERS, TAG_POINT, TAG_RECEIPT},
    },
    crypto::{
        CryptoError,
        ec::{KeyError, KeyPair, Point},
        random, same, sha256,
    },
    token::constants::{AID, KEY_CA, KEY_ECKA, KVN_OWN, VERSION},
};

impl SoftwareToken {
    /// SELECT (ISO/IEC 7816-4, 11.2.2): resets the session, and tells which keys the token has.
    pub(super) fn select(&mut self, [.., p1, p2]: [u8; 4], name: &[u8]) -> Reply {
        self.wipe();
        if (p1, p2) != (4, 0) {
            return Err(Status::WRONG_DATA);
        }
        if name != AID {
            return Err(Status::NOT_FOUND);
        }
        let answer = self.card.control_information();
        self.selected = Some(answer.clone());
        Ok(answer)
    }

    /// PERFORM SECURITY OPERATION [verify certificate] (GP Amendment F, 7.5); the session is already wiped.
    pub(super) fn verify_certificate(&mut self, version: u8, p2: u8, der: &[u8]) -> Reply {
        let state = &self.card.state;
        if !state.life.is_in_use() {
            return Err(Status::CONDITIONS);
        }
        if p2 != KEY_CA {
            return Err(Status::WRONG_DATA);
        }
        let ca = state.ca_keys.get(&version).ok_or(Status::NO_DATA)?;
        let certificate = verify_terminal(der, &ca.point.0).ok_or(Status::WRONG_DATA)?;
        self.session = TokenSession::CertificateSeen(Box::new(certificate));
        Ok(Vec::new())
    }

    /// MUTUAL AUTHENTICATE (GP Amendment F, 7.6): consumes the certificate, whatever the result.
    pub(super) fn mutual_authenticate(&mut self, version: u8, p2: u8, data: &[u8]) -> Reply {
        let TokenSession::CertificateSeen(certificate) = std::mem::replace(&mut self.session, TokenSession::Selected)
        else {
            return Err(Status::CONDITIONS);
        };
        if p2 != KEY_ECKA {
            return Err(Status::WRONG_DATA);
        }
        let fixed = self.card.static_key(version)?;
        let point = data.strip_prefix(&PARAMETERS).and_then(|object| tlv::only(object, TAG_POINT).ok());
        let point = Point::parse(point.ok_or(Status::WRONG_DATA)?).map_err(|e| key_error(&e))?;
        let select = self.selected.as_deref().unwrap_or_default();
        let (channel, answer) = self.card.agree(*certificate, version, &fixed, (&point, data), select)?;
        self.session = TokenSession::KeysAgreed(Box::new(channel));
        Ok(answer)
    }

    /// INITIALIZE UPDATE (GP Amendment D, 7.1.1); the session is already wiped.
    pub(super) fn initialize_update(&mut self, version: u8, p2: u8, data: &[u8]) -> Reply {
        let state = &self.card.state;
        let keys = state.scp03_keys().filter(|_| !state.life.is_in_use()).ok_or(Status::CONDITIONS)?;
        let in_force = state.scp03_kvn();
        if p2 != 0 {
            return Err(Status::WRONG_DATA);
        }
        if version != 0 && version != in_force {
            return Err(Status::NO_DATA);
        }
        let host: [u8; 8] = data.try_into().map_err(|_| Status::WRONG_LENGTH)?;
        let challenge: [u8; 8] = random::bytes(&mut *self.card.random).map_err(|e| failed(&e))?;
        let agreed = Agreed::derive(&keys, &host, &challenge).map_err(|e| failed(&e))?;
        let cryptogram = agreed.card_cryptogram().map_err(|e| failed(&e))?;
        let head = self.card.state.diversification.0;
        self.session = TokenSession::Initialized(Box::new(agreed));
        Ok([&head[..], &[in_force, 0x03, I_PARAMETER], &challenge, &cryptogram].concat())
    }

    /// EXTERNAL AUTHENTICATE (GP Amendment D, 7.1.2): every failure leaves the session wiped.
    pub(super) fn external_authenticate(&mut self, command: &Whole) -> Reply {
        let TokenSession::Initialized(agreed) = std::mem::replace(&mut self.session, TokenSession::Selected) else {
            return Err(Status::CONDITIONS);
        };
        if command.header[2..] != [LEVEL, 0] {
            return Err(Status::WRONG_DATA);
        }
        require_length(&command.data, 2 * MAC)?;
        let (cryptogram, mac) = command.data.split_at(MAC);
        // Check the cryptogram before the MAC: a wrong key makes both wrong, and must be distinguished from
        // transmission errors.
        if !same(cryptogram, &agreed.host_cryptogram().map_err(|e| failed(&e))?) {
            return Err(Status::AUTHENTICATION_FAILED);
        }
        let full = agreed.authenticate_mac(command.header, &command.lc, cryptogram).map_err(|e| failed(&e))?;
        if !same(mac, &full[..MAC]) {
            return Err(Status::SECURITY);
        }
        let channel =
            SecureChannel { messaging: agreed.into_messaging(full), peer: SessionPeer::Enroller, upload: None };
        self.session = TokenSession::Channel(Box::new(channel));
        Ok(Vec::new())
    }
}

impl PersistentCard {
    /// The file control information. Tokens of one set answer identically, blocked or not.
    fn control_information(&self) -> Vec<u8> {
        let state = &self.state;
        let mut inner = tlv::object(0x80, &VERSION);
        let terminated = state.life == Life::Terminated;
        let life = if state.is_private() && state.life.is_in_use() { Life::Issued } else { state.life };
        let announced = state.announced_ecka();
        let ca = state.oldest_ca().map(|key| key.point.0.key_identifier()).unwrap_or_default();
        inner.extend(tlv::object(0x81, &[life.byte()]));
        inner.extend(tlv::object(0x82, &[announced.map_or(0, |(version, _)| version)]));
        inner.extend(tlv::object(0x83, &ca[..8]));
        match (state.life.is_in_use() && !terminated, state.mode, announced) {
            (true, Some(mode), _) if !mode.private => inner.extend(tlv::object(0x85, &mode.token_id.0)),
            (true, Some(_), Some((_, set))) => inner.extend(tlv::object(0x84, &sha256(&[&set.certificate.0])[..8])),
            _ => {}
        }
        tlv::object(0x6F, &[tlv::object(0x84, &AID), tlv::object(0xA5, &inner)].concat())
    }

    /// The static key of this version. For one that it does not have, a private token uses a random decoy, so that it
    /// cannot be told from a token that has it.
    fn static_key(&mut self, version: u8) -> Result<KeyPair, Status> {
        if let Some(key) = self.state.ecka(version) {
            return Ok(key.pair.0.clone());
        }
        if !self.state.is_private() {
            return Err(Status::NO_DATA);
        }
        KeyPair::generate(&mut *self.random).map_err(|e| failed(&e))
    }

    /// The key agreement: ephemeral with ephemeral, static with static, and the receipt over both points.
    fn agree(
        &mut self,
        mut certificate: TerminalCertificate,
        version: u8,
        fixed: &KeyPair,
        (point, request): (&Point, &[u8]),
        select: &[u8],
    ) -> Result<(SecureChannel, Vec<u8>), Status> {
        let terminal = Point::parse(&certificate.point).map_err(|e| key_error(&e))?;
        let crypto = |e: CryptoError| failed(&e);
        let ephemeral = KeyPair::generate(&mut *self.random).map_err(crypto)?;
        let ephemeral_secret = ephemeral.agree(point).map_err(crypto)?;
        let derived = scp11::derive(&ephemeral_secret, &*fixed.agree(&terminal).map_err(crypto)?).map_err(crypto)?;
        let mut answer = tlv::object(TAG_POINT, ephemeral.public().as_bytes());
        let receipt = derived.receipt(request, &answer).map_err(crypto)?;
        answer.extend(tlv::object(TAG_RECEIPT, &receipt));
        let binding = sha256(&[select, &certificate.hash, request, &answer]);
        // A set key is shared by many tokens: extracting one must not allow writing to the others.
        if version != KVN_OWN {
            certificate.rights = Rights::Read;
        }
        let resumption = derived.resumption;
        let peer = PeerTerminal { certificate, point: terminal, binding, resumption };
        let peer = SessionPeer::Terminal(Box::new(peer));
        Ok((SecureChannel { messaging: Messaging::new(derived.keys, receipt), peer, upload: None }, answer))
    }
}

/// An invalid point is wrong data; a failure of the library is not.
fn key_error(error: &KeyError) -> Status {
    match error {
        KeyError::Crypto(e) => failed(e),
        _ => Status::WRONG_DATA,
    }
}
