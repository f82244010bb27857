//! Independently made vectors: given their random numbers, the token answers them byte for byte.

use serde_json::Value;

use super::rig::{Recorder, ca_key};
use crate::{
    card::{
        apdu::{ApduFormat, Command, Response},
        chaining::exchange,
        status::Status,
    },
    channel::{messaging::Messaging, scp03::StaticKeys, scp11},
    crypto::{
        CryptoError, Key128,
        ec::{KeyPair, Point},
        random::{Random, SystemRandom},
    },
    emulator::{
        PersistentState, SoftwareToken,
        encoding::{Hex, SecretPair},
        state::{Life, ModeObject},
    },
    proof::{Expected, Proof},
};

/// Gives these bytes once.
struct Script(Vec<u8>);

impl Random for Script {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), CryptoError> {
        buffer.copy_from_slice(&self.0.drain(..buffer.len()).collect::<Vec<_>>());
        Ok(())
    }
}

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

fn pair(value: &Value) -> KeyPair {
    KeyPair::from_scalar(&array(value)).unwrap()
}

fn three(value: &Value) -> StaticKeys {
    let key = |n: usize| {
        let value = if value.is_array() { &value[n] } else { &value[["enc", "mac", "dek"][n]] };
        Key128::new(array(value))
    };
    StaticKeys { enc: key(0), mac: key(1), dek: key(2) }
}

fn token(random: Vec<u8>, change: impl FnOnce(&mut PersistentState)) -> SoftwareToken {
    let mut state = PersistentState::blank(&StaticKeys::all(&Key128::new([9; 16])), &mut SystemRandom).unwrap();
    change(&mut state);
    SoftwareToken::new(state, Box::new(Recorder::default()), Box::new(Script(random)))
}

fn send(token: &mut SoftwareToken, header: [u8; 4], data: &[u8]) -> Response {
    let command = Command::new(header[0], header[1], header[2], header[3]).data(data).answered();
    exchange(token, &command, ApduFormat::Extended).unwrap()
}

/// Sends the APDUs of an exchange as in the vector, and collects the complete answer.
fn play(token: &mut SoftwareToken, step: &Value) -> Vec<u8> {
    let mut answer = Vec::new();
    for apdu in step["apdus"].as_array().unwrap() {
        answer = token.process(&bytes(apdu));
    }
    loop {
        let [high, low] = *answer.last_chunk::<2>().unwrap();
        if high != 0x61 {
            return answer;
        }
        answer.truncate(answer.len() - 2);
        answer.extend(token.process(&[0, 0xC0, 0, 0, low]));
    }
}

/// The ISSUED token of the vector, before its proof.
fn issued_token(vector: &Value, random: Vec<u8>) -> SoftwareToken {
    let (identity, record) = (pair(&vector["token"]["identity_scalar"]), bytes(&vector["proof"]["record"]));
    let details = bytes(&vector["exchanges"][3]["answer"])[3..].to_vec();
    token(random, |state| {
        state.life = Life::Issued;
        state.put_ca_key(3, *pair(&vector["ca"]["scalar"]).public());
        state.certify(0x41, pair(&vector["token"]["ecka_scalar"]), &bytes(&vector["token"]["ecka_certificate"]));
        state.identity_key = Some(SecretPair(identity));
        state.identity_certificate = Hex(bytes(&vector["token"]["identity_certificate"]));
        state.mode = Some(ModeObject { private: false, token_id: Hex(array(&vector["token"]["id"])) });
        state.record = Hex(record);
        state.details = Hex(details);
        state.counter = u32::try_from(vector["proof"]["counter"].as_u64().unwrap()).unwrap() - 1;
    })
}

#[test]
fn scp11a() {
    let vector = load("scp11a");
    let identity = pair(&vector["token"]["identity_scalar"]);
    let mut token = issued_token(&vector, bytes(&vector["ephemeral"]["token"]));
    let select = send(&mut token, [0, 0xA4, 4, 0], b"\xF0ROLLCALL\x01");
    assert_eq!(select.data, bytes(&vector["select_answer"]));
    let certificate = bytes(&vector["terminal"]["certificate"]);
    assert_eq!(send(&mut token, [0x80, 0x2A, 3, 0x10], &certificate).status, Status::OK);
    let agreement = &vector["mutual_authenticate"];
    let answer = send(&mut token, [0x80, 0x82, 0x41, 0x11], &bytes(&agreement["data"]));
    assert_eq!(answer.data, bytes(&agreement["answer"]));

    // The proof's signature is random, so the first answer is opened and verified; the others are equal.
    let derived = scp11::derive(&array(&agreement["ephemeral_secret"]), &array(&agreement["static_secret"])).unwrap();
    let mut terminal = Messaging::new(derived.keys, array(&agreement["receipt"]));
    let steps = vector["exchanges"].as_array().unwrap();
    let sealed = play(&mut token, &steps[0]);
    let [cla, ins, p1, p2] = array(&steps[0]["header"]);
    terminal.wrap(&Command::new(cla, ins, p1, p2).data(bytes(&steps[0]["data"])), ApduFormat::Short).unwrap();
    let answer = terminal.unwrap(&Response::parse(&sealed).unwrap()).unwrap();
    let terminal_key = pair(&vector["terminal"]["scalar"]);
    let expected = Expected {
        terminal: terminal_key.public(),
        nonce: &array(&vector["proof"]["nonce"]),
        token_id: &array(&vector["token"]["id"]),
        binding: &array(&vector["binding"]),
    };
    let verified = Proof::parse_answer(&answer.data).unwrap().check(&expected, identity.public()).unwrap();
    let cose = bytes(&vector["proof"]["cose"]);
    assert_eq!(verified.cose[..cose.len() - 64], cose[..cose.len() - 64], "all but the signature");
    for step in &steps[1..4] {
        let expected = [bytes(&step["wrapped"]), bytes(&step["status"])].concat();
        assert_eq!(play(&mut token, step), expected, "{}", step["name"]);
    }
    // Its C-MAC is valid, but the vector's terminal may only read.
    assert_eq!(play(&mut token, &steps[4]), [0x69, 0x82]);
}

