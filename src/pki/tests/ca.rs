//! What the CA certifies, what it refuses, and its record.
use super::*;

#[test]
fn tokens_are_certified_for_ten_years_and_never_beyond_the_ca() {
    let place = Place::initialised();
    let mut ca = place.home.load_ca(ClockCheck::Skipped).unwrap();
    let point = *ca.authority().point();
    let id = Uuid::from_bytes([0xA5; 16]);
    let (ecka, identity) = (test_key(), test_key());
    let first = ca.certify_token_ecka(id, ecka.public(), now(), &mut SystemRandom).unwrap();
    let first = Certificate::verify(&first, &point, &[CertificateProfile::TokenEcka]).unwrap();
    assert_eq!((first.subject(), first.point()), (&*id.to_string(), ecka.public()));
    assert_eq!(first.not_after(), now() + TOKEN_LIFE);
    let late = now() + TOKEN_LIFE + TOKEN_LIFE;
    let last = ca.certify_identity(id, identity.public(), late, &mut SystemRandom).unwrap();
    let last = Certificate::verify(&last, &point, &[CertificateProfile::Identity]).unwrap();
    assert_eq!(last.not_after(), ca.authority().not_after());
    let over = now() + AUTHORITY_LIFE + SECOND;
    let error = ca.certify_identity(id, test_key().public(), over, &mut SystemRandom).unwrap_err();
    assert_eq!(code(error), "pki.ca-expired");
}

#[test]
fn one_key_is_never_certified_for_two_purposes() {
    let place = Place::initialised();
    let (id, other) = (Uuid::from_bytes([1; 16]), Uuid::from_bytes([2; 16]));
    let key = test_key();
    let random = &mut SystemRandom;
    let mut ca = place.home.load_ca(ClockCheck::Enforced).unwrap();
    ca.certify_identity(id, key.public(), now(), random).unwrap();
    // The same again, as after an answer that was lost.
    ca.certify_identity(id, key.public(), now(), random).unwrap();
    // Refused also by a process that starts afterwards, and with --yes.
    for clock_check in [ClockCheck::Enforced, ClockCheck::Skipped] {
        let mut ca = place.home.load_ca(clock_check).unwrap();
        let request = CertificateRequest::verify(&CertificateRequest::sign(&key, &id.to_string()).unwrap()).unwrap();
        for refused in [
            ca.certify_token_ecka(id, key.public(), now(), random),
            ca.certify_identity(other, key.public(), now(), random),
            ca.certify_terminal(TerminalRole::Read, &request, Lifetime::Usual, now(), random),
            ca.certify_tls_client(&request, Lifetime::Usual, now(), random),
            ca.certify_tls_server(&names(), &request, Lifetime::Usual, now(), random),
        ] {
            assert_eq!(code(refused.unwrap_err()), "pki.key-taken");
        }
    }
    // A terminal's key gets no second role, and the CA's key no certificate at all.
    let terminal = place.home.load_terminal(now()).unwrap();
    let request = CertificateRequest::sign(&terminal.key, terminal.certificate.subject()).unwrap();
    let request = CertificateRequest::verify(&request).unwrap();
    assert_eq!(
        code(ca.certify_terminal(TerminalRole::Admin, &request, Lifetime::Usual, now(), random).unwrap_err()),
        "pki.key-taken"
    );
    ca.certify_terminal(TerminalRole::Read, &request, Lifetime::Usual, now(), random).unwrap();
    let own = *ca.authority().point();
    assert_eq!(code(ca.certify_identity(id, &own, now(), random).unwrap_err()), "pki.key-taken");
    fs::remove_file(place.path("issued.ndjson")).unwrap();
    let mut ca = place.home.load_ca(ClockCheck::Skipped).unwrap();
    assert_eq!(code(ca.certify_identity(id, &own, now(), random).unwrap_err()), "pki.key-taken");
}

