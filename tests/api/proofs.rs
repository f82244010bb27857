//! Presence proofs at the server: nonces, certificates, counters.

use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use rollcall::{
    api::v1::{Freshness, LookupRequest, Role, TokenStatus},
    crypto::{
        ec::KeyPair,
        random::SystemRandom,
        x509::{CertificateProfile, CertificateTemplate, TerminalRole as CardRole, issue},
    },
};
use sqlx::{Connection, PgConnection};

use super::{
    Kind, Site,
    site::block_on,
    token::{Token, code, lookup, message, nonce, nonces},
};

case!(EachStore, a_proof_is_taken_once);
/// A lookup asks for nonces, so that a tap with proof costs one request.
fn a_proof_is_taken_once(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let (door, desk) = (site.terminal(server.port, "door", Role::Read), site.terminal(server.port, "desk", Role::Read));
    let (at_door, at_desk, admin) =
        (door.client(server.port), desk.client(server.port), site.admin.client(server.port));
    let (token, _) = Token::registered(&admin, "7");

    let first = nonce(&at_door);
    let mut ask = token.ask(&door, first, 1);
    ask.nonces = 3;
    let found = at_door.lookup(&ask).unwrap();
    assert_eq!((found.proof, found.status, found.nonces.len()), (Some(Freshness::Fresh), TokenStatus::Active, 3));
    assert_eq!(found.user.unwrap().name, "Person 7");
    assert!(found.signed_user.is_some());
    assert_eq!(code(at_door.lookup(&ask)), "proof.replayed");
    // The same claims under another signature, which anybody can derive from the first: still the same proof.
    let cose = message(&token.claims(&door, first, 1), &token.identity);
    assert_eq!(code(at_door.lookup(&lookup(token.id, Some(&malleated(&cose))))), "proof.replayed");
    // The same nonce again, with a higher counter.
    assert_eq!(code(at_door.lookup(&token.ask(&door, first, 2))), "proof.replayed");
    // A nonce that came with a lookup, and one of another terminal.
    let second = BASE64_URL_SAFE_NO_PAD.decode(&found.nonces[0].nonce).unwrap().try_into().unwrap();
    assert_eq!(at_door.lookup(&token.ask(&door, second, 3)).unwrap().proof, Some(Freshness::Fresh));
    let foreign = nonce(&at_desk);
    assert_eq!(code(at_door.lookup(&token.ask(&door, foreign, 4))), "proof.foreign-nonce");
    // The rejected lookup has not used the nonce up: it still belongs to the other terminal.
    assert_eq!(at_desk.lookup(&token.ask(&desk, foreign, 5)).unwrap().proof, Some(Freshness::Fresh));
    // With the terminal's own nonce a proof shows who, but not when; it also counts only once.
    let own = token.ask(&door, [0xAB; 32], 6);
    assert_eq!(at_door.lookup(&own).unwrap().proof, Some(Freshness::Unverified));
    assert_eq!(code(at_door.lookup(&own)), "proof.replayed");
    // Without a proof none is reported.
    assert_eq!(at_door.lookup(&lookup(token.id, None)).unwrap().proof, None);
    assert_eq!(code(at_door.lookup(&lookup(uuid::Uuid::nil(), None))), "token.unknown");
    assert_eq!(site.verify(&[])["whole"], true);
}

/// `s` to `n - s`: another valid signature of the same, made without the key.
fn malleated(cose: &[u8]) -> Vec<u8> {
    const N: &str = "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551";
    let (rest, s) = cose.split_at(cose.len() - 32);
    let n = openssl::bn::BigNum::from_hex_str(N).unwrap();
    let mut other = openssl::bn::BigNum::new().unwrap();
    other.checked_sub(&n, &openssl::bn::BigNum::from_slice(s).unwrap()).unwrap();
    [rest, &other.to_vec_padded(32).unwrap()].concat()
}

/// Statistics of a connection are counted when it has ended.
fn await_counts(site: &Site) {
    let until = Instant::now() + Duration::from_secs(30);
    let others = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    while site.sql(others) > 0 {
        assert!(Instant::now() < until, "connections are left");
    }
}

