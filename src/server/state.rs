//! What all requests share: the store, the CA, the signing key, and the batchers.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use super::{
    RunError, ServerLog, ServerOptions,
    follow::{Follower, PresenceNews},
    heard::HeardTerminals,
    identity_batcher::IdentityBatcher,
    lookup_batcher::LookupBatcher,
    metrics::Metrics,
    past_presence::PastPresence,
    problem::ApiError,
    readiness::Readiness,
    signer::Signer,
    store::{ServerStore, ServerStoreError},
    verified_certificates::VerifiedCertificates,
};
use crate::{
    api::v1::Nonce,
    crypto::{
        CryptoError,
        ec::Point,
        random::{self, SystemRandom},
    },
    pki::{Ca, ClockCheck, PkiDir, PkiError},
    rates::Rates,
};

/// How often old records are deleted.
const SWEEP: Duration = Duration::from_secs(3600);
/// How often the server checks whether an unavailable store is back.
pub const AWAY: Duration = Duration::from_secs(2);
/// How often the times of the terminals' last requests are stored.
const HEARD: Duration = Duration::from_secs(10);

/// What all requests share.
pub struct AppState {
    pub store: ServerStore,
    pub lookups: LookupBatcher,
    pub signer: Signer,
    /// The CA, and the previous one while it is rotated out.
    pub authorities: Vec<Point>,
    /// The certificates already found to be signed by them.
    pub certificates: VerifiedCertificates,
    pub identities: IdentityBatcher,
    pub rates: Rates,
    /// How long after its proof a channel may be resumed; `None` for never.
    pub resume_max_age: Option<Duration>,
    pub metrics: Metrics,
    pub log: Arc<dyn ServerLog>,
    pub clock: fn() -> Timestamp,
    pub heard: Arc<HeardTerminals>,
    /// Who was present at the past time last asked for.
    pub past: PastPresence,
    /// What the follower has to show; `None` without an audience.
    pub news: Option<Arc<PresenceNews>>,
    home: PkiDir,
    cas: Arc<Mutex<Cas>>,
    sweeper: tokio::task::AbortHandle,
    watcher: tokio::task::AbortHandle,
    noter: tokio::task::AbortHandle,
    follower: Option<tokio::task::AbortHandle>,
    readiness: Readiness,
}

/// The CAs that sign certificates.
pub struct Cas {
    /// The CA.
    pub ca: Ca,
    /// The previous one while it is rotated out, and its endorsement of the current one.
    pub previous: Option<(Ca, Vec<u8>)>,
}

impl Cas {
    fn load(home: &PkiDir, clock_check: ClockCheck) -> Result<Self, PkiError> {
        let previous = match (home.previous()?, home.endorsement()?) {
            (Some(previous), Some(endorsement)) => Some((previous.load_ca(clock_check)?, endorsement)),
            _ => None,
        };
        Ok(Self { ca: home.load_ca(clock_check)?, previous })
    }

    fn points(&self) -> Vec<Point> {
        let previous = self.previous.as_ref().map(|(ca, _)| *ca.authority().point());
        std::iter::once(*self.ca.authority().point()).chain(previous).collect()
    }
}

impl AppState {
    /// Loads the keys, opens the store, and starts the batchers and background tasks.
    ///
    /// # Errors
    /// [`RunError::Pki`] for unusable keys; [`RunError::Store`]; [`RunError::Start`].
    pub async fn open(
        home: &PkiDir,
        options: &ServerOptions,
        log: Arc<dyn ServerLog>,
        now: Timestamp,
    ) -> Result<Arc<Self>, RunError> {
        let cas = Cas::load(home, options.clock_check)?;
        let authorities = cas.points();
        let ids: Vec<_> = authorities.iter().map(Point::key_identifier).collect();
        let store = ServerStore::open(&options.store, &ids[0], ids.get(1)).await?;
        let told = Arc::clone(&log);
        store.availability().listen(Box::new(move |what| told.fault(what)));
        for missing in store.missing_records().await? {
            log.fault(&super::audit::missing_record(&missing.terminal, missing.head.seq));
        }
        let heard = Arc::<HeardTerminals>::default();
        let both = options.audience.clone().map(|audience| {
            let news = Arc::<PresenceNews>::default();
            let follower = Follower::new(store.clone(), Arc::clone(&heard), Arc::clone(&news), audience);
            (news, tokio::spawn(follower.run()).abort_handle())
        });
        let (news, follower) = both.unzip();
        Ok(Arc::new(Self {
            signer: Signer::new(&home.load_server_signature(now)?),
            certificates: VerifiedCertificates::new(authorities.clone()),
            authorities,
            identities: IdentityBatcher::start(store.clone()),
            rates: Rates::new(options.rate),
            resume_max_age: options.resume_max_age,
            metrics: Metrics::default(),
            clock: Timestamp::now,
            home: home.clone(),
            cas: Arc::new(Mutex::new(cas)),
            log: Arc::clone(&log),
            noter: tokio::spawn(note_heard(store.clone(), Arc::clone(&heard))).abort_handle(),
            heard,
            past: PastPresence::default(),
            news,
            follower,
            sweeper: tokio::spawn(sweep(store.clone(), Arc::clone(&log), options.retention)).abort_handle(),
            watcher: tokio::spawn(watch_store(store.clone())).abort_handle(),
            readiness: Readiness::default(),
            lookups: LookupBatcher::start(&store).map_err(RunError::Start)?,
            store,
        }))
    }

