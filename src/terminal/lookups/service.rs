//! The server as the tapping commands use it: looks up every token, caches the answers, and uploads this terminal's
//! events.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError, mpsc},
};

use jiff::Timestamp;
use uuid::Uuid;

use super::{Cache, EventSource, LookupEvidence, LookupOutcome, LookupQuery, LookupWorker, ServerEvent, WorkerParts};
use crate::{
    api::event::EventObject,
    failure::Failure,
    server_client::ServerClient,
    terminal::{
        context::TerminalContext,
        presence::{TerminalStore, store::TerminalStoreError},
        tap::{
            KeptKey, Seen, Tapped,
            tap_terminal::{NonceSupply, SuppliedNonce},
        },
        thread::no_thread,
    },
    token::open::Evidence,
};

/// The number of nonces to keep for the next taps: for a scan, and for a watch.
const FEW: u16 = 8;
const MANY: u16 = 32;

/// The server, as used by the commands that tap cards.
pub struct LookupService {
    worker: LookupWorker,
    cache: Arc<Mutex<Cache>>,
}

impl LookupService {
    /// Starts the worker for this server, which also uploads this terminal's events. If `stays` (a watch), nonces are
    /// fetched before the first tap. Otherwise (a scan), events are uploaded once [`events`](Self::events) is called or
    /// the server was unreachable; if a watch is running here, it uploads them instead. `tell` is called on another
    /// thread.
    ///
    /// # Errors
    /// When the trusted CAs, the cache or the list cannot be opened; `system.no-thread`.
    pub fn start(
        server: ServerClient,
        context: &TerminalContext,
        stays: bool,
        tell: impl Fn(ServerEvent) + Send + 'static,
    ) -> Result<Self, Failure> {
        let cas = context.pki.load_trusted()?;
        let cache = Cache::open(&context.state_folder, &cas)?;
        let same = cache.again(&context.state_folder)?;
        if let Some(error) = cache.unwritable() {
            tell(ServerEvent::Alarm(error));
        }
        let takes_events = stays || !TerminalStore::is_watched(&context.state_folder);
        let journal = takes_events.then(|| EventLog::open(&context.state_folder)).transpose()?;
        let journal = journal.map(|log| Box::new(log) as Box<dyn EventSource>);
        let nonces = if stays { MANY } else { FEW };
        let parts = WorkerParts { server, cache, journal, nonces, stays, clock: Timestamp::now };
        let worker = LookupWorker::start(parts, tell).map_err(no_thread)?;
        Ok(Self { worker, cache: Arc::new(Mutex::new(same)) })
    }

    /// The supply of nonces from the server.
    pub fn nonces(&self) -> Arc<dyn NonceSupply + Send + Sync> {
        Arc::new(CachedNonces { cache: Arc::clone(&self.cache), unused: Mutex::default() })
    }

    /// Sends a query without waiting; `reply` is called on another thread.
    pub fn ask(&self, query: LookupQuery, reply: impl FnOnce(LookupOutcome) + Send + 'static) {
        self.worker.ask(query, reply);
    }

    /// Sends a query and waits for the answer, which has its own time limit.
    pub fn ask_and_wait(&self, tapped: &Tapped) -> Option<LookupOutcome> {
        let (answer, wait) = mpsc::channel();
        self.ask(LookupQuery::of(tapped)?, move |answered| drop(answer.send(answered)));
        wait.recv().ok()
    }

    /// Signals that there are new events.
    pub fn events(&self) {
        self.worker.events();
    }

    /// Drops users that the server named before this time. If that cannot be written now, a later call does it.
    pub fn prune(&self, before: Timestamp) {
        let _ = self.cache.lock().unwrap_or_else(PoisonError::into_inner).prune(before, Timestamp::now());
    }

    /// Switches to this connection, because the certificate of the previous one expires.
    pub fn reconnect(&self, server: ServerClient) {
        self.worker.reconnect(server);
    }

    /// Ends once the pending work is done.
    pub fn finish(self) {
        self.worker.finish();
    }
}

impl LookupQuery {
    /// The query for an authenticated token; `None` for any other result.
    pub fn of(tapped: &Tapped) -> Option<Self> {
        let Ok(Seen::Authenticated(token)) = &tapped.result else { return None };
        let shown = match &token.evidence {
            Evidence::Proof { proof, .. } => LookupEvidence::Message(proof.cose.clone()),
            Evidence::Resumed { counter } => {
                LookupEvidence::Earlier(tapped.kept.as_ref().map_or(*counter, KeptKey::proved_counter))
            }
        };
        Some(Self { token_id: token.token_id, shown, identity: None })
    }
}

struct CachedNonces {
    cache: Arc<Mutex<Cache>>,
    /// Taken but not shown to any card. Kept only in memory, so a crash loses them and none is used twice.
    unused: Mutex<Vec<SuppliedNonce>>,
}

impl NonceSupply for CachedNonces {
    fn take(&self) -> Option<SuppliedNonce> {
        let now = Timestamp::now();
        let mut unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        unused.retain(|nonce| nonce.use_by > now);
        unused.pop().or_else(|| {
            // A disk failure costs one proof its server nonce, not the tap.
            let taken = self.cache.lock().unwrap_or_else(PoisonError::into_inner).take_nonce(now).ok().flatten();
            taken.map(|(bytes, use_by)| SuppliedNonce { bytes, use_by })
        })
    }

    fn give_back(&self, nonce: SuppliedNonce) {
        self.unused.lock().unwrap_or_else(PoisonError::into_inner).push(nonce);
    }
}

/// The events of this terminal, in the form sent to the server.
struct EventLog {
    store: TerminalStore,
    list: Uuid,
}

impl EventLog {
    fn open(state_folder: &Path) -> Result<Self, TerminalStoreError> {
        let store = TerminalStore::open(state_folder)?;
        let list = store.list_id()?;
        Ok(Self { store, list })
    }
}

impl EventSource for EventLog {
    fn list(&self) -> Uuid {
        self.list
    }

    fn after(&mut self, seq: u64, most: usize) -> Result<Vec<(u64, serde_json::Value)>, String> {
        // If the store cannot be written, there are no new events.
        if self.store.reopen().is_err() {
            return Ok(Vec::new());
        }
        let events = self.store.events_after(seq, most).map_err(|error| error.to_string())?;
        let numbered = events.into_iter().map(|event| {
            let seq = event.seq;
            serde_json::to_value(EventObject::from(event)).map(|value| (seq, value))
        });
        numbered.collect::<Result<_, _>>().map_err(|error| error.to_string())
    }

    fn renumber(&mut self) -> Result<(), String> {
        self.list = self.store.new_list_id().map_err(|error| error.to_string())?;
        Ok(())
    }

    fn delivered(&mut self, first: u64, last: u64) -> Result<(), String> {
        self.store.departures_delivered(first, last).map_err(|error| error.to_string())
    }

    fn is_anybody_here(&mut self) -> bool {
        self.store.list().is_ok_and(|list| list.entries().next().is_some())
    }
}
