//! Resolves the settings once into [`Settings`]: flags over environment over `config.toml` over built-in defaults.
//!
//! Flags and environment arrive together, from the one definition in [`Global`]; the file is read only if it exists.
//! Nothing is created here.

mod board;
mod distance;
mod entry;
mod error;
mod feedback;
mod file;
mod limits;
mod listen;
mod resume;
mod server;
mod unmatched;
mod variables;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{FalseyValueParser, OsStringValueParser, PathBufValueParser, TypedValueParser};
use clap::{ArgAction, Args, ValueEnum};

use crate::failure::Failure;
use crate::pki::pkcs11;
use crate::reader::name;
use crate::reader::select::{Aliases, Selection, alias_of};
use crate::terminal::presence::{Policy, PresenceMode};

pub use board::BoardSettings;
pub use distance::DistanceRules;
pub use error::ConfigError;
pub use feedback::FeedbackRules;
pub use listen::listen_address;
pub use resume::ResumeRules;
pub use server::{PORT as SERVER_PORT, ServerSettings, StoreText};
pub use unmatched::UnmatchedName;
use variables::{Variables, set};

/// The form in which results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people
    #[default]
    Text,
    /// One JSON document
    Json,
    /// One JSON object per line
    Ndjson,
    /// Comma-separated values with a header
    Csv,
}

/// The program for which csv is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CsvReader {
    /// UTF-16 with a byte order mark, tabs, and "0042" as text
    Excel,
}

/// When text is coloured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Where user information comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum UserSource {
    /// From wherever it is available
    #[default]
    Auto,
    /// From the card
    Card,
    /// From the server
    Server,
}

/// Options that every command takes, from the command line or from the environment.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
#[allow(clippy::struct_excessive_bools)] // each is an option of its own
pub struct Global {
    /// Configuration file [default: config.toml in the configuration folder]
    #[arg(long, global = true, value_name = "FILE", env = "ROLLCALL_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// How results are printed [default: text]
    #[arg(
        long,
        short,
        global = true,
        value_enum,
        value_name = "FORMAT",
        env = "ROLLCALL_OUTPUT",
        hide_env_values = true
    )]
    pub output: Option<OutputFormat>,
    /// Write csv so that this program opens it unchanged, also ids like 0042
    #[arg(long, global = true, value_enum, value_name = "PROGRAM")]
    pub csv_for: Option<CsvReader>,
    /// Reader: a part of its name, a glob, its serial number or USB port (serial:…, usb:…), or an alias from the
    /// configuration; may be repeated [default: all]
    #[arg(long, global = true, value_name = "NAME", env = "ROLLCALL_READER", hide_env_values = true, action = ArgAction::Append,
          value_parser = OsStringValueParser::new().map(|name| name::typed(&name)))]
    pub reader: Vec<String>,
    /// Say more on stderr
    #[arg(long, short, global = true, env = "ROLLCALL_VERBOSE", hide_env_values = true, value_parser = FalseyValueParser::new(),
          action = ArgAction::SetTrue, overrides_with = "verbose")]
    pub verbose: bool,
    /// Do not ask before something that cannot be undone
    #[arg(long, short, global = true, env = "ROLLCALL_YES", hide_env_values = true, value_parser = FalseyValueParser::new(),
          action = ArgAction::SetTrue, overrides_with = "yes")]
    pub yes: bool,
    /// When to colour text [default: auto]
    #[arg(long, global = true, value_enum, value_name = "WHEN", env = "ROLLCALL_COLOR", hide_env_values = true)]
    pub color: Option<Colour>,
    /// Show and read times in UTC instead of the local time zone
    #[arg(long, global = true, env = "ROLLCALL_UTC", hide_env_values = true, value_parser = FalseyValueParser::new(),
          action = ArgAction::SetTrue, overrides_with = "utc")]
    pub utc: bool,
    /// Write every exchange with a card into FILE, without secrets: rollcall doctor --replay FILE replays it
    #[arg(long, global = true, value_name = "FILE", env = "ROLLCALL_TRACE", hide_env_values = true,
          value_hint = clap::ValueHint::FilePath, value_parser = new_file())]
    pub trace: Option<PathBuf>,
    /// With --trace: leave in what cards say about their holders
    #[arg(long, global = true)]
    pub trace_personal: bool,
}

/// The name of a file to write. `-` is refused: elsewhere it means stdout, which here is for results only.
pub fn new_file() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| {
        if path.as_os_str() == "-" { Err("name a file; for a file of this name write ./-") } else { Ok(path) }
    })
}

/// Time limits, so that a card that does not answer blocks nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// One exchange with a card.
    pub exchange: Duration,
    /// A whole tap.
    pub tap: Duration,
    /// One run of the command that an event is given to.
    pub hook: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { exchange: Duration::from_secs(5), tap: Duration::from_secs(15), hook: Duration::from_secs(10) }
    }
}