/// The handshake of `scp11a` with a slot, and then each dialect of a resumed channel: every byte of the token's
/// answers.
#[test]
fn fast_tap() {
    let (vector, whole) = (load("fast_tap"), load("scp11a"));
    let dialogues = vector["dialogues"].as_array().unwrap();
    let mut random = bytes(&whole["ephemeral"]["token"]);
    for dialogue in dialogues {
        random.extend(bytes(&dialogue["card_nonce"]));
    }
    let mut token = issued_token(&whole, random);
    let agree = |token: &mut SoftwareToken| {
        let select = send(token, [0, 0xA4, 4, 0], b"\xF0ROLLCALL\x01");
        assert_eq!(select.data, bytes(&whole["select_answer"]));
    };
    agree(&mut token);
    assert!(send(&mut token, [0x80, 0x2A, 3, 0x10], &bytes(&whole["terminal"]["certificate"])).status.is_ok());
    assert!(send(&mut token, [0x80, 0x82, 0x41, 0x11], &bytes(&whole["mutual_authenticate"]["data"])).status.is_ok());
    // Its signature is random, and so is the length of the answer.
    assert!(play(&mut token, &vector["full"]).ends_with(&[0x90, 0]));
    for dialogue in dialogues {
        agree(&mut token);
        let expected = [bytes(&dialogue["answer"]), vec![0x90, 0]].concat();
        assert_eq!(token.process(&bytes(&dialogue["resume"])), expected, "{}", dialogue["name"]);
        for step in dialogue["exchanges"].as_array().unwrap() {
            let expected = [bytes(&step["wrapped"]), bytes(&step["status"])].concat();
            assert_eq!(play(&mut token, step), expected, "{}, {}", dialogue["name"], step["name"]);
        }
    }
}

#[test]
fn the_vector_s_own_proof_holds() {
    let vector = load("scp11a");
    let identity = pair(&vector["token"]["identity_scalar"]);
    let terminal_key = pair(&vector["terminal"]["scalar"]);
    let expected = Expected {
        terminal: terminal_key.public(),
        nonce: &array(&vector["proof"]["nonce"]),
        token_id: &array(&vector["token"]["id"]),
        binding: &array(&vector["binding"]),
    };
    let proof = Proof::parse_answer(&bytes(&vector["proof"]["answer"])).unwrap();
    let verified = proof.check(&expected, identity.public()).unwrap();
    assert_eq!(verified.cose, bytes(&vector["proof"]["cose"]));
    let claims = crate::proof::verify_message(&verified.cose, identity.public()).unwrap();
    assert_eq!(claims.sig_structure(), bytes(&vector["proof"]["sig_structure"]));
    assert_eq!(claims.terminal, array(&vector["terminal"]["thumbprint"]));
}

#[test]
fn scp03() {
    let vector = load("scp03");
    let mut token = token(bytes(&vector["card_challenge"]), |state| {
        state.diversification = Hex(array(&vector["diversification"]));
        state.put_token_keys(&three(&vector["static"]));
    });
    send(&mut token, [0, 0xA4, 4, 0], b"\xF0ROLLCALL\x01");
    let answer = send(&mut token, [0x80, 0x50, 0, 0], &bytes(&vector["host_challenge"]));
    assert_eq!(answer.data, bytes(&vector["initialize_update_answer"]));
    assert_eq!(token.process(&bytes(&vector["external_authenticate"])), [0x90, 0]);
    for step in vector["exchanges"].as_array().unwrap() {
        let expected = [bytes(&step["wrapped"]), bytes(&step["status"])].concat();
        assert_eq!(play(&mut token, step), expected, "{}", step["name"]);
        if step["name"] == "PUT KEY, CA" {
            // As our own terminal would store it.
            let point = Point::parse(&bytes(&step["data"])[3..68]).unwrap();
            assert_eq!(bytes(&step["data"]), ca_key(3, &point));
        }
    }
    assert_eq!(token.state().life, Life::Blank);
}
