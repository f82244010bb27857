//! This terminal's own certificates, renewed while it runs: by the CA where its key lies here, or by the server.
//!
//! [`phase`] decides when; this reads clock and files, and does on a thread what may wait for a server.

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

/// Sees to it that the certificates never end, and that another CA is noticed.
pub struct Renewal {
    context: TerminalContext,
    tell: Arc<dyn Fn(Result<RenewedCertificates, Failure>) + Send + Sync>,
    state: RenewalState,
}

impl Renewal {
    /// Nothing is done yet; where the CA key lies here, certificates that have ended already are renewed first, so that
    /// a terminal that was switched off for a week starts again. `tell` is called on another thread with what comes of
    /// each renewal; its result belongs into [`Self::ended`].
    ///
    /// # Errors
    /// What keeps this terminal's certificates from being loaded: `pki.…`, also `pki.terminal-expired` when they have
    /// ended and cannot be renewed here.
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

    /// Starts a renewal when it is due, on a thread of its own.
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

    /// What is to be done about a tap of a token whose CA is not known here: it may have been moved to the successor of
    /// ours, which is being read, or which the server is asked for.
    pub fn unknown_ca(&mut self) -> RenewalEffect {
        let may_ask = self.context.server.is_some() && !self.context.pki.has_ca_key();
        let ca = ca_file(&self.context.pki);
        self.state.step(RenewalInput::UnknownCa { ca, may_ask }, now()).unwrap_or(RenewalEffect::RefuseTap)
    }

    /// Takes note of what came of it: the time of the certificates that are here now, or that it failed. Says what becomes
    /// of the taps that were held.
    pub fn ended(&mut self, time: Option<RenewalTime>) -> RenewalEffect {
        self.state.step(RenewalInput::Ended(time), now()).unwrap_or(RenewalEffect::RefuseHeld)
    }

    /// When the first of the certificates ends.
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

/// Renews the certificates of this terminal where they end soon, as a watch does, for a command that ends by itself; when
/// they end then. `None` when it is not time yet. Who has loaded the certificate for tokens already says its time.
///
/// # Errors
/// Those of the identity, when it cannot be read; those of the server or of the CA, when the renewal fails.
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

/// The time of the certificates that this terminal needs.
fn time(context: &TerminalContext) -> Result<RenewalTime, PkiError> {
    let tokens = context.pki.load_terminal(Timestamp::now())?.certificate;
    with_server(context, RenewalTime::of(tokens.not_before(), tokens.not_after()))
}

/// That of the certificate for tokens, or of the one for the server, where there is a server.
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
            .hint(Remedy::with("make a new bundle where the CA key lies", ISSUE_TERMINAL)));
    }
    load(context)
}

/// What is here now.
fn load(context: &TerminalContext) -> Result<RenewedCertificates, Failure> {
    let server = context.server.as_ref().map(ServerAccess::connect).transpose()?;
    let credentials = credentials(context.pki.load_terminal(Timestamp::now())?);
    Ok(RenewedCertificates { credentials, server, time: time(context)? })
}

/// Which file the CA certificate is.
fn ca_file(pki: &PkiDir) -> Option<CaFile> {
    let about = std::fs::metadata(pki.folder().join("ca.crt")).ok()?;
    Some((about.ino(), about.mtime_nsec()))
}

fn by_ca(pki: &PkiDir) -> Result<(), PkiError> {
    pki.renew(&server_names(), None, ClockCheck::Enforced, Timestamp::now(), &mut SystemRandom).map(drop)
}
