//! The schema migrations of both kinds of store, embedded: each script leads from one format to the next.

use sqlx::{
    AssertSqlSafe, SqlSafeStr,
    migrate::{Migration, MigrationType},
};

/// A script; once it has run anywhere, it is never changed.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    /// Its number.
    pub number: i64,
    /// What it is about.
    pub name: &'static str,
    /// Its statements.
    pub text: &'static str,
}

impl Script {
    /// The checksum that a store keeps of a script that has run: SHA-384.
    pub fn checksum(&self) -> Vec<u8> {
        let text = AssertSqlSafe(self.text).into_sql_str();
        Migration::new(self.number, self.name.into(), MigrationType::Simple, text, false).checksum.into_owned()
    }
}

const fn script(number: i64, name: &'static str, text: &'static str) -> Script {
    Script { number, name, text }
}

/// The script after which presence has to be computed from the events already stored.
pub const PRESENCE: i64 = 3;
/// The script after which equipment faults are computed from the events already stored.
pub const EQUIPMENT: i64 = 7;
/// The script that allows records to be sealed.
pub const PRIVACY: i64 = 4;

/// The scripts for SQLite.
pub const SQLITE: [Script; 8] = [
    script(1, "begin", include_str!("migrations/sqlite/0001_begin.sql")),
    script(2, "witnesses", include_str!("migrations/sqlite/0002_witnesses.sql")),
    script(PRESENCE, "presence", include_str!("migrations/sqlite/0003_presence.sql")),
    script(PRIVACY, "privacy", include_str!("migrations/sqlite/0004_privacy.sql")),
    script(5, "log", include_str!("migrations/sqlite/0005_log.sql")),
    script(6, "resumption", include_str!("migrations/sqlite/0006_resumption.sql")),
    script(EQUIPMENT, "equipment", include_str!("migrations/sqlite/0007_equipment.sql")),
    script(8, "subjects", include_str!("migrations/sqlite/0008_subjects.sql")),
];
/// The scripts for PostgreSQL.
pub const POSTGRES: [Script; 8] = [
    script(1, "begin", include_str!("migrations/postgres/0001_begin.sql")),
    script(2, "witnesses", include_str!("migrations/postgres/0002_witnesses.sql")),
    script(PRESENCE, "presence", include_str!("migrations/postgres/0003_presence.sql")),
    script(PRIVACY, "privacy", include_str!("migrations/postgres/0004_privacy.sql")),
    script(5, "log", include_str!("migrations/postgres/0005_log.sql")),
    script(6, "resumption", include_str!("migrations/postgres/0006_resumption.sql")),
    script(EQUIPMENT, "equipment", include_str!("migrations/postgres/0007_equipment.sql")),
    script(8, "subjects", include_str!("migrations/postgres/0008_subjects.sql")),
];
