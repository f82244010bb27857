//! Lists the tables with their columns, key first, so that a backup can copy them from one store to another.

use Kind::{Bytes, Int, Text};

/// The type of a column, in both kinds of stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Int,
    Bytes,
}

/// One value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredValue {
    Text(Option<String>),
    Int(Option<i64>),
    Bytes(Option<Vec<u8>>),
}

/// One table.
#[derive(Debug, Clone, Copy)]
pub struct StoredTable {
    pub name: &'static str,
    pub columns: &'static [(&'static str, Kind)],
    /// How many of the columns, from the first, form the key.
    pub key: usize,
    /// Whether its rows always exist: they are updated but never deleted, because others wait for their locks.
    pub fixed: bool,
}

impl StoredTable {
    /// Selects rows after a key, in the order of their keys.
    pub fn select(&self, after: bool, limit: u32) -> String {
        let (names, key) = (self.names(self.columns.len()), self.names(self.key));
        let numbers: Vec<_> = (1..=self.key).map(|number| format!("${number}")).collect();
        let from = if after { format!(" WHERE ({key}) > ({})", numbers.join(", ")) } else { String::new() };
        format!("SELECT {names} FROM {}{from} ORDER BY {key} LIMIT {limit}", self.name)
    }

    /// Inserts so many rows.
    pub fn insert(&self, rows: usize) -> String {
        let width = self.columns.len();
        let row = |row: usize| {
            let numbers: Vec<_> = (1..=width).map(|column| format!("${}", row * width + column)).collect();
            format!("({})", numbers.join(", "))
        };
        let values: Vec<_> = (0..rows).map(row).collect();
        let names = self.names(width);
        let over = if self.fixed {
            let set: Vec<_> =
                self.columns[self.key..].iter().map(|(name, _)| format!("{name} = excluded.{name}")).collect();
            format!(" ON CONFLICT ({}) DO UPDATE SET {}", self.names(self.key), set.join(", "))
        } else {
            String::new()
        };
        format!("INSERT INTO {} ({names}) VALUES {}{over}", self.name, values.join(", "))
    }

    /// Deletes every row; `None` if they must stay.
    pub fn clear(&self) -> Option<String> {
        (!self.fixed).then(|| format!("DELETE FROM {}", self.name))
    }

    fn names(&self, count: usize) -> String {
        let names: Vec<_> = self.columns.iter().take(count).map(|(name, _)| *name).collect();
        names.join(", ")
    }
}

const fn table(name: &'static str, key: usize, columns: &'static [(&'static str, Kind)]) -> StoredTable {
    StoredTable { name, columns, key, fixed: false }
}

const fn fixed(name: &'static str, columns: &'static [(&'static str, Kind)]) -> StoredTable {
    StoredTable { name, columns, key: 1, fixed: true }
}

/// All tables; one that refers to another comes after it.
pub const TABLES: [StoredTable; 17] = [
    fixed("meta", &[("name", Text), ("value", Bytes)]),
    fixed("feed", &[("one", Int), ("version", Int)]),
    fixed("audit_head", &[("one", Int), ("seq", Int), ("hash", Bytes)]),
    table("users", 1, &[("id", Text), ("name", Text), ("fields", Text), ("changed", Int)]),
    table(
        "tokens",
        1,
        &[
            ("token_id", Text),
            ("user_id", Text),
            ("status", Text),
            ("reason", Text),
            ("changed", Int),
            ("version", Int),
            ("identity_key", Bytes),
            ("ecka_key", Bytes),
            ("identity_certificate", Bytes),
            ("ecka_certificate", Bytes),
            ("counter", Int),
            ("counter_at", Int),
            ("floor", Int),
        ],
    ),
    table("proofs", 2, &[("token_id", Text), ("counter", Int), ("claims", Bytes), ("at", Int), ("terminal", Text)]),
    table("nonces", 1, &[("nonce", Bytes), ("terminal", Text), ("issued", Int), ("used", Int)]),
    table("terminals", 1, &[("name", Text), ("role", Text), ("added", Int), ("revoked", Int), ("heard", Int)]),
    table(
        "terminal_keys",
        1,
        &[
            ("tls_key", Bytes),
            ("terminal", Text),
            ("tls_subject", Text),
            ("ecka_key", Bytes),
            ("ecka_subject", Text),
            ("not_after", Int),
        ],
    ),
    table(
        "events",
        3,
        &[
            ("terminal", Text),
            ("list", Text),
            ("seq", Int),
            ("received", Int),
            ("body", Text),
            ("at", Int),
            ("user_id", Text),
            ("subject", Text),
            ("word", Text),
            ("sighting", Int),
        ],
    ),
    table(
        "lists",
        2,
        &[("terminal", Text), ("list", Text), ("epoch", Int), ("first_seq", Int), ("first_at", Int), ("last_at", Int)],
    ),
    table(
        "stays",
        2,
        &[
            ("terminal", Text),
            ("subject", Text),
            ("epoch", Int),
            ("seq", Int),
            ("word", Text),
            ("seen", Int),
            ("since", Int),
            ("arrived", Int),
            ("named_epoch", Int),
            ("named_list", Text),
            ("named_seq", Int),
            ("person", Text),
        ],
    ),
    table(
        "equipment",
        2,
        &[("terminal", Text), ("reader", Text), ("epoch", Int), ("seq", Int), ("fault", Text), ("since", Int)],
    ),
    table(
        "audit",
        1,
        &[
            ("seq", Int),
            ("at", Int),
            ("actor", Text),
            ("action", Text),
            ("subject", Text),
            ("detail", Text),
            ("hash", Bytes),
            ("salt", Bytes),
            ("sealed", Bytes),
        ],
    ),
    table("witnesses", 1, &[("terminal", Text), ("seq", Int), ("hash", Bytes), ("at", Int)]),
    table("witnessed", 2, &[("terminal", Text), ("token_id", Text), ("status", Text), ("reason", Text)]),
    table("reconciled", 2, &[("seq", Int), ("hash", Bytes)]),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A table or column added to the store but not here would be missing from every backup.
    #[test]
    fn every_column_of_the_store_is_copied() {
        let db = rusqlite::Connection::open_in_memory().unwrap();
        for script in super::super::migrations::SQLITE {
            db.execute_batch(script.text).unwrap();
        }
        let sql = "SELECT t.name, c.name, c.type, c.pk FROM sqlite_schema t JOIN pragma_table_info(t.name) c
                   WHERE t.type = 'table' ORDER BY t.name, c.cid";
        let mut found = db.prepare(sql).unwrap();
        let found: Vec<(String, String, String, i64)> = found
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, i64>(3)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let mut ours: Vec<_> = TABLES
            .iter()
            .flat_map(|table| {
                table.columns.iter().enumerate().map(|(at, (name, kind))| {
                    let kind = match kind {
                        Text => "TEXT",
                        Int => "INTEGER",
                        Bytes => "BLOB",
                    };
                    let key = if at < table.key { i64::try_from(at).unwrap() + 1 } else { 0 };
                    (table.name.to_owned(), (*name).to_owned(), kind.to_owned(), key)
                })
            })
            .collect();
        let (mut found, by_name) = (found, |a: &(String, String, String, i64), b: &(String, String, String, i64)| {
            (&a.0, &a.1).cmp(&(&b.0, &b.1))
        });
        found.sort_by(by_name);
        ours.sort_by(by_name);
        assert_eq!(ours, found);
    }
}
