//! The prefix of a token id, as people type it, and its resolution to an id.

use std::{collections::BTreeSet, str::FromStr};

use uuid::Uuid;

use crate::failure::{ExitClass, Failure};

/// The minimum number of hex digits of a prefix.
const SHORTEST: usize = 4;
/// How many ids are listed for an ambiguous prefix.
const NAMED: usize = 5;

/// At least the first 4 hex digits of a token id, with or without hyphens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenPrefix {
    /// In lower case, without hyphens.
    digits: String,
}

/// Why a text is not the prefix of a token id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a token id, nor at least the first 4 hex digits of one")]
pub struct TokenPrefixError;

impl FromStr for TokenPrefix {
    type Err = TokenPrefixError;

    fn from_str(text: &str) -> Result<Self, TokenPrefixError> {
        if let Ok(id) = Uuid::try_parse(text) {
            return Ok(id.into());
        }
        let digits = text.chars().filter(|c| *c != '-').collect::<String>().to_ascii_lowercase();
        let fits = (SHORTEST..32).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
        if fits && !text.starts_with('-') { Ok(Self { digits }) } else { Err(TokenPrefixError) }
    }
}

impl From<Uuid> for TokenPrefix {
    fn from(id: Uuid) -> Self {
        Self { digits: id.simple().to_string() }
    }
}

impl TokenPrefix {
    /// The id, if it was typed in full.
    pub fn whole(&self) -> Option<Uuid> {
        if self.digits.len() == 32 { Uuid::try_parse(&self.digits).ok() } else { None }
    }

    /// Whether it is as long as tables show it: then it is hardly meant as anything else.
    pub const fn is_long(&self) -> bool {
        self.digits.len() >= 8
    }

    /// Whether the id begins with this prefix.
    pub fn begins(&self, id: Uuid) -> bool {
        id.simple().to_string().starts_with(&self.digits)
    }

    /// The prefix with hyphens, as ids are written: it sorts before all ids that begin with it, and after all smaller
    /// ones.
    pub fn in_text(&self) -> String {
        let mut text = String::with_capacity(36);
        for (at, digit) in self.digits.chars().enumerate() {
            if matches!(at, 8 | 12 | 16 | 20) {
                text.push('-');
            }
            text.push(digit);
        }
        text
    }

    /// The one of these ids that begins with the prefix, if any.
    ///
    /// # Errors
    /// The matching ids, if there are several.
    pub fn only(&self, ids: impl IntoIterator<Item = Uuid>) -> Result<Option<Uuid>, Vec<Uuid>> {
        let found: BTreeSet<_> = ids.into_iter().filter(|id| self.begins(*id)).collect();
        if found.len() > 1 { Err(found.into_iter().collect()) } else { Ok(found.into_iter().next()) }
    }
}

/// The failure for an ambiguous prefix.
pub fn ambiguous(code: &'static str, typed: &str, ids: &[Uuid]) -> Failure {
    let named: Vec<_> = ids.iter().take(NAMED).map(Uuid::to_string).collect();
    let more = if ids.len() > NAMED { " or another one" } else { "" };
    Failure::new(ExitClass::Usage, code, format!("{typed} matches more than one"))
        .hint(format!("give more digits of the token id: {}{more}", named.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Result<TokenPrefix, TokenPrefixError> {
        text.parse()
    }

    #[test]
    fn four_digits_are_enough_and_hyphens_do_not_matter() {
        let ids: [Uuid; 3] = [
            "0b5c9c2e-2f4e-4f5b-8a39-5f0f7f1c2d3e".parse().unwrap(),
            "0b5c9c2e-2f4e-4f5b-8a39-5f0f7f1c2d3f".parse().unwrap(),
            "0b5d9c2e-2f4e-4f5b-8a39-5f0f7f1c2d3e".parse().unwrap(),
        ];
        for (text, meant) in [
            ("0b5d", Ok(Some(ids[2]))),
            ("0B5D9C2E-2f", Ok(Some(ids[2]))),
            ("0b5c9c2e2f4e4f5b8a395f0f7f1c2d3f", Ok(Some(ids[1]))),
            ("0b5c9c2e", Err(ids[..2].to_vec())),
            ("ffff", Ok(None)),
        ] {
            assert_eq!(prefix(text).unwrap().only(ids), meant, "{text}");
        }
        for text in ["", "0b5", "----", "-0b5c", "0b5g", "0b5c9c2e2f4e4f5b8a395f0f7f1c2d3e0", "zoë!"] {
            assert_eq!(prefix(text), Err(TokenPrefixError), "{text}");
        }
    }

    #[test]
    fn it_sorts_before_the_ids_that_begin_so() {
        let id = "0b5c9c2e-2f4e-4f5b-8a39-5f0f7f1c2d3e";
        for digits in 4..32 {
            let text = prefix(&id.replace('-', "")[..digits]).unwrap().in_text();
            assert!(id.starts_with(&text) && *text < *id, "{text}");
        }
    }
}
