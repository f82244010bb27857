//! The numbers of the token protocol, in one place; `applet/` has the same in `Constants.java`, and a test compares them.

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
/// The two KVNs that CA keys take in turn.
pub const KVN_CA: [u8; 2] = [0x03, 0x04];
/// KVN of the token's own ECKA key.
pub const KVN_OWN: u8 = 0x41;
/// The two KVNs that set keys take in turn.
pub const KVN_SET: [u8; 2] = [0x01, 0x02];
/// KVN of the identity key.
pub const KVN_IDENTITY: u8 = 0x01;

/// Object: mode and token id, written once, never readable. Read, the same tag is the heartbeat.
pub const TAG_MODE: u16 = 0x0100;
/// Object: compact record.
pub const TAG_RECORD: u16 = 0x0101;
/// Object: details.
pub const TAG_DETAILS: u16 = 0x0102;
/// Object: portrait.
pub const TAG_PORTRAIT: u16 = 0x0103;
/// Object: the card's date, to be set back.
pub const TAG_DATE: u16 = 0x0104;
/// Object: identity certificate.
pub const TAG_IDENTITY: u16 = 0x7F21;
