//! Sets up a second terminal from one file.

use proptest::prelude::*;

use super::*;
use crate::failure::ExitClass;
use crate::pki::Ca;
use crate::pki::{Bundle, BundledCertificates, TerminalKeys};

fn issue(ca: &mut Ca, keys: &TerminalKeys, role: TerminalRole) -> BundledCertificates {
    let requests = keys.requests("desk", "desk").unwrap();
    let read = |der: &[u8]| CertificateRequest::verify(der).unwrap();
    BundledCertificates {
        tls: ca.certify_tls_client(&read(&requests.tls), Lifetime::Usual, now(), &mut SystemRandom).unwrap(),
        ecka: ca.certify_terminal(role, &read(&requests.ecka), Lifetime::Usual, now(), &mut SystemRandom).unwrap(),
        ca: ca.authority().der().to_vec(),
        previous: None,
    }
}

fn bundle(place: &Place) -> Bundle {
    let mut ca = place.home.load_ca(ClockCheck::Enforced).unwrap();
    let keys = TerminalKeys::generate(&mut SystemRandom).unwrap();
    let certificates = issue(&mut ca, &keys, TerminalRole::Read);
    Bundle::new("desk", Some("https://server:7443"), keys, certificates).unwrap()
}

#[test]
fn a_bundle_makes_a_terminal_and_holds_no_ca_key() {
    let (first, second) = (Place::initialised(), Place::new());
    let json = bundle(&first).to_json().unwrap();
    let ca_key = fs::read_to_string(first.path("ca.key")).unwrap();
    let secret = ca_key.lines().nth(1).unwrap();
    assert!(!String::from_utf8(json.to_vec()).unwrap().contains(secret));
    // An editor on another system may save it with a byte order mark.
    let marked = [b"\xEF\xBB\xBF".as_slice(), &json].concat();
    let read = Bundle::read(&marked).unwrap();
    assert_eq!(read.server.as_deref(), Some("https://server:7443"));
    second.home.import(&read).unwrap();
    second.home.import(&read).unwrap();
    assert_eq!(second.home.load_terminal(now()).unwrap().certificate.subject(), "desk");
    assert_eq!(second.home.load_terminal_tls(now()).unwrap().certificate.subject(), "desk");
    assert_eq!(code(second.home.load_ca(ClockCheck::Enforced).unwrap_err()), "pki.no-ca-key");
    for name in ["terminal-ecka.key", "terminal-tls.key"] {
        assert_eq!(fs::metadata(second.path(name)).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

/// `pki init` could not bring these files back.
#[test]
fn what_came_in_a_bundle_comes_back_with_it() {
    let (first, second) = (Place::initialised(), Place::new());
    let bundle = bundle(&first);
    second.home.import(&bundle).unwrap();
    assert!(second.home.missing(true, false).unwrap().is_empty());
    assert_eq!(code(second.home.load_start_key().unwrap_err()), "pki.file-missing");
    assert_eq!(code(second.home.load_server_tls(now()).unwrap_err()), "pki.no-ca-key");
    for name in ["terminal-ecka.crt", "terminal-ecka.key", "terminal-tls.crt", "ca.crt"] {
        fs::remove_file(second.path(name)).unwrap();
        let lost = second.home.load_terminal(now()).and_then(|_| second.home.load_terminal_tls(now()).map(drop));
        let failure = Failure::from(lost.unwrap_err());
        assert_eq!(failure.code, "pki.file-missing", "{name}");
        assert!(failure.hint.unwrap().contains("rollcall pki import BUNDLE"), "{name}");
        second.home.import(&bundle).unwrap();
        second.home.load_terminal(now()).unwrap();
    }
}

#[test]
fn nothing_that_is_there_is_overwritten() {
    let (first, other) = (Place::initialised(), Place::initialised());
    let mine = bundle(&first);
    assert_eq!(code(first.home.import(&mine).unwrap_err()), "pki.occupied");
    fs::remove_file(other.path("ca.key")).unwrap();
    assert_eq!(code(other.home.import(&mine).unwrap_err()), "pki.occupied");
    let third = Place::new();
    third.home.import(&mine).unwrap();
    let before = third.contents();
    assert_eq!(code(third.home.import(&bundle(&first)).unwrap_err()), "pki.occupied");
    assert!(third.contents() == before);
}

#[test]
fn a_bundle_that_does_not_fit_together_is_refused() {
    let place = Place::initialised();
    let mut ca = place.home.load_ca(ClockCheck::Enforced).unwrap();
    let (keys, others) =
        (TerminalKeys::generate(&mut SystemRandom).unwrap(), TerminalKeys::generate(&mut SystemRandom).unwrap());
    let right = issue(&mut ca, &keys, TerminalRole::Read);
    let foreign =
        issue(&mut Place::initialised().home.load_ca(ClockCheck::Enforced).unwrap(), &others, TerminalRole::Read);
    let swapped = BundledCertificates { tls: right.ecka.clone(), ecka: right.tls.clone(), ..right.clone() };
    let other_ca = BundledCertificates { ca: foreign.ca.clone(), ..right.clone() };
    for (certificates, keys) in [(&right, &others), (&swapped, &keys), (&other_ca, &keys), (&foreign, &keys)] {
        let error = Bundle::new("desk", None, keys.clone(), certificates.clone()).unwrap_err();
        assert_eq!(code(error), "pki.bundle");
    }
    let whole = bundle(&place).to_json().unwrap();
    for text in ["{}", "id,name", r#"{"schema":"rollcall.user/1"}"#, r#"{"schema":"rollcall.bundle/1"}"#] {
        assert!(matches!(Bundle::read(text.as_bytes()), Err(PkiError::NotABundle)), "{text}");
    }
    for length in [0, 1, 300, whole.len() - 3] {
        let error = Bundle::read(&whole[..length]).unwrap_err();
        assert!(matches!(error, PkiError::BundleCut), "{length}: {error:?}");
        assert_eq!(code(error), "pki.bundle");
    }
    assert_eq!(code(PkiError::NotABundle), "pki.bundle");
}

/// Its other fields may be any.
#[test]
fn a_bundle_of_another_release_is_named_as_such() {
    let whole = String::from_utf8(bundle(&Place::initialised()).to_json().unwrap().to_vec()).unwrap();
    let newer = whole.replace("rollcall.bundle/1", "rollcall.bundle/2");
    for text in [newer.as_str(), r#"{"name":"desk","schema":"rollcall.bundle/2","ca":["x"]}"#] {
        let failure = Failure::from(Bundle::read(text.as_bytes()).unwrap_err());
        assert_eq!((failure.code, failure.class), ("pki.bundle", ExitClass::Data));
        assert_eq!(failure.message, "this bundle is of another release of rollcall");
        assert!(failure.hint.unwrap().contains("of the same release"));
    }
}

/// Fresh certificates are accepted only for our keys.
#[test]
fn renewed_certificates_are_those_of_our_keys() {
    let (first, second) = (Place::initialised(), Place::new());
    second.home.import(&bundle(&first)).unwrap();
    let mut ca = first.home.load_ca(ClockCheck::Enforced).unwrap();
    let requests = second.home.renewal(now()).unwrap();
    let read = |der: &[u8]| CertificateRequest::verify(der).unwrap();
    assert_eq!((read(&requests.tls).subject(), read(&requests.ecka).subject()), ("desk", "desk"));
    let later = now() + SECOND;
    let fresh = BundledCertificates {
        tls: ca.certify_tls_client(&read(&requests.tls), Lifetime::Usual, later, &mut SystemRandom).unwrap(),
        ecka: ca
            .certify_terminal(TerminalRole::Read, &read(&requests.ecka), Lifetime::Usual, later, &mut SystemRandom)
            .unwrap(),
        ca: ca.authority().der().to_vec(),
        previous: None,
    };
    second.home.renewed(&fresh).unwrap();
    assert_eq!(second.home.load_terminal(later).unwrap().certificate.not_after(), later + TERMINAL_LIFE);
    let strange = issue(&mut ca, &TerminalKeys::generate(&mut SystemRandom).unwrap(), TerminalRole::Read);
    let before = second.contents();
    assert_eq!(code(second.home.renewed(&strange).unwrap_err()), "pki.bundle");
    assert!(second.contents() == before);
}

/// An identity under the same CA is replaced by another one, even from a half-finished state; nothing of another CA is.
#[test]
fn a_new_bundle_takes_the_place_of_an_identity_that_has_ended() {
    let (first, door) = (Place::initialised(), Place::new());
    let (old, new) = (bundle(&first), bundle(&first));
    assert_eq!(door.home.given_up_for(&old).unwrap(), None);
    door.home.import(&old).unwrap();
    assert_eq!(door.home.given_up_for(&old).unwrap(), None);
    let known = door.home.given_up_for(&new).unwrap().unwrap();
    assert_eq!((known.name.as_str(), known.end), ("desk", now() + TERMINAL_LIFE));
    assert_eq!(new.identity().unwrap(), known);
    new.check_in_time(known.end - SECOND).unwrap();
    assert_eq!(code(new.check_in_time(known.end).unwrap_err()), "pki.bundle");
    // Interrupted after the first of the two keys.
    let half = fs::read(door.path("terminal-ecka.key")).unwrap();
    door.home.take_over(&new).unwrap();
    assert_eq!(door.home.given_up_for(&new).unwrap(), None);
    fs::write(door.path("terminal-ecka.key"), half).unwrap();
    assert!(door.home.given_up_for(&new).unwrap().is_some());
    door.home.take_over(&new).unwrap();
    door.home.load_terminal(now()).unwrap();
    door.home.load_terminal_tls(now()).unwrap();
    assert_eq!(code(door.home.take_over(&bundle(&Place::initialised())).unwrap_err()), "pki.occupied");
    assert_eq!(code(first.home.take_over(&new).unwrap_err()), "pki.occupied");
}

/// A terminal of one CA, with a set and secret keys of its own, and a bundle of another CA.
fn of_another_ca() -> (Place, Bundle) {
    let door = Place::new();
    door.home.import(&bundle(&Place::initialised())).unwrap();
    fs::create_dir(door.path("sets")).unwrap();
    for name in ["perso.key", "start.key", "sets/00.key"] {
        fs::write(door.path(name), name).unwrap();
    }
    (door, bundle(&Place::initialised()))
}

fn is_that_of(door: &Place, bundle: &Bundle) {
    assert_eq!(door.home.load_authority().unwrap().der(), bundle.certificates.ca);
    assert_eq!(door.home.load_terminal(now()).unwrap().certificate.der(), bundle.certificates.ecka);
    door.home.load_terminal_tls(now()).unwrap();
    assert_eq!(door.home.authority_given_up_for(bundle).unwrap(), None);
    for name in ["perso.key", "start.key", "sets/00.key"] {
        assert_eq!(fs::read_to_string(door.path(name)).unwrap(), name);
    }
    assert!(!door.home.beside().exists());
}

#[test]
fn a_bundle_of_another_ca_replaces_the_ca_only_on_request() {
    let (door, new) = of_another_ca();
    let change = door.home.authority_given_up_for(&new).unwrap().unwrap();
    assert!(change.old.len() == 16 && change.old != change.new && !change.is_rotation, "{change:?}");
    assert_eq!(door.home.given_up_for(&new).unwrap().unwrap().name, "desk");
    let before = door.home.load_authority().unwrap();
    for refused in [door.home.import(&new), door.home.take_over(&new)] {
        assert_eq!(code(refused.unwrap_err()), "pki.occupied");
    }
    assert_eq!(door.home.load_authority().unwrap(), before);
    door.home.replace_authority(&new).unwrap();
    is_that_of(&door, &new);
}

/// Where `pki` is a link, the folder that it leads to is exchanged, and nothing is left beside the link.
#[test]
fn a_folder_behind_a_link_is_replaced_where_it_is() {
    let (door, new) = of_another_ca();
    let elsewhere = tempfile::tempdir().unwrap();
    let real = elsewhere.path().join("keys");
    fs::rename(door.home.folder(), &real).unwrap();
    std::os::unix::fs::symlink(&real, door.home.folder()).unwrap();
    door.home.replace_authority(&new).unwrap();
    is_that_of(&door, &new);
    assert!(fs::symlink_metadata(door.home.folder()).unwrap().is_symlink());
    let left = |folder: &std::path::Path| fs::read_dir(folder).unwrap().count();
    assert_eq!((left(elsewhere.path()), left(door.home.folder().parent().unwrap())), (1, 1));
}

/// A bundle from before a rotation that this terminal has followed does not lead it back.
#[test]
fn a_bundle_of_the_previous_ca_is_refused() {
    let (door, new) = of_another_ca();
    fs::create_dir(door.path("previous")).unwrap();
    fs::write(door.path("previous/ca.crt"), crate::crypto::x509::to_pem(&new.certificates.ca).unwrap()).unwrap();
    assert_eq!(code(door.home.authority_given_up_for(&new).unwrap_err()), "pki.occupied");
}

/// A run that was killed leaves a folder beside this one: an unfinished new one, or the replaced one.
#[test]
fn an_interrupted_replacement_is_finished_by_the_next_run() {
    let (door, new) = of_another_ca();
    fs::create_dir(door.home.beside()).unwrap();
    for name in ["ca.crt", "terminal-tls.key", "perso.key"] {
        fs::write(door.home.beside().join(name), "unfinished").unwrap();
    }
    door.home.load_terminal(now()).unwrap();
    door.home.replace_authority(&new).unwrap();
    is_that_of(&door, &new);
    fs::create_dir(door.home.beside()).unwrap();
    fs::write(door.home.beside().join("terminal-tls.key"), "the old one").unwrap();
    door.home.import(&new).unwrap();
    is_that_of(&door, &new);
}

#[test]
fn the_ca_of_a_machine_that_has_its_key_is_never_replaced() {
    let (desk, new) = (Place::initialised(), bundle(&Place::initialised()));
    let mut kept = desk.contents();
    for lost in ["", "ca.key", "issued.ndjson"] {
        if !lost.is_empty() {
            fs::remove_file(desk.path(lost)).unwrap();
            kept.remove(lost);
        }
        let asked = desk.home.authority_given_up_for(&new).unwrap_err();
        assert_eq!(code(asked), "pki.occupied", "{lost}");
        let failure = Failure::from(desk.home.replace_authority(&new).unwrap_err());
        assert_eq!(failure.code, "pki.occupied", "{lost}");
        let hint = failure.hint.unwrap();
        assert!(hint.contains("ROLLCALL_HOME=FOLDER rollcall pki import FILE") && !hint.contains("move"), "{hint}");
        assert!(desk.contents() == kept, "{lost}");
    }
    let (door, new) = of_another_ca();
    fs::create_dir(door.path("previous")).unwrap();
    fs::write(door.path("previous/ca.key"), "of the previous CA").unwrap();
    assert_eq!(code(door.home.replace_authority(&new).unwrap_err()), "pki.occupied");
}

/// The certificates of the previous CA end with the rotation, so they would lock the terminal out.
#[test]
fn a_bundle_made_after_a_rotation_ends_the_trust_in_the_previous_ca() {
    let (first, door) = (Place::initialised(), Place::new());
    let old = bundle(&first);
    door.home.import(&old).unwrap();
    fs::create_dir(door.path("previous")).unwrap();
    fs::copy(door.path("ca.crt"), door.path("previous/ca.crt")).unwrap();
    let new = bundle(&first);
    door.home.take_over(&new).unwrap();
    assert!(door.home.previous().unwrap().is_none());
    door.home.load_terminal(now()).unwrap();
}

/// Any server address in a bundle is read back, as are its keys and certificates, byte by byte.
#[test]
fn a_bundle_that_is_read_writes_itself_again() {
    let made = bundle(&Place::initialised());
    let server = proptest::option::of(prop_oneof![
        "https://[a-z0-9.:\\[\\]-]{1,40}(/[^\\p{Cc}]{0,20})?",
        ".{0,40}",
        Just("\"\\\u{FEFF}\u{2028}".to_owned()),
    ]);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) };
    proptest!(config, |(server in server)| {
        let written = Bundle { server: server.clone(), ..made.clone() }.to_json().unwrap();
        let read = Bundle::read(&written).unwrap();
        prop_assert_eq!((&read.server, &read.name), (&server, &made.name));
        prop_assert_eq!(&*read.to_json().unwrap(), &*written);
        prop_assert_eq!(&read.certificates, &made.certificates);
    });
}
