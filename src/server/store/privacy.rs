//! Forgets users, and deletes records after their retention time.

use jiff::{SignedDuration, Timestamp};

use super::{Backend, Purged, Result, ServerStore, ServerStoreError, fallible, postgres, sqlite};
use crate::api::v1::ForgottenUser;

/// How many rows one transaction of a purge deletes.
const PART: i64 = 5000;

impl ServerStore {
    /// Forgets a user; `None` if nothing is known of them. Their tokens belong to `stand_in` from now on.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails: then nothing is forgotten.
    pub async fn forget_user(
        &self,
        id: &str,
        stand_in: &str,
        actor: &str,
        now: Timestamp,
    ) -> Result<Option<ForgottenUser>> {
        let counted = on!(self, reading, queries, |c| queries::privacy::count(c, id))?;
        let done = on!(self, writing, queries, |c| queries::privacy::forget(c, id, stand_in, &counted, actor, now))?;
        if done.is_some() {
            // The person is forgotten in any case; if this fails, the sweep tries again.
            let _ = self.empty_wal();
        }
        Ok(done)
    }

    /// Empties the WAL of a `SQLite` file, which still holds what was overwritten; it stays while a long reader needs
    /// it.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub fn empty_wal(&self) -> Result<()> {
        match &self.backend {
            Backend::Sqlite(pools) => pools.empty_wal(),
            Backend::Postgres(_) => Ok(()),
        }
    }

    /// Deletes events, proofs and nonces older than this, a limited number at a time. Each step is a transaction of its
    /// own, so that lookups wait for the first only; what a failure leaves undone, the next call does.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn purge(&self, retention: SignedDuration, now: Timestamp) -> Result<Purged> {
        let before = now.saturating_sub(retention).unwrap_or(Timestamp::MIN).as_millisecond();
        let proofs = on!(self, writing, queries, |c| queries::privacy::purge_proofs(c, before, PART))?;
        let nonces = on!(self, writing, queries, |c| queries::privacy::purge_nonces(c, before, PART))?;
        let stays = on!(self, writing, queries, |c| queries::privacy::purge_stays(c, before, PART))?;
        let events = on!(self, writing, queries, |c| queries::privacy::purge_events(c, before, PART))?;
        // At once: until then people have no name whose arrival was among them.
        self.rebuild_orphans().await?;
        let more = [events, proofs, nonces, stays].iter().any(|part| *part >= PART.unsigned_abs());
        Ok(Purged { events, proofs, nonces, more })
    }

    /// Has every stay named whose naming event was deleted, whenever that was.
    async fn rebuild_orphans(&self) -> Result<()> {
        for terminal in on!(self, searching, queries, |c| queries::presence::orphaned(c))? {
            let mut after = String::new();
            loop {
                let part = on!(self, writing, queries, |c| queries::presence::rebuild_orphans(c, &terminal, &after));
                let Some(last) = part? else { break };
                after = last;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use super::super::{LookupResult, LookupTask, NewToken, PresentedProof, ProofRefusal, StoreUrl, TokenKeys};
    use super::*;
    use crate::{api::User, server::block_on};

    /// Records are counted before the write lock is taken, and more may be added meanwhile.
    #[test]
    fn records_are_counted_also_when_more_of_them_came_since() {
        let home = tempfile::tempdir().unwrap();
        let url = StoreUrl::in_folder(home.path());
        let now = Timestamp::now();
        let [early, late] = [1, 2].map(Uuid::from_u128);
        let user = || User { id: "7".into(), name: "Ada".into(), fields: BTreeMap::new() };
        let keys = || TokenKeys {
            identity_key: vec![4],
            ecka_key: vec![4],
            identity_certificate: vec![48],
            ecka_certificate: vec![48],
        };
        let token = |token_id| NewToken { token_id, user: user(), keys: keys(), replaces: None };
        let lookup = |token_id| LookupTask {
            terminal: "door".into(),
            token_id,
            proof: PresentedProof::Nothing,
            nonces: Vec::new(),
        };
        let (counted, done) = block_on(async {
            let store = ServerStore::open(&url, &[0; 20], None).await.unwrap();
            store.register(&token(early), "desk", now).await.unwrap();
            // The log is longer than what is read at once.
            for _ in 0..10 {
                store.lookups(&mut vec![lookup(early); 64], &mut |_| now).await.unwrap();
            }
            let counted = fallible(async { on!(store, reading, queries, |c| queries::privacy::count(c, "7")) });
            let counted = counted.await.unwrap();
            store.register(&token(late), "desk", now).await.unwrap();
            store.lookups(&mut vec![lookup(early), lookup(late), lookup(late)], &mut |_| now).await.unwrap();
            let forget = async {
                on!(store, writing, queries, |c| queries::privacy::forget(c, "7", "nobody", &counted, "desk", now))
            };
            (counted.clone(), forget.await.unwrap().unwrap())
        })
        .unwrap();
        assert_eq!(counted.by_token.into_iter().collect::<Vec<_>>(), [(early.to_string(), 640)]);
        assert_eq!((done.tokens, done.token_records), (2, 643));
    }

    #[test]
    fn a_part_of_what_is_old_says_that_there_is_more() {
        let home = tempfile::tempdir().unwrap();
        let url = StoreUrl::in_folder(home.path());
        let now = Timestamp::now();
        let nonces: Vec<_> = (0..5001_u128).map(|n| [n.to_be_bytes(); 2].concat().try_into().unwrap()).collect();
        block_on(async {
            let store = ServerStore::with_two_tokens(&url).await;
            store.issue_nonces(&nonces, "door", now).await.unwrap();
            let proofs = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 5001)
                INSERT INTO proofs (token_id, counter, claims, at) SELECT token_id, n, x'00', n FROM n, tokens
                WHERE token_id LIKE '%1'";
            rusqlite::Connection::open(home.path().join("server.db")).unwrap().execute_batch(proofs).unwrap();
            let later = now + SignedDuration::from_hours(2);
            for (forgotten, more) in [(5000, true), (1, false), (0, false)] {
                let done = store.purge(SignedDuration::from_hours(1), later).await.unwrap();
                assert_eq!((done.nonces, done.proofs, done.events, done.more), (forgotten, forgotten, 0, more));
            }
        })
        .unwrap();
    }

    /// This holds even if a lower counter came later, and is deleted later.
    #[test]
    fn the_highest_counter_outlives_its_proof() {
        let home = tempfile::tempdir().unwrap();
        let url = StoreUrl::in_folder(home.path());
        let start: Timestamp = "2026-11-30T08:00:00Z".parse().unwrap();
        let day = |n: i64| start + SignedDuration::from_hours(24 * n);
        let token_id = Uuid::from_u128(1);
        block_on(async {
            let store = ServerStore::with_two_tokens(&url).await;
            let show = async |counter: u32, n: i64| {
                let proof = PresentedProof::Claims { nonce: [counter.to_be_bytes()[3]; 32], counter, claims: [7; 32] };
                let task = LookupTask { terminal: "door".into(), token_id, proof, nonces: Vec::new() };
                store.lookups(&mut vec![task], &mut |_| day(n)).await.unwrap().remove(0)
            };
            let highest = async || store.token(token_id).await.unwrap().unwrap().counter;
            assert_eq!(highest().await, None);
            for (counter, n) in [(10, 0), (9, 20)] {
                assert!(matches!(show(counter, n).await, LookupResult::Token { .. }), "{counter}");
                assert_eq!(highest().await, Some(10));
            }
            for (n, proofs, repeated) in [
                (9, 0, LookupResult::Refused(ProofRefusal::Replayed)),
                (25, 1, LookupResult::Refused(ProofRefusal::Expired)),
                (40, 1, LookupResult::Refused(ProofRefusal::Expired)),
            ] {
                assert_eq!(store.purge(SignedDuration::from_hours(24 * 10), day(n)).await.unwrap().proofs, proofs);
                assert_eq!((highest().await, show(10, n).await), (Some(10), repeated), "{n}");
                assert_eq!(store.tokens("", 9).await.unwrap()[0].counter, Some(10));
                assert_eq!(store.tokens_of("1", "", 9).await.unwrap()[0].counter, Some(10));
            }
            assert!(matches!(show(11, 40).await, LookupResult::Token { .. }));
            assert_eq!(highest().await, Some(11));
            assert_eq!(store.forget_user("1", "nobody", "desk", day(40)).await.unwrap().unwrap().proofs, 1);
            assert_eq!(highest().await, Some(11));
            assert_eq!(show(11, 40).await, LookupResult::Refused(ProofRefusal::Expired));
        })
        .unwrap();
    }
}