/// All settings of a command, wherever they came from.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The folder of `config.toml`.
    pub config_folder: PathBuf,
    /// The folder of `pki/`, `terminal.db` and all other state. It may not exist yet.
    pub state_folder: PathBuf,
    /// The output format.
    pub format: OutputFormat,
    /// The program for which csv is written.
    pub csv_for: Option<CsvReader>,
    /// When text is coloured; `NO_COLOR` has been taken into account.
    pub colour: Colour,
    /// Whether times are shown and read in UTC.
    pub utc: bool,
    /// The selected readers, without the ignored ones.
    pub readers: Selection,
    /// The ignored readers, as the file names them.
    pub ignore: Vec<String>,
    /// Aliases of readers.
    pub aliases: Aliases,
    /// Who counts as present.
    pub presence: PresenceRules,
    /// Which readers signal taps.
    pub feedback: FeedbackRules,
    /// Where fast taps are allowed.
    pub resume: ResumeRules,
    /// Where response times are bounded.
    pub distance: DistanceRules,
    /// In mode toggle: how soon after a tap another one of the same token counts as the same.
    pub min_stay: Duration,
    /// How long an unconfirmed entry remains before it is closed.
    pub stale_after: Duration,
    /// How long events and users of the server are kept here; none: for ever.
    pub retention: Option<Duration>,
    /// How often a card that stays is checked for its presence.
    pub heartbeat: Duration,
    /// The command that `watch` runs for each event.
    pub on_event: Option<String>,
    /// Time limits.
    pub limits: Limits,
    /// Where user information comes from.
    pub source: UserSource,
    /// The board of present users.
    pub board: BoardSettings,
    /// The server: its URL, and how a local one runs.
    pub server: ServerSettings,
    /// The personalisation key, if it is not in its file in the state folder.
    pub perso_key: Option<pkcs11::Uri>,
    /// Whether to print more on stderr.
    pub verbose: bool,
    /// Whether to skip confirmations.
    pub yes: bool,
}

/// Who counts as present, by reader.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PresenceRules {
    /// In the order of the file: the first that matches applies.
    rules: Vec<(Selection, PresenceMode)>,
    otherwise: PresenceMode,
}

impl PresenceRules {
    /// The same mode at every reader.
    pub const fn everywhere(presence: PresenceMode) -> Self {
        Self { rules: Vec::new(), otherwise: presence }
    }

    /// Who counts as present at this reader.
    pub fn at(&self, reader: &str) -> PresenceMode {
        let rule = self.rules.iter().find(|(readers, _)| readers.matches(reader));
        rule.map_or(self.otherwise, |(_, presence)| *presence)
    }
}