case!(Postgres, no_plan_of_a_young_store_reads_a_whole_table);
/// The tables of a lookup of which this holds since `counted` was made.
macro_rules! since {
    ($what:literal) => {
        concat!(
            "SELECT 1 FROM pg_stat_user_tables s JOIN counted c USING (relname)
             WHERE relname IN ('tokens', 'nonces', 'proofs') AND ",
            $what
        )
    };
}
/// The database keeps plans that were made while the tables were nearly empty; it says how often it read one from end
/// to end.
fn no_plan_of_a_young_store_reads_a_whole_table(kind: &Kind) {
    let site = Site::new(kind);
    let mut server = site.start();
    let door = site.terminal(server.port, "door", Role::Read);
    let (token, _) = Token::registered(&site.admin.client(server.port), "7");
    assert_eq!(server.terminate(), Some(143));
    await_counts(&site);
    site.sql("CREATE TABLE counted AS SELECT relname, seq_scan, idx_scan FROM pg_stat_user_tables");
    site.sql(
        "CREATE TABLE counted_by_time AS SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'proofs_at'",
    );
    site.sql(
        "DO $$BEGIN
         EXECUTE format('ALTER DATABASE %I SET plan_cache_mode = force_generic_plan', current_database());
         END$$",
    );
    site.sql("CREATE TABLE settings (jit text)");
    site.sql(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
         INSERT INTO settings VALUES (current_setting('jit'));
         RETURN NULL; END$$",
    );
    site.sql("CREATE TRIGGER note AFTER INSERT ON proofs FOR EACH ROW EXECUTE FUNCTION note()");
    let mut server = site.start();
    let at_door = door.client(server.port);
    for (counter, nonce) in (1..).zip(nonces(&at_door, 20)) {
        at_door.lookup(&token.ask(&door, nonce, counter)).unwrap();
    }
    assert_eq!(site.admin.client(server.port).forget_user("7").unwrap().proofs, 20);
    assert_eq!(server.terminate(), Some(143));
    await_counts(&site);
    let by_key = since!("s.idx_scan >= coalesce(c.idx_scan, 0) + 20");
    assert_eq!(site.sql(by_key), 3, "rows were not looked for by their keys");
    assert_eq!(site.sql(since!("s.seq_scan > c.seq_scan")), 0, "a whole table was read");
    // Forgetting a user reads the proofs of one token, not those of all.
    let by_time = "SELECT 1 FROM pg_stat_user_indexes s, counted_by_time c
        WHERE indexrelname = 'proofs_at' AND s.idx_scan > c.idx_scan";
    assert_eq!(site.sql(by_time), 0, "the proofs of all were read");
    // Nor is any of these statements JIT-compiled, whatever cost the database estimates.
    assert_eq!(site.sql("SELECT 1 FROM settings WHERE jit = 'off'"), 20);
}

case!(Postgres, a_proof_that_is_forgotten_in_between_is_not_taken_again);
/// Retention deletes proofs while lookups are decided: the lookup waits for what it asks of the proofs until they are
/// gone.
fn a_proof_that_is_forgotten_in_between_is_not_taken_again(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let door = site.terminal(server.port, "door", Role::Read);
    let (token, _) = Token::registered(&site.admin.client(server.port), "7");
    let own = token.ask(&door, [0xAB; 32], 6);
    let at_door = door.client(server.port);
    assert_eq!(at_door.lookup(&own).unwrap().proof, Some(Freshness::Unverified));
    let again = block_on(async {
        let mut retention = PgConnection::connect(&site.store).await.unwrap();
        let mut held = retention.begin().await.unwrap();
        sqlx::query("LOCK TABLE proofs IN ACCESS EXCLUSIVE MODE").execute(&mut *held).await.unwrap();
        let again = std::thread::spawn(move || at_door.lookup(&own));
        let until = Instant::now() + Duration::from_secs(30);
        let waiting = "SELECT 1 FROM pg_locks WHERE relation = 'proofs'::regclass AND NOT granted";
        while sqlx::query(waiting).fetch_optional(&mut *held).await.unwrap().is_none() {
            assert!(Instant::now() < until, "nobody asks for the proofs");
        }
        sqlx::query("UPDATE tokens SET floor = 6").execute(&mut *held).await.unwrap();
        sqlx::query("DELETE FROM proofs").execute(&mut *held).await.unwrap();
        held.commit().await.unwrap();
        again
    });
    assert_eq!(code(again.join().unwrap()), "proof.expired");
}

