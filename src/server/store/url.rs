//! Where a store is.

use std::{path::PathBuf, str::FromStr};

use sqlx::postgres::PgConnectOptions;

use super::ServerStoreError;

/// Where a store is. A password in it is never printed.
#[derive(Clone)]
pub enum StoreUrl {
    /// A file of SQLite.
    Sqlite(PathBuf),
    /// A database of PostgreSQL.
    Postgres(Box<PgConnectOptions>),
}

impl FromStr for StoreUrl {
    type Err = ServerStoreError;

    fn from_str(text: &str) -> Result<Self, ServerStoreError> {
        if let Some(path) = text.strip_prefix("sqlite://").filter(|path| path.starts_with('/') && !path.contains('?')) {
            return Ok(Self::Sqlite(path.into()));
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return text.parse().map(|options| Self::Postgres(Box::new(options))).map_err(|_| ServerStoreError::Url);
        }
        Err(ServerStoreError::Url)
    }
}

impl std::fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(options) => {
                let database = options.get_database().unwrap_or("postgres");
                write!(f, "postgres://{}:{}/{database}", options.get_host(), options.get_port())
            }
        }
    }
}

impl std::fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_printed() {
        let url: StoreUrl = "postgres://rollcall:Qx7canary@db.example.org:5433/people".parse().unwrap();
        assert_eq!(url.to_string(), "postgres://db.example.org:5433/people");
        assert!(!format!("{url:?}").contains("canary"));
    }

    #[test]
    fn only_two_kinds_of_stores() {
        let url: StoreUrl = "sqlite:///var/lib/server.db".parse().unwrap();
        assert!(matches!(url, StoreUrl::Sqlite(path) if path.as_os_str() == "/var/lib/server.db"));
        for text in ["", "server.db", "sqlite://server.db", "sqlite:///a?mode=ro", "mysql://h/d", "postgres://:x:y"] {
            assert!(matches!(text.parse::<StoreUrl>(), Err(ServerStoreError::Url)), "{text}");
        }
    }
}