    /// Lets the CA certify something, on a blocking thread because it waits for the disk.
    ///
    /// # Errors
    /// What `order` returns, mapped by [`ApiError::from_pki`]; [`ApiError::Busy`] while the CA changes;
    /// [`ApiError::Fault`].
    pub async fn certify<T: Send + 'static>(
        &self,
        order: impl FnOnce(&mut Cas, Timestamp) -> Result<T, PkiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (cas, now, home) = (Arc::clone(&self.cas), (self.clock)(), self.home.clone());
        let work = move || {
            let mut cas = cas.lock().unwrap_or_else(PoisonError::into_inner);
            let done = order(&mut cas, now)?;
            // Within the second before this server follows a rotation, the CA's record may be gone: then nothing is
            // handed out.
            if home.load_trusted()? == cas.points() { Ok(Some(done)) } else { Ok(None) }
        };
        let done = tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::fault(&error))?;
        done.map_err(|error: PkiError| ApiError::from_pki(&error))?.ok_or(ApiError::Busy)
    }

    /// The CAs in its folder, if they differ from those that this server has loaded: it follows a rotation within a
    /// second.
    ///
    /// # Errors
    /// [`ApiError::Busy`] while they cannot be read.
    pub fn newer_authorities(&self) -> Result<Option<Vec<Point>>, ApiError> {
        let trusted = self.home.load_trusted().map_err(|_| ApiError::Busy)?;
        Ok((trusted != self.authorities).then_some(trusted))
    }

    /// Nonces for a terminal, in the form that is stored and in the form that is sent.
    ///
    /// # Errors
    /// [`CryptoError`] when the random generator fails.
    pub fn nonces(&self, count: u16) -> Result<(Vec<[u8; 32]>, Vec<Nonce>), CryptoError> {
        use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
        let now = (self.clock)();
        let use_by = now + jiff::SignedDuration::from_hours(crate::api::v1::NONCE_HOURS);
        let raw = (0..count).map(|_| nonce(now)).collect::<Result<Vec<_>, CryptoError>>()?;
        let sent = raw.iter().map(|nonce| Nonce { nonce: BASE64_URL_SAFE_NO_PAD.encode(nonce), use_by }).collect();
        Ok((raw, sent))
    }

    /// Whether the store takes changes, as it answered within the last second: however many ask, it is asked once.
    pub async fn ready(&self) -> Result<(), ApiError> {
        self.readiness.check(&self.store).await
    }

    /// Stops the background tasks and closes the store; call it after the last request.
    pub async fn close(&self) {
        // Another state, with another CA, may follow this one.
        self.sweeper.abort();
        self.watcher.abort();
        self.noter.abort();
        self.follower.iter().for_each(tokio::task::AbortHandle::abort);
        self.heard.store(&self.store).await;
        self.store.close().await;
    }
}

/// An unguessable nonce. It begins with the time, so that nonces issued together are stored together.
fn nonce(now: Timestamp) -> Result<[u8; 32], CryptoError> {
    let mut nonce = random::bytes::<32>(&mut SystemRandom)?;
    nonce[..6].copy_from_slice(&now.as_millisecond().to_be_bytes()[2..]);
    Ok(nonce)
}

/// Checks an unavailable or busy store until it is back, even when no requests come.
async fn watch_store(store: ServerStore) {
    let mut every = tokio::time::interval(AWAY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        if store.availability().may_be_away() {
            // The store itself notes whether it worked.
            let _ = store.ready().await;
        }
    }
}

async fn note_heard(store: ServerStore, heard: Arc<HeardTerminals>) {
    let mut every = tokio::time::interval(HEARD);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        heard.store(&store).await;
    }
}

async fn sweep(store: ServerStore, log: Arc<dyn ServerLog>, retention: Option<Duration>) {
    let retention = retention.and_then(|time| jiff::SignedDuration::try_from(time).ok());
    let mut every = tokio::time::interval(SWEEP);
    loop {
        every.tick().await;
        let done = async {
            store.forget_nonces(Timestamp::now()).await?;
            if let Some(retention) = retention {
                purge(&store, retention).await?;
            }
            store.empty_wal()
        };
        if let Err(error) = done.await
            && !(error.absence().is_some() && is_away(&store).await)
        {
            log.fault(&format!("old records were not deleted: {error}"));
        }
    }
}

/// Whether the store itself has reported that it is unavailable, and still is: otherwise only that one change failed.
async fn is_away(store: &ServerStore) -> bool {
    let _ = store.ready().await;
    store.availability().is_away()
}

