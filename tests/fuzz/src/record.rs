//! The compact record and the details: deterministic CBOR, with one encoding for each record.

use rollcall::token::record::{COMPACT_MAX, DETAILS_MAX, ID_MAX, Layout, decode, decode_filled, merge};

use crate::input::Input;

/// # Panics
/// When something does not hold.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let first = input.long_run();
    for bytes in [data, first] {
        let Ok(record) = decode(bytes) else { continue };
        if !record.more && record.user.id.len() <= ID_MAX && bytes.len() <= DETAILS_MAX {
            let layout = Layout::of(&record.user).expect("room");
            assert_eq!(layout.details.as_deref().unwrap_or(&layout.compact), bytes);
        }
        if bytes.len() <= COMPACT_MAX {
            let mut filled = bytes.to_vec();
            filled.resize(COMPACT_MAX, 0);
            assert_eq!(decode_filled(&filled).as_ref(), Ok(&record));
            assert_eq!(decode(&filled).is_ok(), filled.len() == bytes.len());
        }
        let id = record.user.id.clone();
        if let Ok(user) = merge(record, input.0) {
            assert_eq!(user.id, id);
        }
    }
    let _ = decode_filled(data);
}
