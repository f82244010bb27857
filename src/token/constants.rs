//! The constants of the token protocol; `applet/` has the same in `Constants.java`, and a test compares them.
//!
//! Specification: docs/protocol.md, "Keys and identifiers".

/// The AID of the applet: F0 "ROLLCALL" 01.
pub const AID: [u8; 10] = [0xF0, 0x52, 0x4F, 0x4C, 0x4C, 0x43, 0x41, 0x4C, 0x4C, 0x01];
/// The protocol version in the SELECT answer.
pub const VERSION: [u8; 2] = [1, 0];

/// KID of the terminal CA's public key.
pub const KEY_CA: u8 = 0x10;
/// KID of the ECKA keys (GP Amendment F: SCP11a).
pub const KEY_ECKA: u8 = 0x11;
/// KID of the identity key.
pub const KEY_IDENTITY: u8 = 0x21;

/// KVN of the SCP03 start keys.
pub const KVN_START_KEYS: u8 = 0xFF;
/// KVN of the per-token SCP03 keys.
pub const KVN_TOKEN_KEYS: u8 = 0x01;
/// The two KVNs that CA keys use alternately.
pub const KVN_CA: [u8; 2] = [0x03, 0x04];
/// KVN of the token's own ECKA key.
pub const KVN_OWN: u8 = 0x41;
/// The two KVNs that set keys use alternately.
pub const KVN_SET: [u8; 2] = [0x01, 0x02];
/// KVN of the identity key.
pub const KVN_IDENTITY: u8 = 0x01;

/// Object: mode and token id, written once, never readable. Reading this tag is the heartbeat.
pub const TAG_MODE: u16 = 0x0100;
/// Object: compact record.
pub const TAG_RECORD: u16 = 0x0101;
/// Object: details.
pub const TAG_DETAILS: u16 = 0x0102;
/// Object: portrait.
pub const TAG_PORTRAIT: u16 = 0x0103;
/// Object: the card's date, for setting it back.
pub const TAG_DATE: u16 = 0x0104;
/// Object: identity certificate.
pub const TAG_IDENTITY: u16 = 0x7F21;

/// GET DATA: an ECKA certificate.
pub const TAG_ECKA_CERTIFICATE: u16 = 0xBF21;
/// GET DATA: the KVN of the CA key with a given identifier.
pub const TAG_CA_LOOKUP: u16 = 0x0083;
/// GET DATA: all CA identifiers (GP Amendment F, 7.3).
pub const TAG_CA_LIST: u16 = 0xFF33;
/// GET DATA: the CA identifiers of the other direction, of which our token has none.
pub const TAG_EMPTY_LIST: u16 = 0xFF34;
/// A control reference template.
pub const TAG_TEMPLATE: u16 = 0xA6;
/// A key reference inside it: KID KVN.
pub const TAG_KEY_REFERENCE: u16 = 0x83;
/// A CA identifier.
pub const TAG_CA_ID: u16 = 0x42;
/// The offset of a part.
pub const TAG_OFFSET: u16 = 0x54;
/// The data of a part, or the compact record that follows a proof.
pub const TAG_PART: u16 = 0x53;

/// P2 of PUT KEY for an SCP03 set, whose keys are 01, 02, 03.
pub const KEY_SCP03_SET: u8 = 0x81;

/// State byte: only start keys (GP Card Specification, 11.1.1).
pub const STATE_BLANK: u8 = 0x07;
/// State byte: per-token keys are active, enrollment is in progress.
pub const STATE_PERSONALISED: u8 = 0x0F;
/// State byte: in use.
pub const STATE_ISSUED: u8 = 0x1F;
/// State byte: blocked by an administrator.
pub const STATE_BLOCKED: u8 = 0x9F;
/// State byte: erased permanently.
pub const STATE_TERMINATED: u8 = 0x7F;

/// INS of SELECT.
pub const INS_SELECT: u8 = 0xA4;
/// INS of GET RESPONSE.
pub const INS_GET_RESPONSE: u8 = 0xC0;
/// INS of GET DATA, whole objects.
pub const INS_GET_DATA: u8 = 0xCA;
/// INS of GET DATA, in parts.
pub const INS_GET_DATA_PART: u8 = 0xB1;
/// INS of PUT DATA: a whole object, or the commit of one that came in parts.
pub const INS_PUT_DATA: u8 = 0xDA;
/// INS of PUT DATA, in parts.
pub const INS_PUT_DATA_PART: u8 = 0xD7;
/// INS of PERFORM SECURITY OPERATION [verify certificate].
pub const INS_PERFORM_SECURITY_OPERATION: u8 = 0x2A;
/// INS of MUTUAL AUTHENTICATE in plain, and of EXTERNAL AUTHENTICATE with the secure messaging bit.
pub const INS_AUTHENTICATE: u8 = 0x82;
/// INS of INTERNAL AUTHENTICATE: proof and compact record.
pub const INS_INTERNAL_AUTHENTICATE: u8 = 0x88;
/// INS of RESUME.
pub const INS_RESUME: u8 = 0x86;
/// INS of INITIALIZE UPDATE.
pub const INS_INITIALIZE_UPDATE: u8 = 0x50;
/// INS of PUT KEY.
pub const INS_PUT_KEY: u8 = 0xD8;
/// INS of GENERATE KEY.
pub const INS_GENERATE_KEY: u8 = 0xF1;
/// INS of STORE DATA.
pub const INS_STORE_DATA: u8 = 0xE2;
/// INS of DELETE KEY.
pub const INS_DELETE_KEY: u8 = 0xE4;
/// INS of SET STATUS.
pub const INS_SET_STATUS: u8 = 0xF0;

/// The maximum data of a command, reassembled, in bytes.
pub const COMMAND_MAX: usize = 512;
/// The longest terminal certificate, DER.
pub const TERMINAL_CERTIFICATE_MAX: usize = 416;
/// The longest certificate of a token or set, DER.
pub const CERTIFICATE_MAX: usize = 480;
/// The space for the compact record, and its length after a proof.
pub const RECORD_MAX: usize = 120;
/// The space for details.
pub const DETAILS_MAX: usize = 2048;
/// The space for a portrait.
pub const PORTRAIT_MAX: usize = 8192;
/// The longest part of an object that is read or written in parts.
pub const PART_MAX: usize = 224;
