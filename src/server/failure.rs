//! Turns errors that keep the server from starting into what the user sees: exit class, code, message and hint.

use super::{RunError, ServerStoreError, store::Absence};
use crate::failure::{ExitClass, Failure, Remedy};

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let told = error.to_string();
        match error {
            RunError::Pki(error) => error.into(),
            RunError::Store(error) => store(&error),
            RunError::Listen(at, error) => {
                Self::new(ExitClass::Unavailable, "server.listen", told).hint(Remedy::for_listening(at, &error))
            }
            RunError::Tls(_) => Self::new(ExitClass::Config, "server.tls", told)
                .hint(Remedy::with("show the keys", "rollcall pki list")),
            RunError::Start(_) => Self::new(ExitClass::Unavailable, "server.start", told).hint("see: ulimit -a"),
        }
    }
}

fn store(error: &ServerStoreError) -> Failure {
    let told = error.to_string();
    match error {
        ServerStoreError::Url => Failure::new(ExitClass::Config, "store.url", told)
            .hint("set ROLLCALL_SERVER_STORE, or store under [server] in config.toml"),
        ServerStoreError::OtherAuthority(_) => Failure::new(ExitClass::Config, "store.authority", told)
            .hint("use another store, or the folder pki of that CA"),
        ServerStoreError::File(path, _) => Failure::new(ExitClass::Io, "store.file", told)
            .hint(format!("check it: ls -l {}", crate::files::word(path))),
        ServerStoreError::Backup(_) => {
            Failure::new(ExitClass::Data, "backup.form", told).hint("name a file that rollcall server backup has made")
        }
        ServerStoreError::NotEmpty => Failure::new(ExitClass::Refused, "store.not-empty", told)
            .hint("back it up first; then add --replace, and what is in it now is given up"),
        ServerStoreError::Parameter(_) => Failure::new(ExitClass::Config, "store.url", told)
            .hint("correct ROLLCALL_SERVER_STORE, or store under [server] in config.toml"),
        ServerStoreError::Encoding { .. } => Failure::new(ExitClass::Config, "store.encoding", told)
            .hint("make one in UTF-8 and name it in the address of the store: createdb -E UTF8 -T template0 NAME"),
        ServerStoreError::Newer(_) => Failure::new(ExitClass::Io, "store.format", told)
            .hint("use the release that made it, or a newer one; an older backup can be restored into another store"),
        ServerStoreError::Changed(_) => Failure::new(ExitClass::Io, "store.format", told).hint(
            "name another store; if it was damaged, restore its backup into an empty one: rollcall server restore FILE",
        ),
        ServerStoreError::Away(..) | ServerStoreError::Commit(_) | ServerStoreError::Database(_) => {
            database(error, &told)
        }
    }
}

fn database(error: &ServerStoreError, told: &str) -> Failure {
    let failed = |class, code, hint: Remedy| Failure::new(class, code, told).hint(hint);
    let unavailable = ExitClass::Unavailable;
    match error.absence() {
        Some(Absence::Unreachable) => failed(
            unavailable,
            "store.unreachable",
            "check that PostgreSQL is running and reachable, or that the file exists".into(),
        ),
        Some(Absence::Unopened) => failed(
            unavailable,
            "store.unreachable",
            "check that its address names a file, and that this user may read and write it".into(),
        ),
        Some(Absence::ReadOnly) => failed(
            unavailable,
            "store.read-only",
            "name the server that accepts writes, or all of them: postgres://HOST,HOST/DATABASE; for a file, check \
             its permissions"
                .into(),
        ),
        Some(Absence::Replaced) => {
            failed(unavailable, "store.unreachable", "try again: the file was replaced meanwhile".into())
        }
        Some(Absence::Full) => failed(unavailable, "store.full", Remedy::with("make room", "df -h")),
        Some(Absence::Disk) => failed(unavailable, "store.disk", Remedy::with("see what the kernel reports", "dmesg")),
        Some(Absence::Stopped) => failed(unavailable, "store.unreachable", "try again in a moment".into()),
        Some(Absence::Busy) => failed(
            ExitClass::Busy,
            "store.busy",
            "another process has locked it, or is creating its tables; try again in a moment".into(),
        ),
        Some(Absence::Crowded) => failed(
            ExitClass::Busy,
            "store.busy",
            "close other connections to it, or allow more: max_connections of PostgreSQL, CONNECTION LIMIT of the role \
             or the database, max_client_conn of PgBouncer"
                .into(),
        ),
        Some(Absence::Tls) => failed(
            ExitClass::Config,
            "store.tls",
            "turn on TLS in PostgreSQL (ssl = on) with a certificate that sslrootcert certifies, or set a weaker \
             sslmode in the URL"
                .into(),
        ),
        Some(Absence::Pooler) if told.contains("startup parameter") => failed(
            ExitClass::Config,
            "store.pooler",
            "it is PgBouncer that refuses: leave that parameter out of the URL, or name it in \
             ignore_startup_parameters of pgbouncer.ini"
                .into(),
        ),
        Some(Absence::Pooler) => failed(
            ExitClass::Config,
            "store.pooler",
            "it is PgBouncer that refuses: set pool_mode = transaction, or session, in pgbouncer.ini".into(),
        ),
        None if is_damaged(error) => failed(
            ExitClass::Io,
            "store.damaged",
            "restore its backup into an empty store: rollcall server restore FILE".into(),
        ),
        None if error.is_lack_of_rights() => failed(
            ExitClass::Config,
            "store.rights",
            "as the database's administrator, make this user the owner of the database: ALTER DATABASE NAME OWNER \
             TO USER; or in that database: GRANT CREATE, USAGE ON SCHEMA public TO USER; and for tables that another \
             user made: REASSIGN OWNED BY OLD TO USER"
                .into(),
        ),
        Some(Absence::Login) => failed(
            ExitClass::Io,
            "store.database",
            "correct user and password in the address of the store, or let PostgreSQL take them: pg_hba.conf, and \
             ALTER ROLE … LOGIN; PgBouncer: auth_file"
                .into(),
        ),
        Some(Absence::NoDatabase) => failed(
            ExitClass::Io,
            "store.database",
            "correct the name of the database in the address of the store, or make it: createdb; PgBouncer: \
             [databases]"
                .into(),
        ),
        None => failed(
            ExitClass::Io,
            "store.database",
            "check that the database exists, and that this user may use it".into(),
        ),
    }
}

