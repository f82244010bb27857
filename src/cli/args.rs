//! The definition of the command line, from which parser, help, completions and manual pages are made.
//!
//! Every value is parsed here into its type; no other module sees what was typed.

#[cfg(feature = "board")]
mod board;
mod enroll;
mod pki;
mod proof;
mod token;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::server::args::ServerArgs;
use super::time_spec::TimeSpec;
use super::until::Until;
#[cfg(feature = "board")]
use super::values::BoardAddress;
use super::values::{card_timing, field, nonempty, note, uid, user_id, user_name};
use crate::config::{Global, UserSource, new_file};
use crate::emulator::{CardTiming, Uid};
use crate::terminal::presence::{PresenceMode, duration};
use crate::terminal::user_patch::UserPatch;
#[cfg(feature = "board")]
pub use board::{BoardArgs, BoardCommand};
pub use enroll::{BatchArgs, EnrollArgs, PrivateArgs};
pub use pki::{IssueArgs, IssueCommand, PkiArgs, PkiCommand};
pub use proof::{ProofArgs, ProofCommand, ProofVerifyArgs};
pub use token::{
    TokenArgs, TokenChangeArgs, TokenCommand, TokenListArgs, TokenRotateArgs, TokenVerifyArgs, TokenWriteArgs,
};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "rollcall",
    version,
    about = "Knows, with proof, who is here: a terminal for NFC and PC/SC smart cards",
    after_help = "Start with: rollcall doctor, which says whether readers, keys and server are in order.\n\nExit \
        status: 0 done, 1 the answer is no or some items failed, 2 usage, 65 bad input, 69 a service is unavailable, \
        70 a bug, 73 a local file, 74 the card left, 75 try again later, 76 the peer broke the \
                  protocol, 77 refused, 78 configuration.",
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: CliCommand,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// List the readers and the cards on them
    Readers(ReadersArgs),
    /// Send raw commands (APDUs) to a card and check the answers
    Apdu(ApduArgs),
    /// Show on one screen whether all is well: readers, keys, list, watch and server
    Status,
    /// Find what is wrong with readers, cards, keys and the server, and what to do about it
    Doctor(DoctorArgs),
    /// Authenticate and read the cards on the readers, and record who is here
    Scan(ScanArgs),
    /// Run continuously and keep the list of present users up to date
    Watch(WatchArgs),
    /// Show or change the list of present users and its history
    Users(UsersArgs),
    /// Manage who may see the board over the network
    #[cfg(feature = "board")]
    Board(BoardArgs),
    /// Enroll a user onto a blank card
    Enroll(EnrollArgs),
    /// Show, change or retire the card in a reader
    Token(TokenArgs),
    /// Check presence proofs afterwards
    Proof(ProofArgs),
    /// Certificates and keys
    Pki(PkiArgs),
    /// The background server: run one, or administer it
    Server(ServerArgs),
    /// Run a token in software, in a reader of the driver vpcd
    VirtualToken(VirtualTokenArgs),
    /// List the JSON objects that rollcall prints, or print the JSON Schema of one
    Schema(SchemaArgs),
    /// Print the completions for a shell
    Completions(CompletionsArgs),
    /// Print the manual page, or write all of them into a folder
    Man(ManArgs),
    /// Print the help of a command, or of the options that every command takes
    Help(HelpArgs),
}

/// `rollcall readers`
#[derive(Debug, Clone, Args)]
pub struct ReadersArgs {
    /// Run continuously and report every change
    #[arg(long)]
    pub watch: bool,
    /// Explain each card's ATR field by field, and name cards that have this ATR
    #[arg(long, conflicts_with = "watch")]
    pub explain: bool,
}

