//! Parses `config.toml`: only known keys are accepted, and every error names file, line and key.
//!
//! Specification: docs/cli.md, "Configuration".

use std::fs::File as OpenFile;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use toml::de::DeTable;

use super::distance::DistanceTable;
use super::entry::{ConfigEntry, Text};
use super::error::ConfigError;
use super::resume::ResumeTable;
use super::{BoardSettings, Colour, OutputFormat, UserSource, server};
use crate::files;
use crate::pki::pkcs11;
use crate::reader::feedback::FeedbackChoice;
use crate::reader::select::Aliases;
use crate::terminal::presence::PresenceMode;

/// More than anybody writes by hand.
const LONGEST: u64 = 1 << 20;

const KEYS: [&str; 19] = [
    "alias",
    "board",
    "color",
    "distance",
    "feedback",
    "heartbeat",
    "ignore",
    "limits",
    "on_event",
    "output",
    "perso_key",
    "presence",
    "reader",
    "resume",
    "retention",
    "server",
    "source",
    "stale_after",
    "verbose",
];
/// A stay as long as this may be intentional.
const LONGEST_MIN_STAY: Duration = Duration::from_secs(600);

const LIMITS: [&str; 3] = ["exchange", "on_event", "tap"];

/// The content of the file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct File {
    pub format: Option<OutputFormat>,
    pub colour: Option<Colour>,
    pub readers: Vec<String>,
    pub ignore: Vec<String>,
    pub aliases: Aliases,
    /// In the order of the file.
    pub presence: Vec<(String, PresenceMode)>,
    pub presence_default: Option<PresenceMode>,
    /// In the order of the file.
    pub feedback: Vec<(String, FeedbackChoice)>,
    pub sound: bool,
    pub resume: ResumeTable,
    pub distance: DistanceTable,
    pub min_stay: Option<Duration>,
    pub stale_after: Option<Duration>,
    pub retention: Option<Duration>,
    pub heartbeat: Option<Duration>,
    pub exchange: Option<Duration>,
    pub hook: Option<Duration>,
    pub on_event: Option<String>,
    pub tap: Option<Duration>,
    pub source: Option<UserSource>,
    pub verbose: Option<bool>,
    pub board: BoardSettings,
    pub server: server::Table,
    pub perso_key: Option<pkcs11::Uri>,
}

impl File {
    /// Reads a file that must exist.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] when it does not exist; [`ConfigError::Unreadable`], [`ConfigError::TooLong`] above 1
    /// MiB, [`ConfigError::Writable`]; as [`Self::parse`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        match open(path)? {
            Some(text) => Self::parse(path, &text),
            None => Err(ConfigError::Missing(path.to_owned())),
        }
    }

    /// Reads a file that may be missing.
    ///
    /// # Errors
    /// As [`Self::load`], except [`ConfigError::Missing`].
    pub fn load_if_there(path: &Path) -> Result<Self, ConfigError> {
        open(path)?.map_or_else(|| Ok(Self::default()), |text| Self::parse(path, &text))
    }

    /// Parses the text; `path` is for messages only.
    ///
    /// # Errors
    /// [`ConfigError::Syntax`], [`ConfigError::UnknownKey`], [`ConfigError::BadValue`] or [`ConfigError::Exposed`]
    /// for the first invalid line.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let source = Text { path, text };
        let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
            at: source.at(error.span()),
            message: error.message().lines().collect::<Vec<_>>().join(", "),
        })?;
        let mut file = Self::default();
        for (key, value) in table.get_ref() {
            file.take(&ConfigEntry { source: &source, table: "", key, value })?;
        }
        Ok(file)
    }

    fn take(&mut self, entry: &ConfigEntry<'_>) -> Result<(), ConfigError> {
        match entry.key.get_ref().as_ref() {
            "output" => self.format = Some(entry.choice()?),
            "color" => self.colour = Some(entry.choice()?),
            "source" => self.source = Some(entry.choice()?),
            "on_event" => self.on_event = Some(entry.text()?.to_owned()),
            "reader" => self.readers = entry.texts()?,
            "ignore" => self.ignore = entry.texts()?,
            "perso_key" => self.perso_key = Some(entry.parsed()?),
            "verbose" => self.verbose = Some(entry.truth()?),
            "stale_after" => self.stale_after = Some(entry.duration()?),
            "heartbeat" => self.heartbeat = Some(entry.duration()?),
            "retention" => self.retention = Some(entry.duration()?),
            "alias" => {
                for alias in entry.entries()? {
                    self.aliases.insert(alias.key.get_ref().to_string(), alias.text()?.to_owned());
                }
            }
            "presence" => {
                for rule in entry.entries()? {
                    match rule.key.get_ref().as_ref() {
                        "default" => self.presence_default = Some(rule.parsed::<PresenceMode>()?),
                        "min_stay" => self.min_stay = Some(rule.short_or_none(LONGEST_MIN_STAY)?),
                        reader => self.presence.push((reader.to_owned(), rule.parsed()?)),
                    }
                }
            }
            "resume" => {
                for rule in entry.entries()? {
                    self.resume.take(&rule)?;
                }
            }
            "distance" => {
                for rule in entry.entries()? {
                    self.distance.take(&rule)?;
                }
            }
            "feedback" => {
                for rule in entry.entries()? {
                    match rule.key() {
                        "sound" => self.sound = rule.truth()?,
                        reader => self.feedback.push((reader.to_owned(), rule.parsed()?)),
                    }
                }
            }
            "board" => self.board = BoardSettings::take(entry)?,
            "server" => {
                for key in entry.entries()? {
                    self.server.take(&key)?;
                }
            }
            "limits" => {
                for limit in entry.entries()? {
                    match limit.key.get_ref().as_ref() {
                        "exchange" => self.exchange = Some(limit.limit()?),
                        "on_event" => self.hook = Some(limit.duration()?),
                        "tap" => self.tap = Some(limit.limit()?),
                        _ => return Err(limit.unknown(&LIMITS)),
                    }
                }
            }
            _ => return Err(entry.unknown(&KEYS)),
        }
        Ok(())
    }
}

/// The text of a file, if it exists. It must be a regular file that is not writable by everybody: whoever writes it
/// decides what this terminal trusts.
fn open(path: &Path) -> Result<Option<String>, ConfigError> {
    let unreadable = |error| ConfigError::Unreadable(path.to_owned(), error);
    let file = match OpenFile::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let about = file.metadata().map_err(unreadable)?;
    if about.is_file() && about.permissions().mode() & 0o002 != 0 {
        return Err(ConfigError::Writable(path.to_owned()));
    }
    // Only regular files have a length to check beforehand.
    match files::read_text(file, LONGEST) {
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(ConfigError::TooLong(path.to_owned())),
        text => text.map(Some).map_err(unreadable),
    }
}
