//! A patch of user information: the parts it names change, and the rest stays; and the changes that result.

use std::collections::BTreeMap;

use crate::{
    api::User,
    failure::{ExitClass, Failure},
    token::record::{Layout, RecordError},
};

/// The parts of a user to change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserPatch {
    /// The identifier.
    pub id: Option<String>,
    /// The name.
    pub name: Option<String>,
    /// Fields; an empty value removes the field.
    pub fields: BTreeMap<String, String>,
}

/// One part of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserPart {
    /// The identifier.
    Id,
    /// The name.
    Name,
    /// The field of this name.
    Field(String),
}

/// The change of one part of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserChange {
    /// The part.
    pub part: UserPart,
    /// The previous value; `None` if there was none.
    pub before: Option<String>,
    /// The new value; `None` if it was removed.
    pub after: Option<String>,
}

impl std::fmt::Display for UserPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id => f.write_str("id"),
            Self::Name => f.write_str("name"),
            Self::Field(key) => f.write_str(key),
        }
    }
}

impl std::fmt::Display for UserChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "(none)".to_owned());
        write!(f, "{}: {} → {}", self.part, shown(&self.before), shown(&self.after))
    }
}

impl UserPatch {
    /// Applies the patch to `base`.
    ///
    /// # Errors
    /// `user.incomplete` when neither has an id or a name.
    pub fn apply(&self, base: Option<&User>) -> Result<User, Failure> {
        let id = self.id.clone().or_else(|| base.map(|user| user.id.clone()));
        let id = id.ok_or_else(|| incomplete("it is not known whose token this is", "--id ID --name NAME"))?;
        let name = self.name.clone().or_else(|| base.map(|user| user.name.clone()));
        let name = name.ok_or_else(|| incomplete(&format!("no name of {id} is known"), "--name NAME"))?;
        let mut fields = base.map(|user| user.fields.clone()).unwrap_or_default();
        for (key, value) in &self.fields {
            match (value.is_empty(), fields.get(key)) {
                // An empty value that is already there stays.
                (true, Some(before)) if before.is_empty() => {}
                (true, _) => drop(fields.remove(key)),
                (false, _) => drop(fields.insert(key.clone(), value.clone())),
            }
        }
        Ok(User { id, name, fields })
    }

    /// Refuses parts that do not fit on a card, regardless of the rest of the user.
    ///
    /// # Errors
    /// As [`Layout::of`].
    pub fn check_fits(&self) -> Result<(), RecordError> {
        let named = User {
            id: self.id.clone().unwrap_or_default(),
            name: self.name.clone().unwrap_or_default(),
            fields: self.fields.clone().into_iter().filter(|(_, value)| !value.is_empty()).collect(),
        };
        Layout::of(&named).map(drop)
    }

    /// Whether the patch names this part.
    pub fn names(&self, part: &UserPart) -> bool {
        match part {
            UserPart::Id => self.id.is_some(),
            UserPart::Name => self.name.is_some(),
            UserPart::Field(key) => self.fields.contains_key(key),
        }
    }

    /// The parts that the patch takes over from the base.
    pub fn taken_from(&self, base: &User) -> Vec<UserPart> {
        let name = self.name.is_none().then_some(UserPart::Name);
        let fields = base.fields.keys().filter(|key| !self.fields.contains_key(*key));
        name.into_iter().chain(fields.map(|key| UserPart::Field(key.clone()))).collect()
    }
}

/// The server's record of a user, plus the fields that only the card has; returns the keys of those, too.
pub fn with_fields_of_card(known: &User, card: &User) -> (User, Vec<String>) {
    let mut user = known.clone();
    let only: Vec<_> = card.fields.iter().filter(|(key, _)| !known.fields.contains_key(*key)).collect();
    user.fields.extend(only.iter().map(|(key, value)| ((*key).clone(), (*value).clone())));
    (user, only.into_iter().map(|(key, _)| key.clone()).collect())
}

fn incomplete(what: &str, option: &str) -> Failure {
    Failure::new(ExitClass::Usage, "user.incomplete", what).hint(format!("add {option}"))
}

