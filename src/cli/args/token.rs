//! The arguments of `rollcall token`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::UserPatchArgs;
use crate::cli::values::nonempty;
use crate::pki::SetId;
use crate::terminal::presence::duration;

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
    /// List the cards that were issued at this terminal, and what became of them
    List(TokenListArgs),
    /// Show what the card says about itself
    Info,
    /// Authenticate the card, and check its signature
    Verify(TokenVerifyArgs),
    /// Change those parts of the card's user information that you name; the rest stays as the server, or else the card,
    /// has it
    Write(TokenWriteArgs),
    /// Block the token; it can be unblocked
    Block(TokenChangeArgs),
    /// Unblock a blocked token
    Unblock(TokenChangeArgs),
    /// Move the token to the CA that rollcall pki rotate-ca has made, or give it a new set key; or all tokens one by one
    Rotate(TokenRotateArgs),
    /// Destroy the token's keys: it can never be used again
    Terminate(TokenChangeArgs),
}

/// `rollcall token list`
#[derive(Debug, Clone, Args)]
pub struct TokenListArgs {
    /// Only those of this user: id or name
    #[arg(long, value_parser = nonempty)]
    pub user: Option<String>,
}

/// `rollcall token verify`
#[derive(Debug, Clone, Args)]
pub struct TokenVerifyArgs {
    /// Write the picture on the card to this file, which must not exist yet
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub portrait: Option<PathBuf>,
}

/// `rollcall token block`, `unblock` and `terminate`
#[derive(Debug, Clone, Args)]
pub struct TokenChangeArgs {
    /// Show what would be done, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `rollcall token rotate`
#[derive(Debug, Clone, Args)]
pub struct TokenRotateArgs {
    /// Every card that is placed on a reader, until no token is left; run it again to resume
    #[arg(long)]
    pub all: bool,
    /// Give tokens of this set the key that rollcall pki rotate-set has made
    #[arg(long, value_name = "ID")]
    pub set: Option<SetId>,
    /// Show what would be done, and change nothing; with --all: which tokens are left
    #[arg(long)]
    pub dry_run: bool,
    /// Stop after this many failures in a row
    #[arg(long, value_name = "N", requires = "all", default_value = "5", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_failures: u32,
    /// Stop when no card comes for this long (500ms, 5s, 2m, 8h)
    #[arg(long, value_name = "DURATION", requires = "all", value_parser = duration)]
    pub timeout: Option<Duration>,
}

/// `rollcall token write`
#[derive(Debug, Clone, Args)]
pub struct TokenWriteArgs {
    /// What is to change about whose token it is
    #[command(flatten)]
    pub user: UserPatchArgs,
    /// Show what would be done, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}
