//! Published vectors through our own functions: RFC 4493, X9.63 of NIST, SCP03 from a card.

use rollcall::{
    card::{
        apdu::{ApduFormat, Command, Received, Response},
        status::Status,
    },
    channel::scp03::{Agreed, StaticKeys},
    crypto::{Key128, aes, cmac::cmac, kdf},
};
use serde_json::Value;

use crate::{array, bytes, key, load};

/// RFC 4493, section 4: the message in four lengths.
#[test]
fn rfc_4493() {
    let key = Key128::new(*b"\x2b\x7e\x15\x16\x28\xae\xd2\xa6\xab\xf7\x15\x88\x09\xcf\x4f\x3c");
    let message = hex::decode(concat!(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51",
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    ))
    .unwrap();
    let expected = [
        (0, "bb1d6929e95937287fa37d129b756746"),
        (16, "070a16b46b4d4144f79bdd9dd04a287c"),
        (40, "dfa66747de9ae63030ca32611497c827"),
        (64, "51f0bebf7e3b9d92fc49741779363cfe"),
    ];
    for (length, mac) in expected {
        assert_eq!(hex::encode(cmac(&key, &[&message[..length]]).unwrap()), mac);
    }
    println!("vectors: RFC 4493 AES-CMAC: {} of {} hold", expected.len(), expected.len());
}

/// NIST CAVP, ANS X9.63-2001 with SHA-256: two groups of ten.
#[test]
fn nist_x963() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/published/ansx963_2001_sha256.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let (mut held, mut stated, mut secret, mut shared) = (0, 0, Vec::new(), Vec::new());
    for line in text.lines() {
        let Some((name, value)) = line.split_once(" =") else { continue };
        let value = value.trim();
        match name {
            "COUNT" => stated += 1,
            "Z" => secret = hex::decode(value).unwrap(),
            "SharedInfo" => shared = hex::decode(value).unwrap(),
            "key_data" => {
                let expected = hex::decode(value).unwrap();
                assert_eq!(*kdf::x963(&secret, &shared, expected.len()), expected, "after {stated} cases");
                held += 1;
            }
            _ => {}
        }
    }
    assert_eq!((held, stated), (20, 20));
    println!("vectors: NIST CAVP X9.63 KDF, SHA-256: {held} of {stated} hold");
}

/// Three sessions of a card with AES-128 keys. Its challenges are pseudo-random (i = 70), which our parser refuses, so
/// the fields are taken out here; everything that is computed from them is computed by our code.
#[test]
fn scp03_from_a_card() {
    let vector = load("published/scp03_aes128");
    let keys = StaticKeys {
        enc: key(&vector["keys"]["enc"]),
        mac: key(&vector["keys"]["mac"]),
        dek: key(&vector["keys"]["dek"]),
    };
    for (key, name) in [(&keys.enc, "enc"), (&keys.mac, "mac"), (&keys.dek, "dek")] {
        assert_eq!(aes::check_value(key).unwrap(), array(&vector["check_values"][name]));
    }
    let (mut handshakes, mut commands, mut answers, mut other_levels) = (0, 0, 0, 0);
    for session in vector["sessions"].as_array().unwrap() {
        let (agreed, mac) = handshake(&keys, session);
        handshakes += 1;
        let exchanges = session["exchanges"].as_array().unwrap();
        if session["level"] != "33" {
            other_levels += exchanges.len();
            continue;
        }
        let mut terminal = agreed.into_messaging(mac);
        let mut card = handshake(&keys, session).0.into_messaging(mac);
        for exchange in exchanges {
            let plain = command(&bytes(&exchange["plain"]));
            let sent = bytes(&exchange["sent"]);
            let received = Received::parse(&sent).unwrap();
            let wrapped = terminal.wrap(&plain, ApduFormat::Short).unwrap();
            assert_eq!((wrapped.header(), wrapped.payload()), (received.header, received.data));
            let opened = card.open(received.header, &sent[4..5], received.data).unwrap().unwrap();
            assert_eq!(*opened, plain.payload());
            commands += 1;
            let Some(answer) = exchange.get("answer") else { continue };
            let response = Response { data: bytes(answer), status: Status::OK };
            let expected = bytes(&exchange["plain_answer"]);
            assert_eq!(card.seal(&expected, Status::OK).unwrap(), response.data);
            assert_eq!(terminal.unwrap(&response).unwrap().data, expected);
            answers += 1;
        }
    }
    assert_eq!((handshakes, commands, answers, other_levels), (3, 5, 1, 10));
    println!(
        "vectors: SCP03 AES-128: 3 check values, {handshakes} handshakes, {commands} commands, {answers} answer hold"
    );
    println!("vectors: SCP03 AES-128: {other_levels} not applicable: security level 03 or 11, and ours is 33");
}

/// Both cryptograms and the MAC of EXTERNAL AUTHENTICATE.
fn handshake(keys: &StaticKeys, session: &Value) -> (Agreed, [u8; 16]) {
    let host: [u8; 8] = bytes(&session["initialize_update"])[5..13].try_into().unwrap();
    let answer = bytes(&session["initialize_update_answer"]);
    let card: [u8; 8] = answer[13..21].try_into().unwrap();
    let agreed = Agreed::derive(keys, &host, &card).unwrap();
    assert_eq!(agreed.card_cryptogram().unwrap(), answer[21..29]);
    let authenticate = bytes(&session["external_authenticate"]);
    let received = Received::parse(&authenticate).unwrap();
    let cryptogram = agreed.host_cryptogram().unwrap();
    assert_eq!(cryptogram, received.data[..8]);
    let mac = agreed.authenticate_mac(received.header, &authenticate[4..5], &cryptogram).unwrap();
    assert_eq!(mac[..8], received.data[8..]);
    (agreed, mac)
}

fn command(apdu: &[u8]) -> Command {
    let received = Received::parse(apdu).unwrap();
    let [cla, ins, p1, p2] = received.header;
    Command::new(cla, ins, p1, p2).data(received.data)
}
