//! What a user sees of a server that does not start.

use super::{RunError, ServerStoreError};
use crate::failure::{ExitClass, Failure, Remedy};

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let told = error.to_string();
        match error {
            RunError::Pki(error) => error.into(),
            RunError::Store(error) => store(&error),
            RunError::Listen(at, _) => Self::new(ExitClass::Unavailable, "server.listen", told)
                .hint(format!("see who has that port: ss -ltnp 'sport = :{}'", at.port())),
            RunError::Tls(_) => Self::new(ExitClass::Config, "server.tls", told)
                .hint(Remedy::with("look at the keys", "rollcall pki list")),
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
            .hint("name another store, or the folder pki of that CA"),
        ServerStoreError::File(path, _) => Failure::new(ExitClass::Io, "store.file", told)
            .hint(format!("look at it: ls -l {}", crate::files::word(path))),
        ServerStoreError::Backup(_) => {
            Failure::new(ExitClass::Data, "backup.form", told).hint("name a file that rollcall server backup has made")
        }
        ServerStoreError::NotEmpty => Failure::new(ExitClass::Refused, "store.not-empty", told)
            .hint("back it up first; then add --replace, and what is in it now is given up"),
        ServerStoreError::Format(_) => Failure::new(ExitClass::Io, "store.format", told)
            .hint("use the release that made it, or a newer one; restore a damaged one from its backup"),
        ServerStoreError::Database(sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::Tls(_)) => {
            Failure::new(ExitClass::Unavailable, "store.unreachable", told)
                .hint("see that PostgreSQL runs and is reached")
        }
        ServerStoreError::Database(_) => Failure::new(ExitClass::Io, "store.database", told)
            .hint("see that the database is there, and that this user may use it"),
    }
}