/// `rollcall apdu`
#[derive(Debug, Clone, Args)]
#[command(after_long_help = SCRIPT_HELP)]
pub struct ApduArgs {
    /// A command in hex, and what is expected: `00A4040000=9000`, `00CA9F7F00=9000,6A88`, `00C0000000=61xx`
    #[arg(value_name = "HEX[=SW]", required_unless_present = "script")]
    pub commands: Vec<String>,
    /// Commands from a file, before those of the command line
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// Send the commands inside an authenticated channel of the role READ, in which the token refuses every change;
    /// 61xx and 6Cxx of T=0 are followed, and not shown
    #[arg(long)]
    pub secure: bool,
    /// At T=0 send commands and show answers as they are: Le is not taken away, 61xx and 6Cxx are not followed
    #[arg(long, conflicts_with = "secure")]
    pub raw: bool,
}

const SCRIPT_HELP: &str = "A script has one command per line, with spaces as you like:

  # a comment
  set AID F0524F4C4C43414C4C01
  00 A4 04 00 0A $AID 00 = 9000
  00 CA 9F 7F 00         = 9000, 6A88 > CPLC

`> NAME` keeps the data of the answer for later lines. Four digits stand for the status word,
more for the whole answer; x is any digit. The first answer that is not as expected ends the
run, with status 1.";

/// `rollcall doctor`
#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// Also measure the longest command and answer that pass in one piece. This sends cards what no tap sends, and some
    /// readers and cards react badly. Skipped where a watch runs or another program is connected
    #[arg(long, conflicts_with = "replay")]
    pub deep: bool,
    /// Also write the report into this archive, without keys, secrets and users
    #[arg(long, value_name = "FILE", value_parser = new_file())]
    pub bundle: Option<PathBuf>,
    /// Replay the taps of a trace written by --trace, instead of looking at this machine: needs no card and no key, and
    /// changes nothing
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, conflicts_with = "bundle")]
    pub replay: Option<PathBuf>,
}

/// `rollcall scan`
#[derive(Debug, Clone, Args)]
pub struct ScanArgs {
    /// Where user information comes from [default: auto]
    #[arg(long, value_enum, env = "ROLLCALL_SOURCE", hide_env_values = true)]
    pub source: Option<UserSource>,
    /// Only ask the card for its id: authenticates nobody, and leaves the list as it is
    #[arg(long, conflicts_with_all = ["proof", "count"])]
    pub identify_only: bool,
    /// Include the presence proof (COSE_Sign1, base64url) in the output
    #[arg(long)]
    pub proof: bool,
    /// Wait until N different tokens are authenticated, instead of reading those that are there now
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub count: Option<u32>,
    /// Time out after this long, and keep what was read (500ms, 5s, 2m, 8h)
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "count")]
    pub timeout: Option<Duration>,
    /// Read until this time, and keep what was read: a local time of day (17:30), with a date
    /// (2026-11-22T17:30), or with a zone (2026-11-22T15:04:05Z)
    #[arg(long, value_name = "TIME", conflicts_with = "identify_only")]
    pub until: Option<Until>,
    /// Write a record for each different token into FILE instead of stdout, with --output ndjson or csv
    #[arg(long, value_name = "FILE", conflicts_with = "identify_only", value_parser = new_file())]
    pub out: Option<PathBuf>,
    /// Resume FILE: tokens already in it count and are not repeated
    #[arg(long, requires = "out")]
    pub resume: bool,
}

/// `rollcall watch`
#[derive(Debug, Clone, Args)]
pub struct WatchArgs {
    /// Who counts as present, at every reader: field, toggle, until:DURATION [default: as configured, or field]
    #[arg(long, value_name = "MODE", env = "ROLLCALL_PRESENCE", hide_env_values = true)]
    pub presence: Option<PresenceMode>,
    /// Run this for each event, with the event as JSON on its stdin: the text of one `sh -c`
    #[arg(long, value_name = "COMMAND", env = "ROLLCALL_ON_EVENT", hide_env_values = true, value_parser = nonempty)]
    pub on_event: Option<String>,
    /// Print a line for each event, also on a terminal, where otherwise a screen shows who is here
    #[arg(long)]
    pub plain: bool,
    /// Serve a page of who is here to browsers, at this address [default: as configured, or 127.0.0.1:7480]
    #[cfg(feature = "board")]
    #[arg(long, value_name = "ADDRESS:PORT", num_args = 0..=1, default_missing_value = "")]
    pub board: Option<BoardAddress>,
    /// The people who are expected, a CSV file as `enroll --from` takes it: the board shows who is missing
    #[cfg(feature = "board")]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub expected: Option<PathBuf>,
}

