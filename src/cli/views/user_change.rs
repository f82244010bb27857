//! The object for a change of a user.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    cli::table::Cell,
    terminal::user_patch::{UserChange, UserPart},
};

/// What became of one part of the user information.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "UserChange")]
pub struct UserChangeView {
    /// The part.
    pub part: UserPartView,
    /// The name of the field, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What it said; null: it was not there.
    pub before: Option<String>,
    /// What it says now, or after a dry run would say; null: it is gone.
    pub after: Option<String>,
}

/// A part of the user information.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "UserPart")]
pub enum UserPartView {
    /// The identifier.
    Id,
    /// The name.
    Name,
    /// A further field.
    Field,
}

impl UserChangeView {
    /// The views of these changes.
    pub fn all(changes: &[UserChange]) -> Vec<Self> {
        changes.iter().map(Self::from).collect()
    }

    /// One line for each.
    pub fn details(changes: &[Self]) -> Vec<(&'static str, Cell)> {
        changes.iter().map(|change| ("changed", change.to_string().into())).collect()
    }

    /// All in one csv cell.
    pub fn in_words(changes: &[Self]) -> String {
        changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }
}

impl From<&UserChange> for UserChangeView {
    fn from(change: &UserChange) -> Self {
        let (part, key) = match &change.part {
            UserPart::Id => (UserPartView::Id, None),
            UserPart::Name => (UserPartView::Name, None),
            UserPart::Field(key) => (UserPartView::Field, Some(key.clone())),
        };
        Self { part, key, before: change.before.clone(), after: change.after.clone() }
    }
}

impl std::fmt::Display for UserChangeView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let part = match (self.part, &self.key) {
            (UserPartView::Id, _) => UserPart::Id,
            (UserPartView::Name, _) => UserPart::Name,
            (UserPartView::Field, key) => UserPart::Field(key.clone().unwrap_or_default()),
        };
        UserChange { part, before: self.before.clone(), after: self.after.clone() }.fmt(f)
    }
}
