//! Who was present at a time in the past: a replay of all events, computed once for all pages of an answer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::sync::Mutex;

use super::{
    presence::PlacedSubject,
    store::{ServerStore, ServerStoreError},
};

/// How long a result is kept.
const KEPT: Duration = Duration::from_secs(60);
/// Most people in a result that is kept.
const MOST: usize = 100_000;

/// The last result. Other requests wait for its lock, so that there is one replay at a time.
#[derive(Debug, Default)]
pub struct PastPresence(Mutex<Option<KeptMoment>>);

#[derive(Debug)]
struct KeptMoment {
    at: Timestamp,
    made: Instant,
    people: Arc<[PlacedSubject]>,
}

impl PastPresence {
    /// The people present at this time, in the order of their keys; when `goes_on` is set, the kept result if there is
    /// one.
    ///
    /// # Errors
    /// Any error of the store.
    pub async fn people(
        &self,
        store: &ServerStore,
        at: Timestamp,
        goes_on: bool,
    ) -> Result<Arc<[PlacedSubject]>, ServerStoreError> {
        let mut kept = self.0.lock().await;
        let fits = |kept: &&KeptMoment| goes_on && kept.at == at && kept.made.elapsed() < KEPT;
        if let Some(kept) = kept.as_ref().filter(fits) {
            return Ok(Arc::clone(&kept.people));
        }
        let people: Arc<[_]> = store.past_presence(at).await?.into();
        let keep = people.len() <= MOST;
        *kept = keep.then(|| KeptMoment { at, made: Instant::now(), people: Arc::clone(&people) });
        Ok(people)
    }

    /// Drops the kept result.
    pub async fn forget(&self) {
        *self.0.lock().await = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::{StoreUrl, block_on};

    #[test]
    fn a_moment_is_worked_out_once_for_all_of_its_pages() {
        let home = tempfile::tempdir().unwrap();
        let url = StoreUrl::in_folder(home.path());
        let pages = async {
            let store = ServerStore::open(&url, &[7; 20], None).await.unwrap();
            let (past, at) = (PastPresence::default(), Timestamp::now());
            let earlier = at - jiff::SignedDuration::from_secs(1);
            let first = past.people(&store, at, false).await.unwrap();
            let is_first = async |at, goes_on| Arc::ptr_eq(&first, &past.people(&store, at, goes_on).await.unwrap());
            assert!(is_first(at, true).await && is_first(at, true).await);
            assert!(!is_first(earlier, true).await);
            let first = past.people(&store, at, false).await.unwrap();
            let again = past.people(&store, at, false).await.unwrap();
            assert!(!Arc::ptr_eq(&first, &again), "who begins anew gets what is true now");
            past.0.lock().await.as_mut().unwrap().made = Instant::now().checked_sub(KEPT).unwrap();
            let old = past.people(&store, at, true).await.unwrap();
            assert!(!Arc::ptr_eq(&again, &old));
            past.forget().await;
            assert!(!Arc::ptr_eq(&old, &past.people(&store, at, true).await.unwrap()));
        };
        block_on(pages).unwrap();
    }
}
