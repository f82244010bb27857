//! The arguments of `rollcall pki`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::server::args::RoleWord;
use crate::cli::values::server_name;
use crate::config::new_file;
use crate::crypto::x509::ServerName;
use crate::pki::{CertificateDays, SetId};

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
    Init {
        /// For how many days certificates that are made now are valid: 1 to 366, and no longer than the CA [default: terminal 7, server 90]
        #[arg(long, value_name = "N")]
        days: Option<CertificateDays>,
    },
    /// Renew this terminal's certificates, where the CA key is or through the server
    Renew {
        /// For how many days the new certificates are valid: 1 to 366, and no longer than the CA [default: as long as those before]
        #[arg(long, value_name = "N")]
        days: Option<CertificateDays>,
    },
    /// Begin to rotate the CA: a new one is made here, and the old one is trusted until every token has been moved
    RotateCa {
        /// End the rotation: the old CA is no longer trusted, and tokens that were not moved are refused
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
    /// Set up this terminal from a file made by rollcall server terminal add or rollcall pki issue terminal
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
        /// For how many days its certificates are valid, also after it renews them: 1 to 366, and no longer than the CA [default: 7]
        #[arg(long, value_name = "N")]
        days: Option<CertificateDays>,
        /// The file for rollcall pki import
        #[arg(long, value_name = "BUNDLE", value_parser = new_file())]
        out: PathBuf,
    },
    /// The TLS certificate of the server here, for the names under which it is reached
    Server {
        /// A DNS name or an address; may be repeated [default: localhost and the host name]
        #[arg(long = "name", value_name = "NAME", value_parser = server_name)]
        names: Vec<ServerName>,
        /// For how many days it is valid: 1 to 366, and no longer than the CA [default: as long as the one before, or 90]
        #[arg(long, value_name = "N")]
        days: Option<CertificateDays>,
    },
}