/// `rollcall users`
#[derive(Debug, Clone, Args)]
pub struct UsersArgs {
    /// Without any: list
    #[command(subcommand)]
    pub command: Option<UsersCommand>,
}

/// The commands of `rollcall users`.
#[derive(Debug, Clone, Subcommand)]
pub enum UsersCommand {
    /// List who is here now
    List,
    /// Show one user or token
    Show {
        /// User id, token id, or name
        id: String,
    },
    /// Export the list, as CSV unless --output says otherwise
    Export,
    /// List who came and went
    History {
        /// Only from this time on: today, yesterday, a date, a time of day here (18:00), both (2026-11-22T15:04),
        /// a time with its zone (2026-11-22T15:04:05Z), or how long ago (8h)
        #[arg(long, value_name = "TIME")]
        since: Option<TimeSpec>,
        /// Only before this time, in the same forms
        #[arg(long, value_name = "TIME")]
        until: Option<TimeSpec>,
    },
    /// Put a user or token on this terminal's deny list
    Deny {
        /// User id, token id, or the name of somebody known here
        #[arg(value_parser = nonempty)]
        id: String,
        /// Why, for the deny list
        #[arg(long, value_parser = nonempty)]
        reason: Option<String>,
    },
    /// Show the deny list
    Denied,
    /// Take a user or token off the deny list
    Allow {
        /// User id or token id, as it was denied, or the name
        id: String,
    },
    /// Remove everybody from the list
    Clear,
    /// Take one user off the list
    Remove {
        /// User id, token id, or name of somebody on the list
        #[arg(value_parser = nonempty)]
        id: String,
        /// Why, for the history
        #[arg(long, value_parser = note)]
        note: Option<String>,
    },
    /// Remove all that this terminal holds of a user: list, history, register of cards, certificates
    Forget {
        /// User id, or name
        #[arg(value_parser = nonempty)]
        id: String,
        /// Say what would be removed, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Enter somebody who is known here and came without a card
    CheckIn(ByHandArgs),
    /// Remove somebody who left without tapping from the list
    CheckOut(ByHandArgs),
}

/// What is entered by hand
#[derive(Debug, Clone, Args)]
pub struct ByHandArgs {
    /// User id, token id, or name
    #[arg(value_parser = nonempty)]
    pub id: String,
    /// When that was: a time of day here (08:05, the most recent one), a date with one (2026-11-22T08:05), a time
    /// with its zone (2026-11-22T08:05:00Z), or how long ago (20m) [default: now]
    #[arg(long, value_name = "TIME")]
    pub at: Option<TimeSpec>,
    /// Why, for the history
    #[arg(long, value_parser = note)]
    pub note: Option<String>,
}

/// What is to change about a user; the rest stays
#[derive(Debug, Clone, Args)]
pub struct UserPatchArgs {
    /// Identifier of the user [default: as it is]
    #[arg(long, value_parser = user_id)]
    pub id: Option<String>,
    /// Name of the user, as it is shown [default: as it is]
    #[arg(long, value_parser = user_name)]
    pub name: Option<String>,
    /// Any further field; may be repeated; KEY= takes the field away
    #[arg(long = "field", value_name = "KEY=VALUE", value_parser = field)]
    pub fields: Vec<(String, String)>,
}

impl UserPatchArgs {
    /// The changes as typed.
    pub fn patch(&self) -> UserPatch {
        UserPatch { id: self.id.clone(), name: self.name.clone(), fields: self.fields.iter().cloned().collect() }
    }
}

/// `rollcall virtual-token`
#[derive(Debug, Clone, Args)]
pub struct VirtualTokenArgs {
    /// Where the driver vpcd listens
    #[arg(
        long,
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:35963",
        env = "ROLLCALL_CONNECT",
        hide_env_values = true
    )]
    pub connect: String,
    /// File that keeps the token; without it the token is gone at the end
    #[arg(long, value_name = "FILE", env = "ROLLCALL_STATE", hide_env_values = true)]
    pub state: Option<PathBuf>,
    /// File with the start key of a new token, 32 hex digits, or with three lines of 32: ENC, MAC, DEK [default: the
    /// well-known test keys]
    #[arg(long, value_name = "FILE", env = "ROLLCALL_START_KEY_FILE", hide_env_values = true)]
    pub start_key_file: Option<PathBuf>,
    /// UID that a reader reports: fixed, with serial numbers, or random at each tap
    #[arg(long, value_name = "KIND", value_parser = uid())]
    pub uid: Option<Uid>,
    /// Take as long for each command as this card would, without its radio: for measurements
    #[arg(long, value_name = "CARD", value_parser = card_timing())]
    pub delay: Option<CardTiming>,
}

