//! The command line: one definition, from which the parser, the help, the completions and the manual pages are made.
//!
//! Every value is parsed into what it means here; nothing behind this module sees what was typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use uuid::Uuid;

use super::server::args::{RoleWord, ServerArgs};
use super::time_spec::TimeSpec;
use super::until::Until;
use super::values::{card_timing, field, nonempty, server_name, set_size, uid};
use crate::config::{Global, UserSource, new_file};
use crate::crypto::x509::ServerName;
use crate::emulator::{CardTiming, Uid};
use crate::pki::SetId;
use crate::terminal::presence::{PresenceMode, duration};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "rollcall",
    version,
    about = "Knows, with proof, who is here: a terminal for NFC and PC/SC smart cards",
    after_help = "Exit status: 0 done, 1 the answer is no or some items failed, 2 usage, 65 bad input, 69 a service is \
                  not there, 70 a bug, 73 a local file, 74 the card left, 75 try again later, 76 the peer broke the \
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
    /// List the readers and what lies on them
    Readers(ReadersArgs),
    /// Send commands to a card as they are typed, and check what comes back
    Apdu(ApduArgs),
    /// Find what is wrong with readers, cards, keys and the server, and say what to do
    Doctor(DoctorArgs),
    /// Identify, authenticate and read the cards that are in range now, and note who is here
    Scan(ScanArgs),
    /// Stay, and keep the current user list true
    Watch(WatchArgs),
    /// The current user list and its history
    Users(UsersArgs),
    /// Make a blank card somebody's token
    Enroll(EnrollArgs),
    /// Look at the card in a reader, change it, or take it out of use
    Token(TokenArgs),
    /// Certificates and keys
    Pki(PkiArgs),
    /// The background server: run one, or administer it
    Server(ServerArgs),
    /// A token in software, in a reader of the driver vpcd
    VirtualToken(VirtualTokenArgs),
    /// List the JSON objects that are printed, or print the JSON Schema of one
    Schema(SchemaArgs),
    /// Print the completions for a shell
    Completions(CompletionsArgs),
    /// Print the manual page, or write all of them into a folder
    Man(ManArgs),
}

/// `rollcall readers`
#[derive(Debug, Clone, Args)]
pub struct ReadersArgs {
    /// Stay, and tell every change
    #[arg(long)]
    pub watch: bool,
    /// Tell what each card's answer to reset says, field by field, and what cards with it are called
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
    /// Inside an authenticated channel of the role READ, in which the token refuses every change
    #[arg(long)]
    pub secure: bool,
}

const SCRIPT_HELP: &str = "A script has a command a line, with spaces as you like:

  # a comment
  set AID F0524F4C4C43414C4C01
  00 A4 04 00 0A $AID 00 = 9000
  00 CA 9F 7F 00         = 9000, 6A88 > CPLC

`> NAME` keeps the data of the answer for later lines. Four digits are expected of the status word, more of
the whole answer; x stands for any digit. The first answer that is not as expected ends it, with status 1.";

/// `rollcall doctor`
#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// Also write all of it into this archive, for a report: without keys, secrets and users
    #[arg(long, value_name = "FILE", value_parser = new_file())]
    pub bundle: Option<PathBuf>,
    /// Look at nothing, and play the taps of a trace that --trace has written: no card and no key is needed, and nothing
    /// is changed
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, conflicts_with = "bundle")]
    pub replay: Option<PathBuf>,
}

/// `rollcall scan`
#[derive(Debug, Clone, Args)]
pub struct ScanArgs {
    /// Where user information comes from [default: auto]
    #[arg(long, value_enum, env = "ROLLCALL_SOURCE", hide_env_values = true)]
    pub source: Option<UserSource>,
    /// Ask the card only who it says it is: nobody is authenticated, and the list stays as it is
    #[arg(long, conflicts_with_all = ["proof", "count"])]
    pub identify_only: bool,
    /// Put the presence proof (COSE_Sign1, base64url) into the output
    #[arg(long)]
    pub proof: bool,
    /// Wait until N different tokens are authenticated, instead of taking those that are there now
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub count: Option<u32>,
    /// End after this time with what was read (500ms, 5s, 2m, 8h)
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "count")]
    pub timeout: Option<Duration>,
    /// Stay until this time, and end with what was read: a time of day here (17:30), or 2026-11-22T15:04:05Z
    #[arg(long, value_name = "TIME", conflicts_with = "identify_only")]
    pub until: Option<Until>,
    /// Write a record for each different token into FILE instead of stdout, with --output ndjson or csv
    #[arg(long, value_name = "FILE", conflicts_with = "identify_only", value_parser = new_file())]
    pub out: Option<PathBuf>,
    /// Go on with FILE: the tokens in it count, and are not told again
    #[arg(long, requires = "out")]
    pub resume: bool,
}

