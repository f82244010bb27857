//! What the file of a batch says otherwise than its journal: rows that were edited after they went to a card, and rows that
//! are gone.

use uuid::Uuid;

use crate::{
    api::User,
    terminal::user_patch::{as_options, changes, quoted},
};

/// One row of the journal that the file does not know as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowDifference {
    /// The id of the user in the journal.
    pub id: String,
    /// The token, where the row is done; otherwise it is begun.
    pub token_id: Option<Uuid>,
    /// What the row said when it went to its card; journals of before 0.3 do not keep that.
    pub before: Option<User>,
    /// What became of it.
    pub now: RowNow,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowNow {
    /// It says this.
    Changed(User),
    /// It is gone; these rows, which no card went to, may be the same person.
    Gone(Vec<User>),
}

impl RowDifference {
    /// Whether the row is gone.
    pub const fn is_gone(&self) -> bool {
        matches!(self.now, RowNow::Gone(_))
    }

    /// Whether all that is different is the picture.
    fn is_another_picture(&self) -> bool {
        matches!(&self.now, RowNow::Changed(after) if self.before.as_ref() == Some(after))
    }

    /// The old and the new text side by side.
    pub fn in_words(&self) -> String {
        let before = self.before.as_ref().map_or_else(|| self.id.clone(), row_in_words);
        let how = if self.token_id.is_some() { "done" } else { "begun" };
        match &self.now {
            RowNow::Changed(_) if self.is_another_picture() => format!("{how}: {before}: another picture"),
            RowNow::Changed(after) => format!("{how}: {before} → {}", row_in_words(after)),
            RowNow::Gone(alike) if alike.is_empty() => format!("{how}: {before} → (no row)"),
            RowNow::Gone(alike) => {
                let alike: Vec<_> = alike.iter().map(row_in_words).collect();
                format!("{how}: {before} → perhaps {}", alike.join(" or "))
            }
        }
    }

    /// The command that brings an edited row onto its card, or makes another card of it; a server, where there is one, has
    /// to know the text first.
    pub fn remedy(&self, has_server: bool) -> Option<String> {
        let RowNow::Changed(after) = &self.now else { return None };
        if self.is_another_picture() {
            let fields =
                after.fields.iter().map(|(key, value)| format!(" --field {}", quoted(&format!("{key}={value}"))));
            let (id, name) = (quoted(&after.id), quoted(&after.name));
            let said = fields.collect::<Vec<_>>().concat();
            return Some(format!("rollcall enroll --id {id} --name {name}{said} --replace --portrait FILE"));
        }
        // What is not known to have changed is named, too.
        let changes = changes(self.before.as_ref().filter(|before| before.id == after.id), after);
        let command = as_options(changes.iter().map(|change| (&change.part, change.after.as_deref())));
        Some(if has_server {
            format!("rollcall server user add --id {}{command} && rollcall token write", quoted(&after.id))
        } else {
            format!("rollcall token write{command}")
        })
    }
}

/// `007 (Ada Lovelace, room=B1)`
pub fn row_in_words(user: &User) -> String {
    let fields = user.fields.iter().map(|(key, value)| format!("{key}={value}"));
    let said: Vec<_> = [user.name.clone()].into_iter().chain(fields).collect();
    format!("{} ({})", user.id, said.join(", "))
}

/// What is left of an id of what spreadsheets do to numbers: of 007, 7 and 7.0 the same.
pub(in crate::terminal::enrollment) fn id_as_number(id: &str) -> String {
    id.trim().trim_end_matches(".0").trim_start_matches(['0', '\'']).to_lowercase()
}

/// Whether two rows may be of one person: the same name, or the same id but for what spreadsheets make of numbers.
pub(super) fn are_alike((id, before): (&str, Option<&User>), row: &User) -> bool {
    let name = |user: &User| user.name.trim().to_lowercase();
    id_as_number(id) == id_as_number(&row.id) || before.is_some_and(|before| name(before) == name(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str, name: &str) -> User {
        User { id: id.into(), name: name.into(), fields: [("room".into(), "B 1".into())].into() }
    }

    #[test]
    fn what_a_spreadsheet_makes_of_an_id_is_alike() {
        for (id, row) in [("007", "7"), ("7", "7.0"), ("a07", "A07"), ("0", "00")] {
            assert!(are_alike((id, None), &user(row, "Ada")), "{id} {row}");
        }
        assert!(!are_alike(("7", None), &user("70", "Ada")));
        assert!(are_alike(("7", Some(&user("7", "Ada"))), &user("8", " ada")));
    }

    #[test]
    fn an_edited_row_is_written_onto_its_card() {
        let after = User { fields: [("team".into(), "red".into())].into(), ..user("7", "D'Arcy") };
        let difference =
            |before| RowDifference { id: "7".into(), token_id: None, before, now: RowNow::Changed(after.clone()) };
        let known = difference(Some(user("7", "Darcy")));
        assert_eq!(known.in_words(), "begun: 7 (Darcy, room=B 1) → 7 (D'Arcy, team=red)");
        assert_eq!(
            known.remedy(false).unwrap(),
            "rollcall token write --name 'D'\\''Arcy' --field team=red --field room="
        );
        assert_eq!(
            difference(None).remedy(false).unwrap(),
            "rollcall token write --name 'D'\\''Arcy' --field team=red"
        );
        let both = "rollcall server user add --id 7 --name 'D'\\''Arcy' --field team=red && rollcall token write";
        assert_eq!(difference(None).remedy(true).unwrap(), both);
        let picture = difference(Some(after.clone()));
        assert_eq!(picture.in_words(), "begun: 7 (D'Arcy, team=red): another picture");
        assert!(picture.remedy(false).unwrap().contains("--replace --portrait FILE"));
        let gone = RowDifference { now: RowNow::Gone(vec![user("07", "Darcy")]), ..known };
        assert_eq!((gone.remedy(true), gone.is_gone()), (None, true));
        assert!(gone.in_words().contains("perhaps 07 (Darcy"));
    }
}
