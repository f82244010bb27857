//! `config.toml`: known keys only, and every refusal names file, line and key.

use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Colour, Format, Source, server, shown};
use crate::failure::{Class, Failure};
use crate::pki::pkcs11;
use crate::reader::select::Aliases;
use crate::roster::{Presence, duration};

/// A configuration is written by hand.
const LONGEST: u64 = 1 << 20;

const KEYS: [&str; 13] = [
    "alias",
    "color",
    "heartbeat",
    "limits",
    "on_event",
    "output",
    "perso_key",
    "presence",
    "reader",
    "server",
    "source",
    "stale_after",
    "verbose",
];
const LIMITS: [&str; 3] = ["exchange", "on_event", "tap"];

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Neither `ROLLCALL_HOME` nor `HOME` is set.
    #[error("there is no home folder: neither ROLLCALL_HOME nor HOME is set")]
    NoHome,
    /// The file that was asked for is not there.
    #[error("{} is not there", shown(.0))]
    Missing(PathBuf),
    /// The file cannot be read.
    #[error("{} cannot be read: {}", shown(.0), .1)]
    Unreadable(PathBuf, io::Error),
    /// Longer than any configuration is.
    #[error("{} is longer than 1 MiB", shown(.0))]
    TooLong(PathBuf),
    /// Everybody may write it.
    #[error("everybody may write {}", shown(.0))]
    Writable(PathBuf),
    /// Others may read it, and it holds a password.
    #[error("{} holds a password, and others may read it", shown(.0))]
    Exposed(PathBuf),
    /// A variable of the environment that cannot be taken.
    #[error("{name}: {message}")]
    BadVariable {
        /// The variable.
        name: &'static str,
        /// What is wrong.
        message: String,
    },
    /// No TOML.
    #[error("{at}: {message}")]
    Syntax {
        /// File and line.
        at: String,
        /// What the parser says.
        message: String,
    },
    /// A key that nobody knows.
    #[error("{at}: unknown key {key:?}")]
    UnknownKey {
        /// File and line.
        at: String,
        /// The key, with its table.
        key: String,
        /// The known key that looks most like it, or all of them.
        hint: String,
    },
    /// A value that the key does not take.
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
            ConfigError::NoHome => (Class::Config, "config.no-home", "set ROLLCALL_HOME to a folder".to_owned()),
            ConfigError::Missing(_) => (Class::Config, "config.missing", "name a file that is there".to_owned()),
            ConfigError::Unreadable(path, _) => {
                (Class::Io, "config.unreadable", format!("look at it: ls -l {}", shown(path)))
            }
            ConfigError::TooLong(_) => (Class::Config, "config.too-long", "name a configuration file".to_owned()),
            ConfigError::Writable(path) => {
                (Class::Config, "config.permissions", format!("take that away: chmod o-w {}", shown(path)))
            }
            ConfigError::Exposed(path) => {
                (Class::Config, "config.permissions", format!("take that away: chmod 600 {}", shown(path)))
            }
            ConfigError::BadVariable { name, .. } => {
                (Class::Config, "config.bad-value", format!("correct it, or unset {name}"))
            }
            ConfigError::Syntax { .. } => (Class::Config, "config.syntax", "the file has to be TOML".to_owned()),
            ConfigError::UnknownKey { hint, .. } => (Class::Config, "config.unknown-key", hint.clone()),
            ConfigError::BadValue { key, .. } => {
                (Class::Config, "config.bad-value", format!("correct or remove {key}"))
            }
        };
        Self::new(class, code, error.to_string()).hint(hint)
    }
}

/// What stands in the file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct File {
    pub format: Option<Format>,
    pub colour: Option<Colour>,
    pub readers: Vec<String>,
    pub aliases: Aliases,
    /// In the order of the file.
    pub presence: Vec<(String, Presence)>,
    pub presence_default: Option<Presence>,
    pub stale_after: Option<Duration>,
    pub heartbeat: Option<Duration>,
    pub exchange: Option<Duration>,
    pub hook: Option<Duration>,
    pub on_event: Option<String>,
    pub tap: Option<Duration>,
    pub source: Option<Source>,
    pub verbose: Option<bool>,
    pub server: server::Table,
    pub perso_key: Option<pkcs11::Uri>,
}

impl File {
    /// Reads a file that was asked for.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        match open(path)? {
            Some(text) => Self::parse(path, &text),
            None => Err(ConfigError::Missing(path.to_owned())),
        }
    }

    /// Reads a file that does not have to be there.
    pub fn load_if_there(path: &Path) -> Result<Self, ConfigError> {
        open(path)?.map_or_else(|| Ok(Self::default()), |text| Self::parse(path, &text))
    }

    /// `path` is for messages only.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let source = Text { path, text };
        let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
            at: source.at(error.span()),
            message: error.message().lines().collect::<Vec<_>>().join(", "),
        })?;
        let mut file = Self::default();
        for (key, value) in table.get_ref() {
            file.take(&Entry { source: &source, table: "", key, value })?;
        }
        Ok(file)
    }

    fn take(&mut self, entry: &Entry<'_>) -> Result<(), ConfigError> {
        match entry.key.get_ref().as_ref() {
            "output" => self.format = Some(entry.choice()?),
            "color" => self.colour = Some(entry.choice()?),
            "source" => self.source = Some(entry.choice()?),
            "on_event" => self.on_event = Some(entry.text()?.to_owned()),
            "reader" => self.readers = entry.texts()?,
            "perso_key" => self.perso_key = Some(entry.parsed()?),
            "verbose" => self.verbose = Some(entry.truth()?),
            "stale_after" => self.stale_after = Some(entry.duration()?),
            "heartbeat" => self.heartbeat = Some(entry.duration()?),
            "alias" => {
                for alias in entry.entries()? {
                    self.aliases.insert(alias.key.get_ref().to_string(), alias.text()?.to_owned());
                }
            }
            "presence" => {
                for rule in entry.entries()? {
                    match rule.key.get_ref().as_ref() {
                        "default" => self.presence_default = Some(rule.parsed::<Presence>()?),
                        reader => self.presence.push((reader.to_owned(), rule.parsed()?)),
                    }
                }
            }
            "server" => {
                for key in entry.entries()? {
                    self.server.take(&key)?;
                }
            }
            "limits" => {
                for limit in entry.entries()? {
                    match limit.key.get_ref().as_ref() {
                        "exchange" => self.exchange = Some(limit.duration()?),
                        "on_event" => self.hook = Some(limit.duration()?),
                        "tap" => self.tap = Some(limit.duration()?),
                        _ => return Err(limit.unknown(&LIMITS)),
                    }
                }
            }
            _ => return Err(entry.unknown(&KEYS)),
        }
        Ok(())
    }
}

