//! An independent client, unmodified: the crate `yubikit` personalises a token and opens SCP11a on it with its own
//! cryptography, over PC/SC. It hard-codes the AID of the issuer security domain, so the connection substitutes ours in
//! SELECT, and nothing else.

use std::ffi::CString;

use pcsc::{Card, Context, Protocols, Scope, ShareMode};
use uuid::Uuid;
use yubikit::{
    core::{Connection, Transport},
    securitydomain::{self as ykd, Curve, KeyRef, SecurityDomainSession},
    smartcard::{ScpKeyParams, SmartCardConnection, SmartCardError},
};

use rollcall::{
    channel::scp03::StaticKeys,
    crypto::{
        aes,
        ec::{KeyPair, Point},
        x509::CertificateProfile,
    },
    terminal::enrollment::manifest::Manifest,
    token::constants::AID,
};

const ISSUER_DOMAIN: [u8; 8] = [0xA0, 0x00, 0x00, 0x01, 0x51, 0x00, 0x00, 0x00];

/// A PC/SC connection for yubikit.
pub struct Substituting {
    card: Card,
}

impl Substituting {
    /// Connects to the card in this reader of the stack with this socket.
    pub fn connect(reader: &str) -> Self {
        let context = Context::establish(Scope::User).expect("the PC/SC service answers");
        let name = CString::new(reader).expect("a reader's name has no zero byte");
        let card = context.connect(&name, ShareMode::Shared, Protocols::ANY).expect("the reader has a card");
        Self { card }
    }
}

impl Connection for Substituting {
    type Error = SmartCardError;

    fn close(&mut self) {}
}

impl SmartCardConnection for Substituting {
    fn send_and_receive(&mut self, apdu: &[u8]) -> Result<(Vec<u8>, u16), SmartCardError> {
        let ours = substitute(apdu);
        let mut buffer = vec![0; 65_538];
        let answer = self.card.transmit(&ours, &mut buffer).expect("the card answers");
        let (data, sw) = answer.split_last_chunk::<2>().expect("an answer has a status word");
        Ok((data.to_vec(), u16::from_be_bytes(*sw)))
    }

    fn transport(&self) -> Transport {
        Transport::Usb
    }
}

/// SELECT of the issuer domain becomes SELECT of our applet; everything else stays as it is.
fn substitute(apdu: &[u8]) -> Vec<u8> {
    let head = [0x00, 0xA4, 0x04, 0x00, 8];
    match apdu.strip_prefix(&head).and_then(|rest| rest.strip_prefix(&ISSUER_DOMAIN)) {
        Some(rest) => [&[0x00, 0xA4, 0x04, 0x00, 10], &AID[..], rest].concat(),
        None => apdu.to_vec(),
    }
}

/// Keys and certificates of a token that yubikit personalises.
pub struct Issue {
    /// The CA.
    pub ca: KeyPair,
    /// The terminal's ECKA key and certificate.
    pub terminal: (KeyPair, Vec<u8>),
    /// The id that the token gets.
    pub token_id: Uuid,
    /// The compact record that it gets.
    pub record: Vec<u8>,
    /// The SCP03 keys that it gets.
    pub keys: StaticKeys,
}

type Session = SecurityDomainSession<Substituting>;