case!(EachStore, a_resumed_tap_rests_on_a_proof_of_this_terminal);
fn a_resumed_tap_rests_on_a_proof_of_this_terminal(kind: &Kind) {
    let site = Site::new(kind);
    let config = site.home.path().join("config.toml");
    std::fs::write(&config, "[server]\nresume_max_age = \"1h\"\n").unwrap();
    let mut server = site.start();
    let (door, desk) = (site.terminal(server.port, "door", Role::Read), site.terminal(server.port, "desk", Role::Read));
    let (at_door, at_desk, admin) =
        (door.client(server.port), desk.client(server.port), site.admin.client(server.port));
    let (token, _) = Token::registered(&admin, "7");
    let (stranger, _) = Token::registered(&admin, "8");
    let resumed = |id, counter| LookupRequest { resumed: Some(counter), ..lookup(id, None) };

    assert_eq!(code(at_door.lookup(&resumed(token.id, 1))), "proof.required");
    let before = Timestamp::from_millisecond(Timestamp::now().as_millisecond()).unwrap();
    let proved = at_door.lookup(&token.ask(&door, nonce(&at_door), 1)).unwrap();
    let hour = jiff::SignedDuration::from_hours(1);
    let until = proved.resume_until.unwrap();
    assert!(proved.resume && (before + hour..=Timestamp::now() + hour).contains(&until), "{until}");
    for _ in 0..2 {
        let found = at_door.lookup(&resumed(token.id, 1)).unwrap();
        // The age is that of the proof, regardless of later resumptions.
        let until = found.resume_until.map(Timestamp::as_millisecond);
        assert_eq!(until, proved.resume_until.map(Timestamp::as_millisecond));
        assert_eq!((found.resume, found.proof, found.status), (true, None, TokenStatus::Active));
        assert!(found.user.is_some() && found.signed_user.is_some());
    }
    // There is no such proof for another counter, terminal or token; and a proof of unknown time cannot be relied on.
    assert_eq!(code(at_door.lookup(&resumed(token.id, 2))), "proof.required");
    assert_eq!(code(at_desk.lookup(&resumed(token.id, 1))), "proof.required");
    assert_eq!(code(at_door.lookup(&resumed(stranger.id, 1))), "proof.required");
    assert_eq!(code(at_door.lookup(&resumed(uuid::Uuid::nil(), 1))), "token.unknown");
    assert!(!at_door.lookup(&token.ask(&door, [0xAB; 32], 3)).unwrap().resume);
    assert_eq!(code(at_door.lookup(&resumed(token.id, 3))), "proof.required");
    assert!(!at_door.lookup(&lookup(token.id, None)).unwrap().resume);
    let both = LookupRequest { resumed: Some(1), ..token.ask(&door, nonce(&at_door), 4) };
    assert_eq!(code(at_door.lookup(&both)), "request.invalid");
    // A token that is not active cannot resume.
    admin.set_status(token.id, TokenStatus::Suspended, Some("lost?".to_owned())).unwrap();
    let found = at_door.lookup(&resumed(token.id, 1)).unwrap();
    assert_eq!((found.resume, found.resume_until, found.status), (false, None, TokenStatus::Suspended));
    assert_eq!(found.user, None);
    // Nor does one that was not active meanwhile, until it has proved itself again.
    admin.set_status(token.id, TokenStatus::Active, None).unwrap();
    assert_eq!(code(at_door.lookup(&resumed(token.id, 1))), "proof.required");
    assert!(at_door.lookup(&token.ask(&door, nonce(&at_door), 4)).unwrap().resume);
    assert!(at_door.lookup(&resumed(token.id, 4)).unwrap().resume);
    // The audit log shows which lookups relied on an earlier proof, and on which one.
    for (resumed, times) in [
        (
            "UPDATE audit SET seq = seq WHERE action = 'lookup'
             AND detail = '{\"proof\":null,\"resumed\":1,\"status\":\"active\"}'",
            2,
        ),
        (
            "UPDATE audit SET seq = seq WHERE action = 'lookup.refuse'
             AND detail = '{\"proof\":null,\"resumed\":1,\"status\":\"suspended\"}'",
            1,
        ),
        ("UPDATE audit SET seq = seq WHERE detail LIKE '%resumed%'", 4),
    ] {
        assert_eq!(site.sql(resumed), times, "{resumed}");
    }
    // The proof has become too old; and a server that does not allow it wants a proof each time.
    site.sql("UPDATE proofs SET at = at - 3600001");
    assert_eq!(code(at_door.lookup(&resumed(token.id, 4))), "proof.required");
    assert_eq!(server.terminate(), Some(143));
    std::fs::remove_file(&config).unwrap();
    let server = site.start();
    let at_door = door.client(server.port);
    assert!(!at_door.lookup(&token.ask(&door, nonce(&at_door), 5)).unwrap().resume);
    assert_eq!(code(at_door.lookup(&resumed(token.id, 5))), "proof.required");
    assert_eq!(site.verify(&[])["whole"], true);
}