/// `rollcall schema`
#[derive(Debug, Clone, Args)]
pub struct SchemaArgs {
    /// The object, with or without "rollcall." and its version
    pub name: Option<String>,
}

/// `rollcall completions`
#[derive(Debug, Clone, Args)]
#[allow(clippy::struct_excessive_bools)] // one option for each question
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, required_unless_present = "known", conflicts_with = "known")]
    pub shell: Option<clap_complete::Shell>,
    /// Instead, what may stand behind --reader now, a name a line: the scripts ask for it
    #[arg(long, hide = true, group = "known")]
    pub readers: bool,
    /// Instead, the ids of users that are known here, likewise
    #[arg(long, hide = true, group = "known")]
    pub users: bool,
    /// Instead, the ids of tokens that are known here, likewise
    #[arg(long, hide = true, group = "known")]
    pub tokens: bool,
    /// Instead, the ids of sets of private tokens that are known here, likewise
    #[arg(long, hide = true, group = "known")]
    pub sets: bool,
    /// Instead, the links to the board that are valid, likewise
    #[cfg(feature = "board")]
    #[arg(long, hide = true, group = "known")]
    pub links: bool,
}

/// What shell scripts ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownHere {
    /// Aliases and the names of readers.
    Readers,
    /// Ids of users.
    Users,
    /// Ids of tokens.
    Tokens,
    /// Ids of sets.
    Sets,
    /// Links to the board.
    #[cfg(feature = "board")]
    Links,
}

impl CompletionsArgs {
    /// What is asked for if no shell is named.
    pub const fn known(&self) -> KnownHere {
        match self {
            Self { users: true, .. } => KnownHere::Users,
            Self { tokens: true, .. } => KnownHere::Tokens,
            Self { sets: true, .. } => KnownHere::Sets,
            #[cfg(feature = "board")]
            Self { links: true, .. } => KnownHere::Links,
            _ => KnownHere::Readers,
        }
    }
}

/// `rollcall help`
#[derive(Debug, Clone, Args)]
pub struct HelpArgs {
    /// The words of a command (users history), or: options
    pub command: Vec<String>,
}

/// `rollcall man`
#[derive(Debug, Clone, Args)]
pub struct ManArgs {
    /// Folder for the pages of all commands, and rollcall.toml(5): that goes into man5 beside a folder named man1
    #[arg(long, value_name = "FOLDER", value_hint = clap::ValueHint::DirPath)]
    pub out: Option<PathBuf>,
}
