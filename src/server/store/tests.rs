//! Tests the store as a whole.

use jiff::Timestamp;
use uuid::Uuid;

use super::*;
use crate::{api::User, server::block_on};

/// The log records it once, and only the announced CA takes the store over.
#[test]
fn a_store_goes_over_to_the_next_ca() {
    let home = tempfile::tempdir().unwrap();
    let url = StoreUrl::in_folder(home.path());
    let (first, next, other) = ([7; 20], [8; 20], [9; 20]);
    block_on(async {
        ServerStore::open(&url, &first, None).await.unwrap().close().await;
        assert!(ServerStore::open(&url, &next, Some(&other)).await.is_err());
        for _ in 0..2 {
            ServerStore::open(&url, &next, Some(&first)).await.unwrap().close().await;
        }
        let store = ServerStore::open(&url, &next, None).await.unwrap();
        store.hand_over(&first, &other).await.unwrap();
        let log = store.audit(0, 10).await.unwrap();
        let told: Vec<_> = log.iter().map(|one| (one.action.as_str(), one.subject.as_str())).collect();
        assert_eq!(told, [("authority.rotate", hex::encode(next).as_str())]);
        assert_eq!(store.owner(&first).await.unwrap(), next);
    })
    .unwrap();
}

impl ServerStore {
    /// A new store in which the tokens 1 and 2 are registered, each for a user of the same number.
    pub(in crate::server) async fn with_two_tokens(url: &StoreUrl) -> Self {
        let store = Self::open(url, &[7; 20], None).await.unwrap();
        for n in [1, 2_u8] {
            let (identity_certificate, ecka_certificate) = (vec![n], vec![n]);
            let keys = TokenKeys { identity_key: vec![n], ecka_key: vec![n], identity_certificate, ecka_certificate };
            let user = User { id: n.to_string(), name: "x".into(), fields: [].into() };
            let new = NewToken { token_id: Uuid::from_u128(n.into()), user, keys, replaces: None };
            store.register(&new, "desk", Timestamp::now()).await.unwrap();
        }
        store
    }
}

#[test]
fn a_part_of_the_feed_says_whether_there_is_more() {
    let home = tempfile::tempdir().unwrap();
    let url = StoreUrl::in_folder(home.path());
    let parts = block_on(async {
        let store = ServerStore::with_two_tokens(&url).await;
        let now = Timestamp::now();
        for n in [1, 2] {
            store.set_status(Uuid::from_u128(n), TokenStatus::Suspended, None, "desk", now).await.unwrap();
        }
        let mut parts = Vec::new();
        for (since, limit) in [(0, 1), (1, 1), (0, 2), (0, 3)] {
            let feed = store.feed(since, None, limit, now).await.unwrap();
            parts.push((feed.entries.len(), feed.more));
        }
        parts
    });
    assert_eq!(parts.unwrap(), [(1, true), (1, false), (2, false), (2, false)]);
}

/// Lookups that arrive while this transaction waits for the lock need not wait again.
#[test]
fn lookups_join_when_nobody_else_can_write() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("server.db");
    let url = format!("sqlite://{}", path.display()).parse().unwrap();
    let (records, results, is_held) = block_on(async {
        let store = ServerStore::with_two_tokens(&url).await;
        let task = |n| {
            let (terminal, token_id) = ("door".into(), Uuid::from_u128(n));
            LookupTask { terminal, token_id, proof: PresentedProof::Nothing, nonces: Vec::new() }
        };
        let before = store.audit_head().await.unwrap().seq;
        let mut is_held = false;
        let mut join = |tasks: &mut Vec<LookupTask>| {
            let other = rusqlite::Connection::open(&path).unwrap();
            other.busy_timeout(std::time::Duration::ZERO).unwrap();
            is_held = other.execute_batch("BEGIN IMMEDIATE").is_err();
            tasks.push(task(3));
            Timestamp::now()
        };
        let results = store.lookups(&mut vec![task(1)], &mut join).await.unwrap();
        (store.audit(before.cast_signed(), 10).await.unwrap(), results, is_held)
    })
    .unwrap();
    let actors: Vec<_> = records.iter().map(|record| record.actor.as_str()).collect();
    assert!(is_held && actors == ["door", "door"], "{records:?}");
    assert!(matches!(results[..], [LookupResult::Token { .. }, LookupResult::Unknown]), "{results:?}");
}
