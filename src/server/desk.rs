//! What all requests share: the store, the CA, the key that signs, and the clerk who decides lookups.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::{
    RunError, ServerLog, ServerOptions,
    limits::Rates,
    metrics::Metrics,
    problem::ApiError,
    signer::Signer,
    store::{LookupResult, LookupTask, ServerStore, ServerStoreError},
};
use crate::{
    api::v1::Nonce,
    crypto::{
        CryptoError,
        ec::Point,
        random::{self, SystemRandom},
    },
    pki::{Ca, ClockCheck, PkiDir, PkiError},
};

/// Most lookups that are decided in one transaction.
const BATCH: usize = 64;
/// Lookups that wait for one; a terminal that finds no room is told to come again.
const QUEUE: usize = 1024;
/// How often old nonces are forgotten.
const SWEEP: std::time::Duration = std::time::Duration::from_secs(3600);

/// One lookup on its way to the clerk, and where the answer goes.
type Slip = (LookupTask, oneshot::Sender<Result<LookupResult, ()>>);

/// What all requests share.
pub struct AppState {
    pub store: ServerStore,
    pub signer: Signer,
    /// The CA, and the one before while it is rotated out.
    pub authorities: Vec<Point>,
    pub rates: Rates,
    pub metrics: Metrics,
    pub log: Arc<dyn ServerLog>,
    pub clock: fn() -> Timestamp,
    home: PkiDir,
    cas: Arc<Mutex<Cas>>,
    clerk: mpsc::Sender<Slip>,
    sweeper: tokio::task::AbortHandle,
}

/// Who certifies.
pub struct Cas {
    /// The CA.
    pub ca: Ca,
    /// The one before while it is rotated out, and its endorsement of the one above.
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
    /// Loads the keys, opens the store, and starts the clerk.
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
        let (clerk, slips) = mpsc::channel(QUEUE);
        let desk = Arc::new(Self {
            signer: Signer::new(&home.load_server_signature(now)?),
            authorities,
            rates: Rates::new(options.rate),
            metrics: Metrics::default(),
            clock: Timestamp::now,
            home: home.clone(),
            cas: Arc::new(Mutex::new(cas)),
            log: Arc::clone(&log),
            clerk,
            sweeper: tokio::spawn(sweep(store.clone(), Arc::clone(&log))).abort_handle(),
            store: store.clone(),
        });
        tokio::spawn(decide(store, slips, log));
        Ok(desk)
    }

    /// Decides one lookup, together with others that wait.
    pub async fn decide(&self, ask: LookupTask) -> Result<LookupResult, ApiError> {
        let (answer, wait) = oneshot::channel();
        self.clerk.try_send((ask, answer)).map_err(|_| ApiError::Busy)?;
        match wait.await {
            Ok(Ok(found)) => Ok(found),
            _ => Err(ApiError::Store),
        }
    }

    /// Certifies something on a thread of its own: it waits for the disk.
    pub async fn certify<T: Send + 'static>(
        &self,
        order: impl FnOnce(&mut Cas, Timestamp) -> Result<T, PkiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (cas, now, home) = (Arc::clone(&self.cas), (self.clock)(), self.home.clone());
        let work = move || {
            let mut cas = cas.lock().unwrap_or_else(PoisonError::into_inner);
            let done = order(&mut cas, now)?;
            // In the second before this server takes a rotation up, its record may be gone: nothing is given away.
            if home.load_trusted()? == cas.points() { Ok(Some(done)) } else { Ok(None) }
        };
        let done = tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::fault(&error))?;
        done.map_err(|error: PkiError| ApiError::from_pki(&error))?.ok_or(ApiError::Busy)
    }

    /// Nonces for a terminal, as they are stored and as they are told.
    pub fn nonces(&self, count: u16) -> Result<(Vec<[u8; 32]>, Vec<Nonce>), CryptoError> {
        use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
        let use_by = (self.clock)() + jiff::SignedDuration::from_hours(crate::api::v1::NONCE_HOURS);
        let raw: Vec<[u8; 32]> =
            (0..count).map(|_| random::bytes(&mut SystemRandom)).collect::<Result<_, CryptoError>>()?;
        let told = raw.iter().map(|nonce| Nonce { nonce: BASE64_URL_SAFE_NO_PAD.encode(nonce), use_by }).collect();
        Ok((raw, told))
    }

    /// After the last request.
    pub async fn close(&self) {
        // Another desk may follow this one, with another CA.
        self.sweeper.abort();
        self.store.close().await;
    }
}

/// The clerk: whatever waits is decided in one transaction, so that many lookups cost one write to the disk.
async fn decide(store: ServerStore, mut slips: mpsc::Receiver<Slip>, log: Arc<dyn ServerLog>) {
    while let Some(first) = slips.recv().await {
        let mut batch = vec![first];
        while batch.len() < BATCH {
            let Ok(next) = slips.try_recv() else { break };
            batch.push(next);
        }
        let (asks, answers): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        match store.lookups(&asks, Timestamp::now()).await {
            Ok(found) => answers.into_iter().zip(found).for_each(|(answer, found)| drop(answer.send(Ok(found)))),
            Err(error) if asks.len() == 1 => refuse(answers, &error, &log),
            Err(_) => one_by_one(&store, asks, answers, &log).await,
        }
    }
}

/// One lookup that cannot be decided must not take the others with it.
async fn one_by_one(
    store: &ServerStore,
    asks: Vec<LookupTask>,
    answers: Vec<oneshot::Sender<Result<LookupResult, ()>>>,
    log: &Arc<dyn ServerLog>,
) {
    for (ask, answer) in asks.into_iter().zip(answers) {
        match store.lookups(&[ask], Timestamp::now()).await {
            Ok(mut found) => drop(answer.send(found.pop().ok_or(()))),
            Err(error) => refuse(vec![answer], &error, log),
        }
    }
}

fn refuse(answers: Vec<oneshot::Sender<Result<LookupResult, ()>>>, error: &ServerStoreError, log: &Arc<dyn ServerLog>) {
    log.fault(&error.to_string());
    for answer in answers {
        drop(answer.send(Err(())));
    }
}

async fn sweep(store: ServerStore, log: Arc<dyn ServerLog>) {
    let mut every = tokio::time::interval(SWEEP);
    loop {
        every.tick().await;
        if let Err(error) = store.forget_nonces(Timestamp::now()).await {
            log.fault(&format!("old nonces were not forgotten: {error}"));
        }
    }
}
