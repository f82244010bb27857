//! Tests that a store survives a backup and a restore unchanged.
use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::{
    super::{NewEvent, NewTerminal, NewToken, RegisteredKeys, StoreUrl, Subjects, TokenKeys},
    *,
};
use crate::{
    api::{
        User,
        v1::{Role, TokenStatus},
    },
    server::{block_on, presence::EventIndex},
};

const AUTHORITY: [u8; 20] = [7; 20];

/// A change to a store.
#[derive(Debug, Clone)]
enum Change {
    Users(Vec<User>),
    /// A token of this user; if set, it replaces the previous one.
    Token(User, bool),
    Status(TokenStatus, String),
    /// An event of the first token, with this reader.
    Event(String),
    Nonce,
    Forget(String),
}

/// Every row of every table.
type Rows = BTreeMap<&'static str, Vec<Vec<StoredValue>>>;

async fn rows(store: &ServerStore) -> Result<Rows> {
    let Backend::Sqlite(pools) = &store.backend else { unreachable!("a file") };
    let mut held = StoreTransaction::Sqlite(pools.read().await?.begin()?);
    let mut found = Rows::new();
    for table in &TABLES {
        found.insert(table.name, held.page(table, None).await?);
    }
    Ok(found)
}

async fn make(store: &ServerStore, changes: &[Change], now: Timestamp) -> Result<()> {
    let keys = RegisteredKeys {
        tls_key: [1; 32],
        ecka_key: [2; 32],
        subjects: Subjects { tls: "door".into(), ecka: "door".into() },
        not_after: now,
    };
    store.add_terminal(&NewTerminal { name: "door".into(), role: Role::Read, keys }, "desk", now).await?;
    let mut tokens: Vec<Uuid> = Vec::new();
    for (n, change) in (0_u8..).zip(changes) {
        match change {
            Change::Users(users) => drop(store.put_users(users, "desk", now).await?),
            Change::Token(user, replaces) => {
                let token_id = Uuid::from_u128(n.into());
                let keys = TokenKeys {
                    identity_key: vec![4, n],
                    ecka_key: vec![5, n],
                    identity_certificate: vec![48, n],
                    ecka_certificate: vec![49, n],
                };
                let replaces = tokens.last().copied().filter(|_| *replaces);
                store.register(&NewToken { token_id, user: user.clone(), keys, replaces }, "desk", now).await?;
                tokens.push(token_id);
            }
            Change::Status(status, reason) => {
                let token_id = tokens.first().copied().unwrap_or_default();
                store.set_status(token_id, *status, Some(reason), "desk", now).await?;
            }
            Change::Event(reader) => {
                let body = json!({ "event": "arrived", "at": now.to_string(), "reader": reader, "seq": n,
                    "token_id": tokens.first(), "user": { "id": "7", "name": reader } });
                let index = EventIndex::of(&body, now);
                let event = NewEvent { seq: i64::from(n) + 1, body: body.to_string(), index };
                store.keep_events("door", Uuid::from_u128(9), &[event], now).await?;
            }
            Change::Nonce => store.issue_nonces(&[[n; 32]], "door", now).await?,
            Change::Forget(id) => drop(store.forget_user(id, &format!("forgotten {n}"), "desk", now).await?),
        }
    }
    Ok(())
}

/// Texts that a user or a terminal may send, and that a database or a line of text could misinterpret.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "7",
            "",
            "NULL",
            "'",
            "''",
            "\\",
            "\\x41",
            "$1",
            "%s",
            "\u{FEFF}",
            "山田",
            "👩‍👩‍👧",
            "\n"
        ])
        .prop_map(str::to_owned),
        "[^\\x00]{0,16}",
    ]
}

fn user() -> impl Strategy<Value = User> {
    let id = prop::sample::select(vec!["7", "8", "Ö", "a,b"]).prop_map(str::to_owned);
    (id, text(), prop::collection::btree_map(text(), text(), 0..3)).prop_map(|(id, name, fields)| User {
        id,
        name,
        fields,
    })
}

