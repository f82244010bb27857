//! The command line of `rollcall server`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::api::v1::{Role, TokenStatus};
use crate::cli::time_spec::TimeSpec;
#[cfg(feature = "board")]
use crate::cli::values::BoardAddress;
use crate::cli::values::{field, nonempty, server_address, user_id, user_name};
use crate::config::new_file;
use crate::pki::CertificateDays;
use crate::terminal::token_prefix::TokenPrefix;

/// `rollcall server`
#[derive(Debug, Clone, Args)]
pub struct ServerArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ServerCommand,
}

/// The commands of `rollcall server`.
#[derive(Debug, Clone, Subcommand)]
pub enum ServerCommand {
    /// Make the store, and register this terminal as its administrator
    Init,
    /// Run the server until a signal ends it
    Run(RunArgs),
    /// The audit log
    Audit(AuditArgs),
    /// Copy the whole store into one file, while the server runs
    Backup(BackupArgs),
    /// Replace the store with a backup
    Restore(RestoreArgs),
    /// Who is here, at all doors: each person once, where they were last seen
    Presence(PresenceArgs),
    /// What happened at all terminals
    Events(EventsArgs),
    /// The users that the server knows
    User(ServerUserArgs),
    /// The tokens that the server knows
    Token(ServerTokenArgs),
    /// The terminals that may ask the server
    Terminal(TerminalArgs),
}

/// `rollcall server presence`
#[derive(Debug, Clone, Args)]
pub struct PresenceArgs {
    /// Who was here at this moment: today, yesterday, a date, a time of day here (18:00), both (2026-11-22T15:04),
    /// a time with its zone (2026-11-22T15:04:05Z), or how long ago (8h)
    #[arg(long, value_name = "TIME")]
    pub at: Option<TimeSpec>,
}

/// `rollcall server events`
#[derive(Debug, Clone, Args)]
pub struct EventsArgs {
    /// Only those of this user
    #[arg(long, value_name = "ID", value_parser = nonempty)]
    pub user: Option<String>,
    /// Only from this moment on: today, yesterday, a date, a time of day here (18:00), both (2026-11-22T15:04),
    /// a time with its zone (2026-11-22T15:04:05Z), or how long ago (8h)
    #[arg(long, value_name = "TIME")]
    pub since: Option<TimeSpec>,
    /// Only before this moment, in the same forms
    #[arg(long, value_name = "TIME")]
    pub until: Option<TimeSpec>,
}

/// `rollcall server backup`
#[derive(Debug, Clone, Args)]
pub struct BackupArgs {
    /// The file to write; it must not exist yet
    #[arg(value_parser = new_file())]
    pub file: PathBuf,
}

/// `rollcall server restore`
#[derive(Debug, Clone, Args)]
pub struct RestoreArgs {
    /// A file made by rollcall server backup, from either kind of store
    pub file: PathBuf,
    /// Overwrite what is in the store now, after asking
    #[arg(long)]
    pub replace: bool,
}

/// `rollcall server user`
#[derive(Debug, Clone, Args)]
pub struct ServerUserArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: UserCommand,
}

