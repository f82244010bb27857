//! BER-TLV, and the answer to SELECT, which is encoded in it.

use rollcall::{
    card::{
        apdu::Response,
        status::Status,
        tlv::{TlvReader, object, only},
    },
    token::{constants::AID, select::Selected},
};

/// Whatever is read has this one encoding, and the reader goes forward; nesting is followed to the bottom.
///
/// # Panics
/// When something does not hold.
pub fn run(data: &[u8]) {
    walk(data);
    let inside = [object(0x84, &AID), object(0xA5, data)].concat();
    for data in [data.to_vec(), object(0x6F, &inside)] {
        let answer = Response { data: data.clone(), status: Status::OK };
        if let Ok(Some(selected)) = Selected::parse(answer) {
            assert_eq!(selected.raw, data);
        }
    }
}

fn walk(data: &[u8]) {
    let mut levels = vec![data];
    while let Some(level) = levels.pop() {
        let mut reader = TlvReader::new(level);
        let mut used = 0;
        while let Ok(found) = reader.any() {
            used += found.whole.len();
            assert_eq!(object(found.tag, found.value), found.whole);
            assert_eq!(only(found.whole, found.tag), Ok(found.value));
            assert!(only(found.whole, found.tag ^ 1).is_err());
            levels.push(found.value);
        }
        // A reader that failed stays where it failed.
        assert!(used < level.len() || (used == level.len() && reader.is_empty()));
    }
}
