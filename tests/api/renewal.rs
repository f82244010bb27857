//! The server's own certificates are renewed while it runs, and before it starts.

use std::time::{Duration, Instant};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use jiff::{SignedDuration, Timestamp};
use rollcall::{
    crypto::{random::SystemRandom, x509::ServerName},
    pki::{CertificateDays, ClockCheck},
    server_client::{RequestLimits, ServerClient},
};

use super::{Kind, Site, token::nothing_told};

const HEALTH: &str = "GET /v1/health HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// The certificate, DER, that came with the signature of the revocation feed.
fn signed_with(client: &ServerClient) -> Vec<u8> {
    let jws = client.revocations(0, &nothing_told()).unwrap().jws;
    let header = BASE64_URL_SAFE_NO_PAD.decode(jws.split('.').next().unwrap()).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    BASE64_STANDARD.decode(header["x5c"][0].as_str().unwrap()).unwrap()
}

case!(EachStore, renewed_certificates_are_taken_up_and_open_connections_stay);
fn renewed_certificates_are_taken_up_and_open_connections_stay(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let mut open = site.admin.raw(server.port);
    let client = site.admin.client(server.port);
    let now = Timestamp::now();
    let files = || {
        let (tls, signature) =
            (site.pki().load_server_tls(now).unwrap(), site.pki().load_server_signature(now).unwrap());
        (tls.certificate.der().to_vec(), signature.certificate.der().to_vec())
    };
    let before = files();
    assert_eq!((open.shown(), signed_with(&client)), before);
    let output = site.rollcall(&["pki", "renew"]);
    assert!(output.status.success(), "{output:?}");
    let after = files();
    assert!(before.0 != after.0 && before.1 != after.1);
    let taken = (0..2000).any(|_| site.admin.raw(server.port).shown() == after.0);
    assert!(taken, "the old certificate is shown for ever");
    assert_eq!(open.send(HEALTH, b"").unwrap().status, 200);
    assert_eq!(signed_with(&client), after.1);

    // A file that cannot be used changes nothing.
    let file = site.home.path().join("pki/server.crt");
    let whole = std::fs::read(&file).unwrap();
    std::fs::copy(site.home.path().join("pki/terminal-tls.crt"), &file).unwrap();
    // For longer than it takes the server to look.
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        assert_eq!(site.admin.raw(server.port).shown(), after.0);
    }
    std::fs::write(&file, whole).unwrap();
    assert_eq!(open.send(HEALTH, b"").unwrap().status, 200);
}

case!(EachStore, what_expired_while_a_server_was_off_is_renewed_when_it_starts);
fn what_expired_while_a_server_was_off_is_renewed_when_it_starts(kind: &Kind) {
    let days_ago = |days: i64| Timestamp::now() - SignedDuration::from_hours(24 * days);
    let site = Site::founded(kind, days_ago(40), CertificateDays::new(366));
    let (pki, names) = (site.pki(), [ServerName::parse("localhost").unwrap()]);
    pki.renew(&names, CertificateDays::new(1), ClockCheck::Enforced, days_ago(39), &mut SystemRandom).unwrap();
    assert!(pki.load_server_tls(Timestamp::now()).is_err());
    let server = site.start();
    let tls = pki.load_terminal_tls(Timestamp::now()).unwrap();
    let url = format!("https://localhost:{}", server.port);
    let client = ServerClient::connect(&url, &tls.key, &tls.certificate, &tls.trusted(), RequestLimits::default());
    client.unwrap().health().unwrap();
    assert!(std::fs::read_to_string(&server.log).unwrap().contains("certificates were renewed"));
}

case!(EachStore, what_expires_while_a_server_runs_is_renewed);
fn what_expires_while_a_server_runs_is_renewed(kind: &Kind) {
    let days_ago = |days: i64| Timestamp::now() - SignedDuration::from_hours(24 * days);
    let site = Site::founded(kind, days_ago(40), CertificateDays::new(366));
    let (pki, names) = (site.pki(), [ServerName::parse("localhost").unwrap()]);
    let renew = |days, at| pki.renew(&names, CertificateDays::new(days), ClockCheck::Enforced, at, &mut SystemRandom);
    renew(1, days_ago(39)).unwrap();
    let files = ["server.crt", "server-signature.crt"].map(|name| pki.folder().join(name));
    let expired = files.clone().map(|file| std::fs::read(file).unwrap());
    renew(366, days_ago(0)).unwrap();
    let server = site.start();
    let before = site.admin.raw(server.port).shown();
    // As after a night in which the machine slept.
    for (file, content) in files.iter().zip(expired) {
        std::fs::write(file, content).unwrap();
    }
    let renewed = |_| {
        let shown = site.admin.raw(server.port).shown();
        shown != before && pki.load_server_tls(Timestamp::now()).is_ok_and(|tls| tls.certificate.der() == shown)
    };
    assert!((0..2000).any(renewed), "it is never renewed");
    assert!(std::fs::read_to_string(&server.log).unwrap().contains("certificates were renewed"));
}
