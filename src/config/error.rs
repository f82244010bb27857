//! Why a configuration cannot be used.

use std::io;
use std::path::PathBuf;

use super::shown;
use crate::failure::{ExitClass, Failure, Remedy};
use crate::files::word;

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Neither `ROLLCALL_HOME` nor `HOME` is set.
    #[error("there is no home folder: neither ROLLCALL_HOME nor HOME is set")]
    NoHome,
    /// The requested file does not exist.
    #[error("{} does not exist", shown(.0))]
    Missing(PathBuf),
    /// The file cannot be read.
    #[error("{} cannot be read: {}", shown(.0), .1)]
    Unreadable(PathBuf, io::Error),
    /// Longer than any real configuration.
    #[error("{} is longer than 1 MiB", shown(.0))]
    TooLong(PathBuf),
    /// Everybody may write it.
    #[error("{} is writable by everybody", shown(.0))]
    Writable(PathBuf),
    /// Others may read it although it contains a password.
    #[error("{} contains a password, and other users may read it", shown(.0))]
    Exposed(PathBuf),
    /// An environment variable with an invalid value.
    #[error("{name}: {message}")]
    BadVariable {
        /// The variable.
        name: &'static str,
        /// What is wrong.
        message: String,
    },
    /// Not valid TOML.
    #[error("{at}: {message}")]
    Syntax {
        /// File and line.
        at: String,
        /// What the parser says.
        message: String,
    },
    /// An unknown key.
    #[error("{at}: unknown key {key:?}")]
    UnknownKey {
        /// File and line.
        at: String,
        /// The key, with its table.
        key: String,
        /// The known key that looks most like it, or all of them.
        hint: String,
    },
    /// An invalid value for the key.
    #[error("{at}: {key}: {message}")]
    BadValue {
        /// File and line.
        at: String,
        /// The key, with its table.
        key: String,
        /// What is wrong.
        message: String,
    },
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let (class, code, hint) = match &error {
            ConfigError::NoHome => (ExitClass::Config, "config.no-home", "set ROLLCALL_HOME to a folder".into()),
            ConfigError::Missing(_) => (ExitClass::Config, "config.missing", "name an existing file".into()),
            ConfigError::Unreadable(path, _) => {
                (ExitClass::Io, "config.unreadable", Remedy::with("check it", format!("ls -l {}", word(path))))
            }
            ConfigError::TooLong(_) => (ExitClass::Config, "config.too-long", "name a configuration file".into()),
            ConfigError::Writable(path) => (
                ExitClass::Config,
                "config.permissions",
                Remedy::with("remove that permission", format!("chmod o-w {}", word(path))),
            ),
            ConfigError::Exposed(path) => (
                ExitClass::Config,
                "config.permissions",
                Remedy::with("remove that permission", format!("chmod 600 {}", word(path))),
            ),
            ConfigError::BadVariable { name, .. } => {
                (ExitClass::Config, "config.bad-value", format!("correct it, or unset {name}").into())
            }
            ConfigError::Syntax { .. } => (ExitClass::Config, "config.syntax", "the file has to be TOML".into()),
            ConfigError::UnknownKey { hint, .. } => (ExitClass::Config, "config.unknown-key", hint.as_str().into()),
            ConfigError::BadValue { key, .. } => {
                (ExitClass::Config, "config.bad-value", format!("correct or remove {key}").into())
            }
        };
        Self::new(class, code, error.to_string()).hint(hint)
    }
}
