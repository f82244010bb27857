//! The user record on the card: deterministic CBOR (RFC 8949, 4.2) `{1: id, 2: name, ? 3: {text: text}, ? 9: true}`.
//!
//! Specification: docs/protocol.md, "The compact record".

use std::collections::BTreeMap;

use minicbor::{Decoder, Encoder, data::Type};

use crate::api::User;

/// The longest compact record in bytes.
pub const COMPACT_MAX: usize = 120;
/// The longest details object in bytes.
pub const DETAILS_MAX: usize = 2048;

/// Why a record cannot be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not deterministic CBOR of this shape.
    #[error("the user record is not in its one valid encoding")]
    Encoding,
    /// The details belong to another user than the compact record.
    #[error("the details on the card belong to another user than its record")]
    OtherUser,
    /// It exceeds the space on the card.
    #[error("the user record needs {0} bytes, and the card has room for {DETAILS_MAX}")]
    TooLong(usize),
    /// The identifier is longer than [`ID_MAX`] bytes.
    #[error("the user id is longer than 64 bytes")]
    IdTooLong,
}

/// The longest user id that we write, in bytes.
pub const ID_MAX: usize = 64;

/// A decoded record, and whether the details contain more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// The user in the record.
    pub user: User,
    /// Whether the details contain more.
    pub more: bool,
}

/// How a user is laid out on a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The object `01 01`.
    pub compact: Vec<u8>,
    /// The object `01 02`, if the compact record is not enough.
    pub details: Option<Vec<u8>>,
}

impl Layout {
    /// Lays out the user: all in the compact record if it fits; otherwise what fits there, and everything in the
    /// details.
    ///
    /// # Errors
    /// [`RecordError::IdTooLong`] or [`RecordError::TooLong`] for a user that does not fit on a card.
    pub fn of(user: &User) -> Result<Self, RecordError> {
        if user.id.len() > ID_MAX {
            return Err(RecordError::IdTooLong);
        }
        let whole = encode(user, false);
        if whole.len() <= COMPACT_MAX {
            return Ok(Self { compact: whole, details: None });
        }
        if whole.len() > DETAILS_MAX {
            return Err(RecordError::TooLong(whole.len()));
        }
        Ok(Self { compact: encode(&shortened(user), true), details: Some(whole) })
    }
}

/// The user without fields, and with as much of the name as fits.
fn shortened(user: &User) -> User {
    let mut short = User { id: user.id.clone(), name: user.name.clone(), fields: BTreeMap::new() };
    while encode(&short, true).len() > COMPACT_MAX && short.name.pop().is_some() {}
    short
}

/// Decodes a record that fills the bytes exactly.
///
/// # Errors
/// [`RecordError::Encoding`] for any other bytes.
pub fn decode(bytes: &[u8]) -> Result<UserRecord, RecordError> {
    let (record, used) = parse(bytes)?;
    if used == bytes.len() { Ok(record) } else { Err(RecordError::Encoding) }
}

/// Decodes the compact record as INTERNAL AUTHENTICATE returns it: padded with zeros to 120 bytes.
///
/// # Errors
/// [`RecordError::Encoding`] for any other bytes.
pub fn decode_filled(bytes: &[u8]) -> Result<UserRecord, RecordError> {
    let (record, used) = parse(bytes)?;
    if bytes[used..].iter().all(|b| *b == 0) { Ok(record) } else { Err(RecordError::Encoding) }
}

/// The user described by the compact record and the details (at most [`DETAILS_MAX`] bytes of CBOR) together.
///
/// # Errors
/// [`RecordError::Encoding`] for malformed details, [`RecordError::OtherUser`] when the two belong to different users.
pub fn merge(compact: UserRecord, details: &[u8]) -> Result<User, RecordError> {
    let details = decode(details)?.user;
    if details.id != compact.user.id {
        return Err(RecordError::OtherUser);
    }
    let mut user = User { fields: compact.user.fields, ..details };
    user.fields.extend(details.fields);
    Ok(user)
}