case!(EachStore, what_is_not_the_tokens_own_proof_is_refused);
fn what_is_not_the_tokens_own_proof_is_refused(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let (door, desk) = (site.terminal(server.port, "door", Role::Read), site.terminal(server.port, "desk", Role::Read));
    let (client, admin) = (door.client(server.port), site.admin.client(server.port));
    let (token, certificates) = Token::registered(&admin, "7");
    let (other, others) = Token::registered(&admin, "8");
    let nonces = nonces(&client, 8);
    let claims = token.claims(&door, nonces[0], 1);
    let right = message(&claims, &token.identity);
    let ask = |cose: &[u8]| code(client.lookup(&lookup(token.id, Some(cose))));

    let mut refused = 0;
    for at in 0..right.len() {
        let mut bent = right.clone();
        bent[at] ^= 1;
        let found = ask(&bent);
        assert!(["proof.malformed", "proof.signature"].contains(&found.as_str()), "byte {at}: {found}");
        refused += 1;
    }
    for length in [0, 1, right.len() / 2, right.len() - 1] {
        assert_eq!(ask(&right[..length]), "proof.malformed");
    }
    assert_eq!(ask(&[&right[..], &[0]].concat()), "proof.malformed");
    assert_eq!(ask(&vec![0xD2; 5000]), "proof.malformed");
    assert_eq!(ask(&message(&claims, &KeyPair::generate(&mut SystemRandom).unwrap())), "proof.signature");
    assert_eq!(ask(&message(&other.claims(&door, nonces[0], 1), &other.identity)), "proof.malformed");
    // The reason is reported too.
    let told = |proof: &str, certificate: &[u8]| {
        let mut request = serde_json::json!({ "token_id": token.id, "proof": proof });
        if !certificate.is_empty() {
            request["identity_certificate"] = BASE64_URL_SAFE_NO_PAD.encode(certificate).into();
        }
        let problem = door.raw(server.port).ask("POST", "/v1/lookups", Some(&request)).unwrap().json();
        format!("{}: {}", problem["code"].as_str().unwrap(), problem["detail"].as_str().unwrap())
    };
    let encoded = BASE64_URL_SAFE_NO_PAD.encode(&right);
    let mut damaged = BASE64_URL_SAFE_NO_PAD.decode(&certificates.identity).unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    let of_other = BASE64_URL_SAFE_NO_PAD.encode(message(&other.claims(&door, nonces[0], 1), &other.identity));
    for (proof, certificate, why) in [
        ("*", &[][..], "proof.malformed: proof is not base64url of 0..=1024 bytes".to_owned()),
        (&encoded[..200], &[], "proof.malformed: the message has 150 bytes instead of 303".to_owned()),
        (&of_other, &[], format!("proof.malformed: the proof is that of the token {}", other.id)),
        (&encoded, &damaged, "proof.certificate: the certificate was not signed by this authority".to_owned()),
    ] {
        assert_eq!(told(proof, certificate), why);
    }
    assert_eq!(ask(&message(&token.claims(&desk, nonces[0], 1), &token.identity)), "proof.terminal");

    // Certificates: another token's, another class, another key, another CA; and then the right one.
    let now = Timestamp::now();
    let pem = std::fs::read(site.pki().folder().join("ca.key")).unwrap();
    let (ca, stranger) = (KeyPair::from_pem(&pem).unwrap(), KeyPair::generate(&mut SystemRandom).unwrap());
    let made = |ca: &KeyPair, class, subject: &str, key: &KeyPair, days: i64| {
        let (not_before, not_after) =
            (now - jiff::SignedDuration::from_hours(48), now + jiff::SignedDuration::from_hours(24 * days));
        let template = CertificateTemplate { class, subject, key: key.public(), not_before, not_after };
        issue(ca, site.admin.authority.name(), &template, &mut SystemRandom).unwrap()
    };
    let id = token.id.to_string();
    let with = |der: &[u8]| {
        let mut request = lookup(token.id, Some(&right));
        request.identity_certificate = Some(BASE64_URL_SAFE_NO_PAD.encode(der));
        client.lookup(&request)
    };
    let decoded = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap();
    for (what, der) in [
        ("another token's", decoded(&others.identity)),
        ("the class of the other key", decoded(&certificates.ecka)),
        ("the class of a terminal", made(&ca, CertificateProfile::Terminal(CardRole::Read), &id, &token.identity, 1)),
        ("another name", made(&ca, CertificateProfile::Identity, &other.id.to_string(), &token.identity, 1)),
        ("another key", made(&ca, CertificateProfile::Identity, &id, &stranger, 1)),
        ("another CA", made(&stranger, CertificateProfile::Identity, &id, &token.identity, 1)),
        ("expired", made(&ca, CertificateProfile::Identity, &id, &token.identity, -1)),
        ("none at all", vec![0x30, 0]),
    ] {
        assert_eq!(code(with(&der)), "proof.certificate", "{what}");
        refused += 1;
    }
    // None of this has used the nonce up.
    assert_eq!(with(&decoded(&certificates.identity)).unwrap().proof, Some(Freshness::Fresh));
    println!("{refused} proofs refused");
}

