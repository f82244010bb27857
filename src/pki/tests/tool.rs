//! The openssl command-line tool reads our files, and we read its.
use super::*;

fn openssl(place: &Place, arguments: &[&str]) -> Output {
    let tool = Command::new("openssl").args(arguments).current_dir(place.home.folder()).output();
    tool.expect("the openssl command-line tool is needed: apt-get install openssl")
}

fn openssl_says(place: &Place, arguments: &[&str]) -> String {
    let output = openssl(place, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn openssl_reads_and_accepts_every_file() {
    let place = Place::new();
    // The tool uses the machine's clock.
    let today = Timestamp::now();
    place.init(today).unwrap();
    for name in ALL.iter().filter(|name| name.ends_with(".crt")) {
        let strict = ["verify", "-x509_strict", "-check_ss_sig", "-CAfile", "ca.crt", name];
        assert_eq!(openssl_says(&place, &strict), format!("{name}: OK\n"));
        let key = name.replace(".crt", ".key");
        let certified = openssl_says(&place, &["x509", "-in", name, "-noout", "-pubkey"]);
        assert_eq!(openssl_says(&place, &["pkey", "-in", &key, "-pubout"]), certified, "{name}");
        assert!(fs::read_to_string(place.path(&key)).unwrap().starts_with("-----BEGIN PRIVATE KEY-----"), "{key}");
        openssl_says(&place, &["pkey", "-in", &key, "-check", "-noout"]);
    }
    let server =
        |purpose, certificate| openssl(&place, &["verify", "-CAfile", "ca.crt", "-purpose", purpose, certificate]);
    assert!(server("sslserver", "server.crt").status.success());
    assert!(server("sslclient", "terminal-tls.crt").status.success());
    for (purpose, certificate) in [
        ("sslclient", "server.crt"),
        ("sslserver", "terminal-tls.crt"),
        ("sslserver", "terminal-ecka.crt"),
        ("sslclient", "terminal-admin.crt"),
    ] {
        assert!(!server(purpose, certificate).status.success(), "{certificate} as {purpose}");
    }
    for (kind, name, matches) in [
        ("-verify_hostname", "localhost", true),
        ("-verify_hostname", "door.example.org", true),
        ("-verify_ip", "127.0.0.1", true),
        ("-verify_ip", "::1", true),
        ("-verify_hostname", "other.example.org", false),
    ] {
        let output = openssl(&place, &["verify", "-CAfile", "ca.crt", kind, name, "server.crt"]);
        assert_eq!(output.status.success(), matches, "{name}");
    }
    let text = openssl_says(&place, &["x509", "-in", "terminal-admin.crt", "-noout", "-text"]);
    for expected in ["Version: 3 (0x2)", "ecdsa-with-SHA256", "Key Agreement", "1.3.6.1.4.1.32473.82.3", "prime256v1"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let text = openssl_says(&place, &["x509", "-in", "ca.crt", "-noout", "-text"]);
    let id = place.home.load_authority().unwrap().point().key_identifier();
    let id: Vec<_> = id.iter().map(|byte| format!("{byte:02X}")).collect();
    for expected in ["CA:TRUE, pathlen:0", "Certificate Sign", &id.join(":")] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn a_key_and_request_of_openssl_are_taken() {
    let place = Place::initialised();
    let key = ["ecparam", "-genkey", "-noout", "-name", "prime256v1", "-out", "other.key"];
    openssl_says(&place, &key);
    let request =
        ["req", "-new", "-key", "other.key", "-subj", "/CN=door north", "-outform", "DER", "-out", "other.csr"];
    openssl_says(&place, &request);
    let request = CertificateRequest::verify(&fs::read(place.path("other.csr")).unwrap()).unwrap();
    let mut ca = place.home.load_ca(ClockCheck::Enforced).unwrap();
    let der = ca.certify_terminal(TerminalRole::Write, &request, Lifetime::Usual, now(), &mut SystemRandom).unwrap();
    let read = Certificate::verify(&der, ca.authority().point(), &CertificateProfile::TERMINAL).unwrap();
    assert_eq!((read.subject(), read.class()), ("door north", CertificateProfile::Terminal(TerminalRole::Write)));
    let own = KeyPair::from_pem(&fs::read(place.path("other.key")).unwrap()).unwrap();
    assert_eq!(read.point(), own.public());
    // And the other way round.
    fs::write(place.path("own.csr"), CertificateRequest::sign(&own, "door south").unwrap()).unwrap();
    openssl_says(&place, &["req", "-in", "own.csr", "-inform", "DER", "-verify", "-noout"]);
}