/// The same record, padded as before, reduced to lengths and the names of fields; `None` when it is not a record.
pub fn masked(bytes: &[u8]) -> Option<Vec<u8>> {
    let (record, used) = parse(bytes).ok()?;
    let mut masked = encode(&masked_user(&record.user), record.more);
    masked.extend_from_slice(bytes.get(used..).filter(|rest| rest.iter().all(|byte| *byte == 0))?);
    Some(masked)
}

/// A user reduced to lengths and the names of fields.
pub fn masked_user(user: &User) -> User {
    let mask = |text: &String| "x".repeat(text.len());
    User {
        id: mask(&user.id),
        name: mask(&user.name),
        fields: user.fields.iter().map(|(key, value)| (key.clone(), mask(value))).collect(),
    }
}

fn parse(bytes: &[u8]) -> Result<(UserRecord, usize), RecordError> {
    let mut decoder = Decoder::new(bytes);
    let record = parse_map(&mut decoder).ok_or(RecordError::Encoding)?;
    let used = decoder.position();
    // Each record has exactly one encoding, so encoding it again shows whether it was that one.
    if encode(&record.user, record.more) == bytes[..used] { Ok((record, used)) } else { Err(RecordError::Encoding) }
}

fn parse_map(decoder: &mut Decoder<'_>) -> Option<UserRecord> {
    let mut record = UserRecord { user: User::default(), more: false };
    let entries = decoder.map().ok()??;
    for _ in 0..entries {
        match decoder.u8().ok()? {
            1 => decoder.str().ok()?.clone_into(&mut record.user.id),
            2 => decoder.str().ok()?.clone_into(&mut record.user.name),
            3 => record.user.fields = parse_fields(decoder)?,
            9 => record.more = decoder.datatype().ok()? == Type::Bool && decoder.bool().ok()?,
            _ => return None,
        }
    }
    Some(record)
}

fn parse_fields(decoder: &mut Decoder<'_>) -> Option<BTreeMap<String, String>> {
    let mut fields = BTreeMap::new();
    for _ in 0..decoder.map().ok()?? {
        let key = decoder.str().ok()?.to_owned();
        fields.insert(key, decoder.str().ok()?.to_owned());
    }
    Some(fields)
}

fn encode(user: &User, more: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to a vector cannot fail.
    let _ = encode_into(&mut Encoder::new(&mut bytes), user, more);
    bytes
}

type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

