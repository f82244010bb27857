//! One key of `config.toml` with its value, read as the type that the key takes; errors name file, line and key.

use std::fs;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use toml::Spanned;
use toml::de::DeValue;

use super::error::ConfigError;
use super::limits::limit;
use super::listen::listen_address;
use crate::terminal::presence::duration;

/// The text of a file, for error messages.
pub struct Text<'a> {
    pub path: &'a Path,
    pub text: &'a str,
}

impl Text<'_> {
    /// `file:line`, as compilers write it.
    pub fn at(&self, span: Option<Range<usize>>) -> String {
        let start = span.map_or(0, |s| s.start).min(self.text.len());
        let line = 1 + self.text.get(..start).map_or(0, |before| before.matches('\n').count());
        format!("{}:{line}", self.path.display())
    }
}

/// A key with its value.
pub struct ConfigEntry<'a> {
    /// The file that contains it.
    pub source: &'a Text<'a>,
    /// Its table; empty for the top level.
    pub table: &'a str,
    /// The key.
    pub key: &'a Spanned<std::borrow::Cow<'a, str>>,
    /// The value.
    pub value: &'a Spanned<DeValue<'a>>,
}

impl<'a> ConfigEntry<'a> {
    fn name(&self) -> String {
        if self.table.is_empty() {
            self.key.get_ref().to_string()
        } else {
            format!("{}.{}", self.table, self.key.get_ref())
        }
    }

    /// The key without its table.
    pub fn key(&self) -> &str {
        self.key.get_ref()
    }

    /// Refuses a secret value in a file that others may read.
    ///
    /// # Errors
    /// [`ConfigError::Exposed`].
    pub fn require_private(&self, secret: bool) -> Result<(), ConfigError> {
        let path = self.source.path;
        let mode = fs::metadata(path).map(|about| about.permissions().mode()).unwrap_or_default();
        if secret && mode & 0o077 != 0 { Err(ConfigError::Exposed(path.to_owned())) } else { Ok(()) }
    }

    /// A whole number within bounds.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`] for anything else, or a number below `least` or above `most`.
    pub fn number(&self, least: u32, most: u32) -> Result<u32, ConfigError> {
        let number = match self.value.get_ref() {
            DeValue::Integer(number) => number.as_str().parse().ok(),
            _ => None,
        };
        number.filter(|n| (least..=most).contains(n)).ok_or_else(|| self.bad(format!("expected {least} to {most}")))
    }

    /// The error for this value.
    pub fn bad(&self, message: impl Into<String>) -> ConfigError {
        ConfigError::BadValue { at: self.source.at(Some(self.value.span())), key: self.name(), message: message.into() }
    }

    /// The error for this key.
    pub fn unknown(&self, known: &[&str]) -> ConfigError {
        let key = self.key.get_ref().as_ref();
        let near = known.iter().map(|k| (strsim::damerau_levenshtein(key, k), k)).min();
        let near = near.filter(|(far, _)| far * 3 <= key.chars().count());
        let hint = match near {
            Some((_, near)) => format!("did you mean {near:?}?"),
            None => format!("known here: {}", known.join(", ")),
        };
        ConfigError::UnknownKey { at: self.source.at(Some(self.key.span())), key: self.name(), hint }
    }

    /// A text that is not empty.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`] for anything else.
    pub fn text(&self) -> Result<&'a str, ConfigError> {
        match self.value.get_ref() {
            DeValue::String(text) if text.is_empty() => Err(self.bad("it is empty")),
            DeValue::String(text) => Ok(text),
            _ => Err(self.bad("expected a string in quotes")),
        }
    }

    /// One text or a list of them.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`] for anything else, and for an empty text.
    pub fn texts(&self) -> Result<Vec<String>, ConfigError> {
        let DeValue::Array(values) = self.value.get_ref() else { return Ok(vec![self.text()?.to_owned()]) };
        values.iter().map(|value| Ok(ConfigEntry { value, ..*self }.text()?.to_owned())).collect()
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`] for anything else.
    pub fn truth(&self) -> Result<bool, ConfigError> {
        match self.value.get_ref() {
            DeValue::Boolean(truth) => Ok(*truth),
            _ => Err(self.bad("expected true or false")),
        }
    }

    /// A duration such as `8h`.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`] for anything else.
    pub fn duration(&self) -> Result<Duration, ConfigError> {
        duration(self.text()?).map_err(|e| self.bad(e.to_string()))
    }

    /// A duration up to a bound.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`] for anything else, or a longer one.
    pub fn duration_up_to(&self, longest: Duration) -> Result<Duration, ConfigError> {
        let time = self.duration()?;
        if time <= longest {
            Ok(time)
        } else {
            Err(self.bad(format!("expected at most {}h", longest.as_secs() / 3600)))
        }
    }

    /// A duration up to a bound, or `0s` for none.
    pub fn short_or_none(&self, longest: Duration) -> Result<Duration, ConfigError> {
        let time = if self.text()? == "0s" { Duration::ZERO } else { self.duration()? };
        if time <= longest { Ok(time) } else { Err(self.bad(format!("expected 0s to {}s", longest.as_secs()))) }
    }

    /// A time limit for a card.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`] for anything else, or more than ten minutes.
    pub fn limit(&self) -> Result<Duration, ConfigError> {
        limit(self.text()?).map_err(|message| self.bad(message))
    }

    /// A text parsed as this type.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`] with the type's message.
    pub fn parsed<T: FromStr<Err: std::fmt::Display>>(&self) -> Result<T, ConfigError> {
        self.text()?.parse().map_err(|e: T::Err| self.bad(e.to_string()))
    }

    /// An address with its port.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`].
    pub fn address(&self, port: u16) -> Result<SocketAddr, ConfigError> {
        listen_address(self.text()?, port).map_err(|message| self.bad(message))
    }

    /// One of the words of this type.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`] lists the words.
    pub fn choice<T: ValueEnum>(&self) -> Result<T, ConfigError> {
        T::from_str(self.text()?, false).map_err(|_| {
            let values: Vec<_> = T::value_variants().iter().filter_map(ValueEnum::to_possible_value).collect();
            let names: Vec<_> = values.iter().map(clap::builder::PossibleValue::get_name).collect();
            self.bad(format!("expected one of {}", names.join(", ")))
        })
    }

    /// The entries of a table, in the order of the file.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`] for anything but a table.
    pub fn entries(&self) -> Result<Vec<ConfigEntry<'a>>, ConfigError> {
        let DeValue::Table(table) = self.value.get_ref() else { return Err(self.bad("expected a table")) };
        let name: &'a str = self.key.get_ref();
        let entry = |(key, value)| ConfigEntry { source: self.source, table: name, key, value };
        let mut entries: Vec<_> = table.iter().map(entry).collect();
        entries.sort_by_key(|e| e.key.span().start);
        Ok(entries)
    }
}
