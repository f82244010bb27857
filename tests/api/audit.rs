//! The audit log against an attacker who can write the store.

use std::fs;

use rollcall::api::v1::{Role, TokenStatus};

use super::{
    Kind, Site,
    token::{Token, lookup},
};

/// A site with a log of at least twenty records.
fn grown(kind: &Kind) -> (Site, u64) {
    let site = Site::new(kind);
    let server = site.start();
    let admin = site.admin.client(server.port);
    let (token, _) = Token::registered(&admin, "7");
    for _ in 0..10 {
        admin.lookup(&lookup(token.id, None)).unwrap();
    }
    let _ = admin.lookup(&lookup(uuid::Uuid::nil(), None));
    for reason in ["a", "b", "c", "d", "e"] {
        admin.set_status(token.id, TokenStatus::Suspended, Some(reason.to_owned())).unwrap();
    }
    site.terminal(server.port, "door", Role::Read);
    drop(server);
    let found = site.verify(&[]);
    assert_eq!(found["whole"], true);
    let records = found["records"].as_u64().unwrap();
    // The administrator, the user, the token, lookups, a refusal, changes, a terminal: each once.
    assert_eq!(records, 1 + 1 + 1 + 10 + 1 + 5 + 1);
    (site, records)
}

case!(EachStore, the_first_bad_record_is_named);
fn the_first_bad_record_is_named(kind: &Kind) {
    let (site, _) = grown(kind);
    let spoil: [(&'static str, &'static str, u64); 6] = [
        (
            "UPDATE audit SET detail = detail || ' ' WHERE seq = 5",
            "UPDATE audit SET detail = '{\"proof\":null,\"status\":\"active\"}' WHERE seq = 5",
            5,
        ),
        ("UPDATE audit SET at = at + 1 WHERE seq = 7", "UPDATE audit SET at = at - 1 WHERE seq = 7", 7),
        (
            "UPDATE audit SET actor = actor || 'x' WHERE seq = 2",
            "UPDATE audit SET actor = substr(actor, 1, length(actor) - 1) WHERE seq = 2",
            2,
        ),
        ("UPDATE audit SET seq = 1000 WHERE seq = 9", "UPDATE audit SET seq = 9 WHERE seq = 1000", 9),
        ("UPDATE audit SET seq = 1000 WHERE seq = 20", "UPDATE audit SET seq = 20 WHERE seq = 1000", 20),
        ("UPDATE audit_head SET seq = 19", "UPDATE audit_head SET seq = 20", 19),
    ];
    for (bend, mend, first_bad) in spoil {
        assert_eq!(site.sql(bend), 1, "{bend}");
        let found = site.verify(&[]);
        assert_eq!((&found["whole"], &found["first_bad"]), (&false.into(), &first_bad.into()), "{bend}: {found}");
        assert_eq!(site.sql(mend), 1);
        assert_eq!(site.verify(&[])["whole"], true, "{mend}");
    }
    site.sql("DELETE FROM audit WHERE seq = 12");
    assert_eq!(site.verify(&[])["first_bad"], 12);
}

case!(EachStore, a_cut_tail_is_seen_by_what_a_terminal_was_told);
/// A log whose end was cut off and whose head was put back is consistent in itself.
fn a_cut_tail_is_seen_by_what_a_terminal_was_told(kind: &Kind) {
    let (site, records) = grown(kind);
    let server = site.start();
    let told = site.admin.client(server.port).revocations(0, &crate::token::nothing_told()).unwrap();
    drop(server);
    let file = site.home.path().join("feed.json");
    fs::write(&file, serde_json::to_vec(&told).unwrap()).unwrap();
    let feed = ["--feed", file.to_str().unwrap()];
    assert_eq!(site.verify(&feed)["whole"], true);
    site.sql("DELETE FROM audit WHERE seq > 15");
    site.sql("UPDATE audit_head SET seq = 15, hash = (SELECT hash FROM audit WHERE seq = 15)");
    assert_eq!(site.verify(&[])["whole"], true);
    let found = site.verify(&feed);
    assert_eq!((&found["whole"], &found["first_bad"]), (&false.into(), &16.into()), "{found}");
    // Grown again to the same length, but with other records: the hash differs.
    let server = site.start();
    for _ in 16..=records {
        let _ = site.admin.client(server.port).lookup(&lookup(uuid::Uuid::nil(), None));
    }
    drop(server);
    assert_eq!(site.verify(&[])["whole"], true);
    let found = site.verify(&feed);
    assert_eq!((&found["whole"], &found["first_bad"]), (&false.into(), &records.into()), "{found}");
    // A feed signed by somebody else, or altered, is not accepted as a witness.
    let (signed, signature) = told.jws.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    fs::write(&file, format!("{signed}.{first}{}", &signature[1..])).unwrap();
    let output = site.rollcall(&[&["server", "audit", "verify"], &feed[..]].concat());
    assert_eq!(output.status.code(), Some(65), "{output:?}");
}
