//! How long a real card would take for a command: for measurements of everything around the card.
//!
//! The times are what `JCAlgTest` measured on an NXP JCOP4 J3R180 over T=1, in ms, 250 calls each
//! (<https://github.com/crocs-muni/jcalgtest_results>, `javacard/Profiles/performance/fixed/NXP_JCOP4_J3R180_SECID_P71…`,
//! 2021-10-20, averages; AES and SHA-256 over 256 bytes). A command costs the operations that our applet carries out
//! for it. The processor's own work in between, the radio and the reader are not in it: a real card is slower.

use std::time::Duration;

use crate::card::apdu::{CHAINING, Received, SECURE};

use super::command::Instruction;

/// `TYPE_EC_FP_PUBLIC LENGTH_EC_FP_256 setW`
const SET_POINT: u64 = 3_360;
/// `LENGTH_EC_FP_256 ALG_EC_SVDP_DH KeyAgreement_init` and `generateSecret`; `PLAIN_XY` was not measured.
const AGREE: u64 = 7_900 + 20_040;
/// `LENGTH_EC_FP_256 KeyPair_genKeyPair`
const GENERATE: u64 = 26_800;
/// `LENGTH_EC_FP_256 ALG_ECDSA_SHA Signature_init` and `sign`; with SHA-256 it was not measured.
const SIGN: u64 = 8_120 + 31_960;
/// The same, and `verify`.
const VERIFY: u64 = 8_120 + 30_220;
/// `ALG_SHA_256 MessageDigest_doFinal`
const HASH: u64 = 7_920;
/// `TYPE_AES LENGTH_AES_128 setKey`, and `ALG_AES_BLOCK_128_CBC_NOPAD Cipher_init`
const AES_KEY: u64 = 3_200 + 6_090;
/// `ALG_AES_BLOCK_128_CBC_NOPAD Cipher_doFinal`, up to 256 bytes
const AES: u64 = 1_860;
/// `Util_arrayCopy_RAM2EEPROM`, up to 256 bytes
const STORE: u64 = 2_860;

/// Which card's times a token keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CardTiming {
    /// As fast as this machine.
    #[default]
    Own,
    /// An NXP J3R180.
    J3r180,
}

impl CardTiming {
    /// How long the card computes on this command APDU. Refused commands are taken for accepted ones.
    pub fn of(self, apdu: &[u8]) -> Duration {
        let Some(received) = Received::parse(apdu).filter(|_| self == Self::J3r180) else {
            return Duration::ZERO;
        };
        Duration::from_micros(cost(&received))
    }
}

/// In µs.
fn cost(received: &Received<'_>) -> u64 {
    let [class, _, p1, _] = received.header;
    let Ok(instruction) = Instruction::of(received.header) else { return 0 };
    let is_piece = class & CHAINING != 0 || (instruction == Instruction::VerifyCertificate && p1 & 0x80 != 0);
    if is_piece {
        return 0;
    }
    // Command and answer: deciphered or enciphered, and a MAC over it.
    let pieces = u64::try_from(received.data.len() / 256 + 1).unwrap_or(1);
    let secured = if class & SECURE != 0 { 4 * pieces * AES } else { 0 };
    secured + own_cost(instruction, p1, pieces)
}

/// What the command itself costs, without secure messaging.
const fn own_cost(instruction: Instruction, p1: u8, pieces: u64) -> u64 {
    match instruction {
        // What is only told; and commands that are no more than their MAC, which counts as secure messaging.
        Instruction::Select
        | Instruction::GetResponse
        | Instruction::GetData
        | Instruction::ReadPart
        | Instruction::ExternalAuthenticate
        | Instruction::DeleteKey => 0,
        Instruction::VerifyCertificate => SET_POINT + VERIFY,
        // The ephemeral point, both secrets, the key derivation, four keys, and the receipt.
        Instruction::MutualAuthenticate => SET_POINT + 3 * AGREE + 3 * HASH + 4 * AES_KEY + AES,
        // Two static keys, from them three of the session, and two cryptograms.
        Instruction::InitializeUpdate => 5 * AES_KEY + 5 * AES,
        // The key of a slot and three of the session, one value under each derivation, and the subkeys of the MAC.
        Instruction::Resume => 4 * AES_KEY + 5 * AES,
        // In a resumed channel one byte is stored and nothing is signed; with a slot, the slot and its mark are stored too.
        Instruction::InternalAuthenticate if p1 == 2 => STORE,
        Instruction::InternalAuthenticate if p1 == 1 => HASH + SIGN + 3 * STORE,
        Instruction::InternalAuthenticate => HASH + SIGN + STORE,
        Instruction::GenerateKey => GENERATE + SET_POINT,
        Instruction::PutKey => AES_KEY + AES + SET_POINT + STORE,
        Instruction::SetStatus => STORE,
        Instruction::WritePart | Instruction::PutData | Instruction::StoreData => pieces * STORE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(apdu: &str) -> u128 {
        CardTiming::J3r180.of(&hex::decode(apdu).unwrap()).as_micros()
    }

    #[test]
    fn a_command_costs_what_the_card_computes_for_it() {
        assert_eq!(micros("00A404000AF0524F4C4C43414C4C01"), 0);
        // The pieces of a chain cost nothing, and the last one everything.
        assert_eq!((micros("802A8010020102"), micros("802A0010020102")), (0, 41_700));
        assert_eq!((micros("9082001002010200"), micros("8082001002010200")), (0, 149_960));
        // Secure messaging, a digest, a signature and the counter.
        assert_eq!(micros("8488000010000102030405060708090A0B0C0D0E0F00"), 4 * 1_860 + 7_920 + 40_080 + 2_860);
        // What is no command of ours is refused at once.
        assert_eq!((micros("FFCA000000"), micros("00"), micros("")), (0, 0, 0));
    }

    #[test]
    fn the_software_does_not_wait_unless_it_is_told_to() {
        assert_eq!(CardTiming::default().of(&hex::decode("802A0010020102").unwrap()), Duration::ZERO);
    }
}
