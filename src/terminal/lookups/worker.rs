//! A thread that asks the server, so that nobody else waits for the network.
//!
//! Questions are answered in the order in which they come. When nobody waits, it fetches the feed, fetches nonces for the
//! next taps of a command that stays, and takes events to the server. A server that is away is left alone for a while, longer each time: meanwhile
//! every query is answered at once with what went wrong, and with what is kept.

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

/// The first pause after a failure; each further one is twice as long.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How often the feed is fetched.
const FEED_EVERY: Duration = Duration::from_secs(60);
/// How often a command that stays fetches it while somebody is here: without news it is one signature and three short reads for
/// the server.
const FEED_SOON: Duration = Duration::from_secs(2);
/// How long a command that does not stay takes its events to the server at its end.
const LINGER: Duration = Duration::from_secs(3);
/// Most bytes of the events of one batch: an eighth of the body stays for what is around them.
const BATCH_BYTES: usize = crate::api::v1::BODY_MAX / 8 * 7;

/// A token that has proved who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupQuery {
    /// Its id.
    pub token_id: Uuid,
    /// How it did so.
    pub shown: LookupEvidence,
    /// Its identity certificate, DER, where it is known.
    pub identity: Option<Vec<u8>>,
}

/// What a token has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupEvidence {
    /// A presence proof, as `COSE_Sign1`.
    Message(Vec<u8>),
    /// That it holds the key of an earlier tap, whose proof had this use counter.
    Earlier(u32),
}

/// What the server said, and what is kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupOutcome {
    /// The answer, or why there is none.
    pub said: Result<Lookup, ServerError>,
    /// What was said before.
    pub kept: CachedToken,
    /// How long the request took; `None` when the server was not asked.
    pub took: Option<Duration>,
}

/// What whoever runs the terminal is to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerEvent {
    /// The server cannot be used; told once, until it is back.
    Lost(ServerError),
    /// It is back.
    Back,
    /// Something is wrong that lasts.
    Alarm(ServerError),
    /// What is kept of the server can be written again.
    CacheBack,
    /// These tokens are not let in; told at the start, and when they or who is here may have changed, and only where there are any.
    NotActive(Vec<Uuid>),
}

/// Events that are to come to the server.
pub trait EventSource: Send {
    /// The list that numbers them.
    fn list(&self) -> Uuid;
    /// At most `most` events after a number, each with its own, in order.
    ///
    /// # Errors
    /// In words, why the list cannot be read.
    fn after(&mut self, seq: u64, most: usize) -> Result<Vec<(u64, serde_json::Value)>, String>;
    /// Numbers them in a new list from now on.
    ///
    /// # Errors
    /// In words, why the list cannot be written.
    fn renumber(&mut self) -> Result<(), String>;
    /// The server has the events between these numbers, both included.
    ///
    /// # Errors
    /// In words, why the list cannot be written.
    fn delivered(&mut self, first: u64, last: u64) -> Result<(), String>;
    /// Whether anybody is on the list; what cannot be read is nobody.
    fn is_anybody_here(&mut self) -> bool;
}

/// What a worker works with.
pub struct WorkerParts {
    /// Whom it asks.
    pub server: ServerClient,
    /// What is kept.
    pub cache: Cache,
    /// The events to take there, if any.
    pub journal: Option<Box<dyn EventSource>>,
    /// How many nonces to keep for the next taps.
    pub nonces: u16,
    /// Whether it stays and taps again and again: then nonces are fetched before the first tap, and what is there already is
    /// taken to the server at once.
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

/// The handle of the thread.
#[derive(Debug)]
pub struct LookupWorker {
    requests: Sender<WorkerRequest>,
    thread: JoinHandle<()>,
}

impl LookupWorker {
    /// Starts the thread. `report` is called on it.
    ///
    /// # Errors
    /// What the system says when the thread cannot be started.
    pub fn start(parts: WorkerParts, report: impl Fn(ServerEvent) + Send + 'static) -> io::Result<Self> {
        let (requests, inbox) = mpsc::channel();
        let mut state = WorkerState::new(parts, Box::new(report));
        let thread = thread::Builder::new().name("server".to_owned()).spawn(move || state.serve(&inbox))?;
        Ok(Self { requests, thread })
    }

    /// Asks about a token. `reply` is called on the thread, once.
    pub fn ask(&self, query: LookupQuery, reply: impl FnOnce(LookupOutcome) + Send + 'static) {
        let _ = self.requests.send(WorkerRequest::Ask(Box::new(query), Box::new(reply)));
    }