/// `rollcall watch`
#[derive(Debug, Clone, Args)]
pub struct WatchArgs {
    /// Who counts as present, at every reader: field, toggle, until:DURATION [default: as configured, or field]
    #[arg(long, value_name = "MODE", env = "ROLLCALL_PRESENCE", hide_env_values = true)]
    pub presence: Option<PresenceMode>,
    /// Run this for each event, with the object on its stdin: the text of one `sh -c`
    #[arg(long, value_name = "COMMAND", env = "ROLLCALL_ON_EVENT", hide_env_values = true, value_parser = nonempty)]
    pub on_event: Option<String>,
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
    /// Who is here now
    List,
    /// One user or token
    Show {
        /// User id or token id
        id: String,
    },
    /// The list for other programs: csv, unless --output says otherwise
    Export,
    /// What happened
    History {
        /// Only from this moment on: a time (2026-11-22T15:04:05Z), a date (UTC), or how long ago (8h)
        #[arg(long, value_name = "TIME")]
        since: Option<TimeSpec>,
        /// Only before this moment: a time, a date, or how long ago
        #[arg(long, value_name = "TIME")]
        until: Option<TimeSpec>,
    },
    /// Refuse a user or token from now on, here
    Deny {
        /// User id or token id
        #[arg(value_parser = nonempty)]
        id: String,
    },
    /// Who is refused here
    Denied,
    /// Refuse a user or token no longer
    Allow {
        /// User id or token id, as it was denied
        id: String,
    },
    /// Take everybody off the list
    Clear,
}

/// `rollcall enroll`
#[derive(Debug, Clone, Args)]
pub struct EnrollArgs {
    /// Identifier of the user
    #[arg(long, value_parser = nonempty, required_unless_present = "from", requires = "name", conflicts_with = "from")]
    pub id: Option<String>,
    /// Name of the user, as it is shown
    #[arg(long, value_parser = nonempty, required_unless_present = "from", requires = "id", conflicts_with = "from")]
    pub name: Option<String>,
    /// Any further field; may be repeated
    #[arg(long = "field", value_name = "KEY=VALUE", value_parser = field, conflicts_with = "from")]
    pub fields: Vec<(String, String)>,
    /// Picture that comes onto the card, at most 8192 bytes
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, conflicts_with = "from")]
    pub portrait: Option<PathBuf>,
    /// Issue this card for one that was lost, which is refused from now on; name that one where the user has
    /// several
    #[arg(long, value_name = "TOKEN_ID", num_args = 0..=1, require_equals = true, conflicts_with = "from")]
    #[allow(clippy::option_option)] // clap's form of an option that may have a value
    pub replace: Option<Option<Uuid>>,
    /// Many at once, instead
    #[command(flatten)]
    pub batch: BatchArgs,
    /// What strangers can tell
    #[command(flatten)]
    pub private: PrivateArgs,
}

/// `rollcall enroll` in private mode
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Private mode")]
pub struct PrivateArgs {
    /// Enroll into a set of K tokens that strangers cannot tell apart, 32 to 256; a new one is made where no set of this
    /// size has room
    #[arg(long, value_name = "K", value_parser = set_size(), group = "chosen_set")]
    pub set_size: Option<u16>,
    /// Enroll into this set
    #[arg(long, value_name = "ID", group = "chosen_set")]
    pub set: Option<SetId>,
    /// Take the card even when its UID, serial numbers or the like tell it from the others of its set
    #[arg(long, requires = "chosen_set")]
    pub accept_trackable: bool,
}

/// Whose token it is to be
#[derive(Debug, Clone, Args)]
pub struct UserArgs {
    /// Identifier of the user
    #[arg(long, value_parser = nonempty)]
    pub id: String,
    /// Name of the user, as it is shown
    #[arg(long, value_parser = nonempty)]
    pub name: String,
    /// Any further field; may be repeated
    #[arg(long = "field", value_name = "KEY=VALUE", value_parser = field)]
    pub fields: Vec<(String, String)>,
}

/// `rollcall enroll --from`
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Many cards")]
pub struct BatchArgs {
    /// Enroll a card for every row of this CSV file: columns id, name, portrait (the path of a picture), and any others
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub from: Option<PathBuf>,
    /// Which card each row went to; the same command goes on from there [default: FILE.journal]
    #[arg(long, value_name = "FILE", requires = "from", value_hint = clap::ValueHint::FilePath, value_parser = new_file())]
    pub journal: Option<PathBuf>,
    /// Check the file and the journal, and say what is left to do: no card is touched
    #[arg(long, requires = "from")]
    pub dry_run: bool,
    /// Stop after so many failures in a row
    #[arg(long, value_name = "N", requires = "from", default_value = "5", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_failures: u32,
    /// Stop when no card came for this time (500ms, 5s, 2m, 8h)
    #[arg(long, value_name = "DURATION", requires = "from", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// Give up the cards that were begun and not finished: their rows are free again, and with a server their tokens are
    /// revoked
    #[arg(long, requires = "from", conflicts_with = "dry_run")]
    pub abandon: bool,
}

/// `rollcall token`
#[derive(Debug, Clone, Args)]
pub struct TokenArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: TokenCommand,
}

