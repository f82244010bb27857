//! Reads the environment variables that are settings but not options of the current command.

use std::{ffi::OsString, time::Duration};

use clap::ValueEnum;

use super::{ConfigError, UserSource, limits::limit};
use crate::{pki::pkcs11, terminal::presence::PresenceMode};

/// Looks up a variable.
type AskVariable<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The settings from the environment.
#[derive(Debug, Default)]
pub struct Variables {
    /// `ROLLCALL_SOURCE`
    pub source: Option<UserSource>,
    /// `ROLLCALL_PRESENCE`, which applies to every reader.
    pub presence: Option<PresenceMode>,
    /// `ROLLCALL_PERSO_KEY`
    pub perso_key: Option<pkcs11::Uri>,
    /// `ROLLCALL_EXCHANGE_LIMIT`
    pub exchange: Option<Duration>,
    /// `ROLLCALL_TAP_LIMIT`
    pub tap: Option<Duration>,
}

impl Variables {
    /// Reads them.
    ///
    /// # Errors
    /// [`ConfigError::BadVariable`] for the first invalid one.
    pub fn read(environment: AskVariable<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            source: parsed(environment, "ROLLCALL_SOURCE", source)?,
            presence: parsed(environment, "ROLLCALL_PRESENCE", |text| text.parse().map_err(in_words))?,
            perso_key: parsed(environment, "ROLLCALL_PERSO_KEY", |text| text.parse().map_err(in_words))?,
            exchange: parsed(environment, "ROLLCALL_EXCHANGE_LIMIT", limit)?,
            tap: parsed(environment, "ROLLCALL_TAP_LIMIT", limit)?,
        })
    }
}

/// A variable that is set and not empty.
pub fn set(environment: AskVariable<'_>, name: &str) -> Option<OsString> {
    environment(name).filter(|value| !value.is_empty())
}

fn parsed<T>(
    environment: AskVariable<'_>,
    name: &'static str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, ConfigError> {
    let value = set(environment, name).map(|text| match text.to_str() {
        Some(text) => read(text),
        None => Err("it is not UTF-8".to_owned()),
    });
    value.transpose().map_err(|message| ConfigError::BadVariable { name, message })
}

fn source(text: &str) -> Result<UserSource, String> {
    UserSource::from_str(text, false).map_err(|_| format!("{text:?} is not auto, card or server"))
}

#[allow(clippy::needless_pass_by_value)] // for map_err
fn in_words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &'static str, text: &'static str) -> Result<Variables, String> {
        Variables::read(&|asked| (asked == name).then(|| text.into())).map_err(|error| error.to_string())
    }

    #[test]
    fn a_variable_is_read_or_refused_by_its_name_and_empty_means_unset() {
        assert_eq!(read("ROLLCALL_SOURCE", "server").unwrap().source, Some(UserSource::Server));
        assert_eq!(read("ROLLCALL_PRESENCE", "toggle").unwrap().presence, Some(PresenceMode::Toggle));
        assert_eq!(read("ROLLCALL_TAP_LIMIT", "7s").unwrap().tap, Some(Duration::from_secs(7)));
        let refused = read("ROLLCALL_EXCHANGE_LIMIT", "11m").unwrap_err();
        assert_eq!(refused, "ROLLCALL_EXCHANGE_LIMIT: more than 10m is too long for a card");
        let names = [
            "ROLLCALL_SOURCE",
            "ROLLCALL_PRESENCE",
            "ROLLCALL_PERSO_KEY",
            "ROLLCALL_EXCHANGE_LIMIT",
            "ROLLCALL_TAP_LIMIT",
        ];
        for name in names {
            assert!(read(name, "what?").unwrap_err().starts_with(&format!("{name}: ")));
            assert!(read(name, "").is_ok());
        }
    }
}