    /// Says that there are new events.
    pub fn events(&self) {
        let _ = self.requests.send(WorkerRequest::Events);
    }

    /// Asks this server from now on: the same, under a fresh certificate.
    pub fn reconnect(&self, server: ServerClient) {
        let _ = self.requests.send(WorkerRequest::Reconnect(Box::new(server)));
    }

    /// Ends the thread after what is due: at most one request to a server that is away.
    pub fn finish(self) {
        drop(self.requests);
        let _ = self.thread.join();
    }
}

/// After a failure: what it was, and how long the server is left alone.
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
    /// The last alarm, so that it is told once.
    alarm: Option<ServerError>,
    /// Why the cache cannot be written for now; told once, until it can.
    unwritable: Option<ServerError>,
    /// How often the server's log was exchanged for another.
    exchanges: u64,
    /// Whether the log that the server has now knows what this terminal holds.
    witnessed: bool,
    /// The version of the feed whose refused tokens were told last.
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
                // What it refused it may have refused for the old certificate.
                if let Some(pause) = &mut self.pause {
                    pause.until = Instant::now();
                }
            }
        }
    }

    /// The next thing that is due, while nobody asks; `false` when there is none.
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

    /// When the feed is due that follows one that is fetched now: who is refused is to leave the list at once.
    fn next_feed(&mut self) -> Instant {
        let here = |journal: &mut Box<dyn EventSource>| journal.is_anybody_here();
        let is_soon = self.parts.stays && self.parts.journal.as_mut().is_some_and(here);
        Instant::now() + if is_soon { FEED_SOON } else { FEED_EVERY }
    }

    /// When the next chore is due.
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
            // A kept connection may have died meanwhile, and with it an answer. Once more without the proof: if the
            // server has taken it, it would call it replayed, and nobody is to be refused for our own repetition.
            said = self.parts.server.lookup(&LookupRequest { proof: None, identity_certificate: None, ..request });
        } else if is_replayed(&said) {
            // The card has just signed this nonce, so it is the nonce that is old: this terminal was restored from a
            // backup, and gave it away before. Nobody is to be refused for that; fresh ones come with the answer.
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
            // A disk that is full is no reason to turn somebody away.
            Err(error @ ServerError::Cache(_)) => self.alarm(error),
            Err(error) => return self.note_request(Err(error)),
            Ok(()) => self.cache_written(),
        }
        if said.status != crate::api::v1::TokenStatus::Active {
            self.feed_due = Instant::now(); // it knows this, too
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

    /// Takes one batch there; `true` when there may be more.
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
        // One that is too long by itself goes alone: the server says so, and that is told.
        let fitting = fits.count().max(1);
        events.truncate(fitting);
        let Some(&(newest, _)) = events.last() else { return Ok(false) };
        let batch = EventBatch { list, events: events.into_iter().map(|(_, event)| event).collect() };
        if let Some(first) = server.events(&batch)?.conflict {
            // This terminal was restored from a backup, and numbers events that are there already a second time.
            journal.renumber().map_err(|text| ServerError::Cache(text.into()))?;
            cache.set_uploaded(journal.list(), first.saturating_sub(1).min(newest))?;
            return Ok(true);
        }
        // Killed before this is noted, the batch goes once more: the server knows each event by its number.
        journal.delivered(uploaded.saturating_add(1), newest).map_err(|text| ServerError::Cache(text.into()))?;
        cache.set_uploaded(list, newest)?;
        Ok(true)
    }

    /// What came of a chore: nobody waits for it, so what the server objects to is told here.
    fn note_chore<T>(&mut self, done: Result<T, ServerError>) {
        if let Err(error @ ServerError::Problem(_)) = self.note_request(done).map(drop) {
            self.alarm(error);
        }
    }

    /// Learns from what came of a request whether the server is there.
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
        // Whatever was due is due when it is back.
        self.feed_due = Instant::now();
        self.upload = self.parts.journal.is_some();
        self.prefetch = self.parts.stays;
    }

    fn alarm(&mut self, error: ServerError) {
        use CacheCause::{Full, Locked, ReadOnly};
        let last = if let ServerError::Cache(CacheFault { cause: Full | Locked | ReadOnly, .. }) = error {
            // The next feed finds out whether it can be written again.
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

    /// The cache took what was to be written; what it did not take meanwhile is due.
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