fn change() -> impl Strategy<Value = Change> {
    let status = prop::sample::select(vec![
        TokenStatus::Active,
        TokenStatus::Suspended,
        TokenStatus::Lost,
        TokenStatus::Revoked,
    ]);
    prop_oneof![
        prop::collection::vec(user(), 1..4).prop_map(Change::Users),
        (user(), any::<bool>()).prop_map(|(user, replaces)| Change::Token(user, replaces)),
        (status, text()).prop_map(|(status, reason)| Change::Status(status, reason)),
        text().prop_map(Change::Event),
        Just(Change::Nonce),
        user().prop_map(|user| Change::Forget(user.id)),
    ]
}

/// A store in this folder.
fn at(folder: &Path, name: &str) -> StoreUrl {
    format!("sqlite://{}", folder.join(name).display()).parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(16) })]

    /// A backup has every row unchanged; after a restore only two things differ: unused nonces are gone, and the log
    /// continues with a record of the restore.
    #[test]
    fn what_is_backed_up_comes_back(changes in prop::collection::vec(change(), 0..24)) {
        let folder = tempfile::tempdir().unwrap();
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let file = folder.path().join("backup");
        let (before, kept, after, counted) = block_on(async {
            let store = ServerStore::open(&at(folder.path(), "a.db"), &AUTHORITY, None).await?;
            make(&store, &changes, now).await?;
            let before = rows(&store).await?;
            let counted = store.back_up(&file, &mut |_| {}).await?;
            let backup = ServerStore::open_backup(&file, &AUTHORITY, None).await?;
            let kept = rows(&backup).await?;
            let other = ServerStore::open(&at(folder.path(), "b.db"), &AUTHORITY, None).await?;
            let restored = other.restore(&backup, false, now, &mut |_| {}).await?;
            Ok::<_, ServerStoreError>((before, kept, rows(&other).await?, (counted, restored)))
        }).unwrap().unwrap();
        prop_assert_eq!(&kept, &before);
        prop_assert_eq!(counted.0, counted.1);
        let mut expected = before;
        expected.insert("nonces", Vec::new());
        let log = &after["audit"];
        let (last, others) = log.split_last().unwrap();
        prop_assert_eq!(others, expected["audit"].as_slice());
        prop_assert!(last.contains(&StoredValue::Text(Some("store.restore".into()))), "{last:?}");
        for (name, rows) in &after {
            if !["audit", "audit_head"].contains(name) {
                prop_assert_eq!(rows, &expected[name], "{}", name);
            }
        }
        prop_assert_ne!(&after["audit_head"], &expected["audit_head"]);
    }
}

/// A store whose only user was forgotten counts nothing, but still has a log.
#[test]
fn a_store_that_ever_held_anything_is_replaced_only_where_that_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (file, now) = (folder.path().join("backup"), Timestamp::now());
    block_on(async {
        let store = ServerStore::open(&at(folder.path(), "a.db"), &AUTHORITY, None).await.unwrap();
        let ada = User { id: "7".into(), name: "Ada".into(), fields: BTreeMap::new() };
        store.put_users(&[ada], "desk", now).await.unwrap();
        let counted = store.back_up(&file, &mut |_| {}).await.unwrap();
        assert_eq!(counted, Counts { users: 1, ..Counts::default() });
        store.forget_user("7", "nobody", "desk", now).await.unwrap();
        let backup = ServerStore::open_backup(&file, &AUTHORITY, None).await.unwrap();
        let refused = store.restore(&backup, false, now, &mut |_| {}).await;
        assert!(matches!(refused, Err(ServerStoreError::NotEmpty)), "{refused:?}");
        assert_eq!(store.user("7").await.unwrap(), None);
        assert_eq!(store.restore(&backup, true, now, &mut |_| {}).await.unwrap(), counted);
        assert!(store.user("7").await.unwrap().is_some());
    })
    .unwrap();
}

#[test]
fn a_backup_is_opened_by_its_ca_and_by_the_one_that_follows() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup");
    let (next, other) = ([8; 20], [9; 20]);
    block_on(async {
        let store = ServerStore::open(&at(folder.path(), "a.db"), &AUTHORITY, None).await.unwrap();
        store.back_up(&file, &mut |_| {}).await.unwrap();
        ServerStore::open_backup(&file, &next, Some(&AUTHORITY)).await.unwrap().close().await;
        for previous in [None, Some(&other)] {
            let refused = ServerStore::open_backup(&file, &next, previous).await.map(drop);
            assert!(matches!(&refused, Err(ServerStoreError::OtherAuthority(of)) if *of == "07".repeat(20)));
        }
    })
    .unwrap();
}