/// The commands of `rollcall server user`.
#[derive(Debug, Clone, Subcommand)]
pub enum UserCommand {
    /// Create a user, or change what you name: the rest stays
    Add(UserAddArgs),
    /// One user
    Show {
        /// User id
        id: String,
    },
    /// All users
    List,
    /// Forget a user: revoke their tokens, delete their name, fields, events and proofs, and blank the audit log
    Forget {
        /// User id
        id: String,
    },
    /// Create and change users from a CSV file with the columns id, name and any further fields
    Import {
        /// The file, - for stdin; without a column name it changes users that the server knows
        file: PathBuf,
        /// Show what would be changed, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// `rollcall server user add`
#[derive(Debug, Clone, Args)]
pub struct UserAddArgs {
    /// Identifier of the user
    #[arg(long, value_parser = user_id)]
    pub id: String,
    /// Name of the user, as it is shown; may be left out where the server knows the user
    #[arg(long, value_parser = user_name)]
    pub name: Option<String>,
    /// Any further field; may be repeated; KEY= takes the field away
    #[arg(long = "field", value_name = "KEY=VALUE", value_parser = field)]
    pub fields: Vec<(String, String)>,
    /// Show what would be changed, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `rollcall server token`
#[derive(Debug, Clone, Args)]
pub struct ServerTokenArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ServerTokenCommand,
}

/// The commands of `rollcall server token`.
#[derive(Debug, Clone, Subcommand)]
pub enum ServerTokenCommand {
    /// All tokens, or some of them
    List {
        /// Only those of this user: id or name
        #[arg(long, value_parser = nonempty)]
        user: Option<String>,
        /// Only those with this status; may be repeated
        #[arg(long, value_enum)]
        status: Vec<StatusWord>,
    },
    /// One token
    Show {
        /// Token id, or at least its first 4 digits
        id: TokenPrefix,
    },
    /// Change the status of a token
    Status {
        /// Token id, or at least its first 4 digits
        id: TokenPrefix,
        /// The new status; revoked cannot be undone
        #[arg(value_enum)]
        status: StatusWord,
        /// Reason; required unless active
        #[arg(long, value_parser = nonempty, required_if_eq_any = [("status", "suspended"), ("status", "lost"), ("status", "revoked")])]
        reason: Option<String>,
    },
}

/// The status of a token, as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StatusWord {
    /// It is let in
    Active,
    /// Refused for now
    Suspended,
    /// Reported lost
    Lost,
    /// Refused for ever
    Revoked,
}

impl From<StatusWord> for TokenStatus {
    fn from(word: StatusWord) -> Self {
        match word {
            StatusWord::Active => Self::Active,
            StatusWord::Suspended => Self::Suspended,
            StatusWord::Lost => Self::Lost,
            StatusWord::Revoked => Self::Revoked,
        }
    }
}

/// `rollcall server terminal`
#[derive(Debug, Clone, Args)]
pub struct TerminalArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TerminalCommand,
}

/// The commands of `rollcall server terminal`.
#[derive(Debug, Clone, Subcommand)]
pub enum TerminalCommand {
    /// Register a terminal, also one that was revoked or has expired; its keys and certificates go into one file
    Add {
        /// Its name
        name: String,
        /// What it may do
        #[arg(long, value_enum, default_value_t = RoleWord::Read)]
        role: RoleWord,
        /// For how many days its certificates are valid, also after it renews them: 1 to 366, and no longer than the CA [default: 7]
        #[arg(long, value_name = "N")]
        days: Option<CertificateDays>,
        /// The file for rollcall pki import
        #[arg(long, value_name = "BUNDLE", value_parser = new_file())]
        out: PathBuf,
    },
    /// All terminals
    List,
    /// Refuse a terminal and its keys; its name may be added again
    Revoke {
        /// Its name
        name: String,
    },
}

/// The role of a terminal, as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleWord {
    /// Scans and watches
    Read,
    /// Enrolls tokens too
    Enroll,
    /// Administers the server and tokens
    Admin,
}

impl From<RoleWord> for Role {
    fn from(word: RoleWord) -> Self {
        match word {
            RoleWord::Read => Self::Read,
            RoleWord::Enroll => Self::Enroll,
            RoleWord::Admin => Self::Admin,
        }
    }
}

/// `rollcall server run`
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:7443]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = server_address)]
    pub listen: Option<SocketAddr>,
    /// Serve a page of who is here at all doors to browsers, at this address [default: as configured, or 127.0.0.1:7480]
    #[cfg(feature = "board")]
    #[arg(long, value_name = "ADDRESS:PORT", num_args = 0..=1, default_missing_value = "")]
    pub board: Option<BoardAddress>,
    /// The people who are expected, a CSV file as `enroll --from` takes it: the board shows who is missing
    #[cfg(feature = "board")]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub expected: Option<PathBuf>,
}

/// `rollcall server audit`
#[derive(Debug, Clone, Args)]
pub struct AuditArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: AuditCommand,
}

/// The commands of `rollcall server audit`.
#[derive(Debug, Clone, Subcommand)]
pub enum AuditCommand {
    /// Check the whole log, and name the first record that was changed, removed or cut off
    Verify(VerifyArgs),
    /// After a restore: bring back what terminals still know, and let them follow this log again
    Reconcile(ReconcileArgs),
}

/// `rollcall server audit reconcile`
#[derive(Debug, Clone, Args)]
pub struct ReconcileArgs {
    /// Show what would happen, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `rollcall server audit verify`
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// A revocation feed (JWS) as a terminal was given it: the log has to hold the record that it names; may be repeated
    #[arg(long, value_name = "FILE")]
    pub feed: Vec<PathBuf>,
}