/// The text of a file that is there. Only a regular file that not everybody may write: who writes it decides what
/// this terminal believes.
fn open(path: &Path) -> Result<Option<String>, ConfigError> {
    let unreadable = |error| ConfigError::Unreadable(path.to_owned(), error);
    let about = match fs::metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    if about.is_file() && about.permissions().mode() & 0o002 != 0 {
        return Err(ConfigError::Writable(path.to_owned()));
    }
    if about.len() > LONGEST {
        return Err(ConfigError::TooLong(path.to_owned()));
    }
    fs::read_to_string(path).map(Some).map_err(unreadable)
}

/// The text of a file.
pub struct Text<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Text<'_> {
    /// `file:line`, as compilers write it.
    fn at(&self, span: Option<Range<usize>>) -> String {
        let start = span.map_or(0, |s| s.start).min(self.text.len());
        let line = 1 + self.text.get(..start).map_or(0, |before| before.matches('\n').count());
        format!("{}:{line}", self.path.display())
    }
}

/// A key with its value.
pub struct Entry<'a> {
    source: &'a Text<'a>,
    table: &'a str,
    key: &'a Spanned<std::borrow::Cow<'a, str>>,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Entry<'a> {
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

    /// Refuses a value that must be nobody else's, where others may read the file.
    pub fn require_private(&self, secret: bool) -> Result<(), ConfigError> {
        let path = self.source.path;
        let mode = fs::metadata(path).map(|about| about.permissions().mode()).unwrap_or_default();
        if secret && mode & 0o077 != 0 { Err(ConfigError::Exposed(path.to_owned())) } else { Ok(()) }
    }

    /// A whole number within bounds.
    pub fn number(&self, least: u32, most: u32) -> Result<u32, ConfigError> {
        let number = match self.value.get_ref() {
            DeValue::Integer(number) => number.as_str().parse().ok(),
            _ => None,
        };
        number.filter(|n| (least..=most).contains(n)).ok_or_else(|| self.bad(format!("expected {least} to {most}")))
    }

    /// The refusal of this value.
    pub fn bad(&self, message: impl Into<String>) -> ConfigError {
        ConfigError::BadValue { at: self.source.at(Some(self.value.span())), key: self.name(), message: message.into() }
    }

    /// The refusal of this key.
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
    pub fn text(&self) -> Result<&'a str, ConfigError> {
        match self.value.get_ref() {
            DeValue::String(text) if text.is_empty() => Err(self.bad("it is empty")),
            DeValue::String(text) => Ok(text),
            _ => Err(self.bad("expected a text in quotes")),
        }
    }

    /// One text or a list of them.
    fn texts(&self) -> Result<Vec<String>, ConfigError> {
        let DeValue::Array(values) = self.value.get_ref() else { return Ok(vec![self.text()?.to_owned()]) };
        values.iter().map(|value| Ok(Entry { value, ..*self }.text()?.to_owned())).collect()
    }

    fn truth(&self) -> Result<bool, ConfigError> {
        match self.value.get_ref() {
            DeValue::Boolean(truth) => Ok(*truth),
            _ => Err(self.bad("expected true or false")),
        }
    }

    /// A duration such as `8h`.
    pub fn duration(&self) -> Result<Duration, ConfigError> {
        duration(self.text()?).map_err(|e| self.bad(e.to_string()))
    }

    /// A text that means something.
    pub fn parsed<T: FromStr<Err: std::fmt::Display>>(&self) -> Result<T, ConfigError> {
        self.text()?.parse().map_err(|e: T::Err| self.bad(e.to_string()))
    }

    fn choice<T: ValueEnum>(&self) -> Result<T, ConfigError> {
        T::from_str(self.text()?, false).map_err(|_| {
            let values: Vec<_> = T::value_variants().iter().filter_map(ValueEnum::to_possible_value).collect();
            let names: Vec<_> = values.iter().map(clap::builder::PossibleValue::get_name).collect();
            self.bad(format!("expected one of {}", names.join(", ")))
        })
    }

    /// The entries of a table, in the order of the file.
    fn entries(&self) -> Result<Vec<Entry<'a>>, ConfigError> {
        let DeValue::Table(table) = self.value.get_ref() else { return Err(self.bad("expected a table")) };
        let name: &'a str = self.key.get_ref();
        let entry = |(key, value)| Entry { source: self.source, table: name, key, value };
        let mut entries: Vec<_> = table.iter().map(entry).collect();
        entries.sort_by_key(|e| e.key.span().start);
        Ok(entries)
    }
}