#[test]
fn a_clock_that_jumped_issues_nothing() {
    let place = Place::initialised();
    let issue = |clock_check, now| {
        let mut ca = place.home.load_ca(clock_check).unwrap();
        let der = ca.certify_identity(Uuid::nil(), test_key().public(), now, &mut SystemRandom)?;
        Ok::<_, PkiError>(Certificate::verify(&der, ca.authority().point(), &[CertificateProfile::Identity]).unwrap())
    };
    let behind = now() - CLOCK_TOLERANCE - SECOND;
    let ahead = now() + CLOCK_LEAP + SECOND;
    for wrong in [behind, ahead] {
        let lines = record::entries(&place.home.record()).unwrap().len();
        assert_eq!(code(issue(ClockCheck::Enforced, wrong).unwrap_err()), "pki.clock");
        assert_eq!(code(place.renew(wrong).unwrap_err()), "pki.clock");
        assert_eq!(record::entries(&place.home.record()).unwrap().len(), lines);
    }
    // Slightly behind counts as now: time does not go back.
    let stood = issue(ClockCheck::Enforced, now() - CLOCK_TOLERANCE).unwrap();
    assert_eq!(stood.not_before(), now() - CLOCK_TOLERANCE);
    issue(ClockCheck::Enforced, ahead - SECOND).unwrap();
    // The operator overrides the check; then the last issue counts.
    issue(ClockCheck::Skipped, now()).unwrap();
    issue(ClockCheck::Enforced, now()).unwrap();
}

#[test]
fn the_record_survives_a_crash_and_tells_damage() {
    let place = Place::initialised();
    let path = place.home.record();
    let whole = fs::read(&path).unwrap();
    let lines = record::entries(&path).unwrap();
    let classes: Vec<_> = lines.iter().map(|entry| entry.class.as_str()).collect();
    assert_eq!(classes, ["ca", "terminal-read", "terminal-admin", "tls-client", "tls-server", "server-signature"]);
    let authority = place.home.load_authority().unwrap();
    assert_eq!(lines[0].key, fingerprint(authority.point()));
    assert_eq!(lines[0].serial, hex::encode(authority.serial()));

    // The last line is cut off at various bytes.
    let start = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for length in [start + 1, start + 40, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(record::entries(&path).unwrap(), lines[..5]);
        let mut ca = place.home.load_ca(ClockCheck::Enforced).unwrap();
        ca.certify_identity(Uuid::nil(), test_key().public(), now(), &mut SystemRandom).unwrap();
        let after = record::entries(&path).unwrap();
        assert_eq!((&after[..5], after[5].class.as_str()), (&lines[..5], "identity"));
    }
    fs::write(&path, [&whole[..start], b"{}\n"].concat()).unwrap();
    let error = place.renew(now()).unwrap_err();
    assert!(matches!(error, PkiError::RecordDamaged { line: 6, .. }), "{error}");
}

#[test]
fn several_processes_may_issue_at_once() {
    const PROCESSES: u8 = 8;
    let place = Place::initialised();
    // In every round all want the same key, each for another token: only one gets it.
    let keys: Vec<_> = (0..20).map(|_| test_key()).collect();
    let start = std::sync::Barrier::new(PROCESSES.into());
    std::thread::scope(|scope| {
        for n in 0..PROCESSES {
            let (place, keys, start) = (&place, &keys, &start);
            scope.spawn(move || {
                let mut ca = place.home.load_ca(ClockCheck::Enforced).unwrap();
                for key in keys {
                    start.wait();
                    match ca.certify_identity(Uuid::from_bytes([n; 16]), key.public(), now(), &mut SystemRandom) {
                        Ok(_) | Err(PkiError::KeyTaken { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
    });
    let issued = record::entries(&place.home.record()).unwrap().split_off(6);
    let found: Vec<_> = issued.iter().map(|entry| entry.key.clone()).collect();
    assert_eq!(found, keys.iter().map(|key| fingerprint(key.public())).collect::<Vec<_>>());
}

#[test]
fn sets_have_a_key_that_was_made_here() {
    let place = Place::initialised();
    let mut ca = place.home.load_ca(ClockCheck::Enforced).unwrap();
    let made = place.home.create_set(&mut ca, now(), &mut SystemRandom).unwrap();
    assert_eq!(made.certificate.class(), CertificateProfile::SetEcka);
    assert!(made.certificate.subject().starts_with("set ") && made.certificate.der().len() <= 480);
    assert_eq!(made.certificate.not_after(), now() + TOKEN_LIFE);
    let id: SetId = made.id.to_string().parse().unwrap();
    let loaded = place.home.load_set(id).unwrap();
    assert_eq!((loaded.key.public(), loaded.certificate.der()), (made.key.public(), made.certificate.der()));
    let other = place.home.create_set(&mut ca, now(), &mut SystemRandom).unwrap();
    assert!(other.id != id && other.key.public() != made.key.public());
    fs::copy(place.path(&format!("sets/{}.key", other.id)), place.path(&format!("sets/{id}.key"))).unwrap();
    assert_eq!(code(place.home.load_set(id).unwrap_err()), "pki.mismatch");
}
