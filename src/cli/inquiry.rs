//! What a terminal with a server does beside its readers: it asks about every token, keeps what the server says for the
//! time when it is away, and takes its events there.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{printer::Printer, server::client::connect, station};
use crate::{
    api::event::EventObject,
    config::{Settings, UserSource},
    crypto::ec::Point,
    failure::{ExitClass, Failure},
    pki::PkiDir,
    server_client::ServerClient,
    terminal::admission::{Rules, UserPreference},
    terminal::lookups::{Cache, EventSource, LookupOutcome, LookupQuery, LookupWorker, ServerEvent, WorkerParts},
    terminal::presence::TerminalStore,
    terminal::tap::{Seen, Tapped, terminal::NonceSupply},
};

/// Nonces that are kept for the next taps: of a scan, and of a watch.
const FEW: u16 = 8;
const MANY: u16 = 32;

/// The server, as the commands that tap cards use it.
pub struct LookupService {
    asker: LookupWorker,
    /// What counts when.
    pub rules: Rules,
    cache: Arc<Mutex<Cache>>,
}

impl LookupService {
    /// Starts asking, where there is a server. With `events` it stays: nonces are fetched before the first tap, and the
    /// events of this terminal go to the server. `tell` is called on another thread.
    pub fn start(
        settings: &Settings,
        events: bool,
        tell: impl Fn(ServerEvent) + Send + 'static,
    ) -> Result<Option<Self>, Failure> {
        if settings.server.url.is_none() && settings.source != UserSource::Server {
            return Ok(None);
        }
        let server = connect(settings)?;
        let cas = PkiDir::new(settings.pki_folder()).load_trusted()?;
        let journal = if events { Some(Box::new(EventLog::open(settings)?) as Box<dyn EventSource>) } else { None };
        let equipment = WorkerParts {
            server,
            cache: cache(&settings.state_folder, &cas)?,
            journal,
            nonces: if events { MANY } else { FEW },
            clock: Timestamp::now,
        };
        let asker = LookupWorker::start(equipment, tell).map_err(station::no_thread)?;
        let age = |time: Duration| SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
        let rules = Rules {
            wanted: match settings.source {
                UserSource::Auto => UserPreference::Either,
                UserSource::Card => UserPreference::Card,
                UserSource::Server => UserPreference::Server,
            },
            feed_max_age: age(settings.server.feed_max_age),
            offline_max_age: age(settings.server.offline_max_age),
        };
        Ok(Some(Self { asker, rules, cache: Arc::new(Mutex::new(cache(&settings.state_folder, &cas)?)) }))
    }

    /// The nonces that the server has given.
    pub fn nonces(&self) -> Arc<dyn NonceSupply + Send + Sync> {
        Arc::new(CachedNonces(Arc::clone(&self.cache)))
    }

    /// Asks, and goes on; `reply` is called on another thread.
    pub fn ask(&self, question: LookupQuery, reply: impl FnOnce(LookupOutcome) + Send + 'static) {
        self.asker.ask(question, reply);
    }

    /// Asks, and waits for the answer, which has its time limit.
    pub fn ask_and_wait(&self, tapped: &Tapped) -> Option<LookupOutcome> {
        let (answer, wait) = mpsc::channel();
        self.ask(question(tapped)?, move |answered| drop(answer.send(answered)));
        wait.recv().ok()
    }

    /// Says that there are new events.
    pub fn events(&self) {
        self.asker.events();
    }

    /// From now on with this connection: the certificate of the one before ends.
    pub fn reconnect(&self, server: ServerClient) {
        self.asker.reconnect(server);
    }

    /// Ends after what is due.
    pub fn finish(self) {
        self.asker.finish();
    }
}

/// What the server is asked of a token that has proved who it is; of anything else there is nothing to ask.
pub fn question(tapped: &Tapped) -> Option<LookupQuery> {
    let Ok(Seen::Authenticated(token)) = &tapped.result else { return None };
    Some(LookupQuery { token_id: token.token_id, proof: token.proof.cose.clone(), identity: None })
}

fn cache(home: &Path, cas: &[Point]) -> Result<Cache, Failure> {
    Ok(Cache::open(home, cas)?)
}

/// Tells what happened to the server, for whoever stands there.
pub fn tell(news: &ServerEvent, out: &mut Printer) {
    match news {
        ServerEvent::Back => out.note("the server is back"),
        ServerEvent::Lost(error) | ServerEvent::Alarm(error) => {
            let failure = Failure::from(error.clone());
            let message = match failure.class {
                ExitClass::Unavailable | ExitClass::Busy => {
                    format!("{}; until it is back, what it said last counts", failure.message)
                }
                _ => failure.message,
            };
            out.warning(&format!("{message} ({})", failure.code), failure.hint.as_deref());
        }
    }
}

struct CachedNonces(Arc<Mutex<Cache>>);

impl NonceSupply for CachedNonces {
    fn take(&self) -> Option<[u8; 32]> {
        // A disk that fails costs the freshness of one proof, not the tap.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take_nonce(Timestamp::now()).ok().flatten()
    }
}

/// The events of this terminal, as they go to the server.
struct EventLog {
    store: TerminalStore,
    list: Uuid,
}

impl EventLog {
    fn open(settings: &Settings) -> Result<Self, Failure> {
        let store = station::store(settings)?;
        let list = store.list_id()?;
        Ok(Self { store, list })
    }
}

impl EventSource for EventLog {
    fn list(&self) -> Uuid {
        self.list
    }

    fn after(&mut self, seq: u64, most: usize) -> Result<Vec<(u64, serde_json::Value)>, String> {
        let events = self.store.events_after(seq, most).map_err(|error| error.to_string())?;
        let object = |event: crate::terminal::presence::Event| {
            let seq = event.seq;
            serde_json::to_value(EventObject::from(event)).map(|value| (seq, value)).map_err(|error| error.to_string())
        };
        events.into_iter().map(object).collect()
    }
}

#[cfg(all(test, feature = "server"))]
mod tests {
    use super::*;
    use crate::{api::v1::Problem, server::store::ProofRefusal, server_client::ServerError};

    /// Every refusal of a proof reaches whoever stands there under its own code.
    #[test]
    fn what_the_server_refuses_keeps_its_code() {
        for refusal in ProofRefusal::ALL {
            let code = refusal.code();
            let problem =
                Problem { kind: String::new(), title: "no".into(), status: 409, detail: None, code: code.into() };
            let failure = Failure::from(ServerError::Problem(Box::new(problem)));
            assert_eq!((failure.code, failure.class), (code, ExitClass::Refused));
            assert!(failure.hint.is_some());
        }
    }
}