/// The differences, in the order id, name, fields; without a previous user, everything counts as new.
pub fn changes(before: Option<&User>, after: &User) -> Vec<UserChange> {
    let parts = |user: &User| {
        let fields = user.fields.iter().map(|(key, value)| (UserPart::Field(key.clone()), value.clone()));
        [(UserPart::Id, user.id.clone()), (UserPart::Name, user.name.clone())]
            .into_iter()
            .chain(fields)
            .collect::<Vec<_>>()
    };
    let (old, new) = (before.map(parts).unwrap_or_default(), parts(after));
    let of = |parts: &[(UserPart, String)], part: &UserPart| {
        parts.iter().find(|(one, _)| one == part).map(|(_, text)| text.clone())
    };
    let mut changes: Vec<_> = new
        .iter()
        .map(|(part, text)| UserChange { part: part.clone(), before: of(&old, part), after: Some(text.clone()) })
        .collect();
    let gone = old.iter().filter(|(part, _)| of(&new, part).is_none());
    changes.extend(gone.map(|(part, text)| UserChange { part: part.clone(), before: Some(text.clone()), after: None }));
    changes.retain(|change| change.before != change.after);
    changes
}

/// The command-line options for these values, each with a leading blank; the id has an option of its own and is left
/// out.
pub fn as_options<'a>(parts: impl Iterator<Item = (&'a UserPart, Option<&'a str>)>) -> String {
    let option = |(part, value): (&UserPart, Option<&str>)| {
        let value = value.unwrap_or_default();
        match part {
            UserPart::Id => String::new(),
            UserPart::Name => format!(" --name {}", quoted(value)),
            UserPart::Field(key) => format!(" --field {}", quoted(&format!("{key}={value}"))),
        }
    };
    parts.map(option).collect()
}

/// Quotes a text as one shell word.
pub fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._+:@%=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The changes on one line: `name: Ada → Ada King; room: B1 → (none)`.
pub fn in_words(changes: &[UserChange]) -> String {
    changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> User {
        let fields = [("room", "B1"), ("team", "red"), ("note", "")].map(|(key, value)| (key.into(), value.into()));
        User { id: "7".into(), name: "Ada".into(), fields: fields.into() }
    }

    fn patch(name: Option<&str>, fields: &[(&str, &str)]) -> UserPatch {
        let fields = fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        UserPatch { id: None, name: name.map(str::to_owned), fields }
    }

    #[test]
    fn what_is_not_named_stays() {
        let base = ada();
        assert_eq!(UserPatch::default().apply(Some(&base)).unwrap(), base);
        let after = patch(Some("Ada King"), &[("room", ""), ("floor", "2"), ("none", ""), ("note", "")]);
        let after = after.apply(Some(&base)).unwrap();
        let fields = [("floor", "2"), ("note", ""), ("team", "red")].map(|(key, value)| (key.into(), value.into()));
        assert_eq!(after, User { id: "7".into(), name: "Ada King".into(), fields: fields.into() });
        assert_eq!(
            in_words(&changes(Some(&base), &after)),
            "name: Ada → Ada King; floor: (none) → 2; room: B1 → (none)"
        );
        assert_eq!(changes(Some(&base), &base), []);
        assert_eq!(changes(None, &base).len(), 5);
    }

    #[test]
    fn what_only_the_card_has_stays() {
        let known = User { name: "Ada King".into(), fields: [("room".into(), "B2".into())].into(), ..ada() };
        let (base, only) = with_fields_of_card(&known, &ada());
        let fields = [("note", ""), ("room", "B2"), ("team", "red")].map(|(key, value)| (key.into(), value.into()));
        assert_eq!((base, only), (User { fields: fields.into(), ..known }, vec!["note".into(), "team".into()]));
        let taken = |patch: UserPatch| patch.taken_from(&ada()).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(taken(UserPatch::default()), ["name", "note", "room", "team"]);
        assert_eq!(taken(patch(Some("A"), &[("room", ""), ("team", "blue")])), ["note"]);
    }

    #[test]
    fn without_a_base_a_user_has_a_name() {
        assert_eq!(patch(Some("Ada"), &[]).apply(None).unwrap_err().code, "user.incomplete");
        let named = UserPatch { id: Some("7".into()), ..patch(None, &[]) };
        assert_eq!(named.apply(None).unwrap_err().code, "user.incomplete");
        assert_eq!(UserPatch { name: Some("Ada".into()), ..named }.apply(None).unwrap().name, "Ada");
        let long = patch(None, &[("key", &"v".repeat(3000))]);
        assert!(matches!(long.check_fits(), Err(RecordError::TooLong(_))));
    }
}
