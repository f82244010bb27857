//! The arguments of `rollcall proof`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use crate::cli::values::nonce;

/// `rollcall proof`
#[derive(Debug, Clone, Args)]
pub struct ProofArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: ProofCommand,
}

impl ProofArgs {
    /// Whether it needs this terminal's CA.
    pub const fn needs_home(&self) -> bool {
        let ProofCommand::Verify(args) = &self.command;
        args.ca.is_none()
    }
}

/// The commands of `rollcall proof`.
#[derive(Debug, Clone, Subcommand)]
pub enum ProofCommand {
    /// Check presence proofs that scan --proof or token verify gave, and show the result of each check
    Verify(ProofVerifyArgs),
}

/// `rollcall proof verify`
#[derive(Debug, Clone, Args)]
pub struct ProofVerifyArgs {
    /// What scan --proof or token verify printed as JSON, or a COSE_Sign1 message in binary; - is stdin
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// The certificate of the token's identity key, PEM or DER, in place of the one in FILE
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub certificate: Option<PathBuf>,
    /// The certificate of the CA, PEM or DER [default: the CA of this terminal]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub ca: Option<PathBuf>,
    /// The nonce that the proof must have, 64 hex digits
    #[arg(long, value_name = "HEX", value_parser = nonce)]
    pub nonce: Option<[u8; 32]>,
    /// The certificate of the terminal that the token must have spoken to (pki/terminal-ecka.crt there), PEM or DER
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub terminal: Option<PathBuf>,
}
