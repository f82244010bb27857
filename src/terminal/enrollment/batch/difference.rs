//! Differences between the file of a batch and its journal: rows edited after a card was assigned, and rows that are
//! gone; with the command that resolves each.

use uuid::Uuid;

use crate::{
    api::User,
    terminal::user_patch::{as_options, changes, quoted},
};

/// A row of the journal that differs from the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowDifference {
    /// The id of the user in the journal.
    pub id: String,
    /// The token, if the row is finished; otherwise it is only started.
    pub token_id: Option<Uuid>,
    /// The row's text when the card was assigned; journals before 0.3 do not keep it.
    pub before: Option<User>,
    /// What became of the row.
    pub now: RowNow,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowNow {
    /// It now reads like this.
    Changed(User),
    /// It is gone; these rows without a card may be the same person.
    Gone(Vec<User>),
}

impl RowDifference {
    /// Whether the row is gone from the file.
    pub const fn is_gone(&self) -> bool {
        matches!(self.now, RowNow::Gone(_))
    }

    /// Whether only the picture differs.
    fn is_another_picture(&self) -> bool {
        matches!(&self.now, RowNow::Changed(after) if self.before.as_ref() == Some(after))
    }

    /// The old and the new text, side by side.
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

    /// The command that writes an edited row to its card, or replaces the card; if there is a server, it must be given
    /// the new text first.
    pub fn remedy(&self, has_server: bool) -> Option<String> {
        let RowNow::Changed(after) = &self.now else { return None };
        if self.is_another_picture() {
            let fields =
                after.fields.iter().map(|(key, value)| format!(" --field {}", quoted(&format!("{key}={value}"))));
            let (id, name) = (quoted(&after.id), quoted(&after.name));
            let said = fields.collect::<Vec<_>>().concat();
            return Some(format!("rollcall enroll --id {id} --name {name}{said} --replace --portrait FILE"));
        }
        // Values that may or may not have changed are included too.
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

/// An id without the parts that spreadsheets add to or strip from numbers: 007, 7 and 7.0 give the same.
pub(in crate::terminal::enrollment) fn id_as_number(id: &str) -> String {
    id.trim().trim_end_matches(".0").trim_start_matches(['0', '\'']).to_lowercase()
}

/// Whether two rows may be one person: same name, or same id apart from how spreadsheets reformat numbers.
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
