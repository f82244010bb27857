//! Estimates how long a real card takes for a command, for measurements of everything around the card.
//!
//! The times are what `JCAlgTest` measured over T=1, in ms, 250 calls each, averages
//! (<https://github.com/crocs-muni/jcalgtest_results>, `javacard/Profiles/performance/fixed`): of an NXP JCOP4 J3R180
//! (`NXP_JCOP4_J3R180_SECID_P71…`, 2021-10-20) and of an NXP JCOP3 J3H145 (`NXP_JCOP3_J3H145g_P60…`, 2021-10-19); AES
//! and SHA-256 over 256 bytes. A command costs the operations that our applet performs for it. The processor's work in
//! between, the radio and the reader are not included: a real card is slower.

use std::time::Duration;

use crate::card::apdu::{CHAINING, Received, SECURE};

use super::command::Instruction;

/// The cost of a card's operations, in µs.
struct OperationTimes {
    /// `TYPE_EC_FP_PUBLIC LENGTH_EC_FP_256 setW`
    set_point: u64,
    /// `LENGTH_EC_FP_256 ALG_EC_SVDP_DH KeyAgreement_init` and `generateSecret`; `PLAIN_XY` was not measured.
    agree: u64,
    /// `LENGTH_EC_FP_256 KeyPair_genKeyPair`
    generate: u64,
    /// `LENGTH_EC_FP_256 ALG_ECDSA_SHA Signature_init` and `sign`; with SHA-256 it was not measured.
    sign: u64,
    /// The same, and `verify`.
    verify: u64,
    /// `ALG_SHA_256 MessageDigest_doFinal`
    hash: u64,
    /// `TYPE_AES LENGTH_AES_128 setKey`, and `ALG_AES_BLOCK_128_CBC_NOPAD Cipher_init`
    aes_key: u64,
    /// `ALG_AES_BLOCK_128_CBC_NOPAD Cipher_doFinal`, up to 256 bytes
    aes: u64,
    /// `Util_arrayCopy_RAM2EEPROM`, up to 256 bytes
    store: u64,
}

const J3R180: OperationTimes = OperationTimes {
    set_point: 3_360,
    agree: 7_900 + 20_040,
    generate: 26_800,
    sign: 8_120 + 31_960,
    verify: 8_120 + 30_220,
    hash: 7_920,
    aes_key: 3_200 + 6_090,
    aes: 1_860,
    store: 2_860,
};

const J3H145: OperationTimes = OperationTimes {
    set_point: 11_670,
    agree: 8_520 + 55_080,
    generate: 156_300,
    sign: 5_750 + 56_290,
    verify: 5_750 + 50_320,
    hash: 8_630,
    aes_key: 7_890 + 13_660,
    aes: 9_010,
    store: 1_520, // of `Util_arrayCopyNonAtomic_RAM2EEPROM`
};

/// The card whose times a token simulates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CardTiming {
    /// No delay: as fast as this machine.
    #[default]
    Own,
    /// An NXP J3R180.
    J3r180,
    /// An NXP J3H145.
    J3h145,
}

impl CardTiming {
    /// How long the card computes for this command APDU. Refused commands are counted like accepted ones.
    pub fn of(self, apdu: &[u8]) -> Duration {
        let times = match self {
            Self::Own => return Duration::ZERO,
            Self::J3r180 => &J3R180,
            Self::J3h145 => &J3H145,
        };
        Received::parse(apdu).map(|received| Duration::from_micros(times.cost(&received))).unwrap_or_default()
    }
}

impl OperationTimes {
    /// A command, in µs.
    fn cost(&self, received: &Received<'_>) -> u64 {
        let [class, _, p1, _] = received.header;
        let Ok(instruction) = Instruction::of(received.header) else { return 0 };
        let is_piece = class & CHAINING != 0 || (instruction == Instruction::VerifyCertificate && p1 & 0x80 != 0);
        if is_piece {
            return 0;
        }
        // Secure messaging of command and answer: encryption, and a MAC.
        let pieces = u64::try_from(received.data.len() / 256 + 1).unwrap_or(1);
        let secured = if class & SECURE != 0 { 4 * pieces * self.aes } else { 0 };
        secured + self.own_cost(instruction, p1, pieces)
    }