async fn purge(store: &ServerStore, retention: jiff::SignedDuration) -> Result<(), ServerStoreError> {
    while store.purge(retention, Timestamp::now()).await?.more {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::v1::Role,
        crypto::x509::ServerName,
        server::{
            RequestLine, StoreUrl, block_on,
            presence::EventIndex,
            store::{EventQuery, NewEvent, NewTerminal, RegisteredKeys, Subjects},
        },
    };

    struct Silence;

    impl ServerLog for Silence {
        fn listening(&self, _: std::net::SocketAddr) {}
        fn request(&self, _: &RequestLine<'_>) {}
        fn renewed(&self, _: Timestamp) {}
        fn fault(&self, what: &str) {
            panic!("{what}");
        }
    }

    #[test]
    fn a_rotation_is_known_before_the_server_takes_it_up() {
        let root = tempfile::tempdir().unwrap();
        let (home, now) = (PkiDir::new(root.path().join("pki")), Timestamp::now());
        let names = [ServerName::parse("localhost").unwrap()];
        home.init(&names, None, ClockCheck::Enforced, now, &mut SystemRandom).unwrap();
        let options = ServerOptions {
            listen: ([127, 0, 0, 1], 0).into(),
            pki: home.folder().to_owned(),
            store: StoreUrl::in_folder(root.path()),
            clock_check: ClockCheck::Enforced,
            rate: None,
            connections: 1,
            patience: Duration::from_secs(1),
            proxies: Vec::new(),
            resume_max_age: None,
            retention: None,
            audience: None,
        };
        let told = async {
            let state = AppState::open(&home, &options, Arc::new(Silence), now).await.unwrap();
            assert_eq!(state.newer_authorities().unwrap(), None);
            home.begin_rotation(&names, ClockCheck::Enforced, now, &mut SystemRandom).unwrap();
            let newer = state.newer_authorities().unwrap().unwrap();
            assert_eq!((newer.len(), newer[1]), (2, state.authorities[0]));
            std::fs::remove_dir_all(home.folder()).unwrap();
            let told = state.newer_authorities();
            state.close().await;
            told
        };
        assert!(matches!(block_on(told).unwrap(), Err(ApiError::Busy)));
    }

    #[test]
    fn a_store_that_was_busy_is_asked_again_when_nobody_asks_us() {
        let home = tempfile::tempdir().unwrap();
        let url = StoreUrl::in_folder(home.path());
        let asked = async {
            let store = ServerStore::open(&url, &[7; 20], None).await.unwrap();
            store.availability().failed(Some(crate::server::store::Absence::Busy), &"locked");
            let free = async {
                while store.availability().may_be_away() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                () = watch_store(store.clone()) => panic!("it ended"),
                done = tokio::time::timeout(Duration::from_secs(20), free) => done.unwrap(),
            }
        };
        block_on(asked).unwrap();
    }

    #[test]
    fn what_is_older_than_the_retention_goes_while_the_server_runs() {
        let home = tempfile::tempdir().unwrap();
        let url = StoreUrl::in_folder(home.path());
        let day = |days: i64| Timestamp::now() - jiff::SignedDuration::from_hours(24 * days);
        let left = async {
            let store = ServerStore::open(&url, &[7; 20], None).await.unwrap();
            let subjects = Subjects { tls: "door".into(), ecka: "door".into() };
            let keys = RegisteredKeys { tls_key: [1; 32], ecka_key: [1; 32], subjects, not_after: day(0) };
            let new = NewTerminal { name: "door".into(), role: Role::Read, keys };
            store.add_terminal(&new, "server", day(40)).await.unwrap();
            for (seq, received) in [(1, day(31)), (2, day(29))] {
                let event = serde_json::json!({ "seq": seq, "event": "service_lost" });
                let row = NewEvent { seq, body: event.to_string(), index: EventIndex::of(&event, received) };
                store.keep_events("door", uuid::Uuid::nil(), &[row], received).await.unwrap();
            }
            let events = async || {
                let found = store.search_events(&EventQuery::default(), 10).await.unwrap();
                found.into_iter().map(|(mark, _)| mark.seq).collect::<Vec<_>>()
            };
            assert_eq!(events().await, [1, 2]);
            let sweeper = sweep(store.clone(), Arc::new(Silence), Some(Duration::from_secs(30 * 24 * 3600)));
            let gone = async {
                while events().await.len() > 1 {
                    tokio::task::yield_now().await;
                }
                // Nor is what was overwritten in the file left in the WAL beside it.
                let wal = home.path().join("server.db-wal");
                while std::fs::metadata(&wal).is_ok_and(|wal| wal.len() > 0) {
                    tokio::task::yield_now().await;
                }
            };
            let both = Box::pin(async {
                tokio::select! { () = sweeper => panic!("it ended"), () = gone => {} }
            });
            tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
            events().await
        };
        assert_eq!(block_on(left).unwrap(), [2]);
    }

    #[test]
    fn later_nonces_lie_behind_earlier_ones_and_none_is_like_another() {
        let later =
            |ms| nonce("2026-11-30T08:00:00Z".parse::<Timestamp>().unwrap() + Duration::from_millis(ms)).unwrap();
        let (a, b, c, d) = (later(0), later(1), later(256), later(256));
        assert!(a < b && b < c.min(d));
        assert_eq!(c[..6], d[..6]);
        assert_ne!(c[6..], d[6..]);
    }
}