impl Settings {
    /// Resolves the settings; `environment` gives the variables that are not options (`HOME`, `NO_COLOR` …).
    ///
    /// # Errors
    /// What [`ConfigError`] says of the folders, the file or a variable, with its code `config.…`.
    pub fn resolve(typed: &Global, environment: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, Failure> {
        let folders = Folders::find(environment)?;
        let file = match &typed.config {
            Some(path) => file::File::load(path)?,
            None => file::File::load_if_there(&folders.config.join("config.toml"))?,
        };
        let mut file = file;
        let server = std::mem::take(&mut file.server).resolve(environment, &folders.state)?;
        let variables = Variables::read(environment)?;
        let perso_key = variables.perso_key.or(file.perso_key.take());
        file.exchange = variables.exchange.or(file.exchange);
        file.tap = variables.tap.or(file.tap);
        let settings = Self { server, perso_key, ..Self::merge(typed, file, folders, environment) };
        Ok(settings.with_source(variables.source).with_presence(variables.presence))
    }

    /// Where the settings come from, and where the state lies, in one line.
    pub fn origin(&self, typed: &Global) -> String {
        let path = typed.config.clone().unwrap_or_else(|| self.config_folder.join("config.toml"));
        let read = if path.exists() { "" } else { " (not there)" };
        format!("configuration {}{read}, state in {}", path.display(), self.state_folder.display())
    }

    /// The settings without a file, to diagnose why the file cannot be read.
    pub fn without_file(typed: &Global, environment: &dyn Fn(&str) -> Option<OsString>) -> Option<Self> {
        let folders = Folders::find(environment).ok()?;
        let file = file::File::default();
        let server = server::Table::default().resolve(environment, &folders.state).ok()?;
        Some(Self { server, ..Self::merge(typed, file, folders, environment) })
    }

    /// The settings known without the file, to print a failure of the configuration itself.
    pub fn unconfigured(typed: &Global, environment: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let folders = Folders { config: PathBuf::new(), state: PathBuf::new() };
        Self::merge(typed, file::File::default(), folders, environment)
    }

    /// Applies the source of user information from an option or the environment.
    #[must_use]
    pub fn with_source(mut self, typed: Option<UserSource>) -> Self {
        self.source = typed.unwrap_or(self.source);
        self
    }

    /// Applies the presence mode from an option or the environment, at every reader.
    #[must_use]
    pub fn with_presence(mut self, typed: Option<PresenceMode>) -> Self {
        self.presence = typed.map_or(self.presence, PresenceRules::everywhere);
        self
    }

    fn merge(
        typed: &Global,
        file: file::File,
        folders: Folders,
        environment: &dyn Fn(&str) -> Option<OsString>,
    ) -> Self {
        let no_color = set(environment, "NO_COLOR").map(|_| Colour::Never);
        let readers = if typed.reader.is_empty() { &file.readers } else { &typed.reader };
        let rules =
            file.presence.iter().map(|(name, p)| (Selection::new(std::slice::from_ref(name), &file.aliases), *p));
        Self {
            config_folder: folders.config,
            state_folder: folders.state,
            format: typed.csv_for.map(|_| OutputFormat::Csv).or(typed.output).or(file.format).unwrap_or_default(),
            csv_for: typed.csv_for,
            colour: typed.color.or(no_color).or(file.colour).unwrap_or_default(),
            readers: Selection::new(readers, &file.aliases).without(&file.ignore, &file.aliases),
            ignore: file.ignore,
            presence: PresenceRules { rules: rules.collect(), otherwise: file.presence_default.unwrap_or_default() },
            resume: ResumeRules::new(file.resume, &file.aliases),
            distance: DistanceRules::new(file.distance, &file.aliases),
            feedback: FeedbackRules::new(file.feedback, file.sound, &file.aliases),
            min_stay: file.min_stay.unwrap_or(Duration::from_secs(3)),
            stale_after: file.stale_after.unwrap_or(Duration::from_secs(60)),
            retention: file.retention,
            heartbeat: file.heartbeat.unwrap_or(Duration::from_secs(2)),
            on_event: file.on_event,
            limits: Limits {
                exchange: file.exchange.unwrap_or(Limits::default().exchange),
                tap: file.tap.unwrap_or(Limits::default().tap),
                hook: file.hook.unwrap_or(Limits::default().hook),
            },
            source: file.source.unwrap_or_default(),
            board: file.board,
            server: ServerSettings::default(),
            perso_key: None,
            verbose: typed.verbose || file.verbose.unwrap_or_default(),
            yes: typed.yes,
            utc: typed.utc,
            aliases: file.aliases,
        }
    }

    /// The alias of this reader.
    pub fn alias(&self, reader: &str) -> Option<&str> {
        alias_of(reader, &self.aliases)
    }

    /// The folder of keys and certificates.
    pub fn pki_folder(&self) -> PathBuf {
        self.state_folder.join("pki")
    }

    /// The database with the list of present users.
    pub fn database(&self) -> PathBuf {
        self.state_folder.join("terminal.db")
    }
}

impl Policy for Settings {
    fn presence(&self, reader: &str) -> PresenceMode {
        self.presence.at(reader)
    }

    fn stale_after(&self) -> Duration {
        self.stale_after
    }

    fn retention(&self) -> Option<Duration> {
        self.retention
    }

    fn min_stay(&self) -> Duration {
        self.min_stay
    }

    fn max_extra(&self, reader: &str) -> Option<Duration> {
        self.distance.at(reader)
    }
}

/// The base folders: `ROLLCALL_HOME` for everything, otherwise the XDG folders.
#[derive(Debug, PartialEq, Eq)]
struct Folders {
    config: PathBuf,
    state: PathBuf,
}

impl Folders {
    fn find(environment: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, ConfigError> {
        if let Some(home) = set(environment, "ROLLCALL_HOME") {
            return Ok(Self { config: home.clone().into(), state: home.into() });
        }
        let user = set(environment, "HOME").map(PathBuf::from);
        let xdg = |variable, below: &str| {
            // The XDG specification: a relative path is invalid and to be ignored.
            let folder = set(environment, variable).map(PathBuf::from).filter(|p| p.is_absolute());
            folder.or_else(|| user.as_ref().map(|home| home.join(below))).map(|f| f.join("rollcall"))
        };
        match (xdg("XDG_CONFIG_HOME", ".config"), xdg("XDG_STATE_HOME", ".local/state")) {
            (Some(config), Some(state)) => Ok(Self { config, state }),
            _ => Err(ConfigError::NoHome),
        }
    }
}

/// For messages.
fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests;
