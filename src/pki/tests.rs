use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Output},
};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{
    AUTHORITY_LIFE, Age, CLOCK_LEAP, CLOCK_TOLERANCE, Caution, Content, Facts, Home, Item, Outcome, PkiError, SetId,
    TERMINAL_LIFE, TOKEN_LIFE,
    record::{self, fingerprint},
};
use crate::{
    crypto::{
        CryptoError,
        ec::KeyPair,
        random::{Random, SystemRandom},
        x509::{Certificate, Class, Request, Role, ServerName},
    },
    failure::Failure,
};

const ALL: [&str; 13] = [
    "ca.key",
    "ca.crt",
    "issued.ndjson",
    "perso.key",
    "start.key",
    "terminal-ecka.key",
    "terminal-ecka.crt",
    "terminal-admin.key",
    "terminal-admin.crt",
    "terminal-tls.key",
    "terminal-tls.crt",
    "server.key",
    "server.crt",
];
const SECOND: SignedDuration = SignedDuration::from_secs(1);

fn now() -> Timestamp {
    "2026-11-22T15:04:05Z".parse().unwrap()
}

fn names() -> Vec<ServerName> {
    ["localhost", "127.0.0.1", "::1", "door.example.org"].map(|name| ServerName::parse(name).unwrap()).to_vec()
}

/// A folder that does not exist yet.
struct Place {
    _root: tempfile::TempDir,
    home: Home,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let home = Home::new(root.path().join("state/pki"));
        Self { _root: root, home }
    }

    fn initialised() -> Self {
        let place = Self::new();
        place.init(now()).unwrap();
        place
    }

    fn init(&self, now: Timestamp) -> Result<super::Report, PkiError> {
        self.home.init(&names(), Caution::Usual, now, &mut SystemRandom)
    }

    fn renew(&self, now: Timestamp) -> Result<super::Report, PkiError> {
        self.home.renew(&names(), Caution::Usual, now, &mut SystemRandom)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.folder().join(name)
    }

    fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let mut all = BTreeMap::new();
        for entry in fs::read_dir(self.home.folder()).unwrap() {
            let entry = entry.unwrap();
            all.insert(entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
        }
        all
    }

    fn load_all(&self, now: Timestamp) -> Result<(), PkiError> {
        self.home.load_ca(Caution::Usual)?;
        self.home.load_terminal(now)?;
        self.home.load_admin_terminal(now)?;
        self.home.load_terminal_tls(now)?;
        self.home.load_server_tls(now)?;
        self.home.load_start_key()?;
        self.home.load_perso_key()?;
        Ok(())
    }
}

fn code(error: PkiError) -> &'static str {
    Failure::from(error).code
}

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
    assert!(report.files.iter().all(|file| file.outcome == Outcome::Created));
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
    assert_eq!(terminal.certificate.class(), Class::Terminal(Role::Read));
    assert_eq!(admin.certificate.class(), Class::Terminal(Role::Admin));
    assert_eq!(terminal.certificate.not_before(), now() - CLOCK_TOLERANCE);
    assert_eq!(terminal.certificate.not_after(), now() + TERMINAL_LIFE);
    assert_eq!(client.certificate.not_after(), now() + TERMINAL_LIFE);
    let keys = [terminal.key, admin.key, client.key, server.key].map(|key| *key.public());
    for (at, key) in keys.iter().enumerate() {
        assert!(key != authority.point() && !keys[..at].contains(key));
    }
    assert!(place.home.load_start_key().unwrap() != place.home.load_perso_key().unwrap());
    let text = fs::read_to_string(place.path("start.key")).unwrap();
    assert!(text.len() == 33 && text.ends_with('\n') && hex::decode(text.trim_end()).is_ok());
}

#[test]
fn a_second_init_changes_nothing() {
    let place = Place::initialised();
    let before = place.contents();
    let report = place.init(now() + SECOND).unwrap();
    assert!(report.files.iter().all(|file| file.outcome == Outcome::Kept));
    assert_eq!(place.contents(), before);
}

