//! `rollcall server`: runs the background server, and administers one.
//!
//! Only `init`, `run`, `audit`, `backup` and `restore` open the store; the others use `/v1` like any other terminal.

pub mod admin;
pub mod args;
#[cfg(feature = "server")]
mod audit;
#[cfg(feature = "server")]
mod backup;
#[cfg(all(feature = "server", feature = "board"))]
mod board;
#[cfg(feature = "server")]
mod local_store;
#[cfg(feature = "server")]
mod overview;
mod presence;
#[cfg(feature = "server")]
mod run;

use args::{ServerArgs, ServerCommand};
#[cfg(feature = "server")]
pub use local_store::LocalStore;
#[cfg(feature = "server")]
pub use overview::home_probe;

use super::printer::Printer;
use crate::{config::Settings, failure::Failure};

/// A program without the server cannot open a store: if there is one, rotations are refused.
#[cfg(not(feature = "server"))]
pub enum LocalStore {}

#[cfg(not(feature = "server"))]
impl LocalStore {
    /// An existing store is a failure.
    ///
    /// # Errors
    /// That this program has no server in it, if there is a store.
    pub fn find(settings: &crate::config::Settings) -> Result<Option<Self>, Failure> {
        let named = settings.server.store.expose();
        let there = named.strip_prefix("sqlite://").is_none_or(|file| std::path::Path::new(file).exists());
        if there { Err(without_server()) } else { Ok(None) }
    }

    /// Never called.
    ///
    /// # Errors
    /// None: there is no value to call it on.
    pub fn check(&self, _: &crate::pki::PkiDir) -> Result<(), Failure> {
        match *self {}
    }

    /// Never called.
    ///
    /// # Errors
    /// None: there is no value to call it on.
    pub fn recertify(&self, _: &crate::pki::PkiDir, _: crate::pki::ClockCheck, _: &mut Printer) -> Result<(), Failure> {
        match *self {}
    }
}

/// Runs the command.
///
/// # Errors
/// That of the command; for `init`, `run` and `audit`, that this program was built without the server.
pub fn run(args: &ServerArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    match &args.command {
        #[cfg(feature = "server")]
        ServerCommand::Init => run::init(settings, out),
        #[cfg(feature = "server")]
        ServerCommand::Run(args) => run::run(args, settings, out),
        #[cfg(feature = "server")]
        ServerCommand::Audit(args) => audit::run(args, settings, out),
        #[cfg(feature = "server")]
        ServerCommand::Backup(args) => backup::back_up(&args.file, settings, out),
        #[cfg(feature = "server")]
        ServerCommand::Restore(args) => backup::restore(args, settings, out),
        ServerCommand::Presence(args) => presence::presence(args, settings, out),
        ServerCommand::Events(args) => presence::events(args, settings, out),
        ServerCommand::User(args) => admin::user(&args.command, settings, out),
        ServerCommand::Token(args) => admin::token(&args.command, settings, out),
        ServerCommand::Terminal(args) => admin::terminal(&args.command, settings, out),
        #[cfg(not(feature = "server"))]
        ServerCommand::Init
        | ServerCommand::Run(_)
        | ServerCommand::Audit(_)
        | ServerCommand::Backup(_)
        | ServerCommand::Restore(_) => Err(without_server()),
    }
}

#[cfg(not(feature = "server"))]
fn without_server() -> Failure {
    Failure::new(crate::failure::ExitClass::Config, "server.not-built", "this rollcall was built without the server")
        .hint("build it with the feature server, or run the server elsewhere")
}
