//! The thread that talks to the server, so that nobody else waits for the network.
//!
//! Queries are answered in order of arrival. When none is waiting, the thread fetches the feed, fetches nonces for the
//! next taps of a long-running command, and uploads events. After a failure it leaves the server alone for a while,
//! longer each time; meanwhile every query is answered immediately with the error and the cached data.

mod feed;

use std::{
    io,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use uuid::Uuid;

use super::{Cache, CachedToken};
use crate::api::{
    problem::ProblemCode,
    v1::{EVENTS_MAX, EventBatch, Lookup, LookupRequest, Problem},
};
use crate::server_client::{CacheCause, CacheFault, ServerClient, ServerError};

/// The first pause after a failure; it doubles with each further one.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How often the feed is fetched.
const FEED_EVERY: Duration = Duration::from_secs(60);
/// How often a long-running command fetches the feed while somebody is present: without news this costs the server one
/// signature and three short reads.
const FEED_SOON: Duration = Duration::from_secs(2);
/// How long a short-lived command goes on uploading its events when it ends.
const LINGER: Duration = Duration::from_secs(3);
/// The maximum size of the events in one batch, in bytes: an eighth of the body is left for the rest.
const BATCH_BYTES: usize = crate::api::v1::BODY_MAX / 8 * 7;

/// A query about an authenticated token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupQuery {
    /// Its id.
    pub token_id: Uuid,
    /// What it has shown.
    pub shown: LookupEvidence,
    /// Its identity certificate, DER, if known.
    pub identity: Option<Vec<u8>>,
}

/// What a token has shown to authenticate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupEvidence {
    /// A presence proof, as `COSE_Sign1`.
    Message(Vec<u8>),
    /// Possession of the key of an earlier tap, whose proof had this use counter.
    Earlier(u32),
}

/// The server's answer, and the cached data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupOutcome {
    /// The answer, or the error.
    pub said: Result<Lookup, ServerError>,
    /// The cached data.
    pub kept: CachedToken,
    /// How long the request took; `None` when the server was not asked.
    pub took: Option<Duration>,
}

/// Something that the operator of the terminal should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerEvent {
    /// The server cannot be used; reported once, until it is back.
    Lost(ServerError),
    /// The server is back.
    Back,
    /// A lasting problem.
    Alarm(ServerError),
    /// The cache can be written again.
    CacheBack,
    /// These tokens are refused; reported at the start and whenever they or the present users may have changed, unless
    /// empty.
    NotActive(Vec<Uuid>),
}

/// The source of the events to upload.
pub trait EventSource: Send {
    /// The list that numbers them.
    fn list(&self) -> Uuid;
    /// At most `most` events after this number, each with its own number, in order.
    ///
    /// # Errors
    /// The reason, in words, when the list cannot be read.
    fn after(&mut self, seq: u64, most: usize) -> Result<Vec<(u64, serde_json::Value)>, String>;
    /// From now on, numbers the events in a new list.
    ///
    /// # Errors
    /// The reason, in words, when the list cannot be written.
    fn renumber(&mut self) -> Result<(), String>;
    /// Records that the server has the events between these numbers, both included.
    ///
    /// # Errors
    /// The reason, in words, when the list cannot be written.
    fn delivered(&mut self, first: u64, last: u64) -> Result<(), String>;
    /// Whether anybody is on the list; false when it cannot be read.
    fn is_anybody_here(&mut self) -> bool;
}

/// What a worker needs.
pub struct WorkerParts {
    /// The server to query.
    pub server: ServerClient,
    /// The cache.
    pub cache: Cache,
    /// The events to upload, if any.
    pub journal: Option<Box<dyn EventSource>>,
    /// How many nonces to keep for the next taps.
    pub nonces: u16,
    /// Whether the command is long-running: then nonces are fetched before the first tap, and existing events are
    /// uploaded at once.
    pub stays: bool,
    /// The clock.
    pub clock: fn() -> Timestamp,
}

type ReplyFn = Box<dyn FnOnce(LookupOutcome) + Send>;

enum WorkerRequest {
    Ask(Box<LookupQuery>, ReplyFn),
    Events,
    Reconnect(Box<ServerClient>),
}

