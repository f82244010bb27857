//! A user, and the rules for its fields, by which the server, user files and the command line all validate.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::json_schema::{self, Text};

/// Most bytes of an identifier.
const ID_MAX: usize = 64;
/// Most bytes of a name.
const NAME_MAX: usize = 256;
/// Most fields.
pub const FIELDS_MAX: usize = 32;
/// Most bytes of the name of a field.
const KEY_MAX: usize = 64;
/// Most bytes of the value of a field.
const VALUE_MAX: usize = 1024;

/// The user information of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct User {
    /// The identifier that the operator gave.
    #[schemars(with = "Text<1, ID_MAX>")]
    pub id: String,
    /// The name as it is shown.
    #[schemars(with = "Text<1, NAME_MAX>")]
    pub name: String,
    /// Any further fields, at most 32; their names have 1 to 64 bytes.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Text<0, VALUE_MAX>>", extend("maxProperties" = FIELDS_MAX))]
    #[schemars(extend("propertyNames" = { "minLength": 1, "maxLength": KEY_MAX, "pattern": json_schema::NO_CONTROL }))]
    pub fields: BTreeMap<String, String>,
}

/// Why user information is not acceptable. Existing cards with such information can still be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UserFault {
    /// The identifier.
    #[error("the id of a user is 1 to {ID_MAX} bytes without control characters")]
    Id,
    /// The name.
    #[error("the name of a user is 1 to {NAME_MAX} bytes without control characters")]
    Name,
    /// The name of a field.
    #[error("the name of a field is 1 to {KEY_MAX} bytes without control characters")]
    Key,
    /// The value of a field.
    #[error("the value of a field is at most {VALUE_MAX} bytes without control characters")]
    Value,
    /// The number of fields.
    #[error("a user has at most {FIELDS_MAX} fields")]
    Fields,
}

impl User {
    /// Refuses unacceptable user information.
    ///
    /// # Errors
    /// [`UserFault`] says which part.
    pub fn check(&self) -> Result<(), UserFault> {
        Self::check_id(&self.id)?;
        Self::check_name(&self.name)?;
        self.fields.iter().try_for_each(|(key, value)| Self::check_field(key, value))?;
        if self.fields.len() > FIELDS_MAX { Err(UserFault::Fields) } else { Ok(()) }
    }

    /// Refuses an unacceptable identifier.
    ///
    /// # Errors
    /// [`UserFault::Id`].
    pub fn check_id(id: &str) -> Result<(), UserFault> {
        if plain(id, 1, ID_MAX) { Ok(()) } else { Err(UserFault::Id) }
    }

    /// Refuses an unacceptable name.
    ///
    /// # Errors
    /// [`UserFault::Name`].
    pub fn check_name(name: &str) -> Result<(), UserFault> {
        if plain(name, 1, NAME_MAX) { Ok(()) } else { Err(UserFault::Name) }
    }

    /// Refuses an unacceptable field.
    ///
    /// # Errors
    /// [`UserFault::Key`], [`UserFault::Value`].
    pub fn check_field(key: &str, value: &str) -> Result<(), UserFault> {
        match (plain(key, 1, KEY_MAX), plain(value, 0, VALUE_MAX)) {
            (false, _) => Err(UserFault::Key),
            (_, false) => Err(UserFault::Value),
            _ => Ok(()),
        }
    }
}

/// A text within these lengths (in bytes) and without control characters.
pub fn plain(text: &str, shortest: usize, longest: usize) -> bool {
    (shortest..=longest).contains(&text.len()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_keeps_to_the_lengths_and_has_no_control_characters() {
        let of = |id: &str, name: &str, fields: &[(String, String)]| {
            User { id: id.into(), name: name.into(), fields: fields.iter().cloned().collect() }.check()
        };
        let field = |key: &str, value: &str| [(key.to_owned(), value.to_owned())];
        let many = |count: usize| (0..count).map(|n| (n.to_string(), String::new())).collect::<Vec<_>>();
        assert_eq!(of(&"7".repeat(64), &"n".repeat(256), &field(&"k".repeat(64), &"v".repeat(1024))), Ok(()));
        assert_eq!(of("7", "Ada", &many(32)), Ok(()));
        assert_eq!(of("7", "Ada", &many(33)), Err(UserFault::Fields));
        for id in ["", "7\t", &"7".repeat(65)] {
            assert_eq!(of(id, "Ada", &[]), Err(UserFault::Id));
        }
        for name in ["", "Ada\u{1b}[2J", &"n".repeat(257)] {
            assert_eq!(of("7", name, &[]), Err(UserFault::Name));
        }
        for key in ["", "a\nb", &"k".repeat(65)] {
            assert_eq!(of("7", "Ada", &field(key, "")), Err(UserFault::Key));
        }
        for value in ["\u{9b}", &"v".repeat(1025)] {
            assert_eq!(of("7", "Ada", &field("key", value)), Err(UserFault::Value));
        }
    }
}