    /// The cost of the command itself, without secure messaging.
    const fn own_cost(&self, instruction: Instruction, p1: u8, pieces: u64) -> u64 {
        match instruction {
            // Commands that only read, and those that are only their MAC, which counts as secure messaging.
            Instruction::Select
            | Instruction::GetResponse
            | Instruction::GetData
            | Instruction::ReadPart
            | Instruction::ExternalAuthenticate
            | Instruction::DeleteKey => 0,
            Instruction::VerifyCertificate => self.set_point + self.verify,
            // The ephemeral point, both secrets, the key derivation, four keys, and the receipt.
            Instruction::MutualAuthenticate => {
                self.set_point + 3 * self.agree + 3 * self.hash + 4 * self.aes_key + self.aes
            }
            // Two static keys, from them three of the session, and two cryptograms.
            Instruction::InitializeUpdate => 5 * self.aes_key + 5 * self.aes,
            // The key of a slot and three session keys, one value under each for the derivation, and the MAC's subkeys.
            Instruction::Resume => 4 * self.aes_key + 5 * self.aes,
            // In a resumed channel one byte is stored and nothing is signed; with a slot, the slot and its mark are
            // stored, too.
            Instruction::InternalAuthenticate if p1 == 2 => self.store,
            Instruction::InternalAuthenticate if p1 == 1 => self.hash + self.sign + 3 * self.store,
            Instruction::InternalAuthenticate => self.hash + self.sign + self.store,
            Instruction::GenerateKey => self.generate + self.set_point,
            Instruction::PutKey => self.aes_key + self.aes + self.set_point + self.store,
            Instruction::SetStatus => self.store,
            Instruction::WritePart | Instruction::PutData | Instruction::StoreData => pieces * self.store,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(card: CardTiming, apdu: &str) -> u128 {
        card.of(&hex::decode(apdu).unwrap()).as_micros()
    }

    fn micros(apdu: &str) -> u128 {
        of(CardTiming::J3r180, apdu)
    }

    /// Estimated from these few operations; applet/README.md has the result of counting the applet's own calls.
    #[test]
    fn a_resumed_tap_costs_a_third_of_a_full_one() {
        const FULL: [&str; 4] =
            ["00A404000AF0524F4C4C43414C4C01", "802A0010020102", "8082001002010200", "84880101020102"];
        const RESUMED: [&str; 3] = [FULL[0], "8086000002010200", "8488020100"];
        for (card, full, resumed, most) in
            [(CardTiming::J3r180, 255_680, 56_760, 35), (CardTiming::J3h145, 502_580, 168_810, 40)]
        {
            let cost = |commands: &[&str]| commands.iter().map(|apdu| of(card, apdu)).sum::<u128>();
            assert_eq!((cost(&FULL), cost(&RESUMED)), (full, resumed), "{card:?}");
            assert!(100 * cost(&RESUMED) <= most * cost(&FULL), "{card:?}");
        }
    }

    #[test]
    fn a_command_costs_what_the_card_computes_for_it() {
        assert_eq!(micros("00A404000AF0524F4C4C43414C4C01"), 0);
        // The pieces of a chain cost nothing; the last one costs everything.
        assert_eq!((micros("802A8010020102"), micros("802A0010020102")), (0, 41_700));
        assert_eq!((micros("9082001002010200"), micros("8082001002010200")), (0, 149_960));
        // Secure messaging, a digest, a signature and the counter.
        assert_eq!(micros("8488000010000102030405060708090A0B0C0D0E0F00"), 4 * 1_860 + 7_920 + 40_080 + 2_860);
        // Unknown commands are refused at once.
        assert_eq!((micros("FFCA000000"), micros("00"), micros("")), (0, 0, 0));
    }

    #[test]
    fn the_software_does_not_wait_unless_it_is_told_to() {
        assert_eq!(CardTiming::default().of(&hex::decode("802A0010020102").unwrap()), Duration::ZERO);
    }
}