/// The commands of `rollcall token`.
#[derive(Debug, Clone, Subcommand)]
pub enum TokenCommand {
    /// What the card says about itself
    Info,
    /// Authenticate the card, and check its signature
    Verify(TokenVerifyArgs),
    /// Replace the user information on the card
    Write(TokenWriteArgs),
    /// Take the token out of use for now
    Block(TokenChangeArgs),
    /// Take a blocked token into use again
    Unblock(TokenChangeArgs),
    /// Move the token to the CA that rollcall pki rotate-ca has made, or give it a new set key; or all tokens one by one
    Rotate(TokenRotateArgs),
    /// Take the token out of use for ever: its keys are destroyed
    Terminate(TokenChangeArgs),
}

/// `rollcall token verify`
#[derive(Debug, Clone, Args)]
pub struct TokenVerifyArgs {
    /// Write the picture on the card to this file, which must not be there
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub portrait: Option<PathBuf>,
}

/// `rollcall token block`, `unblock` and `terminate`
#[derive(Debug, Clone, Args)]
pub struct TokenChangeArgs {
    /// Say what would be done, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `rollcall token rotate`
#[derive(Debug, Clone, Args)]
pub struct TokenRotateArgs {
    /// Every card that is put on a reader, until no token is left; the same command goes on where it stopped
    #[arg(long)]
    pub all: bool,
    /// Give tokens of this set the key that rollcall pki rotate-set has made
    #[arg(long, value_name = "ID")]
    pub set: Option<SetId>,
    /// Say what would be done, and change nothing; with --all: which tokens are left
    #[arg(long)]
    pub dry_run: bool,
    /// Stop after so many failures in a row
    #[arg(long, value_name = "N", requires = "all", default_value = "5", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_failures: u32,
    /// Stop when no card came for this time (500ms, 5s, 2m, 8h)
    #[arg(long, value_name = "DURATION", requires = "all", value_parser = duration)]
    pub timeout: Option<Duration>,
}

/// `rollcall token write`
#[derive(Debug, Clone, Args)]
pub struct TokenWriteArgs {
    /// Whose token it is from now on
    #[command(flatten)]
    pub user: UserArgs,
    /// Say what would be done, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `rollcall pki`
#[derive(Debug, Clone, Args)]
pub struct PkiArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PkiCommand,
}

/// The commands of `rollcall pki`.
#[derive(Debug, Clone, Subcommand)]
pub enum PkiCommand {
    /// Make the certification authority, and this terminal's keys and certificates
    Init,
    /// Renew this terminal's certificates, where the CA key lies or through the server
    Renew,
    /// Begin to rotate the CA: a new one is made here, and the old one is trusted until every token has been moved
    RotateCa {
        /// End the rotation: the old CA is trusted no more, and tokens that were not moved are strangers
        #[arg(long)]
        finish: bool,
    },
    /// Begin to replace the key of a set, after one of its cards was lost: a new one is made for the tokens that are left
    RotateSet {
        /// The set whose key is replaced
        id: SetId,
        /// End it: the old key is destroyed here
        #[arg(long)]
        finish: bool,
    },
    /// Issue certificates for others
    Issue(IssueArgs),
    /// Set this terminal up from the file that rollcall pki issue terminal has made
    Import {
        /// The file
        bundle: PathBuf,
    },
    /// List the certificates and keys that are here
    List,
}

/// `rollcall pki issue`
#[derive(Debug, Clone, Args)]
pub struct IssueArgs {
    /// For whom.
    #[command(subcommand)]
    pub command: IssueCommand,
}

/// The commands of `rollcall pki issue`.
#[derive(Debug, Clone, Subcommand)]
pub enum IssueCommand {
    /// A second terminal: its keys and certificates in one file, registered with the server where there is one
    Terminal {
        /// Its name
        name: String,
        /// What it may do
        #[arg(long, value_enum, default_value_t = RoleWord::Read)]
        role: RoleWord,
        /// The file for rollcall pki import
        #[arg(long, value_name = "BUNDLE", value_parser = new_file())]
        out: PathBuf,
    },
    /// The TLS certificate of the server here, for the names under which it is reached
    Server {
        /// A DNS name or an address; may be repeated [default: localhost and the host name]
        #[arg(long = "name", value_name = "NAME", value_parser = server_name)]
        names: Vec<ServerName>,
    },
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
    /// File with the start key of a new token, 32 hex digits [default: the well-known test keys]
    #[arg(long, value_name = "FILE", env = "ROLLCALL_START_KEY_FILE", hide_env_values = true)]
    pub start_key_file: Option<PathBuf>,
    /// Have a UID, as a reader tells it: always the same, with serial numbers beside it, or another one in each field
    #[arg(long, value_name = "KIND", value_parser = uid())]
    pub uid: Option<Uid>,
    /// Take as long for each command as this card, without its radio: for measurements
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
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, required_unless_present = "readers")]
    pub shell: Option<clap_complete::Shell>,
    /// Instead, what may stand behind --reader now, a name a line: the scripts ask for it
    #[arg(long, hide = true, conflicts_with = "shell")]
    pub readers: bool,
}

/// `rollcall man`
#[derive(Debug, Clone, Args)]
pub struct ManArgs {
    /// Folder for the pages of all commands
    #[arg(long, value_name = "FOLDER", value_hint = clap::ValueHint::DirPath)]
    pub out: Option<PathBuf>,
}
