//! A store of an earlier release with a server of this one.

use rollcall::api::v1::{Role, TokenStatus};
use serde_json::json;

use super::{Kind, Site, objects, token::user};

/// The store of release 0.1.0, for the CA with this key identifier: `tests/saved/0.1.0/make.py` says what is in it.
fn first_release(kind: &Kind, authority: &[u8]) -> String {
    let text = match kind {
        Kind::Sqlite => include_str!("../saved/0.1.0/server-sqlite.sql"),
        Kind::Postgres(_) => include_str!("../saved/0.1.0/server-postgres.sql"),
    };
    text.replace("@AUTHORITY@", &hex::encode(authority))
}

case!(EachStore, what_a_store_of_the_first_release_holds_is_there_afterwards);
/// Its contents are there afterwards, its log is intact and continues, and a backup of it can be restored.
fn what_a_store_of_the_first_release_holds_is_there_afterwards(kind: &Kind) {
    let site = Site::bare(kind);
    site.fill(first_release(kind, &site.admin.authority.point().key_identifier()));
    // First open it without changing it.
    for _ in 0..2 {
        let found = site.verify(&[]);
        assert_eq!((&found["whole"], &found["records"]), (&true.into(), &17.into()), "{found}");
    }
    assert!(site.rollcall(&["server", "init"]).status.success());
    let server = site.start();
    let admin = site.admin.client(server.port);

    let users: Vec<_> = admin.users(None, 100).unwrap().items.into_iter().map(|user| (user.id, user.name)).collect();
    let named = |id: &str, name: &str| (id.to_owned(), name.to_owned());
    assert_eq!(users, [named("7", "=SUM(1;2)"), named("ada", "Ada King"), named("josé", "José Núñez")]);
    assert_eq!(admin.user("ada").unwrap().fields["room"], "B17");
    assert_eq!(admin.user("josé").unwrap().fields["note"], "says \"it's\\here\"");

    let tokens: Vec<_> = admin
        .tokens(None, 100)
        .unwrap()
        .items
        .into_iter()
        .map(|token| (token.user_id, token.status, token.reason, token.counter))
        .collect();
    let token = |user: &str, status, reason: Option<&str>, counter| {
        (user.to_owned(), status, reason.map(str::to_owned), counter)
    };
    let replaced = tokens[3].2.clone();
    assert!(replaced.as_deref().is_some_and(|reason| reason.starts_with("replaced by 0b5c9c2e")), "{replaced:?}");
    let expected = [
        token("ada", TokenStatus::Active, None, Some(65541)),
        token("josé", TokenStatus::Active, None, None),
        token("josé", TokenStatus::Lost, Some("left in a train"), Some(65537)),
        token("ada", TokenStatus::Revoked, replaced.as_deref(), Some(65536)),
    ];
    assert_eq!(tokens, expected);

    let terminals = admin.terminals(None, 100).unwrap().items;
    let terminals: Vec<_> = terminals.into_iter().map(|one| (one.name, one.role, one.revoked)).collect();
    for (name, role, revoked) in
        [("attic", Role::Enroll, true), ("first-desk", Role::Admin, false), ("north", Role::Read, false)]
    {
        assert!(terminals.contains(&(name.to_owned(), role, revoked)), "{terminals:?}");
    }
    // How this release interprets the events of the earlier one.
    let present = admin.presence(None, None, 100).unwrap().items;
    let present: Vec<_> = present.iter().map(|one| one.user.as_ref().map(|user| user.id.as_str())).collect();
    assert_eq!(present, [Some("ada")]);
    admin.put_user(&user("new")).unwrap();
    drop(server);

    let found = site.verify(&[]);
    assert_eq!(found["whole"], true, "{found}");
    assert!(found["records"].as_u64() > Some(17), "{found}");
    let file = site.home.path().join("backup");
    let kept = site.rollcall(&["server", "backup", file.to_str().unwrap(), "--output", "json"]);
    assert!(kept.status.success(), "{kept:?}");
    let kept = objects::document(&kept.stdout);
    assert_eq!([&kept["users"], &kept["tokens"], &kept["events"]], [&json!(4), &json!(4), &json!(5)]);
    let restored = site.rollcall(&["server", "restore", file.to_str().unwrap(), "--replace", "--yes"]);
    assert!(restored.status.success(), "{restored:?}");
    assert_eq!(site.verify(&[])["whole"], true);
}

case!(EachStore, a_log_of_the_first_release_that_was_changed_stays_broken);
/// The same store with one letter of its log changed: the upgrade must not repair that.
fn a_log_of_the_first_release_that_was_changed_stays_broken(kind: &Kind) {
    let site = Site::bare(kind);
    let text = first_release(kind, &site.admin.authority.point().key_identifier());
    let changed = text.replace("\"reason\":\"left in a train\"", "\"reason\":\"left in a tram!\"");
    assert_ne!(changed, text);
    site.fill(changed);
    assert_eq!(site.verify(&[])["whole"], false);
    assert!(site.rollcall(&["server", "init"]).status.success());
    assert_eq!(site.verify(&[])["whole"], false);
}
