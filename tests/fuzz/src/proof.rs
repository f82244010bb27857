//! The presence proof: the answer of INTERNAL AUTHENTICATE, the COSE message made of it, and its verification.

use std::sync::LazyLock;

use rollcall::{
    crypto::{ec::KeyPair, sha256},
    proof::{Claims, Expected, Proof, thumbprint, verify_message},
};

use crate::input::{Input, pair};

static IDENTITY: LazyLock<KeyPair> = LazyLock::new(|| pair(0x33));
static TERMINAL: LazyLock<KeyPair> = LazyLock::new(|| pair(0x34));

/// A sound answer, bent at places of the fuzzer's choice, or bytes of its own; a message likewise.
///
/// # Panics
/// When something does not hold.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let choice = input.byte();
    let counter = u32::from_be_bytes([input.byte(), input.byte(), input.byte(), input.byte()]);
    let record: [u8; 120] = std::array::from_fn(|_| 0);
    let expected = Expected { terminal: TERMINAL.public(), nonce: &[6; 32], token_id: &[7; 16], binding: &[8; 32] };
    let sound = answer(&expected, counter, &record);
    let given = if choice & 1 == 0 { bend(&sound, &mut input) } else { input.0.to_vec() };
    let Ok(proof) = Proof::parse_answer(&given) else {
        assert_ne!(given, sound);
        return message(input.0);
    };
    let Ok(verified) = proof.check(&expected, IDENTITY.public()) else {
        assert_ne!(given, sound);
        return message(input.0);
    };
    // ECDSA has two valid signatures per message; nothing else may differ from what was signed.
    assert_eq!((verified.counter, verified.record), (counter, record));
    let claims = verify_message(&verified.cose, IDENTITY.public()).expect("our own message");
    assert_eq!((claims.counter, &claims.nonce, &claims.binding), (counter, expected.nonce, expected.binding));
    let bent = bend(&verified.cose, &mut input);
    if bent != verified.cose
        && let Ok(other) = verify_message(&bent, IDENTITY.public())
    {
        assert_eq!(other, claims);
    }
}

fn message(bytes: &[u8]) {
    let _ = Claims::read(bytes);
    assert!(verify_message(bytes, IDENTITY.public()).is_err());
}

/// What a token answers.
fn answer(expected: &Expected<'_>, counter: u32, record: &[u8; 120]) -> Vec<u8> {
    let claims = Claims {
        terminal: thumbprint(expected.terminal),
        nonce: *expected.nonce,
        token_id: *expected.token_id,
        binding: *expected.binding,
        counter,
        record: sha256(&[record]),
    };
    let signature = IDENTITY.sign(&claims.sig_structure()).expect("a signature");
    let length = u8::try_from(signature.len()).expect("short");
    [
        &[0x83, 16][..],
        expected.token_id,
        &[0x80, 4],
        &counter.to_be_bytes(),
        &[0x9E, length],
        &signature,
        &[0x53, 120],
        record,
    ]
    .concat()
}

fn bend(sound: &[u8], input: &mut Input<'_>) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    for _ in 0..input.byte() % 8 {
        let place = usize::from(u16::from_be_bytes([input.byte(), input.byte()]));
        let change = input.byte();
        if let Some(byte) = bytes.get_mut(place) {
            *byte ^= change;
        }
    }
    bytes
}