fn encode_into(encoder: &mut Encoder<&mut Vec<u8>>, user: &User, more: bool) -> Written {
    let entries = 2 + u64::from(!user.fields.is_empty()) + u64::from(more);
    encoder.map(entries)?.u8(1)?.str(&user.id)?.u8(2)?.str(&user.name)?;
    if !user.fields.is_empty() {
        encoder.u8(3)?.map(user.fields.len() as u64)?;
        let mut fields: Vec<_> = user.fields.iter().collect();
        // Sorted as the encoded keys are: shorter ones first.
        fields.sort_by_key(|(key, _)| (key.len(), key.as_bytes()));
        for (key, value) in fields {
            encoder.str(key)?.str(value)?;
        }
    }
    if more {
        encoder.u8(9)?.bool(true)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn users() -> impl Strategy<Value = User> {
        let fields = prop::collection::btree_map("\\PC{0,12}", "\\PC{0,40}", 0..6);
        ("\\PC{1,16}", "\\PC{0,80}", fields).prop_map(|(id, name, fields)| User { id, name, fields })
    }

    proptest! {
        #[test]
        fn what_is_laid_out_is_read_back(user in users()) {
            let layout = Layout::of(&user).unwrap();
            prop_assert!(layout.compact.len() <= COMPACT_MAX);
            let mut filled = layout.compact.clone();
            filled.resize(COMPACT_MAX, 0);
            let compact = decode_filled(&filled).unwrap();
            prop_assert_eq!(&compact, &decode(&layout.compact).unwrap());
            prop_assert_eq!(compact.more, layout.details.is_some());
            let read = match layout.details {
                Some(details) => merge(compact, &details).unwrap(),
                None => compact.user,
            };
            prop_assert_eq!(read, user);
        }

        #[test]
        fn any_bytes_decode_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..130)) {
            if let Ok(record) = decode(&bytes) {
                prop_assert_eq!(encode(&record.user, record.more), bytes);
            }
        }
    }

    #[test]
    fn known_bytes() {
        let user = User { id: "7".into(), name: "Ada".into(), fields: [("b".into(), "1".into())].into() };
        assert_eq!(hex::encode(Layout::of(&user).unwrap().compact), "a301613702634164610 3a161626131".replace(' ', ""));
    }

    #[test]
    fn other_encodings_are_refused() {
        for bad in [
            "bf0161370263416461ff",     // indefinite length
            "a2026341646101 6137",      // keys out of order
            "a2180161370263416461",     // a long form of 1
            "a301613702634164610 9f4",  // 9 must be true
            "a3016137026341646103a0",   // an empty map of fields
            "a1016137",                 // no name
            "a30161370263416461046131", // an unknown key
            "a201613702634164610000",   // trailing bytes
        ] {
            let bytes = hex::decode(bad.replace(' ', "")).unwrap();
            assert_eq!(decode(&bytes), Err(RecordError::Encoding), "{bad}");
        }
    }

    #[test]
    fn only_zeros_fill_a_record() {
        let compact = Layout::of(&User { id: "7".into(), ..User::default() }).unwrap().compact;
        for at in compact.len()..COMPACT_MAX {
            let mut filled = compact.clone();
            filled.resize(COMPACT_MAX, 0);
            assert!(decode_filled(&filled).is_ok());
            filled[at] = 1;
            assert_eq!(decode_filled(&filled), Err(RecordError::Encoding), "byte {at}");
        }
    }

    #[test]
    fn details_belong_to_the_user_of_the_record() {
        let compact = || decode(&Layout::of(&User { id: "7".into(), ..User::default() }).unwrap().compact).unwrap();
        let details = |id: &str| encode(&User { id: id.into(), name: "Ada".into(), ..User::default() }, false);
        assert_eq!(merge(compact(), &details("7")).unwrap().name, "Ada");
        for id in ["8", "77", ""] {
            assert_eq!(merge(compact(), &details(id)), Err(RecordError::OtherUser), "{id}");
        }
        assert_eq!(merge(compact(), &[&details("7")[..], &[0]].concat()), Err(RecordError::Encoding));
    }

    /// Our own layout puts fields in one place only; others may split them.
    #[test]
    fn fields_of_both_places_are_merged_and_the_details_win() {
        let user = |name: &str, fields: &[(&str, &str)]| User {
            id: "7".into(),
            name: name.into(),
            fields: fields.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        };
        let compact = UserRecord { user: user("A", &[("room", "1"), ("team", "x")]), more: true };
        let details = encode(&user("Ada", &[("room", "2"), ("floor", "0")]), false);
        let merged = user("Ada", &[("floor", "0"), ("room", "2"), ("team", "x")]);
        assert_eq!(merge(compact, &details), Ok(merged));
    }

    #[test]
    fn all_room_is_used() {
        let user = User { id: "7".into(), name: "n".repeat(300), ..User::default() };
        let layout = Layout::of(&user).unwrap();
        assert_eq!(layout.compact.len(), COMPACT_MAX);
        let filled = |length: usize| {
            let user = User { id: "7".into(), name: "n".repeat(length), ..User::default() };
            encode(&user, false).len()
        };
        let most = (1..=DETAILS_MAX).find(|length| filled(*length) == DETAILS_MAX).unwrap();
        let named = |length| Layout::of(&User { id: "7".into(), name: "n".repeat(length), ..User::default() });
        assert_eq!(named(most).unwrap().details.unwrap().len(), DETAILS_MAX);
        assert_eq!(named(most + 1), Err(RecordError::TooLong(DETAILS_MAX + 1)));
        assert_eq!(Layout::of(&User { id: "x".repeat(64), ..User::default() }).unwrap().details, None);
    }

    #[test]
    fn room_is_bounded() {
        let mut user = User { id: "x".repeat(65), ..User::default() };
        assert_eq!(Layout::of(&user), Err(RecordError::IdTooLong));
        user.id.truncate(64);
        user.fields.insert("k".into(), "v".repeat(3000));
        assert!(matches!(Layout::of(&user), Err(RecordError::TooLong(_))));
    }
}