case!(EachStore, counters_tell_copies_from_late_proofs);
fn counters_tell_copies_from_late_proofs(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let (door, desk) = (site.terminal(server.port, "door", Role::Read), site.terminal(server.port, "desk", Role::Read));
    let (at_door, at_desk, admin) =
        (door.client(server.port), desk.client(server.port), site.admin.client(server.port));
    let (token, _) = Token::registered(&admin, "7");
    let early = nonces(&at_desk, 3);
    assert_eq!(at_door.lookup(&token.ask(&door, nonce(&at_door), 10)).unwrap().proof, Some(Freshness::Fresh));
    // A lower counter over a nonce issued earlier: the other terminal was slow to report it.
    assert_eq!(at_desk.lookup(&token.ask(&desk, early[0], 9)).unwrap().proof, Some(Freshness::Fresh));
    // The same counter with other content, however it comes: two cards.
    assert_eq!(code(at_desk.lookup(&token.ask(&desk, early[1], 10))), "proof.clone");
    assert_eq!(code(at_door.lookup(&token.ask(&door, [1; 32], 9))), "proof.clone");
    // A lower counter over a nonce that was issued after the higher one was seen: two cards.
    std::thread::sleep(std::time::Duration::from_millis(5)); // the store counts in milliseconds
    assert_eq!(code(at_door.lookup(&token.ask(&door, nonce(&at_door), 8))), "proof.clone");
    // The terminal's own nonce says nothing about when, so it is not evidence of a clone.
    assert_eq!(at_door.lookup(&token.ask(&door, [2; 32], 7)).unwrap().proof, Some(Freshness::Unverified));
    assert_eq!(at_door.lookup(&token.ask(&door, nonce(&at_door), 11)).unwrap().proof, Some(Freshness::Fresh));
    assert_eq!(admin.token(token.id).unwrap().counter, Some(11));
    let metrics = admin.metrics().unwrap();
    assert!(metrics.contains("rollcall_clone_alarms_total 3"), "{metrics}");
    assert_eq!(site.sql("UPDATE audit SET seq = seq WHERE action = 'token.clone'"), 3);
}

case!(EachStore, late_proofs_are_taken_for_seven_days);
fn late_proofs_are_taken_for_seven_days(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let door = site.terminal(server.port, "door", Role::Read);
    let (client, admin) = (door.client(server.port), site.admin.client(server.port));
    let (token, _) = Token::registered(&admin, "7");
    // The time of issue is put back in the store: an hour less than a day, an hour more, and so on.
    let cases: [(&'static str, Result<Freshness, &str>); 4] = [
        ("UPDATE nonces SET issued = issued - 3600000 * 23 WHERE used IS NULL", Ok(Freshness::Fresh)),
        ("UPDATE nonces SET issued = issued - 3600000 * 25 WHERE used IS NULL", Ok(Freshness::Late)),
        ("UPDATE nonces SET issued = issued - 3600000 * (24 * 8 - 1) WHERE used IS NULL", Ok(Freshness::Late)),
        ("UPDATE nonces SET issued = issued - 3600000 * (24 * 8 + 1) WHERE used IS NULL", Err("proof.expired")),
    ];
    for (counter, (put_back, expected)) in (1..).zip(cases) {
        let ask = token.ask(&door, nonce(&client), counter);
        assert_eq!(site.sql(put_back), 1);
        match expected {
            Ok(freshness) => {
                assert_eq!(client.lookup(&ask).unwrap().proof, Some(freshness));
                assert_eq!(code(client.lookup(&ask)), "proof.replayed", "once, late or not");
            }
            Err(expected) => assert_eq!(code(client.lookup(&ask)), expected),
        }
    }
}
