//! `pki init`: what it makes, and that an interrupted run is completed by the next.
use super::*;

#[test]
fn init_makes_exactly_these_files_and_only_for_their_owner() {
    let place = Place::new();
    let report = place.init(now()).unwrap();
    let mut expected: Vec<_> = ALL.iter().map(ToString::to_string).chain([".lock".to_owned()]).collect();
    expected.sort_unstable();
    assert_eq!(place.contents().into_keys().collect::<Vec<_>>(), expected);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(place.home.folder()), 0o700);
    for name in ALL {
        assert_eq!(mode(&place.path(name)), 0o600, "{name}");
    }
    assert!(report.files.iter().all(|file| file.outcome == FileOutcome::Created));
    let reported: Vec<_> = report.files.iter().map(|file| file.name).collect();
    assert_eq!(reported, ALL.iter().copied().filter(|name| *name != "issued.ndjson").collect::<Vec<_>>());
    assert_eq!(report.authority, place.home.load_authority().unwrap().point().key_identifier());
}

#[test]
fn what_was_made_loads_and_is_what_it_should_be() {
    let place = Place::initialised();
    let authority = place.home.load_authority().unwrap();
    assert_eq!(authority.not_after(), now() + AUTHORITY_LIFE);
    let terminal = place.home.load_terminal(now()).unwrap();
    let admin = place.home.load_admin_terminal(now()).unwrap();
    let client = place.home.load_terminal_tls(now()).unwrap();
    let server = place.home.load_server_tls(now()).unwrap();
    assert_eq!(terminal.certificate.class(), CertificateProfile::Terminal(TerminalRole::Read));
    assert_eq!(admin.certificate.class(), CertificateProfile::Terminal(TerminalRole::Admin));
    assert_eq!(terminal.certificate.not_before(), now() - CLOCK_TOLERANCE);
    assert_eq!(terminal.certificate.not_after(), now() + TERMINAL_LIFE);
    assert_eq!(client.certificate.not_after(), now() + TERMINAL_LIFE);
    let signature = place.home.load_server_signature(now()).unwrap();
    let keys = [terminal.key, admin.key, client.key, server.key, signature.key].map(|key| *key.public());
    for (at, key) in keys.iter().enumerate() {
        assert!(key != authority.point() && !keys[..at].contains(key));
    }
    let secret = |name: &str| fs::read_to_string(place.path(name)).unwrap();
    assert_ne!(secret("start.key"), secret("perso.key"));
    let text = fs::read_to_string(place.path("start.key")).unwrap();
    assert!(text.len() == 33 && text.ends_with('\n') && hex::decode(text.trim_end()).is_ok());
}

#[test]
fn a_second_init_changes_nothing() {
    let place = Place::initialised();
    let before = place.contents();
    let report = place.init(now() + SECOND).unwrap();
    assert!(report.files.iter().all(|file| file.outcome == FileOutcome::Kept));
    assert_eq!(place.contents(), before);
}

/// Fails at the n-th use: the run can be interrupted at every key, serial number and secret.
struct Failing(u32);

impl Random for Failing {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), CryptoError> {
        if self.0 == 0 {
            return Err(openssl::error::ErrorStack::get().into());
        }
        self.0 -= 1;
        SystemRandom.fill(buffer)
    }
}

#[test]
fn an_init_that_failed_anywhere_is_finished_by_the_next() {
    let mut finished = false;
    for uses in 0..100 {
        let place = Place::new();
        finished = place.home.init(&names(), None, ClockCheck::Enforced, now(), &mut Failing(uses)).is_ok();
        let before = place.contents();
        place.init(now() + SECOND).unwrap();
        place.load_all(now() + SECOND).unwrap();
        for (name, content) in place.contents() {
            if let Some(old) = before.get(&name) {
                assert!(content.starts_with(old), "{name} was changed after {uses}");
            }
        }
        if finished {
            break;
        }
    }
    assert!(finished);
}

#[test]
fn an_init_that_was_killed_between_two_files_is_finished_by_the_next() {
    for kept in 0..ALL.len() {
        let place = Place::initialised();
        for name in &ALL[kept..] {
            // The record is written before the certificates that it lists.
            if *name != "issued.ndjson" || kept < 2 {
                fs::remove_file(place.path(name)).unwrap();
            }
        }
        // An unfinished copy of the file being written.
        let leftover = place.path(&format!(".{}.4711", ALL[kept]));
        fs::write(&leftover, "-----BEGIN").unwrap();
        let before = place.contents();
        place.init(now() + SECOND).unwrap();
        place.load_all(now() + SECOND).unwrap();
        assert_eq!(leftover.exists(), ALL[kept] == "issued.ndjson", "{}", ALL[kept]);
        for name in &ALL[..kept] {
            assert!(place.contents()[*name].starts_with(&before[*name]), "{name} after {kept}");
        }
    }
}

#[test]
fn a_ca_is_never_replaced() {
    let place = Place::initialised();
    let before = place.contents();
    fs::remove_file(place.path("ca.key")).unwrap();
    assert_eq!(code(place.init(now()).unwrap_err()), "pki.no-ca-key");
    assert_eq!(code(place.renew(now()).unwrap_err()), "pki.no-ca-key");
    // The terminal works without it.
    place.home.load_terminal(now()).unwrap();
    let other = Place::initialised();
    fs::copy(other.path("ca.key"), place.path("ca.key")).unwrap();
    assert_eq!(code(place.init(now()).unwrap_err()), "pki.mismatch");
    assert_eq!(place.contents()["ca.crt"], before["ca.crt"]);
}

#[test]
fn a_lost_key_is_replaced_with_its_certificate() {
    for name in ALL.iter().filter(|name| name.ends_with(".key") && **name != "ca.key") {
        let place = Place::initialised();
        let before = place.contents();
        fs::remove_file(place.path(name)).unwrap();
        place.init(now() + SECOND).unwrap();
        place.renew(now() + SECOND).unwrap();
        place.load_all(now() + SECOND).unwrap();
        for (other, content) in place.contents() {
            let expected = other.ends_with(".key") && other != *name;
            assert!(!expected || content == before[&other], "{other} after {name}");
        }
    }
}

#[test]
fn two_inits_at_once_make_one_ca() {
    let place = Place::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| place.init(now()).unwrap());
        }
    });
    place.load_all(now()).unwrap();
    assert_eq!(record::entries(&place.home.record()).unwrap().len(), 6);
}