/// The handle of the worker thread.
#[derive(Debug)]
pub struct LookupWorker {
    requests: Sender<WorkerRequest>,
    thread: JoinHandle<()>,
}

impl LookupWorker {
    /// Starts the thread. `report` is called on it.
    ///
    /// # Errors
    /// The error of the system when the thread cannot be started.
    pub fn start(parts: WorkerParts, report: impl Fn(ServerEvent) + Send + 'static) -> io::Result<Self> {
        let (requests, inbox) = mpsc::channel();
        let mut state = WorkerState::new(parts, Box::new(report));
        let thread = thread::Builder::new().name("server".to_owned()).spawn(move || state.serve(&inbox))?;
        Ok(Self { requests, thread })
    }

    /// Sends a query about a token. `reply` is called on the worker thread, once.
    pub fn ask(&self, query: LookupQuery, reply: impl FnOnce(LookupOutcome) + Send + 'static) {
        let _ = self.requests.send(WorkerRequest::Ask(Box::new(query), Box::new(reply)));
    }

    /// Signals that there are new events.
    pub fn events(&self) {
        let _ = self.requests.send(WorkerRequest::Events);
    }

    /// Switches to this client: the same server under a new certificate.
    pub fn reconnect(&self, server: ServerClient) {
        let _ = self.requests.send(WorkerRequest::Reconnect(Box::new(server)));
    }

    /// Ends the thread once the pending work is done: at most one more request to an unreachable server.
    pub fn finish(self) {
        drop(self.requests);
        let _ = self.thread.join();
    }
}

/// The pause after a failure: the error, and how long the server is left alone.
struct Pause {
    error: ServerError,
    length: Duration,
    until: Instant,
}

struct WorkerState {
    parts: WorkerParts,
    report: Box<dyn Fn(ServerEvent) + Send>,
    pause: Option<Pause>,
    feed_due: Instant,
    upload: bool,
    prefetch: bool,
    /// The last alarm, so that it is reported once.
    alarm: Option<ServerError>,
    /// Why the cache cannot be written at the moment; reported once, until it can.
    unwritable: Option<ServerError>,
    /// How often the server's log was replaced by another.
    exchanges: u64,
    /// Whether the server's current log has received what this terminal holds.
    witnessed: bool,
    /// The version of the feed whose refused tokens were reported last.
    told: Option<u64>,
}

impl WorkerState {
    fn new(parts: WorkerParts, report: Box<dyn Fn(ServerEvent) + Send>) -> Self {
        let upload = parts.stays && parts.journal.is_some();
        Self {
            prefetch: parts.stays,
            exchanges: parts.cache.exchanges().unwrap_or_default(),
            parts,
            report,
            pause: None,
            feed_due: Instant::now(),
            upload,
            alarm: None,
            unwritable: None,
            witnessed: false,
            told: None,
        }
    }

    fn serve(&mut self, inbox: &Receiver<WorkerRequest>) {
        loop {
            match inbox.try_recv() {
                Ok(request) => self.handle(request),
                Err(TryRecvError::Empty) if self.chore() => {}
                Err(TryRecvError::Empty) => match inbox.recv_timeout(self.until_due()) {
                    Ok(request) => self.handle(request),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return self.end(),
                },
                Err(TryRecvError::Disconnected) => return self.end(),
            }
        }
    }

    fn end(&mut self) {
        let limit = Instant::now() + LINGER;
        while (self.parts.stays || Instant::now() < limit) && self.chore() {}
    }

    fn handle(&mut self, request: WorkerRequest) {
        match request {
            WorkerRequest::Ask(query, reply) => reply(self.ask(&query)),
            WorkerRequest::Events => {
                self.upload = self.parts.journal.is_some();
                self.told = None;
                self.feed_due = self.feed_due.min(self.next_feed());
            }
            WorkerRequest::Reconnect(server) => {
                self.parts.cache.trust(server.trusted());
                self.parts.server = *server;
                // The server may have refused because of the old certificate.
                if let Some(pause) = &mut self.pause {
                    pause.until = Instant::now();
                }
            }
        }
    }

