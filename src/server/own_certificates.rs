//! Keeps the certificates of the server's machine from expiring, and takes up new ones without a restart, whoever renewed
//! them. Open connections stay: only new ones see a new certificate.
//!
//! Deliberately absent: another CA, for which everything is loaded again.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use super::{
    RunError, ServerLog,
    state::AppState,
    tls::{self, Acceptor},
};
use crate::{
    crypto::random::SystemRandom,
    pki::{ClockCheck, PkiDir, PkiError, server_names},
};

/// How often the files are compared, and the clock is read: it may jump, or the machine may have slept.
const LOOK: Duration = Duration::from_secs(1);
/// How long after a renewal, or after one that failed, the next one may come.
const PAUSE: Duration = Duration::from_secs(3600);

/// Renews what is due, and takes up certificates that differ from `loaded`, which the server has. `tried` is when a
/// renewal was last tried. Never ends.
pub async fn keep(
    home: &PkiDir,
    clock_check: ClockCheck,
    mut loaded: [Vec<u8>; 2],
    mut tried: Option<Instant>,
    state: &AppState,
    acceptor: &watch::Sender<Acceptor>,
) -> Infallible {
    let (mut look, mut next) = (interval(LOOK), due(home));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        if next.is_none_or(|due| Timestamp::now() >= due) && tried.is_none_or(|at| at.elapsed() >= PAUSE) {
            let (folder, log) = (home.clone(), state.log.clone());
            let _ = tokio::task::spawn_blocking(move || renew_if_due(&folder, clock_check, log.as_ref())).await;
            (next, tried) = (due(home), Some(Instant::now()));
        }
        // They are replaced one after the other, or not readable now: the next look sees more.
        let Ok(found) = home.server_certificates() else { continue };
        if found != loaded {
            next = due(home);
            if take_up(home, state, acceptor).is_ok() {
                loaded = found;
            }
        }
    }
}

/// When the first certificate must be renewed; `None` while they cannot be read.
fn due(home: &PkiDir) -> Option<Timestamp> {
    home.renewal_time().ok().map(|time| time.due)
}

fn take_up(home: &PkiDir, state: &AppState, acceptor: &watch::Sender<Acceptor>) -> Result<(), RunError> {
    let now = Timestamp::now();
    let (newer, signature) = (tls::acceptor(&home.load_server_tls(now)?)?, home.load_server_signature(now)?);
    acceptor.send_replace(newer);
    state.signer.replace(&signature);
    Ok(())
}

/// Renews all certificates of this machine if one of them is due or has expired, and reports it; returns whether it tried.
pub fn renew_if_due(home: &PkiDir, clock_check: ClockCheck, log: &dyn ServerLog) -> bool {
    match renew(home, clock_check) {
        Ok(None) => return false,
        Ok(Some(until)) => log.renewed(until),
        Err(error) => log.fault(&format!("the certificates of this machine were not renewed: {error}")),
    }
    true
}

fn renew(home: &PkiDir, clock_check: ClockCheck) -> Result<Option<Timestamp>, PkiError> {
    let now = Timestamp::now();
    if !home.renewal_time()?.is_due(now) {
        return Ok(None);
    }
    home.renew(&server_names(), None, clock_check, now, &mut SystemRandom)?;
    home.renewal_time().map(|time| Some(time.end))
}
