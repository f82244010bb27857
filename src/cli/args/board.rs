//! The arguments of `rollcall board`.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::{cli::values::nonempty, terminal::presence::duration};

/// `rollcall board`
#[derive(Debug, Clone, Args)]
pub struct BoardArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: BoardCommand,
}

/// The commands of `rollcall board`.
#[derive(Debug, Clone, Subcommand)]
pub enum BoardCommand {
    /// Make a link to the board for one browser, to be opened once and within an hour
    Link {
        /// How long the browser that opens it may see the board (8h, 30d)
        #[arg(long = "for", value_name = "DURATION", value_parser = duration, default_value = "30d")]
        admits_for: Duration,
        /// Who it is for, for the list of links
        #[arg(long, value_name = "TEXT", value_parser = nonempty)]
        label: Option<String>,
    },
    /// List the links that are valid
    Links,
    /// Revoke a link: the browser that opened it loses the board within ten seconds
    Revoke {
        /// The link, as `links` shows it, or at least its first 4 digits
        id: String,
    },
}
