//! This terminal's own certificates, renewed while `watch` runs: by the CA where its key lies here, or by the server.

use std::{
    os::unix::fs::MetadataExt,
    sync::mpsc::Sender,
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{issue, server::client::connect, station, station::Message};
use crate::{
    config::Settings,
    crypto::random::SystemRandom,
    failure::{ExitClass, Failure},
    pki::{ClockCheck, PkiDir, PkiError, server_names},
    server_client::ServerClient,
    token::open::Credentials,
};

/// The pause after a renewal that failed; each further one is twice as long.
const PAUSE: Duration = Duration::from_secs(60);
/// The longest pause: in the three days that are left there is time for seventy.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// How long a token of an unknown CA does not make us ask the server again whether ours has a successor.
const CURIOSITY: Duration = Duration::from_secs(600);

/// Longer than a tap takes that comes to an end.
const TAP: Duration = Duration::from_secs(2);

/// What a renewal has brought.
pub struct Fresh {
    /// The keys for tokens.
    pub credentials: Credentials,
    /// The server, asked under the fresh certificate, where there is one.
    pub server: Option<ServerClient>,
    /// When the first of the certificates ends.
    pub end: Timestamp,
}

impl std::fmt::Debug for Fresh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fresh").field("end", &self.end).finish_non_exhaustive()
    }
}

/// Sees to it that the certificates never end, and that another CA is noticed.
pub struct Renewal {
    settings: Settings,
    messages: Sender<Message>,
    /// When the first of the certificates ends.
    end: Timestamp,
    /// A thread is at it.
    busy: bool,
    /// And reads another CA.
    reading: bool,
    /// When it had read one.
    read: Option<Instant>,
    /// The CA certificate as it was when the keys were loaded: a rotation puts another file there.
    authority: Option<(u64, i64)>,
    /// After a failure: how long to leave it alone, and since when.
    pause: Option<(Duration, Instant)>,
    /// A stranger makes us ask the server, and when one last did.
    curious: bool,
    asked: Option<Instant>,
}

impl Renewal {
    /// Nothing is done yet; where the CA key lies here, certificates that have ended already are renewed first, so that
    /// a terminal that was switched off for a week starts again.
    pub fn prepare(settings: &Settings, messages: Sender<Message>) -> Result<Self, Failure> {
        let home = PkiDir::new(settings.pki_folder());
        let end = match end(settings, &home) {
            Err(error @ PkiError::TerminalExpired { .. }) if home.has_ca_key() => {
                by_ca(&home).map_err(|_| Failure::from(error))?;
                end(settings, &home)?
            }
            end => end?,
        };
        let authority = authority(&home);
        Ok(Self {
            settings: settings.clone(),
            messages,
            end,
            busy: false,
            reading: false,
            read: None,
            authority,
            pause: None,
            curious: false,
            asked: None,
        })
    }

    /// Starts a renewal when it is due. It takes a thread of its own, for it may wait for a server; what comes of it is
    /// a [`Message::Renewed`].
    pub fn look(&mut self, now: Timestamp) -> Result<(), Failure> {
        let paused = self.pause.is_some_and(|(length, since)| since.elapsed() < length);
        let there = authority(&PkiDir::new(self.settings.pki_folder()));
        let another = there.is_some() && there != self.authority;
        if self.busy || paused || !(another || self.curious || station::ends_soon(self.end, now)) {
            return Ok(());
        }
        (self.busy, self.reading, self.authority) = (true, another, there);
        let (settings, messages) = (self.settings.clone(), self.messages.clone());
        let work = move || {
            let done = if another { load(&settings) } else { renew(&settings) };
            drop(messages.send(Message::Renewed(Box::new(done))));
        };
        thread::Builder::new().name("renewal".to_owned()).spawn(work).map_err(station::no_thread).map(drop)
    }

    /// Whether another CA certificate lies here than the one in use; what [`Self::look`] does about it may be under way.
    pub fn is_behind(&self) -> bool {
        let there = authority(&PkiDir::new(self.settings.pki_folder()));
        self.pause.is_none() && there.is_some() && (self.reading || there != self.authority)
    }

    /// A token of a CA that is not known here may have been moved to the successor of ours: the server is asked for fresh
    /// certificates, which bring it, and not again for every stranger. Whether that is under way.
    pub fn ask_about_stranger(&mut self) -> bool {
        let home = PkiDir::new(self.settings.pki_folder());
        let may = self.settings.server.url.is_some() && !home.has_ca_key() && self.pause.is_none();
        if may && !self.curious && self.asked.is_none_or(|since| since.elapsed() >= CURIOSITY) {
            (self.curious, self.asked) = (true, Some(Instant::now()));
        }
        self.curious
    }

    /// Whether it is waited for what the server says.
    pub const fn is_asking(&self) -> bool {
        self.curious
    }

    /// Whether another CA was read so lately that a tap may have been under way with the one before.
    pub fn has_just_read(&self) -> bool {
        self.read.is_some_and(|since| since.elapsed() < TAP)
    }

    /// Takes note of what came of it.
    pub fn done(&mut self, done: &Result<Fresh, Failure>) {
        if std::mem::take(&mut self.reading) {
            self.read = Some(Instant::now());
        }
        (self.busy, self.curious) = (false, false);
        if let Ok(fresh) = done {
            (self.end, self.pause) = (fresh.end, None);
            return;
        }
        let length = self.pause.map_or(PAUSE, |(length, _)| (length * 2).min(PAUSE_MAX));
        self.pause = Some((length, Instant::now()));
    }

    /// When the first of the certificates ends.
    pub const fn end(&self) -> Timestamp {
        self.end
    }
}

/// When the first of the certificates ends that this terminal needs.
fn end(settings: &Settings, home: &PkiDir) -> Result<Timestamp, PkiError> {
    let now = Timestamp::now();
    let tokens = home.load_terminal(now)?.certificate.not_after();
    if settings.server.url.is_none() {
        return Ok(tokens);
    }
    Ok(home.load_terminal_tls(now)?.certificate.not_after().min(tokens))
}

fn renew(settings: &Settings) -> Result<Fresh, Failure> {
    let home = PkiDir::new(settings.pki_folder());
    if home.has_ca_key() {
        by_ca(&home)?;
    } else if settings.server.url.is_some() {
        issue::renew(&connect(settings)?, &home)?;
    } else {
        let no = "there is neither the CA key nor a server that could renew this terminal's certificates";
        return Err(Failure::new(ExitClass::Config, "pki.no-renewal", no)
            .hint("make a new bundle where the CA key lies: rollcall pki issue terminal NAME --out FILE"));
    }
    load(settings)
}

/// What is here now.
fn load(settings: &Settings) -> Result<Fresh, Failure> {
    let home = PkiDir::new(settings.pki_folder());
    let server = settings.server.url.as_ref().map(|_| connect(settings)).transpose()?;
    let credentials = station::credentials(home.load_terminal(Timestamp::now())?);
    Ok(Fresh { credentials, server, end: end(settings, &home)? })
}

/// Which file the CA certificate is.
fn authority(home: &PkiDir) -> Option<(u64, i64)> {
    let about = std::fs::metadata(home.folder().join("ca.crt")).ok()?;
    Some((about.ino(), about.mtime_nsec()))
}

fn by_ca(home: &PkiDir) -> Result<(), PkiError> {
    home.renew(&server_names(), ClockCheck::Enforced, Timestamp::now(), &mut SystemRandom).map(drop)
}