fn is_damaged(error: &ServerStoreError) -> bool {
    let ServerStoreError::Database(sqlx::Error::Database(error)) = error else { return false };
    is_code_of_damage(&error.code().unwrap_or_default())
}

/// SQLite: the file is malformed, or not a database; PostgreSQL: data or an index is corrupted.
fn is_code_of_damage(code: &str) -> bool {
    match code.parse::<u32>() {
        Ok(number) if code.len() < 5 => matches!(number & 0xFF, 11 | 26),
        _ => code.starts_with("XX"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::{ServerStore, block_on};

    #[test]
    fn what_helps_is_said_of_tls_and_of_poolers() {
        let told = |absence, text: &str| {
            let failure = store(&ServerStoreError::Away(absence, text.to_owned()));
            (failure.code, failure.hint.as_deref().unwrap_or_default().to_owned())
        };
        let (code, hint) = told(Absence::Tls, "server does not support TLS");
        assert!(code == "store.tls" && hint.contains("sslmode"), "{code}: {hint}");
        let (code, hint) = told(Absence::Pooler, "transaction blocks not allowed in statement pooling mode");
        assert!(code == "store.pooler" && hint.contains("pool_mode"), "{code}: {hint}");
        let (code, hint) = told(Absence::Pooler, "unsupported startup parameter: options");
        assert!(code == "store.pooler" && hint.contains("ignore_startup_parameters"), "{code}: {hint}");
        assert_eq!(told(Absence::Unreachable, "connection refused").0, "store.unreachable");
        let (code, hint) = told(Absence::Crowded, "too many connections for role");
        assert!(code == "store.busy" && hint.contains("CONNECTION LIMIT"), "{code}: {hint}");
        let (code, hint) = told(Absence::Login, "password authentication failed");
        assert!(code == "store.database" && hint.contains("pg_hba.conf"), "{code}: {hint}");
        let (code, hint) = told(Absence::NoDatabase, "database \"people\" does not exist");
        assert!(code == "store.database" && hint.contains("createdb"), "{code}: {hint}");
    }

    #[test]
    fn a_store_that_is_damaged_is_told_from_one_that_lacks_something() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| format!("sqlite://{}", home.path().join(name).display()).parse().unwrap();
        std::fs::write(home.path().join("damaged"), "no database".repeat(1000)).unwrap();
        std::fs::write(home.path().join("empty"), "").unwrap();
        let (damaged, empty) = block_on(async {
            let damaged = ServerStore::open(&at("damaged"), &[7; 20], None).await.unwrap_err();
            (damaged, ServerStore::inspect(&at("empty")).await.unwrap().audit_head().await.unwrap_err())
        })
        .unwrap();
        assert_eq!([damaged, empty].map(|error| store(&error).code), ["store.damaged", "store.database"]);
        for (code, is_damage) in [
            ("11", true),
            ("267", true),
            ("26", true),
            ("1", false),
            ("2067", false),
            ("XX001", true),
            ("42P01", false),
            // Its low byte is 11.
            ("22027", false),
            ("", false),
        ] {
            assert_eq!(is_code_of_damage(code), is_damage, "{code}");
        }
    }
}