    /// Does the next due task while no query is waiting; `false` when there is none.
    fn chore(&mut self) -> bool {
        if self.paused().is_some() {
            return false;
        }
        if self.feed_due <= Instant::now() {
            self.feed_due = self.next_feed();
            let done = self.fetch_feed();
            self.note_chore(done);
        } else if std::mem::take(&mut self.prefetch) {
            let done = self.fetch_nonces();
            self.note_chore(done);
        } else if std::mem::take(&mut self.upload) {
            let done = self.upload_batch();
            self.upload = matches!(done, Ok(true));
            self.note_chore(done);
        } else {
            return false;
        }
        true
    }

    /// When the feed after the current one is due: soon while somebody is present, so that a refused token leaves the
    /// list.
    fn next_feed(&mut self) -> Instant {
        let here = |journal: &mut Box<dyn EventSource>| journal.is_anybody_here();
        let is_soon = self.parts.stays && self.parts.journal.as_mut().is_some_and(here);
        Instant::now() + if is_soon { FEED_SOON } else { FEED_EVERY }
    }

    /// The time until the next task is due.
    fn until_due(&self) -> Duration {
        let due = self.pause.as_ref().map_or(self.feed_due, |pause| pause.until.max(self.feed_due));
        due.saturating_duration_since(Instant::now())
    }

    fn paused(&self) -> Option<&ServerError> {
        self.pause.as_ref().filter(|pause| pause.until > Instant::now()).map(|pause| &pause.error)
    }

    fn ask(&mut self, query: &LookupQuery) -> LookupOutcome {
        let away = self.paused().cloned();
        let start = Instant::now();
        let (said, took) = match away {
            Some(error) => (Err(error), None),
            None => (self.lookup(query), Some(start.elapsed())),
        };
        let kept = self.parts.cache.recall(query.token_id, (self.parts.clock)());
        let kept = kept.unwrap_or_else(|error| {
            self.alarm(error);
            CachedToken::default()
        });
        LookupOutcome { said, kept, took }
    }

    fn lookup(&mut self, query: &LookupQuery) -> Result<Lookup, ServerError> {
        let (proof, resumed) = match &query.shown {
            LookupEvidence::Message(proof) => (Some(BASE64_URL_SAFE_NO_PAD.encode(proof)), None),
            LookupEvidence::Earlier(counter) => (None, Some(*counter)),
        };
        let request = LookupRequest {
            token_id: query.token_id,
            proof,
            resumed,
            identity_certificate: query.identity.as_ref().map(|der| BASE64_URL_SAFE_NO_PAD.encode(der)),
            nonces: self.missing(),
        };
        let mut said = self.parts.server.lookup(&request);
        if let Err(ServerError::Unreachable(_)) = said {
            // A kept-alive connection may have died, and the answer with it. Retry without the proof: if the server
            // received it, it would reject it as replayed, and nobody may be refused because of our own repetition.
            said = self.parts.server.lookup(&LookupRequest { proof: None, identity_certificate: None, ..request });
        } else if is_replayed(&said) {
            // The card has just signed this nonce, so the nonce itself is old: this terminal was restored from a backup
            // and had used it before. Nobody may be refused for that; the answer brings fresh nonces.
            if let Err(error) = self.parts.cache.drop_nonces() {
                self.alarm(error);
            }
            let nonces = self.missing();
            let bare = LookupRequest { proof: None, identity_certificate: None, nonces, ..request };
            said = self.parts.server.lookup(&bare);
        }
        let said = self.note_request(said)?;
        let said = self.confirmed(said)?;
        let kept = self.parts.cache.keep_nonces(&said.nonces).and_then(|()| self.parts.cache.remember(&said));
        match kept {
            // A full disk is no reason to refuse somebody.
            Err(error @ ServerError::Cache(_)) => self.alarm(error),
            Err(error) => return self.note_request(Err(error)),
            Ok(()) => self.cache_written(),
        }
        if said.status != crate::api::v1::TokenStatus::Active {
            self.feed_due = Instant::now(); // the feed has this status too
            self.told = None;
        }
        Ok(said)
    }

    fn missing(&self) -> u16 {
        let missing = self.parts.cache.missing_nonces((self.parts.clock)()).unwrap_or(0);
        let kept = crate::api::v1::NONCES_MAX.saturating_sub(missing);
        self.parts.nonces.saturating_sub(kept)
    }

    fn fetch_nonces(&mut self) -> Result<(), ServerError> {
        match self.missing() {
            0 => Ok(()),
            missing => self.parts.cache.keep_nonces(&self.parts.server.nonces(missing)?.nonces),
        }
    }

