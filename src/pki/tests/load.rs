//! Which files are loaded, refused, missing or listed.
use super::*;
use crate::pki::MissingUse;

#[test]
fn the_inventory_tells_what_is_there_and_hides_nothing() {
    let place = Place::new();
    assert!(place.home.inventory().unwrap().is_empty());
    place.init(now()).unwrap();
    let mut ca = place.home.load_ca(ClockCheck::Enforced).unwrap();
    let set = place.home.create_set(&mut ca, now(), &mut SystemRandom).unwrap().id;
    fs::write(place.path("sets/notes.txt"), "not ours").unwrap();
    let items = place.home.inventory().unwrap();
    let files: Vec<_> = items.iter().map(|item| item.file.clone()).collect();
    let mut expected: Vec<_> = ALL.iter().map(ToString::to_string).filter(|name| name != "issued.ndjson").collect();
    expected.extend([format!("sets/{set}.key"), format!("sets/{set}.crt")]);
    assert_eq!(files, expected);
    let classes: Vec<_> = items.iter().filter_map(|item| facts(item).map(|facts| facts.class.word())).collect();
    assert_eq!(
        classes,
        ["ca", "terminal-read", "terminal-admin", "tls-client", "tls-server", "server-signature", "set"]
    );
    assert!(items.iter().all(|item| !broken(item)));

    // One broken key affects its own row and that of its certificate, and no other.
    fs::set_permissions(place.path("server.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let items = place.home.inventory().unwrap();
    let bad: Vec<_> = items.iter().filter(|item| broken(item)).map(|item| item.file.as_str()).collect();
    assert_eq!(bad, ["server.key", "server.crt"]);
    assert_eq!(items.len(), expected.len());

    // A terminal without the CA's key is complete.
    fs::remove_file(place.path("ca.key")).unwrap();
    let items = place.home.inventory().unwrap();
    assert!(items.iter().any(|item| item.file == "ca.crt" && !broken(item)));
    assert!(!items.iter().any(|item| item.file == "ca.key"));
}

fn facts(item: &InventoryItem) -> Option<&Facts> {
    match &item.content {
        Content::Certificate(Ok(facts)) => Some(facts),
        _ => None,
    }
}

fn broken(item: &InventoryItem) -> bool {
    matches!(item.content, Content::PrivateKey(Err(_)) | Content::SecretKey(Err(_)) | Content::Certificate(Err(_)))
}

#[test]
fn a_terminal_certificate_is_expiring_from_day_four() {
    let place = Place::initialised();
    let items = place.home.inventory().unwrap();
    let age = |file: &str, at| facts(items.iter().find(|item| item.file == file).unwrap()).unwrap().age(at);
    let day = |n: i64| now() + SignedDuration::from_hours(24 * n);
    let hour = SignedDuration::from_hours(1);
    for (at, expected) in [
        (now() - CLOCK_TOLERANCE - SECOND, Age::NotYetValid),
        (now(), Age::Valid),
        (day(4) - hour, Age::Valid),
        (day(4) + hour, Age::Expiring),
        (day(7), Age::Expiring),
        (day(7) + SECOND, Age::Expired),
    ] {
        assert_eq!(age("terminal-ecka.crt", at), expected, "{at}");
    }
    assert_eq!(age("server.crt", day(59)), Age::Valid);
    assert_eq!(age("server.crt", day(61)), Age::Expiring);
    assert_eq!(age("ca.crt", day(61)), Age::Valid);
}

#[test]
fn private_files_must_be_private() {
    let place = Place::initialised();
    let set = |name, bits| fs::set_permissions(place.path(name), fs::Permissions::from_mode(bits)).unwrap();
    for name in ALL.iter().filter(|name| name.ends_with(".key")) {
        for bits in [0o604, 0o602, 0o601, 0o640, 0o620, 0o610] {
            set(name, bits);
            let error = place.load_all(now()).unwrap_err();
            assert!(matches!(error, PkiError::KeyPermissions { mode, .. } if mode == bits), "{name}: {error}");
            assert_eq!(code(error), "pki.key-permissions");
        }
        set(name, 0o600);
        place.load_all(now()).unwrap();
    }
}

#[test]
fn missing_files_are_named() {
    for name in ALL {
        let place = Place::initialised();
        fs::remove_file(place.path(name)).unwrap();
        let error = place.load_all(now()).unwrap_err();
        assert!(error.to_string().contains(name), "{name}: {error}");
        let expected = match name {
            "ca.key" => "pki.no-ca-key",
            "issued.ndjson" => "pki.record-missing",
            _ => "pki.not-initialised",
        };
        assert_eq!(code(error), expected, "{name}");
    }
    let nothing = Place::new();
    let failure = Failure::from(nothing.renew(now()).unwrap_err());
    assert_eq!(failure.code, "pki.not-initialised");
    assert!(failure.hint.unwrap().contains("rollcall pki init"));
    assert!(!nothing.home.folder().exists());
}

#[test]
fn damaged_files_are_refused() {
    let group = openssl::ec::EcGroup::from_curve_name(openssl::nid::Nid::SECP384R1).unwrap();
    let p384 = openssl::pkey::PKey::from_ec_key(openssl::ec::EcKey::generate(&group).unwrap()).unwrap();
    let p384 = p384.private_key_to_pem_pkcs8().unwrap();
    let long = vec![b'0'; 17 * 1024];
    let place = Place::initialised();
    for name in ALL {
        let own = fs::read(place.path(name)).unwrap();
        for content in [&b""[..], b"hello", &p384, &long] {
            fs::write(place.path(name), content).unwrap();
            let result = place.load_all(now()).and_then(|()| {
                let mut ca = place.home.load_ca(ClockCheck::Enforced)?;
                ca.certify_identity(Uuid::nil(), test_key().public(), now(), &mut SystemRandom).map(drop)
            });
            if name == "issued.ndjson" && content.iter().all(|byte| *byte != b'\n') {
                result.unwrap(); // torn in its first line: nothing of it was given away
                continue;
            }
            let error = code(result.unwrap_err());
            let expected = ["pki.file-damaged", "pki.record-damaged", "pki.file"];
            assert!(expected.contains(&error), "{name}: {error}");
        }
        fs::write(place.path(name), own).unwrap();
    }
}

#[test]
fn certificates_that_do_not_belong_are_refused() {
    let (place, other) = (Place::initialised(), Place::initialised());
    for (certificate, from, expected) in [
        ("terminal-ecka.crt", other.path("terminal-ecka.crt"), "pki.mismatch"), // another CA
        ("terminal-admin.crt", place.path("terminal-ecka.crt"), "pki.mismatch"), // another role
        ("terminal-tls.crt", place.path("server.crt"), "pki.mismatch"),         // the other side
        ("server.crt", place.path("ca.crt"), "pki.mismatch"),
        ("ca.crt", place.path("server.crt"), "pki.mismatch"),
    ] {
        let own = fs::read(place.path(certificate)).unwrap();
        fs::copy(from, place.path(certificate)).unwrap();
        assert_eq!(code(place.load_all(now()).unwrap_err()), expected, "{certificate}");
        fs::write(place.path(certificate), own).unwrap();
        place.load_all(now()).unwrap();
    }
    // A valid certificate beside another key.
    fs::copy(place.path("terminal-admin.key"), place.path("terminal-ecka.key")).unwrap();
    assert!(matches!(place.home.load_terminal(now()), Err(PkiError::Mismatch(_))));
}

#[test]
fn certificates_of_a_terminal_expire_and_are_renewed() {
    let place = Place::initialised();
    let before = place.contents();
    let last = now() + TERMINAL_LIFE;
    place.load_all(last).unwrap();
    let failure = Failure::from(place.home.load_terminal(last + SECOND).unwrap_err());
    assert_eq!(failure.code, "pki.terminal-expired");
    let hint = failure.hint.unwrap();
    assert!(hint.text.starts_with("where the CA key is: rollcall pki renew; elsewhere"), "{hint}");
    let early = place.home.load_terminal(now() - CLOCK_TOLERANCE - SECOND).unwrap_err();
    assert_eq!(code(early), "pki.not-yet-valid");

    // init keeps them; only renew makes new ones.
    place.init(last + SECOND).unwrap();
    assert_eq!(code(place.home.load_terminal(last + SECOND).unwrap_err()), "pki.terminal-expired");
    let report = place.renew(last + SECOND).unwrap();
    let names: Vec<_> = report.files.iter().map(|file| (file.name, file.outcome)).collect();
    let renewed = ["terminal-ecka.crt", "terminal-admin.crt", "terminal-tls.crt", "server.crt", "server-signature.crt"];
    assert_eq!(names, renewed.map(|name| (name, FileOutcome::Renewed)));
    place.load_all(last + SECOND).unwrap();
    for (name, content) in place.contents() {
        let expected = !renewed.contains(&name.as_str()) && name != "issued.ndjson";
        assert_eq!(content == before[&name], expected, "{name}");
    }
}

#[test]
fn nothing_secret_is_printed() {
    let place = Place::initialised();
    let terminal = place.home.load_terminal(now()).unwrap();
    let ca = place.home.load_ca(ClockCheck::Enforced).unwrap();
    let start = place.home.load_start_key().unwrap();
    let printed = format!("{ca:?} {terminal:?} {start:?}");
    for name in ["ca.key", "terminal-ecka.key"] {
        let key = KeyPair::from_pem(&fs::read(place.path(name)).unwrap()).unwrap();
        assert!(!printed.contains(&hex::encode(&key.scalar().unwrap()[..4])));
    }
    assert!(!printed.contains(&hex::encode(&start.expose()[..4])));
}

/// How a file can be recovered depends on how the others came here; and it is reported before a card is presented.
#[test]
fn what_is_missing_is_told_with_what_brings_it_back() {
    let told = |home: &PkiDir, has_server, named_perso| {
        let all = home.missing(has_server, named_perso).unwrap().into_iter();
        all.map(|one| (one.file, one.stops, code(one.error))).collect::<Vec<_>>()
    };
    let (init, lost, key) = ("pki.not-initialised", "pki.file-missing", "pki.no-ca-key");
    for (gone, stops, by) in [
        ("terminal-ecka.crt", MissingUse::Taps, init),
        ("terminal-tls.crt", MissingUse::Issuing, init),
        ("terminal-admin.crt", MissingUse::Enrolling, init),
        ("server.crt", MissingUse::Serving, init),
        ("server-signature.crt", MissingUse::Serving, init),
        ("perso.key", MissingUse::Enrolling, init),
        ("start.key", MissingUse::Enrolling, init),
        ("ca.key", MissingUse::Issuing, key),
    ] {
        let place = Place::initialised();
        assert_eq!(told(&place.home, false, false), []);
        fs::remove_file(place.path(gone)).unwrap();
        assert_eq!(told(&place.home, false, false), [(gone, stops, by)]);
        // A key without its certificate, and neither of them.
        if let Some(pair) = gone.strip_suffix(".crt").filter(|pair| *pair != "server-signature") {
            fs::remove_file(place.path(&format!("{pair}.key"))).unwrap();
            assert_eq!(told(&place.home, false, false).len(), 2, "{pair}");
        }
    }
    let place = Place::initialised();
    fs::remove_file(place.path("terminal-tls.crt")).unwrap();
    fs::remove_file(place.path("perso.key")).unwrap();
    assert_eq!(told(&place.home, true, true), [("terminal-tls.crt", MissingUse::Server, init)]);
    // Cards were issued with it: another key would open none of them.
    let mut ca = place.home.load_ca(ClockCheck::Enforced).unwrap();
    ca.certify_identity(Uuid::nil(), test_key().public(), now(), &mut SystemRandom).unwrap();
    assert_eq!(told(&place.home, true, false)[1], ("perso.key", MissingUse::Enrolling, lost));
    // The CA key is kept elsewhere, and a server renews the certificates.
    fs::remove_file(place.path("ca.key")).unwrap();
    assert_eq!(told(&place.home, true, true), [("terminal-tls.crt", MissingUse::Server, lost)]);
    let hint = Failure::from(place.home.load_terminal_tls(now()).unwrap_err()).hint.unwrap();
    assert!(hint.contains("backup"), "{hint}");
}
