//! The server's CA is replaced while the server runs.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use rollcall::{
    api::v1::{Freshness, RenewalRequest, Role},
    crypto::x509::{Certificate, CertificateProfile, TlsCertificate, TlsUse},
    pki::{ClockCheck, PkiDir},
    server::store_recertification,
    server_client::{RequestLimits, ServerClient, ServerError},
};

use super::{
    Kind, Site,
    site::block_on,
    token::{Token, nonce},
};

/// The administrator with the current keys, once the server knows them.
fn administrator(home: &PkiDir, port: u16) -> ServerClient {
    let tls = home.load_terminal_tls(Timestamp::now()).unwrap();
    let url = format!("https://localhost:{port}");
    let connect =
        || ServerClient::connect(&url, &tls.key, &tls.certificate, &tls.trusted(), RequestLimits::default()).unwrap();
    (0..2000).map(|_| connect()).find(|server| server.health().is_ok()).expect("the server takes the rotation up")
}

case!(EachStore, the_ca_is_rotated_while_it_runs);
fn the_ca_is_rotated_while_it_runs(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let door = site.terminal(server.port, "door", Role::Read);
    let asleep = door.clone();
    let (token, old) = Token::registered(&site.admin.client(server.port), "7");
    let asked = token.ask(&door, nonce(&door.client(server.port)), 1);
    let rotate = |more: &[&str]| {
        let output = site.rollcall(&[&["pki", "rotate-ca", "--yes"], more].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (status, said) = rotate(&[]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("certificates of the new CA for 1 tokens"), "{said}");
    // Taps are recognized even in the second before the server applies the rotation.
    let at_door = door.client(server.port);
    let first = (0..2000).find_map(|_| match at_door.lookup(&asked) {
        // It closes open connections when it applies the rotation.
        Err(ServerError::Unreachable(_)) => None,
        answer => Some(answer),
    });
    assert_eq!(first.expect("an answer").unwrap().proof, Some(Freshness::Fresh));
    // Run again while it is under way: nothing is left to do.
    let (status, said) = rotate(&[]);
    assert!(status == Some(77) && said.contains("pki.rotation-under-way") && !said.contains("tokens\n"), "{said}");

    // A client that does not know of the rotation keeps working.
    let admin = administrator(&site.pki(), server.port);
    let at_door = door.client(server.port);
    let taken = at_door.lookup(&token.ask(&door, nonce(&at_door), 2)).unwrap();
    assert_eq!(taken.proof, Some(Freshness::Fresh));
    // A token registered again gets certificates of the new CA.
    let again = admin.register_token(&token.request("7")).unwrap();
    let ca = *site.pki().load_authority().unwrap().point();
    for (text, class) in [(&again.identity, CertificateProfile::Identity), (&again.ecka, CertificateProfile::TokenEcka)]
    {
        let der = BASE64_URL_SAFE_NO_PAD.decode(text).unwrap();
        assert!(Certificate::verify(&der, &ca, &[class]).is_ok());
    }
    assert_ne!(again.identity, old.identity);

    // A renewal brings the new CA, and what the old one says of it.
    let requests = door.keys.requests("door", "door").unwrap();
    let request = RenewalRequest {
        tls_request: BASE64_URL_SAFE_NO_PAD.encode(requests.tls),
        ecka_request: BASE64_URL_SAFE_NO_PAD.encode(requests.ecka),
    };
    let renewed = at_door.renew(&request).unwrap();
    let previous = renewed.previous.as_ref().expect("the one before");
    let bytes = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap();
    assert_eq!(bytes(&previous.ca), door.authority.der());
    let signed = [b"rollcall CA succession 1\0", &bytes(&renewed.ca)[..]].concat();
    assert!(door.authority.point().verify(&signed, &bytes(&previous.endorsement)).unwrap());
    let tls = TlsCertificate::verify(&bytes(&renewed.tls), &ca, TlsUse::Client).unwrap();
    let trusted = site.pki().load_terminal_tls(Timestamp::now()).unwrap().trusted();
    let url = format!("https://localhost:{}", server.port);
    let fresh = ServerClient::connect(&url, &door.keys.tls, &tls, &trusted, RequestLimits::default()).unwrap();
    assert_eq!(fresh.lookup(&token.ask(&door, nonce(&fresh), 3)).unwrap().proof, Some(Freshness::Fresh));

    // What it signs meanwhile is under the old one, and holds here as well.
    let file = site.home.path().join("feed");
    std::fs::write(&file, at_door.revocations(0, &crate::token::nothing_told()).unwrap().jws).unwrap();
    assert_eq!(site.verify(&["--feed", file.to_str().unwrap()])["whole"], true);

    let (status, said) = rotate(&["--finish"]);
    assert_eq!(status, Some(0), "{said}");
    let tls = |result: Result<_, ServerError>| matches!(result, Err(ServerError::Certificate(..)));
    let slept = asleep.client(server.port);
    assert!((0..2000).any(|_| tls(asleep.client(server.port).health())), "the old certificate is shown for ever");
    assert!(tls(slept.health()) || slept.health().is_err());
    administrator(&site.pki(), server.port);
    assert_eq!(fresh.lookup(&token.ask(&door, nonce(&fresh), 4)).unwrap().proof, Some(Freshness::Fresh));
    assert!(fresh.renew(&request).unwrap().previous.is_none());
    assert_eq!(site.verify(&[])["whole"], true);
}

case!(EachStore, a_terminal_that_missed_a_rotation_comes_back_with_a_new_bundle);
fn a_terminal_that_missed_a_rotation_comes_back_with_a_new_bundle(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let config = format!("[server]\nurl = \"https://localhost:{}\"\n", server.port);
    std::fs::write(site.home.path().join("config.toml"), config).unwrap();
    let (door, file) = (tempfile::tempdir().unwrap(), |name: &str| site.home.path().join(name));
    let add = |name: &str| {
        let out = file(name);
        let add = ["server", "terminal", "add", "door", "--role", "read", "--out", out.to_str().unwrap()];
        said(&site.rollcall(&add))
    };
    let at_door = |arguments: &[&str]| {
        said(&crate::program::rollcall(door.path(), &[&["pki"], arguments].concat()).output().unwrap())
    };
    let (first, second) = (file("1.json"), file("2.json"));
    assert_eq!(add("1.json").0, Some(0));
    assert_eq!(at_door(&["import", first.to_str().unwrap()]).0, Some(0));
    for more in [&[][..], &["--finish"]] {
        let (status, text) = said(&site.rollcall(&[&["pki", "rotate-ca", "--yes"], more].concat()));
        assert_eq!(status, Some(0), "{text}");
    }
    drop(administrator(&site.pki(), server.port));
    assert!((0..200).any(|_| at_door(&["renew"]).1.contains("server.certificate")), "{:?}", at_door(&["renew"]));

    let (status, text) = add("2.json");
    assert!(status == Some(77) && text.contains("terminal.conflict"), "{text}");
    assert!(text.contains("rollcall server terminal revoke NAME"), "{text}");
    assert_eq!(said(&site.rollcall(&["server", "terminal", "revoke", "door", "--yes"])).0, Some(0));
    assert_eq!(add("2.json").0, Some(0));
    let import = ["import", second.to_str().unwrap()];
    let (status, text) = at_door(&import);
    assert!(status == Some(2) && text.contains("confirm.needed") && text.contains("become strangers"), "{text}");
    let (status, text) = at_door(&[&import[..], &["--yes"]].concat());
    assert!(status == Some(0) && text.contains("is door until"), "{text}");
    let (status, text) = at_door(&["renew"]);
    assert_eq!(status, Some(0), "{text}");
}

/// How a command ended, and what it wrote to stderr.
fn said(output: &std::process::Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

case!(EachStore, what_a_run_left_half_done_the_next_one_completes);
fn what_a_run_left_half_done_the_next_one_completes(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    for user in ["1", "2", "3"] {
        Token::registered(&site.admin.client(server.port), user);
    }
    drop(server);
    site.sql("CREATE TABLE before AS SELECT user_id, identity_certificate, ecka_certificate FROM tokens");
    let output = site.rollcall(&["pki", "rotate-ca", "--yes"]);
    assert!(output.status.success(), "{output:?}");
    // One of two certificates is still from the previous CA.
    for half in [
        "UPDATE tokens SET ecka_certificate = (SELECT b.ecka_certificate FROM before b WHERE b.user_id = '1')
         WHERE user_id = '1'",
        "UPDATE tokens SET identity_certificate = (SELECT b.identity_certificate FROM before b WHERE b.user_id = '2')
         WHERE user_id = '2'",
    ] {
        assert_eq!(site.sql(half), 1);
    }
    site.sql("DROP TABLE before");
    let (pki, url) = (site.pki(), site.store.parse().unwrap());
    let recertify = || {
        let (mut told, now) = (Vec::new(), Timestamp::now());
        let mut tell = |seen| told.push(seen);
        let done = store_recertification::recertify(&pki, &url, ClockCheck::Enforced, now, &mut tell);
        (block_on(done).unwrap(), told)
    };
    assert_eq!(recertify(), (2, vec![1, 2, 3]));
    assert_eq!(recertify(), (0, vec![1, 2, 3]));
}

case!(EachStore, the_store_of_another_ca_keeps_a_rotation_from_beginning);
fn the_store_of_another_ca_keeps_a_rotation_from_beginning(kind: &Kind) {
    let (site, mut other) = (Site::new(kind), Site::new(kind));
    other.store.clone_from(&site.store);
    let output = other.rollcall(&["pki", "rotate-ca", "--yes"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("code: store.authority"), "{output:?}");
    assert!(other.pki().previous().unwrap().is_none());
}
