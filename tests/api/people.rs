//! Users, tokens, terminals and events.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use rollcall::{
    api::{
        User,
        v1::{
            EventBatch, FEED_TYPE, Feed, Imported, RenewalRequest, Role, SignedUser, TerminalCertificates,
            TerminalRequest, TokenRequest, TokenStatus, USER_TYPE,
        },
    },
    crypto::{
        ec::Point,
        jws,
        random::SystemRandom,
        x509::{Certificate, CertificateProfile, ServerName, TlsCertificate, TlsUse},
    },
    pki::{CertificateDays, ClockCheck, TerminalKeys},
    server::{
        ServerStore,
        store::{Added, NewTerminal, RegisteredKeys, Subjects},
    },
    server_client::{ServerClient, ServerError},
};
use serde_json::json;
use uuid::Uuid;

use super::{
    Kind, Site,
    site::block_on,
    token::{Token, code, lookup, user},
};

case!(EachStore, users_are_created_changed_and_imported);
fn users_are_created_changed_and_imported(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let admin = site.admin.client(server.port);
    assert_eq!(code(admin.user("7")), "user.unknown");
    let strange = User { id: "ä/ö ?#%".into(), name: "山田 '太郎\"; DROP TABLE users".into(), fields: [].into() };
    assert_eq!(admin.put_user(&strange).unwrap(), strange);
    assert_eq!(admin.user(&strange.id).unwrap(), strange);
    let batch: Vec<_> = (0..500).map(|n| user(&format!("{n:04}"))).collect();
    let counts = |created, changed, unchanged| Imported { created, changed, unchanged };
    assert_eq!(admin.import_users(batch.clone()).unwrap(), counts(500, 0, 0));
    assert_eq!(admin.import_users(batch.clone()).unwrap(), counts(0, 0, 500));
    let mut other = batch[..3].to_vec();
    other[1].name = "Somebody".into();
    other.push(user("9999"));
    assert_eq!(admin.import_users(other).unwrap(), counts(1, 1, 2));
    // If one cannot be imported, none is.
    let spoiled = vec![user("new"), User { name: String::new(), ..user("x") }];
    assert_eq!(code(admin.import_users(spoiled)), "request.invalid");
    assert_eq!(code(admin.user("new")), "user.unknown");
    // Paging: everybody exactly once, in order.
    let (mut all, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = admin.users(after.as_deref(), 100).unwrap();
        all.extend(page.items.iter().map(|user| user.id.clone()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let mut expected: Vec<_> = batch.iter().map(|user| user.id.clone()).chain(["9999".into(), strange.id]).collect();
    expected.sort();
    assert_eq!(all, expected);
}

case!(EachStore, tokens_are_registered_once);
fn tokens_are_registered_once(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let admin = site.admin.client(server.port);
    let (token, certificates) = Token::registered(&admin, "7");
    assert_eq!(admin.register_token(&token.request("7")).unwrap(), certificates);
    let verified = |der: &str, class| {
        let der = BASE64_URL_SAFE_NO_PAD.decode(der).unwrap();
        rollcall::crypto::x509::Certificate::verify(&der, site.admin.authority.point(), &[class]).unwrap()
    };
    let identity = verified(&certificates.identity, rollcall::crypto::x509::CertificateProfile::Identity);
    let ecka = verified(&certificates.ecka, rollcall::crypto::x509::CertificateProfile::TokenEcka);
    assert_eq!((identity.subject(), identity.point()), (token.id.to_string().as_str(), token.identity.public()));
    assert_eq!((ecka.subject(), ecka.point()), (token.id.to_string().as_str(), token.ecka.public()));
    // The same id with other keys, or for another user.
    let mut stranger = Token::new();
    stranger.id = token.id;
    assert_eq!(code(admin.register_token(&stranger.request("7"))), "token.conflict");
    assert_eq!(code(admin.register_token(&token.request("8"))), "token.conflict");
    let (ours, others) = (token.request("7"), stranger.request("7"));
    for (identity_key, ecka_key) in [(&ours, &others), (&others, &ours)].map(|(a, b)| (&a.identity_key, &b.ecka_key)) {
        let (identity_key, ecka_key) = (identity_key.clone(), ecka_key.clone());
        let half = TokenRequest { identity_key, ecka_key, ..ours.clone() };
        assert_eq!(code(admin.register_token(&half)), "token.conflict");
    }
    assert_eq!(code(admin.user("8")), "user.unknown");
    // Keys already certified for another token, and for another use.
    let mut request = Token::new().request("7");
    request.identity_key = token.request("7").identity_key;
    assert_eq!(code(admin.register_token(&request)), "key.taken");
    // Replacing a token revokes the old one in the same step.
    let (new, lost) = (Token::new(), Uuid::from_u128(5));
    let mut request = new.request("7");
    request.replaces = Some(lost);
    assert_eq!(code(admin.register_token(&request)), "token.unknown");
    assert_eq!(code(admin.token(new.id)), "token.unknown");
    // A user's token cannot be revoked by replacing it for another user.
    let (other, _) = Token::registered(&admin, "8");
    request.replaces = Some(other.id);
    assert_eq!(code(admin.register_token(&request)), "token.not-theirs");
    assert_eq!(admin.token(other.id).unwrap().status, TokenStatus::Active);
    request.replaces = Some(token.id);
    let first = admin.register_token(&request).unwrap();
    assert_eq!(admin.register_token(&request).unwrap(), first);
    assert_eq!(admin.token(token.id).unwrap().status, TokenStatus::Revoked);
    assert_eq!(admin.token(new.id).unwrap().status, TokenStatus::Active);
    let ids = |page: rollcall::api::v1::Page<rollcall::api::v1::RegisteredToken>| {
        page.items.into_iter().map(|item| item.token_id).collect::<Vec<_>>()
    };
    // Pages: a full one that is the last says so.
    let mut all = [token.id, other.id, new.id];
    all.sort_by_key(Uuid::to_string);
    for (limit, most, next) in [(500, 3, None), (3, 3, None), (2, 2, Some(all[1].to_string()))] {
        let page = admin.tokens(None, limit).unwrap();
        assert_eq!((page.next.clone(), ids(page)), (next, all[..most].to_vec()), "{limit}");
    }
    assert_eq!(ids(admin.tokens(Some(&all[1].to_string()), 2).unwrap()), all[2..]);
    let mut both = [token.id, new.id];
    both.sort_by_key(Uuid::to_string);
    assert_eq!(ids(admin.tokens_of("7", None, 500).unwrap()), both);
    let first = admin.tokens_of("7", None, 1).unwrap();
    assert_eq!(first.next, Some(both[0].to_string()));
    assert_eq!(ids(admin.tokens_of("7", first.next.as_deref(), 1).unwrap()), both[1..]);
    assert!(admin.tokens_of("nobody", None, 500).unwrap().items.is_empty());
}

fn feed(server: &ServerClient, since: u64, ca: &Point) -> Feed {
    let verified =
        jws::verify(&server.revocations(since, &crate::token::nothing_told()).unwrap().jws, FEED_TYPE, ca).unwrap();
    let feed: Feed = serde_json::from_slice(&verified.payload).unwrap();
    verified.check_time(feed.at).unwrap();
    feed
}

case!(EachStore, a_status_takes_effect_at_once_and_is_in_the_feed);
fn a_status_takes_effect_at_once_and_is_in_the_feed(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let door = site.terminal(server.port, "door", Role::Read);
    let (client, admin, ca) = (door.client(server.port), site.admin.client(server.port), site.admin.authority.point());
    let tokens: Vec<_> = (0..3).map(|n| Token::registered(&admin, &n.to_string()).0).collect();
    let begun = feed(&client, 0, ca);
    assert_eq!((begun.version, begun.entries.len(), begun.more), (0, 0, false));
    let because = |why: &str| Some(why.to_owned());
    for (status, reason) in [
        (TokenStatus::Suspended, because("fee")),
        (TokenStatus::Lost, because("bus")),
        (TokenStatus::Active, None),
        (TokenStatus::Revoked, because("left")),
    ] {
        let changed = admin.set_status(tokens[0].id, status, reason.clone()).unwrap();
        assert_eq!((changed.status, &changed), (status, &admin.token(tokens[0].id).unwrap()));
        let found = client.lookup(&lookup(tokens[0].id, None)).unwrap();
        assert_eq!((found.status, &found.reason), (status, &reason));
        let active = status == TokenStatus::Active;
        assert_eq!((found.user.is_some(), found.signed_user.is_some()), (active, active), "{status:?}");
    }
    assert_eq!(code(admin.set_status(tokens[0].id, TokenStatus::Active, None)), "token.final");
    assert_eq!(
        admin.set_status(tokens[0].id, TokenStatus::Revoked, because("left")).unwrap().status,
        TokenStatus::Revoked
    );
    assert_eq!(code(admin.set_status(Uuid::nil(), TokenStatus::Active, None)), "token.unknown");
    admin.set_status(tokens[2].id, TokenStatus::Lost, because("sea")).unwrap();
    // The newest status of each, the oldest change first; then what changed since.
    let whole = feed(&client, 0, ca);
    let told: Vec<_> = whole.entries.iter().map(|e| (e.token_id, e.status, e.version)).collect();
    assert_eq!(told, [(tokens[0].id, TokenStatus::Revoked, 4), (tokens[2].id, TokenStatus::Lost, 5)]);
    assert_eq!((whole.version, whole.since), (5, 0));
    let delta = feed(&client, 4, ca);
    assert_eq!((delta.entries.len(), delta.version, delta.entries[0].token_id), (1, 5, tokens[2].id));
    assert_eq!((feed(&client, 5, ca).entries.len(), feed(&client, 5, ca).version), (0, 5));
    // A version number from an earlier store: everything is sent again.
    assert_eq!((feed(&client, 99, ca).since, feed(&client, 99, ca).entries.len()), (0, 2));
    // The head of the audit log is included, and advances.
    assert!(whole.audit.seq > begun.audit.seq && whole.audit.hash.len() == 64);
    // What a terminal stores for later is signed for that use only.
    let signed = client.lookup(&lookup(tokens[1].id, None)).unwrap().signed_user.unwrap();
    let verified = jws::verify(&signed, USER_TYPE, ca).unwrap();
    let kept: SignedUser = serde_json::from_slice(&verified.payload).unwrap();
    assert_eq!((kept.token_id, kept.user), (tokens[1].id, user("1")));
    assert!(jws::verify(&signed, FEED_TYPE, ca).is_err());
}

fn request(name: &str, keys: &TerminalKeys, role: Role) -> TerminalRequest {
    let requests = keys.requests(name, name).unwrap();
    let [tls_request, ecka_request] = [requests.tls, requests.ecka].map(|der| BASE64_URL_SAFE_NO_PAD.encode(der));
    TerminalRequest { name: name.to_owned(), role, tls_request, ecka_request, days: None }
}

case!(EachStore, a_terminal_is_certified_for_as_long_as_it_was_added_for);
fn a_terminal_is_certified_for_as_long_as_it_was_added_for(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let admin = site.admin.client(server.port);
    let keys = || TerminalKeys::generate(&mut SystemRandom).unwrap();
    let renewal = |name: &str, keys: &TerminalKeys| {
        let TerminalRequest { tls_request, ecka_request, .. } = request(name, keys, Role::Read);
        RenewalRequest { tls_request, ecka_request }
    };
    let gate = site.terminal(server.port, "gate", Role::Read);
    for days in [0, 367, u16::MAX] {
        let wrong = TerminalRequest { days: Some(days), ..request("yard", &keys(), Role::Read) };
        assert_eq!(code(admin.add_terminal(&wrong)), "request.invalid");
    }
    let yard_keys = keys();
    let yard = TerminalRequest { days: Some(30), ..request("yard", &yard_keys, Role::Read) };
    let added = admin.add_terminal(&yard).unwrap();
    let tls = BASE64_URL_SAFE_NO_PAD.decode(&added.tls).unwrap();
    let yard = super::site::Terminal { name: "yard".into(), keys: yard_keys.clone(), tls, ..gate.clone() };
    let renewed = yard.client(server.port).renew(&renewal("yard", &yard_keys)).unwrap();
    let usual = gate.client(server.port).renew(&renewal("gate", &gate.keys)).unwrap();
    let ends = |answer: &TerminalCertificates| {
        let [tls, ecka] = [&answer.tls, &answer.ecka].map(|text| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap());
        let ca = site.admin.authority.point();
        let tls = TlsCertificate::verify(&tls, ca, TlsUse::Client).unwrap();
        let ecka = Certificate::verify(&ecka, ca, &CertificateProfile::TERMINAL).unwrap();
        [
            CertificateDays::of((tls.not_before(), tls.not_after()), []).map(CertificateDays::get),
            CertificateDays::of((ecka.not_before(), ecka.not_after()), []).map(CertificateDays::get),
        ]
    };
    assert_eq!([ends(&added), ends(&renewed)], [[Some(30); 2]; 2]);
    assert_eq!(ends(&usual), [Some(7); 2]);
}

case!(EachStore, terminals_are_added_renewed_and_revoked);
fn terminals_are_added_renewed_and_revoked(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let admin = site.admin.client(server.port);
    let keys = || TerminalKeys::generate(&mut SystemRandom).unwrap();
    let door_keys = keys();
    let door = request("door", &door_keys, Role::Read);
    admin.add_terminal(&door).unwrap();
    admin.add_terminal(&door).unwrap();
    assert_eq!(code(admin.add_terminal(&request("door", &keys(), Role::Read))), "terminal.conflict");
    assert_eq!(code(admin.add_terminal(&TerminalRequest { role: Role::Admin, ..door.clone() })), "key.taken");
    assert_eq!(code(admin.add_terminal(&request("desk", &door_keys, Role::Read))), "key.taken");
    let one_key = keys();
    let one_key = TerminalKeys { tls: one_key.tls.clone(), ecka: one_key.tls };
    assert_eq!(code(admin.add_terminal(&request("one", &one_key, Role::Read))), "request.invalid");
    // A request that names another terminal, or is signed by another key.
    for names in [["door", "door"], ["gate", "door"], ["door", "gate"]] {
        let [tls, ecka] = names.map(|name| request(name, &keys(), Role::Read));
        let named = TerminalRequest { name: "gate".into(), ecka_request: ecka.ecka_request, ..tls };
        assert_eq!(code(admin.add_terminal(&named)), "request.invalid", "{names:?}");
    }
    let mut bent = BASE64_URL_SAFE_NO_PAD.decode(&request("gate", &keys(), Role::Read).tls_request).unwrap();
    *bent.last_mut().unwrap() ^= 1;
    let bent = BASE64_URL_SAFE_NO_PAD.encode(bent);
    assert_eq!(
        code(admin.add_terminal(&TerminalRequest { tls_request: bent, ..request("gate", &keys(), Role::Read) })),
        "request.invalid"
    );

    // Renewal: with the same keys, or with new ones beside which the old ones go on; never under another name, and
    // never with another terminal's key.
    let gate = site.terminal(server.port, "gate", Role::Read);
    let client = gate.client(server.port);
    let renewal = |name: &str, keys: &TerminalKeys| {
        let TerminalRequest { tls_request, ecka_request, .. } = request(name, keys, Role::Read);
        RenewalRequest { tls_request, ecka_request }
    };
    client.renew(&renewal("gate", &gate.keys)).unwrap();
    let fresh = keys();
    let tls = BASE64_URL_SAFE_NO_PAD.decode(client.renew(&renewal("gate", &fresh)).unwrap().tls).unwrap();
    let anew = super::site::Terminal { keys: fresh, tls, ..gate.clone() };
    for terminal in [&gate, &anew] {
        let health = terminal.client(server.port).health().unwrap();
        assert_eq!((health.terminal.as_str(), health.role), ("gate", Role::Read));
    }
    assert_eq!(code(client.renew(&renewal("door", &keys()))), "request.invalid");
    assert_eq!(code(client.renew(&renewal("gate", &door_keys))), "key.taken");

    assert_eq!(code(admin.revoke_terminal(&site.admin.name)), "terminal.self");
    assert_eq!(code(admin.revoke_terminal("nobody")), "terminal.none");
    for _ in 0..2 {
        assert!(admin.revoke_terminal("gate").unwrap().revoked);
    }
    for terminal in [&gate, &anew] {
        let refused = terminal.client(server.port).health().unwrap_err();
        assert!(matches!(refused, ServerError::Refused(..)), "{refused}");
    }
    // Its name may be reused with other keys; revoked keys are not accepted again.
    assert_eq!(code(admin.add_terminal(&request("gate", &door_keys, Role::Read))), "key.taken");
    let again = site.terminal(server.port, "gate", Role::Enroll);
    assert_eq!(again.client(server.port).health().unwrap().role, Role::Enroll);
    for terminal in [&gate, &anew] {
        assert!(matches!(terminal.client(server.port).health(), Err(ServerError::Refused(..))));
    }
    assert_eq!(code(admin.add_terminal(&request("gate", &keys(), Role::Read))), "terminal.conflict");
    // So may the name of one whose certificates have all expired.
    site.sql("UPDATE terminal_keys SET not_after = 0 WHERE terminal = 'door'");
    assert_eq!(code(admin.add_terminal(&request("door", &again.keys, Role::Read))), "key.taken");
    let door = site.terminal(server.port, "door", Role::Read);
    assert_eq!(door.client(server.port).health().unwrap().terminal, "door");
    assert_eq!(site.verify(&[])["whole"], true);
    let names: Vec<_> = admin.terminals(None, 500).unwrap().items.into_iter().map(|t| (t.name, t.revoked)).collect();
    assert_eq!(names, [(site.admin.name.clone(), false), ("door".into(), false), ("gate".into(), false)]);
    // Pages: a full one that is the last says so.
    for (limit, most, next) in [(3, 3, None), (2, 2, Some("door".to_owned()))] {
        let page = admin.terminals(None, limit).unwrap();
        assert_eq!((page.items.len(), page.next), (most, next));
    }
    assert_eq!(admin.terminals(Some("door"), 1).unwrap().items[0].name, "gate");
}

case!(EachStore, a_name_is_another_terminals_unless_all_of_its_keys_are_the_same);
fn a_name_is_another_terminals_unless_all_of_its_keys_are_the_same(kind: &Kind) {
    let site = Site::new(kind);
    let authority = site.admin.authority.point().key_identifier();
    let now = Timestamp::now();
    let new = |name: &str, tls_key: u8, ecka_key: u8| {
        let subjects = Subjects { tls: name.into(), ecka: name.into() };
        let not_after = now + jiff::SignedDuration::from_hours(24);
        let keys = RegisteredKeys { tls_key: [tls_key; 32], ecka_key: [ecka_key; 32], subjects, not_after };
        NewTerminal { name: name.into(), role: Role::Read, keys }
    };
    block_on(async {
        let store = ServerStore::open(&site.store.parse().unwrap(), &authority, None).await.unwrap();
        let add = async |name, tls_key, ecka_key| {
            store.add_terminal(&new(name, tls_key, ecka_key), "admin", now).await.unwrap()
        };
        assert_eq!((add("door", 1, 1).await, add("gate", 2, 2).await), (Added::New, Added::New));
        assert_eq!(add("door", 1, 1).await, Added::Unchanged);
        for (tls_key, ecka_key) in [(1, 3), (3, 1), (2, 2)] {
            assert_eq!(add("door", tls_key, ecka_key).await, Added::NameTaken, "{tls_key} {ecka_key}");
        }
        // Revoked, it may come back with its own keys, and never with another's.
        store.revoke_terminal("door", "admin", now).await.unwrap();
        assert_eq!(add("door", 2, 1).await, Added::KeyTaken);
        assert_eq!(add("door", 1, 1).await, Added::New);
        store.close().await;
    });
}

case!(EachStore, the_server_knows_the_certificate_that_a_terminal_comes_with);
/// It was renewed where the CA's key is: the server learns of it from the next request, and keeps the later expiry.
fn the_server_knows_the_certificate_that_a_terminal_comes_with(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let until = |terminal: &super::site::Terminal| {
        let known = terminal.client(server.port).terminals(None, 9).unwrap().items;
        (known[0].certificate_until.unwrap(), site.verify(&[])["records"].as_u64().unwrap())
    };
    let own = |terminal: &super::site::Terminal| {
        TlsCertificate::verify(&terminal.tls, terminal.authority.point(), TlsUse::Client).unwrap().not_after()
    };
    let first = until(&site.admin);
    assert_eq!(first.0, own(&site.admin));
    let days = CertificateDays::new(30).unwrap();
    let names = [ServerName::parse("localhost").unwrap()];
    site.pki().renew(&names, Some(days), ClockCheck::Enforced, Timestamp::now(), &mut SystemRandom).unwrap();
    let tls = site.pki().load_terminal_tls(Timestamp::now()).unwrap().certificate.der().to_vec();
    let renewed = super::site::Terminal { tls, ..site.admin.clone() };
    assert!(own(&renewed) > own(&site.admin));
    for terminal in [&renewed, &renewed, &site.admin] {
        assert_eq!(until(terminal), (own(&renewed), first.1 + 1), "it is noted once");
    }
    assert_eq!(site.verify(&[])["whole"], true);
}

case!(EachStore, events_may_come_twice);
fn events_may_come_twice(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let (door, desk) = (site.terminal(server.port, "door", Role::Read), site.terminal(server.port, "desk", Role::Read));
    let (list, client) = (Uuid::from_u128(1), door.client(server.port));
    let batch = |from: i64, to: i64| EventBatch {
        list,
        events: (from..=to)
            .map(|seq| json!({ "schema": "rollcall.event/1", "seq": seq, "event": "arrived" }))
            .collect(),
    };
    let taken = |batch: &EventBatch| client.events(batch).map(|taken| (taken.stored, taken.known)).unwrap();
    assert_eq!(taken(&batch(1, 10)), (10, 0));
    assert_eq!(taken(&batch(1, 10)), (0, 10));
    assert_eq!(taken(&batch(8, 20)), (10, 3));
    // A list of the same name from another terminal is a different list: no terminal can take another's place.
    let other = desk.client(server.port).events(&batch(1, 10)).unwrap();
    assert_eq!((other.stored, other.known), (10, 0));
    assert_eq!(site.sql("UPDATE events SET seq = seq"), 30);
}
