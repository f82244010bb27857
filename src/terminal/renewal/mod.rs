//! Renews this terminal's own certificates while it runs: by the local CA if its key is here, or through the server.
//!
//! [`phase`] decides when; this module reads clock and files, and runs the actual renewal on a thread, because it may
//! wait for a server.

pub mod phase;

use std::{os::unix::fs::MetadataExt, sync::Arc, thread, time::Instant};

use jiff::Timestamp;

pub use self::phase::RenewalEffect;
use self::phase::{CaFile, Now, RenewalInput, RenewalState, Task};
use crate::{
    crypto::random::SystemRandom,
    failure::{ExitClass, Failure, Remedy},
    pki::{ClockCheck, ISSUE_TERMINAL, PkiDir, PkiError, RenewalTime, server_names},
    terminal::{
        administration::terminals,
        context::{RenewedCertificates, TerminalContext, credentials},
        server_access::ServerAccess,
        thread::no_thread,
    },
};

/// Keeps the certificates from expiring, and notices when the CA is replaced.
pub struct Renewal {
    context: TerminalContext,
    tell: Arc<dyn Fn(Result<RenewedCertificates, Failure>) + Send + Sync>,
    state: RenewalState,
}

impl Renewal {
    /// Prepares renewal without starting one; but where the CA key is here, certificates that have expired are renewed
    /// at once, so that a terminal that was switched off for a week starts again. `tell` is called on another thread
    /// with the result of each renewal, which must be passed to [`Self::ended`].
    ///
    /// # Errors
    /// When this terminal's certificates cannot be loaded: `pki.…`, including `pki.terminal-expired` when they have
    /// expired and cannot be renewed here.
    pub fn prepare(
        context: TerminalContext,
        tell: impl Fn(Result<RenewedCertificates, Failure>) + Send + Sync + 'static,
    ) -> Result<Self, Failure> {
        let time = match time(&context) {
            Err(error @ PkiError::TerminalExpired { .. }) if context.pki.has_ca_key() => {
                by_ca(&context.pki).map_err(|_| Failure::from(error))?;
                time(&context)?
            }
            time => time?,
        };
        let state = RenewalState::new(time, ca_file(&context.pki));
        Ok(Self { context, tell: Arc::new(tell), state })
    }

    /// Starts a renewal when one is due, on a separate thread.
    ///
    /// # Errors
    /// `system.no-thread` when a thread cannot be started.
    pub fn tick(&mut self) -> Result<(), Failure> {
        let ca = ca_file(&self.context.pki);
        match self.state.step(RenewalInput::Tick { ca }, now()) {
            Some(RenewalEffect::Start(task)) => self.start(task),
            _ => Ok(()),
        }
    }

    /// What to do about a tap of a token under an unknown CA: it may have been moved to our CA's successor, which is
    /// being loaded, or which the server has to be asked for.
    pub fn unknown_ca(&mut self) -> RenewalEffect {
        let may_ask = self.context.server.is_some() && !self.context.pki.has_ca_key();
        let ca = ca_file(&self.context.pki);
        self.state.step(RenewalInput::UnknownCa { ca, may_ask }, now()).unwrap_or(RenewalEffect::RefuseTap)
    }

    /// Records the result of a renewal: the validity of the new certificates, or `None` if it failed. Returns what
    /// becomes of the taps that were held.
    pub fn ended(&mut self, time: Option<RenewalTime>) -> RenewalEffect {
        self.state.step(RenewalInput::Ended(time), now()).unwrap_or(RenewalEffect::RefuseHeld)
    }

    /// When the first of the certificates expires.
    pub const fn end(&self) -> Timestamp {
        self.state.end()
    }

    fn start(&self, task: Task) -> Result<(), Failure> {
        let (context, tell) = (self.context.clone(), Arc::clone(&self.tell));
        let work = move || {
            tell(match task {
                Task::Reload => load(&context),
                Task::Renew => renew(&context),
            });
        };
        thread::Builder::new().name("renewal".to_owned()).spawn(work).map_err(no_thread).map(drop)
    }
}

/// Renews this terminal's certificates if they expire soon, as a watch does, for a short-lived command; returns their
/// new end, or `None` when nothing was due. `tokens` is the validity of the certificate for tokens, if already loaded.
///
/// # Errors
/// Errors of loading the identity; those of the server or of the CA when the renewal fails.
pub fn renew_if_due(context: &TerminalContext, tokens: Option<RenewalTime>) -> Result<Option<Timestamp>, Failure> {
    let time = match tokens.map_or_else(|| time(context), |tokens| with_server(context, tokens)) {
        Err(error @ PkiError::TerminalExpired { .. }) if context.pki.has_ca_key() => {
            by_ca(&context.pki).map_err(|_| Failure::from(error))?;
            return Ok(Some(self::time(context)?.end));
        }
        time => time?,
    };
    let may = context.pki.has_ca_key() || context.server.is_some();
    if !may || !time.is_due(Timestamp::now()) {
        return Ok(None);
    }
    renew(context).map(|fresh| Some(fresh.time.end))
}

fn now() -> Now {
    Now { clock: Timestamp::now(), steady: Instant::now() }
}

/// The validity of the certificates that this terminal needs.
fn time(context: &TerminalContext) -> Result<RenewalTime, PkiError> {
    let tokens = context.pki.load_terminal(Timestamp::now())?.certificate;
    with_server(context, RenewalTime::of(tokens.not_before(), tokens.not_after()))
}

/// The validity of the certificate for tokens, or of the one for the server if there is one and it is due first.
fn with_server(context: &TerminalContext, tokens: RenewalTime) -> Result<RenewalTime, PkiError> {
    if context.server.is_none() {
        return Ok(tokens);
    }
    let server = context.pki.load_terminal_tls(Timestamp::now())?.certificate;
    Ok(RenewalTime::of(server.not_before(), server.not_after()).min(tokens))
}

fn renew(context: &TerminalContext) -> Result<RenewedCertificates, Failure> {
    if context.pki.has_ca_key() {
        by_ca(&context.pki)?;
    } else if let Some(server) = &context.server {
        terminals::renew(&server.connect()?, &context.pki)?;
    } else {
        let no = "there is neither the CA key nor a server that could renew this terminal's certificates";
        return Err(Failure::new(ExitClass::Config, "pki.no-renewal", no)
            .hint(Remedy::with("make a new bundle where the CA key is", ISSUE_TERMINAL)));
    }
    load(context)
}

/// Loads the current certificates.
fn load(context: &TerminalContext) -> Result<RenewedCertificates, Failure> {
    let server = context.server.as_ref().map(ServerAccess::connect).transpose()?;
    let credentials = credentials(context.pki.load_terminal(Timestamp::now())?);
    Ok(RenewedCertificates { credentials, server, time: time(context)? })
}

/// Identifies the current CA certificate file.
fn ca_file(pki: &PkiDir) -> Option<CaFile> {
    let about = std::fs::metadata(pki.folder().join("ca.crt")).ok()?;
    Some((about.ino(), about.mtime_nsec()))
}

fn by_ca(pki: &PkiDir) -> Result<(), PkiError> {
    pki.renew(&server_names(), None, ClockCheck::Enforced, Timestamp::now(), &mut SystemRandom).map(drop)
}
