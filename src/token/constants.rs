//! The names and numbers of the token protocol that both sides need.

/// The AID of the applet: F0, "ROLLCALL", 01 (a proprietary one, ISO/IEC 7816-5).
pub const AID: [u8; 10] = *b"\xF0ROLLCALL\x01";
/// The protocol version in the SELECT answer: SCP11a.
pub const VERSION: [u8; 2] = [0x01, 0x00];

/// Instruction bytes (ISO/IEC 7816-4, GP Card Specification, GP Amendment F).
pub mod ins {
    /// SELECT.
    pub const SELECT: u8 = 0xA4;
    /// GET RESPONSE.
    pub const GET_RESPONSE: u8 = 0xC0;
    /// GET DATA, whole objects.
    pub const GET_DATA: u8 = 0xCA;
    /// GET DATA, in parts.
    pub const GET_DATA_PART: u8 = 0xB1;
    /// PUT DATA: a whole object, or the commit of one that came in parts.
    pub const PUT_DATA: u8 = 0xDA;
    /// PUT DATA, in parts.
    pub const PUT_DATA_PART: u8 = 0xD7;
    /// PERFORM SECURITY OPERATION [verify certificate].
    pub const PERFORM_SECURITY_OPERATION: u8 = 0x2A;
    /// MUTUAL AUTHENTICATE (plain).
    pub const MUTUAL_AUTHENTICATE: u8 = 0x82;
    /// EXTERNAL AUTHENTICATE (with the secure messaging bit).
    pub const EXTERNAL_AUTHENTICATE: u8 = 0x82;
    /// INTERNAL AUTHENTICATE: proof and compact record.
    pub const INTERNAL_AUTHENTICATE: u8 = 0x88;
    /// INITIALIZE UPDATE.
    pub const INITIALIZE_UPDATE: u8 = 0x50;
    /// PUT KEY.
    pub const PUT_KEY: u8 = 0xD8;
    /// GENERATE KEY.
    pub const GENERATE_KEY: u8 = 0xF1;
    /// STORE DATA.
    pub const STORE_DATA: u8 = 0xE2;
    /// DELETE KEY.
    pub const DELETE_KEY: u8 = 0xE4;
    /// SET STATUS.
    pub const SET_STATUS: u8 = 0xF0;
}

/// Key identifiers.
pub mod kid {
    /// P2 of PUT KEY for an SCP03 set (its keys are 01, 02, 03).
    pub const SCP03_SET: u8 = 0x81;
    /// A terminal CA's public key.
    pub const CA: u8 = 0x10;
    /// A static ECKA key.
    pub const ECKA: u8 = 0x11;
    /// The identity key.
    pub const IDENTITY: u8 = 0x21;
}

/// Key version numbers.
pub mod kvn {
    /// The SCP03 start keys.
    pub const START: u8 = 0xFF;
    /// The per-token SCP03 keys.
    pub const TOKEN: u8 = 0x01;
    /// The two versions of a CA key, alternating at a rotation.
    pub const CA: [u8; 2] = [0x03, 0x04];
    /// The token's own ECKA key.
    pub const OWN: u8 = 0x41;
    /// The two versions of a set key.
    pub const SET: [u8; 2] = [0x01, 0x02];
    /// The identity key.
    pub const IDENTITY: u8 = 0x01;
}

/// Tags of data objects, as they stand in P1 P2 or before a value.
pub mod tag {
    /// Mode and token id; under GET DATA the heartbeat, which answers the state byte.
    pub const MODE: u16 = 0x0100;
    /// The compact record.
    pub const RECORD: u16 = 0x0101;
    /// Details.
    pub const DETAILS: u16 = 0x0102;
    /// The portrait.
    pub const PORTRAIT: u16 = 0x0103;
    /// The card's date.
    pub const DATE: u16 = 0x0104;
    /// The identity certificate.
    pub const IDENTITY_CERTIFICATE: u16 = 0x7F21;
    /// An ECKA certificate.
    pub const ECKA_CERTIFICATE: u16 = 0xBF21;
    /// GET DATA: which KVN a CA identifier has.
    pub const CA_LOOKUP: u16 = 0x0083;
    /// GET DATA: all CA identifiers (GP Amendment F, 7.3).
    pub const CA_LIST: u16 = 0xFF33;
    /// GET DATA: the other direction's CA identifiers, which we have none of.
    pub const EMPTY_LIST: u16 = 0xFF34;
    /// A control reference template.
    pub const TEMPLATE: u16 = 0xA6;
    /// A key reference inside it: KID KVN.
    pub const KEY_REFERENCE: u16 = 0x83;
    /// A CA identifier.
    pub const CA_ID: u16 = 0x42;
    /// An offset of a part.
    pub const OFFSET: u16 = 0x54;
    /// The data of a part, or the compact record behind a proof.
    pub const PART: u16 = 0x53;
}

/// The life cycle, as state bytes (GP Card Specification, 11.1.1).
pub mod state {
    /// Nothing but start keys.
    pub const BLANK: u8 = 0x07;
    /// Per-token keys are in force, enrollment goes on.
    pub const PERSONALISED: u8 = 0x0F;
    /// In use.
    pub const ISSUED: u8 = 0x1F;
    /// Kept from use by its terminal's operator.
    pub const BLOCKED: u8 = 0x9F;
    /// Emptied for ever.
    pub const TERMINATED: u8 = 0x7F;
}

/// The most data that a command may carry, reassembled.
pub const COMMAND_MAX: usize = 512;
/// The longest terminal certificate, DER.
pub const TERMINAL_CERTIFICATE_MAX: usize = 416;
/// The longest certificate of a token or set, DER.
pub const CERTIFICATE_MAX: usize = 480;
/// The room for the compact record, and its length behind a proof.
pub const RECORD_MAX: usize = 120;
/// The room for details.
pub const DETAILS_MAX: usize = 2048;
/// The room for a portrait.
pub const PORTRAIT_MAX: usize = 8192;
/// The longest part of an object that is read or written in parts.
pub const PART_MAX: usize = 224;