/// Takes a BLANK card with the test keys to ISSUED with yubikit's own personalisation functions. What GlobalPlatform has
/// no function for (our objects and SET STATUS) goes through its secure messaging as plain APDUs.
pub fn personalise(reader: &str, issue: &Issue, certify: &dyn Fn(CertificateProfile, &Point) -> Vec<u8>) {
    let test = ykd::StaticKeys::default_keys();
    let start = scp03(0xFF, &test);
    let mut session = open(reader, &start);
    let new = {
        let k = |key: &rollcall::crypto::Key128| *key.expose();
        ykd::StaticKeys::new(k(&issue.keys.enc), k(&issue.keys.mac), Some(k(&issue.keys.dek)))
    };
    send(&mut session, [0x80, 0xF0, 0x40, 0x07], &[]);
    session.put_key_static(KeyRef::new(0x01, 0x01), &new, 0xFF).expect("PUT KEY of the SCP03 set");
    drop(session);

    let mut session = open(reader, &scp03(0x01, &new));
    let ca = KeyRef::new(0x10, 0x03);
    session.put_key_ec_public(ca, issue.ca.public().as_bytes(), Curve::Secp256r1, 0).expect("PUT KEY of the CA");
    session.store_ca_issuer(ca, &issue.ca.public().key_identifier()).expect("STORE DATA of the CA identifier");
    let listed = session.get_supported_ca_identifiers(true, true).expect("GET DATA of the CA identifiers");
    assert_eq!(listed[&ca], issue.ca.public().key_identifier());

    let own = KeyRef::new(0x11, 0x41);
    let point = session.generate_ec_key(own, Curve::Secp256r1, 0).expect("GENERATE KEY");
    let point = Point::parse(&point).expect("a point");
    let ecka = certify(CertificateProfile::TokenEcka, &point);
    session.store_certificate_bundle(own, &[&ecka]).expect("STORE DATA of the certificate");
    assert_eq!(session.get_certificate_bundle(own).expect("GET DATA of the certificate"), std::slice::from_ref(&ecka));

    let answer = send(&mut session, [0x80, 0xF1, 0x00, 0x21], &[0x01, 0xF0, 0x01, 0x00]);
    let identity_point = Point::parse(&answer[2..]).expect("a point");
    let identity = certify(CertificateProfile::Identity, &identity_point);
    let mode = [&[0][..], issue.token_id.as_bytes()].concat();
    send(&mut session, [0x80, 0xDA, 0x7F, 0x21], &identity);
    send(&mut session, [0x80, 0xDA, 0x01, 0x00], &mode);
    send(&mut session, [0x80, 0xDA, 0x01, 0x01], &issue.record);

    let mut manifest = Manifest::default();
    for (kid, key) in [(1, &issue.keys.enc), (2, &issue.keys.mac), (3, &issue.keys.dek)] {
        manifest.check_value(kid, 1, aes::check_value(key).expect("AES"));
    }
    manifest.point(0x10, 0x03, issue.ca.public());
    manifest.point(0x11, 0x41, &point);
    manifest.point(0x21, 0x01, &identity_point);
    manifest.object(0xBF21, 0x41, &ecka);
    manifest.object(0x7F21, 0, &identity);
    manifest.object(0x0100, 0, &mode);
    manifest.object(0x0101, 0, &issue.record);
    send(&mut session, [0x80, 0xF0, 0x40, 0x1F], &manifest.digest());
}

/// Opens SCP11a on an issued token with yubikit's own code, and reads the compact record and the state through it.
pub fn read_record(reader: &str, terminal: &KeyPair, certificate: &[u8], card_key: &Point) -> Vec<u8> {
    let parameters = ScpKeyParams::Scp11ac {
        kid: 0x11,
        kvn: 0x41,
        pk_sd_ecka: card_key.as_bytes().to_vec(),
        sk_oce_ecka: *terminal.scalar().expect("a scalar"),
        certificates: vec![certificate.to_vec()],
        oce_ref: Some((0x10, 0x03)),
    };
    let mut session = open(reader, &parameters);
    assert_eq!(send(&mut session, [0x00, 0xCA, 0x01, 0x00], &[]), [0x1F], "the heartbeat");
    send(&mut session, [0x00, 0xCA, 0x01, 0x01], &[])
}

/// The certificate of the token's own key, read by yubikit in plain.
pub fn certificate(reader: &str) -> Vec<u8> {
    let mut session = SecurityDomainSession::new(Substituting::connect(reader)).map_err(|(e, _)| e).expect("SELECT");
    session.get_certificate_bundle(KeyRef::new(0x11, 0x41)).expect("GET DATA").remove(0)
}

fn scp03(kvn: u8, keys: &ykd::StaticKeys) -> ScpKeyParams {
    ScpKeyParams::Scp03 { kvn, key_enc: keys.key_enc, key_mac: keys.key_mac, key_dek: keys.key_dek }
}

fn open(reader: &str, parameters: &ScpKeyParams) -> Session {
    SecurityDomainSession::new_with_scp(Substituting::connect(reader), parameters)
        .map_err(|(e, _)| e)
        .expect("yubikit opens a channel")
}

fn send(session: &mut Session, [cla, ins, p1, p2]: [u8; 4], data: &[u8]) -> Vec<u8> {
    session
        .protocol_mut()
        .send_apdu(cla, ins, p1, p2, data)
        .unwrap_or_else(|e| panic!("{ins:02X} {p1:02X}{p2:02X}: {e}"))
}