    /// Uploads one batch; `true` when there may be more.
    fn upload_batch(&mut self) -> Result<bool, ServerError> {
        let WorkerParts { server, cache, journal, .. } = &mut self.parts;
        let Some(journal) = journal else { return Ok(false) };
        let list = journal.list();
        let uploaded = cache.uploaded(list)?;
        let mut events = journal.after(uploaded, EVENTS_MAX).map_err(|text| ServerError::Cache(text.into()))?;
        let mut room = BATCH_BYTES;
        let fits = events.iter().take_while(|(_, event)| {
            let length = event.to_string().len() + 1;
            let fits = length <= room;
            room = room.saturating_sub(length);
            fits
        });
        // An event that exceeds the limit by itself is sent alone: the server refuses it, and that is reported.
        let fitting = fits.count().max(1);
        events.truncate(fitting);
        let Some(&(newest, _)) = events.last() else { return Ok(false) };
        let batch = EventBatch { list, events: events.into_iter().map(|(_, event)| event).collect() };
        if let Some(first) = server.events(&batch)?.conflict {
            // This terminal was restored from a backup, and reuses event numbers that the server already has.
            journal.renumber().map_err(|text| ServerError::Cache(text.into()))?;
            cache.set_uploaded(journal.list(), first.saturating_sub(1).min(newest))?;
            return Ok(true);
        }
        // If the process is killed before this is recorded, the batch is sent again: the server knows each event by its
        // number.
        journal.delivered(uploaded.saturating_add(1), newest).map_err(|text| ServerError::Cache(text.into()))?;
        cache.set_uploaded(list, newest)?;
        Ok(true)
    }

    /// Records the result of a background task: nobody waits for it, so a refusal by the server is reported here.
    fn note_chore<T>(&mut self, done: Result<T, ServerError>) {
        if let Err(error @ ServerError::Problem(_)) = self.note_request(done).map(drop) {
            self.alarm(error);
        }
    }

    /// Learns from the result of a request whether the server is reachable.
    fn note_request<T>(&mut self, done: Result<T, ServerError>) -> Result<T, ServerError> {
        match &done {
            Err(error @ (ServerError::Cache(_) | ServerError::RolledBack { .. } | ServerError::Local(_))) => {
                self.alarm(error.clone());
            }
            Ok(_) | Err(ServerError::Problem(_)) => {
                if self.pause.take().is_some() {
                    (self.report)(ServerEvent::Back);
                }
            }
            Err(error) => self.lost(error.clone()),
        }
        done
    }

    fn lost(&mut self, error: ServerError) {
        let length = self.pause.as_ref().map_or(PAUSE, |pause| (pause.length * 2).min(PAUSE_MAX));
        if self.pause.is_none() {
            (self.report)(ServerEvent::Lost(error.clone()));
        }
        self.pause = Some(Pause { error, length, until: Instant::now() + length });
        // Everything is due as soon as the server is back.
        self.feed_due = Instant::now();
        self.upload = self.parts.journal.is_some();
        self.prefetch = self.parts.stays;
    }

    fn alarm(&mut self, error: ServerError) {
        use CacheCause::{Full, Locked, ReadOnly};
        let last = if let ServerError::Cache(CacheFault { cause: Full | Locked | ReadOnly, .. }) = error {
            // The next feed checks whether it can be written again.
            self.feed_due = self.feed_due.min(Instant::now() + FEED_SOON);
            &mut self.unwritable
        } else {
            &mut self.alarm
        };
        if last.as_ref() != Some(&error) {
            (self.report)(ServerEvent::Alarm(error.clone()));
        }
        *last = Some(error);
    }

    /// The cache accepted a write; what could not be written in the meantime is due.
    fn cache_written(&mut self) {
        if self.unwritable.take().is_some() {
            (self.report)(ServerEvent::CacheBack);
            self.upload = self.parts.journal.is_some();
            self.prefetch = self.parts.stays;
        }
    }
}

fn is_replayed(said: &Result<Lookup, ServerError>) -> bool {
    let problem = said.as_ref().err().and_then(ServerError::problem);
    problem.and_then(Problem::known_code) == Some(ProblemCode::ProofReplayed)
}
