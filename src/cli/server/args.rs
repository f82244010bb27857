//! The command line of `rollcall server`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

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
}

/// `rollcall server run`
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:7443]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
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
    /// Follow the log from its first record to its last, and name the first bad one
    Verify(VerifyArgs),
}

/// `rollcall server audit verify`
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// A revocation feed (JWS) as a terminal was given it: the log has to hold the record that it names; may be repeated
    #[arg(long, value_name = "FILE")]
    pub feed: Vec<PathBuf>,
}
