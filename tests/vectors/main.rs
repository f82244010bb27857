//! Checks our channel code against independently made vectors (`make.py` beside this file), and our primitives against
//! published ones. `-- --nocapture` shows the counts.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod published;
mod wycheproof;

use rollcall::{
    card::{
        apdu::{ApduFormat, Command, Response},
        status::Status,
        tlv,
    },
    channel::{
        Step,
        messaging::{Messaging, SessionKeys},
        resumption::{Resumed, Resumption, terminal_id},
        scp03::{self, Agreed, CardChallenge, StaticKeys},
        scp11::{self, Handshake, Offer},
    },
    crypto::{
        Key128, aes,
        ec::{KeyPair, Point},
        x509::{Certificate, CertificateProfile},
    },
    proof::verify_message,
};
use serde_json::Value;

fn load(name: &str) -> Value {
    let path = format!("{}/tests/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

fn key(value: &Value) -> Key128 {
    Key128::new(array(value))
}

fn pair(value: &Value) -> KeyPair {
    KeyPair::from_scalar(&array(value)).unwrap()
}

/// Plays the exchanges of a vector through both sides of the secure messaging.
fn play(vector: &Value, mut terminal: Messaging, mut card: Messaging) -> usize {
    let exchanges = vector["exchanges"].as_array().unwrap();
    for exchange in exchanges {
        let name = exchange["name"].as_str().unwrap();
        let [cla, ins, p1, p2] = array(&exchange["header"]);
        let format = if exchange["format"] == "extended" { ApduFormat::Extended } else { ApduFormat::Short };
        let command = Command::new(cla, ins, p1, p2).data(bytes(&exchange["data"])).answered();

        let wrapped = terminal.wrap(&command, format).unwrap();
        let apdus: Vec<String> = wrapped.encode(format).iter().map(hex::encode).collect();
        let expected: Vec<&str> = exchange["apdus"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
        assert_eq!(apdus, expected, "{name}");

        let length = u16::try_from(wrapped.payload().len()).unwrap().to_be_bytes();
        let short = format == ApduFormat::Short && length[0] == 0;
        let lc = if short { vec![length[1]] } else { vec![0, length[0], length[1]] };
        let opened = card.open(wrapped.header(), &lc, wrapped.payload()).unwrap().unwrap();
        assert_eq!(*opened, bytes(&exchange["data"]), "{name}");

        let status = Status(u16::from_be_bytes(array(&exchange["status"])));
        let sealed = card.seal(&bytes(&exchange["answer"]), status).unwrap();
        assert_eq!(sealed, bytes(&exchange["wrapped"]), "{name}");
        let answer = terminal.unwrap(&Response { data: sealed, status }).unwrap();
        assert_eq!(answer, Response { data: bytes(&exchange["answer"]), status }, "{name}");
    }
    exchanges.len()
}

#[test]
fn scp11a_derivation() {
    let vector = load("scp11a");
    let agreement = &vector["mutual_authenticate"];
    let (terminal, token) = (pair(&vector["terminal"]["scalar"]), pair(&vector["token"]["ecka_scalar"]));
    let (e_terminal, e_token) = (pair(&vector["ephemeral"]["terminal"]), pair(&vector["ephemeral"]["token"]));
    let ephemeral = e_terminal.agree(e_token.public()).unwrap();
    let fixed = token.agree(terminal.public()).unwrap();
    assert_eq!(*ephemeral, array(&agreement["ephemeral_secret"]));
    assert_eq!(*fixed, array(&agreement["static_secret"]));
    let derived = scp11::derive(&ephemeral, &fixed).unwrap();
    let request = scp11::request(e_terminal.public());
    assert_eq!(request, bytes(&agreement["data"]));
    let object = tlv::object(scp11::TAG_POINT, e_token.public().as_bytes());
    assert_eq!(derived.receipt(&request, &object).unwrap(), array(&agreement["receipt"]));
    let block = bytes(&agreement["derived"]);
    assert_eq!(derived.keys.enc.expose()[..], block[16..32]);
    assert_eq!(derived.keys.dek.expose()[..], block[64..80]);
    assert_eq!(derived.resumption.expose(), &array(&load("fast_tap")["key"]));
}

#[test]
fn a_resumed_channel_and_its_messaging() {
    let (vector, select) = (load("fast_tap"), bytes(&load("scp11a")["select_answer"]));
    let tid = terminal_id(&Point::parse(&bytes(&vector["terminal_point"])).unwrap());
    assert_eq!(tid, array(&vector["terminal_id"]));
    let resumption = key(&vector["key"]);
    for dialogue in vector["dialogues"].as_array().unwrap() {
        let (command, waiting) = Resumption::begin(&tid, array(&dialogue["terminal_nonce"]), &select);
        // Everything but Le, which the terminal may choose.
        assert_eq!(command.encode(ApduFormat::Short)[0][..29], bytes(&dialogue["resume"])[..29]);
        let answer = Response { data: bytes(&dialogue["answer"]), status: Status::OK };
        let (_, terminal) = waiting.handle(answer.clone(), std::slice::from_ref(&resumption)).unwrap().unwrap();
        let card = answer.data.first_chunk().unwrap();
        let resumed = Resumed::derive(&resumption, &array(&dialogue["terminal_nonce"]), card, &select).unwrap();
        assert_eq!(resumed.cryptogram, bytes(&dialogue["chain"])[..8]);
        for (name, other) in dialogue["other_chains"].as_object().unwrap() {
            let mut bent = answer.clone();
            bent.data[16..].copy_from_slice(&bytes(other)[..8]);
            assert!(waiting.handle(bent, std::slice::from_ref(&resumption)).unwrap().is_none(), "{name}");
        }
        // Our terminal sends no data if there is none; the token also accepts an encrypted empty block.
        if dialogue["name"] != "an encrypted empty block" {
            assert_eq!(play(dialogue, terminal, resumed.messaging), 3);
        }
    }
}

#[test]
fn scp11a_handshake_and_messaging() {
    let vector = load("scp11a");
    let agreement = &vector["mutual_authenticate"];
    let (select, certificate) = (bytes(&vector["select_answer"]), bytes(&vector["terminal"]["certificate"]));
    let terminal_key = pair(&vector["terminal"]["scalar"]);
    let card_key: Point = *pair(&vector["token"]["ecka_scalar"]).public();
    let begin = || {
        Handshake::begin(Offer {
            select: &select,
            terminal_key: &terminal_key,
            terminal_certificate: &certificate,
            ca_kvn: 3,
            card_key: &card_key,
            card_kvn: 0x41,
            ephemeral: pair(&vector["ephemeral"]["terminal"]),
        })
        .unwrap()
    };
    let Step::Send(pso, state) = begin() else { panic!() };
    assert_eq!((pso.header(), pso.payload()), ([0x80, 0x2A, 3, 0x10], &certificate[..]));
    let Step::Send(request, state) = state.handle(Response::status(Status::OK)).unwrap() else { panic!() };
    assert_eq!((request.header(), request.payload()), ([0x80, 0x82, 0x41, 0x11], &bytes(&agreement["data"])[..]));
    let answer = Response { data: bytes(&agreement["answer"]), status: Status::OK };
    let Step::Done(opened) = state.handle(answer.clone()).unwrap() else { panic!() };
    assert_eq!(opened.binding, array(&vector["binding"]));

    let block = bytes(&agreement["derived"]);
    let k = |n: usize| Key128::new(block[16 * n..16 * (n + 1)].try_into().unwrap());
    let keys = SessionKeys { enc: k(1), mac: k(2), rmac: k(3), dek: k(4) };
    let card = Messaging::new(keys, array(&agreement["receipt"]));
    assert_eq!(play(&vector, opened.messaging, card), 5);

    for bit in 0..answer.data.len() * 8 {
        let Step::Send(_, state) = begin() else { panic!() };
        let Step::Send(_, state) = state.handle(Response::status(Status::OK)).unwrap() else { panic!() };
        let mut flipped = answer.clone();
        flipped.data[bit / 8] ^= 1 << (bit % 8);
        assert!(state.handle(flipped).is_err(), "bit {bit} of the answer to MUTUAL AUTHENTICATE");
    }
}

#[test]
fn scp03_derivation_handshake_and_messaging() {
    let vector = load("scp03");
    let diversification = array(&vector["diversification"]);
    let statics = StaticKeys::diversified(&key(&vector["perso"]), &diversification).unwrap();
    for (made, expected) in
        [&statics.enc, &statics.mac, &statics.dek].into_iter().zip(vector["static"].as_array().unwrap())
    {
        assert_eq!(made.expose(), &array(expected));
    }
    let answer = Response { data: bytes(&vector["initialize_update_answer"]), status: Status::OK };
    let (command, state) = scp03::begin(array(&vector["host_challenge"]));
    assert_eq!(command.header(), [0x80, 0x50, 0, 0]);
    let (challenge, choose) = state.handle(answer.clone()).unwrap();
    assert_eq!((challenge.kvn, challenge.diversification), (1, diversification));
    assert!(!choose.proves(&StaticKeys::test()).unwrap());
    let Step::Send(command, accepted) = choose.with(&statics).unwrap() else { panic!() };
    assert_eq!(hex::encode(&*command.encode(ApduFormat::Short)[0]), vector["external_authenticate"].as_str().unwrap());
    let terminal = accepted.handle(Response::status(Status::OK)).unwrap();

    let parsed = CardChallenge::parse(&answer.data).unwrap();
    let agreed = Agreed::derive(&statics, &array(&vector["host_challenge"]), &parsed.challenge).unwrap();
    let cryptogram = agreed.host_cryptogram().unwrap();
    let full = agreed.authenticate_mac([0x84, 0x82, 0x33, 0], &[16], &cryptogram).unwrap();
    assert_eq!(play(&vector, terminal, agreed.into_messaging(full)), 3);

    for bit in 0..answer.data.len() * 8 {
        let (_, state) = scp03::begin(array(&vector["host_challenge"]));
        let mut flipped = answer.clone();
        flipped.data[bit / 8] ^= 1 << (bit % 8);
        // The diversification data and the KVN are not under the cryptogram: they choose the keys.
        let Ok((_, choose)) = state.handle(flipped) else { continue };
        assert_eq!(choose.with(&statics).is_ok(), bit / 8 < 11, "bit {bit}");
    }
}

#[test]
fn put_key_is_wrapped_as_in_the_vector() {
    let vector = load("scp03");
    let new = |n: usize| key(&vector["new_keys"][n]);
    let keys = StaticKeys { enc: new(0), mac: new(1), dek: new(2) };
    let command = rollcall::token::commands::put_token_keys(&keys, &key(&vector["static"][2])).unwrap();
    assert_eq!(hex::encode(command.payload()), vector["exchanges"][0]["data"].as_str().unwrap());
    assert_eq!(aes::check_value(&keys.enc).unwrap()[..], bytes(&vector["exchanges"][0]["answer"])[1..4]);
}

/// The worked example of `docs/proof.md` is the vector: message, certificate and CA key. The message verifies under the
/// certificate's key, and the certificate under the CA's.
#[test]
fn the_page_of_the_proof_shows_the_vector() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/proof.md")).unwrap();
    let blocks = page.split("```text\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    let shown: Vec<Vec<u8>> = blocks
        .map(|block| block.lines().filter(|line| !line.starts_with('#')).collect::<String>())
        .map(|digits| hex::decode(digits).unwrap())
        .collect();
    let [message, certificate, ca] = shown.as_slice() else { panic!("{} blocks", shown.len()) };
    let vector = load("scp11a");
    assert_eq!(*message, bytes(&vector["proof"]["cose"]));
    assert_eq!(*certificate, bytes(&vector["token"]["identity_certificate"]));
    let ca = Point::parse(ca).unwrap();
    let identity = Certificate::verify(certificate, &ca, &[CertificateProfile::Identity]).unwrap();
    let claims = verify_message(message, identity.point()).unwrap();
    assert_eq!(claims.counter, 65_542);
    // A strict decoder takes every part of the message: from 65536 on the whole proof is deterministic CBOR.
    for part in [message.as_slice(), &message[4..34], &message[55..237]] {
        assert_eq!(cbor_core::Value::decode(part).unwrap().encode(), part);
    }
    assert_eq!(uuid::Uuid::from_bytes(claims.token_id).to_string(), identity.subject());
}