/// Fails at the n-th use: every key, serial number and secret is a place to be interrupted at.
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
        finished = place.home.init(&names(), Caution::Usual, now(), &mut Failing(uses)).is_ok();
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
            // The record is written before the certificates that it speaks of.
            if *name != "issued.ndjson" || kept < 2 {
                fs::remove_file(place.path(name)).unwrap();
            }
        }
        // A half of the file that was being written.
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
    // The terminal goes on without it.
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
fn the_inventory_tells_what_is_there_and_hides_nothing() {
    let place = Place::new();
    assert!(place.home.inventory().unwrap().is_empty());
    place.init(now()).unwrap();
    let mut ca = place.home.load_ca(Caution::Usual).unwrap();
    let set = place.home.create_set(&mut ca, now(), &mut SystemRandom).unwrap().id;
    fs::write(place.path("sets/notes.txt"), "not ours").unwrap();
    let items = place.home.inventory().unwrap();
    let files: Vec<_> = items.iter().map(|item| item.file.clone()).collect();
    let mut expected: Vec<_> = ALL.iter().map(ToString::to_string).filter(|name| name != "issued.ndjson").collect();
    expected.extend([format!("sets/{set}.key"), format!("sets/{set}.crt")]);
    assert_eq!(files, expected);
    let classes: Vec<_> = items.iter().filter_map(|item| facts(item).map(|facts| facts.class)).collect();
    assert_eq!(classes, ["ca", "terminal-read", "terminal-admin", "tls-client", "tls-server", "set"]);
    assert!(items.iter().all(|item| !broken(item)));

    // One broken key: its row and that of its certificate, and no other.
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

fn facts(item: &Item) -> Option<&Facts> {
    match &item.content {
        Content::Certificate(Ok(facts)) => Some(facts),
        _ => None,
    }
}

fn broken(item: &Item) -> bool {
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
                let mut ca = place.home.load_ca(Caution::Usual)?;
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
    // A right certificate beside another key.
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
    assert_eq!(failure.hint.unwrap(), "renew it: rollcall pki renew");
    let early = place.home.load_terminal(now() - CLOCK_TOLERANCE - SECOND).unwrap_err();
    assert_eq!(code(early), "pki.clock");

    // init keeps them: only renew makes new ones.
    place.init(last + SECOND).unwrap();
    assert_eq!(code(place.home.load_terminal(last + SECOND).unwrap_err()), "pki.terminal-expired");
    let report = place.renew(last + SECOND).unwrap();
    let names: Vec<_> = report.files.iter().map(|file| (file.name, file.outcome)).collect();
    let renewed = ["terminal-ecka.crt", "terminal-admin.crt", "terminal-tls.crt", "server.crt"];
    assert_eq!(names, renewed.map(|name| (name, Outcome::Renewed)));
    place.load_all(last + SECOND).unwrap();
    for (name, content) in place.contents() {
        let expected = !renewed.contains(&name.as_str()) && name != "issued.ndjson";
        assert_eq!(content == before[&name], expected, "{name}");
    }
}

fn test_key() -> KeyPair {
    KeyPair::generate(&mut SystemRandom).unwrap()
}

#[test]
fn tokens_are_certified_for_ten_years_and_never_beyond_the_ca() {
    let place = Place::initialised();
    let mut ca = place.home.load_ca(Caution::Waived).unwrap();
    let point = *ca.authority().point();
    let id = Uuid::from_bytes([0xA5; 16]);
    let (ecka, identity) = (test_key(), test_key());
    let first = ca.certify_token_ecka(id, ecka.public(), now(), &mut SystemRandom).unwrap();
    let first = Certificate::verify(&first, &point, &[Class::TokenEcka]).unwrap();
    assert_eq!((first.subject(), first.point()), (&*id.to_string(), ecka.public()));
    assert_eq!(first.not_after(), now() + TOKEN_LIFE);
    let late = now() + TOKEN_LIFE + TOKEN_LIFE;
    let last = ca.certify_identity(id, identity.public(), late, &mut SystemRandom).unwrap();
    let last = Certificate::verify(&last, &point, &[Class::Identity]).unwrap();
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
    let mut ca = place.home.load_ca(Caution::Usual).unwrap();
    ca.certify_identity(id, key.public(), now(), random).unwrap();
    // The same once more: a step whose answer was lost.
    ca.certify_identity(id, key.public(), now(), random).unwrap();
    // Also by a process that starts afterwards, and with --yes.
    for caution in [Caution::Usual, Caution::Waived] {
        let mut ca = place.home.load_ca(caution).unwrap();
        let request = Request::verify(&Request::sign(&key, &id.to_string()).unwrap()).unwrap();
        for refused in [
            ca.certify_token_ecka(id, key.public(), now(), random),
            ca.certify_identity(other, key.public(), now(), random),
            ca.certify_terminal(Role::Read, &request, now(), random),
            ca.certify_tls_client(&request, now(), random),
            ca.certify_tls_server(&names(), &request, now(), random),
        ] {
            assert_eq!(code(refused.unwrap_err()), "pki.key-taken");
        }
    }
    // A terminal's key gets no second role, and the CA's key nothing at all.
    let terminal = place.home.load_terminal(now()).unwrap();
    let request = Request::sign(&terminal.key, terminal.certificate.subject()).unwrap();
    let request = Request::verify(&request).unwrap();
    assert_eq!(code(ca.certify_terminal(Role::Admin, &request, now(), random).unwrap_err()), "pki.key-taken");
    ca.certify_terminal(Role::Read, &request, now(), random).unwrap();
    let own = *ca.authority().point();
    assert_eq!(code(ca.certify_identity(id, &own, now(), random).unwrap_err()), "pki.key-taken");
    fs::remove_file(place.path("issued.ndjson")).unwrap();
    let mut ca = place.home.load_ca(Caution::Waived).unwrap();
    assert_eq!(code(ca.certify_identity(id, &own, now(), random).unwrap_err()), "pki.key-taken");
}

#[test]
fn a_clock_that_jumped_issues_nothing() {
    let place = Place::initialised();
    let issue = |caution, now| {
        let mut ca = place.home.load_ca(caution).unwrap();
        let der = ca.certify_identity(Uuid::nil(), test_key().public(), now, &mut SystemRandom)?;
        Ok::<_, PkiError>(Certificate::verify(&der, ca.authority().point(), &[Class::Identity]).unwrap())
    };
    let behind = now() - CLOCK_TOLERANCE - SECOND;
    let ahead = now() + CLOCK_LEAP + SECOND;
    for wrong in [behind, ahead] {
        let lines = record::entries(&place.home.record()).unwrap().len();
        assert_eq!(code(issue(Caution::Usual, wrong).unwrap_err()), "pki.clock");
        assert_eq!(code(place.renew(wrong).unwrap_err()), "pki.clock");
        assert_eq!(record::entries(&place.home.record()).unwrap().len(), lines);
    }
    // A little behind is as now: time does not go back.
    let stood = issue(Caution::Usual, now() - CLOCK_TOLERANCE).unwrap();
    assert_eq!(stood.not_before(), now() - CLOCK_TOLERANCE);
    issue(Caution::Usual, ahead - SECOND).unwrap();
    // The operator knows better; and what was issued last is what counts.
    issue(Caution::Waived, now()).unwrap();
    issue(Caution::Usual, now()).unwrap();
}

#[test]
fn the_record_survives_a_crash_and_tells_damage() {
    let place = Place::initialised();
    let path = place.home.record();
    let whole = fs::read(&path).unwrap();
    let lines = record::entries(&path).unwrap();
    let classes: Vec<_> = lines.iter().map(|entry| entry.class.as_str()).collect();
    assert_eq!(classes, ["ca", "terminal-read", "terminal-admin", "tls-client", "tls-server"]);
    let authority = place.home.load_authority().unwrap();
    assert_eq!(lines[0].key, fingerprint(authority.point()));
    assert_eq!(lines[0].serial, hex::encode(authority.serial()));

    // Torn in the last line, at every byte.
    let start = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for length in [start + 1, start + 40, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(record::entries(&path).unwrap(), lines[..4]);
        let mut ca = place.home.load_ca(Caution::Usual).unwrap();
        ca.certify_identity(Uuid::nil(), test_key().public(), now(), &mut SystemRandom).unwrap();
        let after = record::entries(&path).unwrap();
        assert_eq!((&after[..4], after[4].class.as_str()), (&lines[..4], "identity"));
    }
    fs::write(&path, [&whole[..start], b"{}\n"].concat()).unwrap();
    let error = place.renew(now()).unwrap_err();
    assert!(matches!(error, PkiError::RecordDamaged { line: 5, .. }), "{error}");
}

#[test]
fn several_processes_may_issue_at_once() {
    let place = Place::initialised();
    let key = test_key();
    std::thread::scope(|scope| {
        for n in 0..8_u8 {
            let (place, key) = (&place, &key);
            scope.spawn(move || {
                let mut ca = place.home.load_ca(Caution::Usual).unwrap();
                for _ in 0..10 {
                    let id = Uuid::from_bytes([n; 16]);
                    ca.certify_identity(id, test_key().public(), now(), &mut SystemRandom).unwrap();
                    // One key that all want: the first has it.
                    let _ = ca.certify_identity(id, key.public(), now(), &mut SystemRandom);
                }
            });
        }
    });
    let entries = record::entries(&place.home.record()).unwrap();
    let contested: Vec<_> = entries.iter().filter(|entry| entry.key == fingerprint(key.public())).collect();
    assert_eq!(contested.len(), 10);
    assert!(contested.iter().all(|entry| entry.subject == contested[0].subject));
    assert_eq!(entries.len(), 5 + 80 + 10);
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
    assert_eq!(record::entries(&place.home.record()).unwrap().len(), 5);
}

#[test]
fn sets_have_a_key_that_was_made_here() {
    let place = Place::initialised();
    let mut ca = place.home.load_ca(Caution::Usual).unwrap();
    let made = place.home.create_set(&mut ca, now(), &mut SystemRandom).unwrap();
    assert_eq!(made.certificate.class(), Class::SetEcka);
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

#[test]
fn nothing_secret_is_printed() {
    let place = Place::initialised();
    let terminal = place.home.load_terminal(now()).unwrap();
    let ca = place.home.load_ca(Caution::Usual).unwrap();
    let start = place.home.load_start_key().unwrap();
    let printed = format!("{ca:?} {terminal:?} {start:?}");
    for name in ["ca.key", "terminal-ecka.key"] {
        let key = KeyPair::from_pem(&fs::read(place.path(name)).unwrap()).unwrap();
        assert!(!printed.contains(&hex::encode(&key.scalar().unwrap()[..4])));
    }
    assert!(!printed.contains(&hex::encode(&start.expose()[..4])));
}

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
    // The tool looks at the clock of the machine.
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
    let request = Request::verify(&fs::read(place.path("other.csr")).unwrap()).unwrap();
    let mut ca = place.home.load_ca(Caution::Usual).unwrap();
    let der = ca.certify_terminal(Role::Write, &request, now(), &mut SystemRandom).unwrap();
    let read = Certificate::verify(&der, ca.authority().point(), &Class::TERMINAL).unwrap();
    assert_eq!((read.subject(), read.class()), ("door north", Class::Terminal(Role::Write)));
    let own = KeyPair::from_pem(&fs::read(place.path("other.key")).unwrap()).unwrap();
    assert_eq!(read.point(), own.public());
    // And the other way round.
    fs::write(place.path("own.csr"), Request::sign(&own, "door south").unwrap()).unwrap();
    openssl_says(&place, &["req", "-in", "own.csr", "-inform", "DER", "-verify", "-noout"]);
}
