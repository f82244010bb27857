//! The arguments of `rollcall enroll`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::values::{field, nonempty, set_size, user_id, user_name};
use crate::config::new_file;
use crate::pki::SetId;
use crate::terminal::presence::duration;
use crate::terminal::token_prefix::TokenPrefix;

/// `rollcall enroll`
#[derive(Debug, Clone, Args)]
pub struct EnrollArgs {
    /// Identifier of the user
    #[arg(long, value_parser = user_id, required_unless_present = "from", conflicts_with = "from")]
    pub id: Option<String>,
    /// Name of the user, as it is shown; may be left out where the server knows the user, or without a server this
    /// terminal's register of cards or its history
    #[arg(long, value_parser = user_name, requires = "id", conflicts_with = "from")]
    pub name: Option<String>,
    /// Any further field; may be repeated. What is known of the user stays; KEY= takes a field away
    #[arg(long = "field", value_name = "KEY=VALUE", value_parser = field, conflicts_with = "from")]
    pub fields: Vec<(String, String)>,
    /// Picture to store on the card: JPEG, PNG or WebP, at most 8192 bytes
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, conflicts_with = "from")]
    pub portrait: Option<PathBuf>,
    /// Issue this card for one that was lost, which is refused from now on; name that one, or at least
    /// its first 4 digits, where the user has several
    #[arg(long, value_name = "TOKEN_ID", num_args = 0..=1, require_equals = true, conflicts_with = "from")]
    #[allow(clippy::option_option)] // clap's form of an option that may have a value
    pub replace: Option<Option<TokenPrefix>>,
    /// Make a second card for a user who has one, without asking
    #[arg(long, conflicts_with = "replace")]
    pub second_card: bool,
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
    /// Enroll into a set of K tokens that strangers cannot tell apart, 32 to 256; starts a new set when none of this
    /// size has room
    #[arg(long, value_name = "K", value_parser = set_size(), group = "chosen_set")]
    pub set_size: Option<u16>,
    /// Enroll into this set
    #[arg(long, value_name = "ID", group = "chosen_set")]
    pub set: Option<SetId>,
    /// Accept a card that can be recognised by its UID, serial numbers or the like
    #[arg(long, requires = "chosen_set")]
    pub accept_trackable: bool,
}

/// `rollcall enroll --from`
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Many cards")]
pub struct BatchArgs {
    /// Enroll a card for every row of this CSV file: columns id, name, portrait (the path of a picture), and any others;
    /// - is stdin, and needs --journal
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, requires_if("-", "journal"))]
    pub from: Option<PathBuf>,
    /// Records which card each row went to; the same command resumes from there [default: FILE.journal]
    #[arg(long, value_name = "FILE", requires = "from", value_hint = clap::ValueHint::FilePath, value_parser = new_file())]
    pub journal: Option<PathBuf>,
    /// Show what would be done, and touch no card; with --from: check the file and the journal, and show what is left
    #[arg(long)]
    pub dry_run: bool,
    /// Stop after this many failures in a row
    #[arg(long, value_name = "N", requires = "from", default_value = "5", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_failures: u32,
    /// Stop when no card comes for this long (500ms, 5s, 2m, 8h)
    #[arg(long, value_name = "DURATION", requires = "from", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// Give cards to the row of this id only; may be repeated
    #[arg(long, value_name = "ID", requires = "from", value_parser = nonempty)]
    pub only: Vec<String>,
    /// Give up the cards that were begun and not finished: their rows are free again, and with a server their tokens are
    /// revoked. Also forget what the file does not have any more: its tokens stay as they are
    #[arg(long, requires = "from", conflicts_with = "dry_run")]
    pub abandon: bool,
}
