//! The formats of the stores, embedded: each script leads from one to the next.

use sqlx::{
    SqlStr,
    migrate::{Migration, MigrationType, Migrator},
};

/// A script, by its number; what has run once is never changed.
type Script = (i64, &'static str, &'static str);

/// Of SQLite.
pub const SQLITE: [Script; 2] = [
    (1, "begin", include_str!("migrations/sqlite/0001_begin.sql")),
    (2, "witnesses", include_str!("migrations/sqlite/0002_witnesses.sql")),
];
/// Of PostgreSQL.
pub const POSTGRES: [Script; 2] = [
    (1, "begin", include_str!("migrations/postgres/0001_begin.sql")),
    (2, "witnesses", include_str!("migrations/postgres/0002_witnesses.sql")),
];

/// What brings a store from any format to the newest; a store of a newer release is refused.
pub fn migrator(scripts: &[Script]) -> Migrator {
    let migration = |&(number, name, script): &Script| {
        Migration::new(number, name.into(), MigrationType::Simple, SqlStr::from_static(script), false)
    };
    Migrator::with_migrations(scripts.iter().map(migration).collect())
}
