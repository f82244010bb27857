//! Lets a terminal without the CA key follow a rotation.

use super::*;
use crate::pki::{Bundle, BundledCertificates, BundledPrevious, Followed, TerminalKeys};

/// A CA that is being rotated, and a terminal set up before.
struct Pair {
    issuer: Place,
    door: Place,
}

/// The server's answer to a renewal, certified by both CAs of the issuer.
fn renewal(issuer: &Place, door: &Place) -> BundledCertificates {
    let requests = door.home.renewal(now()).unwrap();
    let read = |der: &[u8]| CertificateRequest::verify(der).unwrap();
    let ecka = |home: &PkiDir| {
        let mut ca = home.load_ca(ClockCheck::Enforced).unwrap();
        ca.certify_terminal(TerminalRole::Read, &read(&requests.ecka), Lifetime::Usual, now(), &mut SystemRandom)
            .unwrap()
    };
    let mut ca = issuer.home.load_ca(ClockCheck::Enforced).unwrap();
    BundledCertificates {
        tls: ca.certify_tls_client(&read(&requests.tls), Lifetime::Usual, now(), &mut SystemRandom).unwrap(),
        ecka: ecka(&issuer.home),
        ca: ca.authority().der().to_vec(),
        previous: issuer.home.previous().unwrap().map(|before| BundledPrevious {
            ca: before.load_authority().unwrap().der().to_vec(),
            ecka: ecka(&before),
            endorsement: issuer.home.endorsement().unwrap().unwrap(),
        }),
    }
}

fn begin(place: &Place) {
    place.home.begin_rotation(&names(), ClockCheck::Enforced, now(), &mut SystemRandom).unwrap();
}

impl Pair {
    fn new() -> Self {
        let (issuer, door) = (Place::initialised(), Place::new());
        let keys = TerminalKeys::generate(&mut SystemRandom).unwrap();
        let requests = keys.requests("door", "door").unwrap();
        let read = |der: &[u8]| CertificateRequest::verify(der).unwrap();
        let mut ca = issuer.home.load_ca(ClockCheck::Enforced).unwrap();
        let certificates = BundledCertificates {
            tls: ca.certify_tls_client(&read(&requests.tls), Lifetime::Usual, now(), &mut SystemRandom).unwrap(),
            ecka: ca
                .certify_terminal(TerminalRole::Read, &read(&requests.ecka), Lifetime::Usual, now(), &mut SystemRandom)
                .unwrap(),
            ca: ca.authority().der().to_vec(),
            previous: None,
        };
        door.home.import(&Bundle::new("door", None, keys, certificates).unwrap()).unwrap();
        Self { issuer, door }
    }
}

#[test]
fn a_terminal_follows_its_ca_and_lets_go_of_the_old_one_at_the_end() {
    let Pair { issuer, door } = Pair::new();
    let old = *door.home.load_authority().unwrap().point();
    assert!(issuer.home.endorsement().unwrap().is_none());
    begin(&issuer);
    let new = *issuer.home.load_authority().unwrap().point();
    // Leftovers of an interrupted run do no harm.
    fs::create_dir(door.home.folder().with_file_name("pki.next")).unwrap();
    assert_eq!(door.home.renewed(&renewal(&issuer, &door)).unwrap(), Followed::Begun);
    assert_eq!(door.home.load_trusted().unwrap(), [new, old]);
    let both = door.home.load_terminal(now()).unwrap();
    let before = both.previous.unwrap();
    assert_eq!((both.key.public(), before.authority.point()), (before.key.public(), &old));
    let tls = door.home.load_terminal_tls(now()).unwrap();
    assert_eq!((tls.authority.point(), tls.also.unwrap().point()), (&new, &old));
    assert_eq!(door.home.renewed(&renewal(&issuer, &door)).unwrap(), Followed::Nothing);
    issuer.home.finish_rotation().unwrap();
    assert_eq!(door.home.renewed(&renewal(&issuer, &door)).unwrap(), Followed::Ended);
    assert_eq!(door.home.load_trusted().unwrap(), [new]);
    assert!(door.home.load_terminal(now()).unwrap().previous.is_none());
    let left: Vec<_> = fs::read_dir(door.home.folder().parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

/// The server presents the old CA's certificates until the end, and accepts those of both.
#[test]
fn the_server_shows_what_every_terminal_knows() {
    let issuer = Place::initialised();
    let old = *issuer.home.load_authority().unwrap().point();
    let shown = |home: &PkiDir| {
        let (tls, signature) = (home.load_server_tls(now()).unwrap(), home.load_server_signature(now()).unwrap());
        (*tls.authority.point(), tls.trusted().len(), *signature.authority.point(), tls.certificate.names())
    };
    let before = shown(&issuer.home);
    assert_eq!((before.0, before.1, before.2), (old, 1, old));
    issuer.home.begin_rotation(&[], ClockCheck::Enforced, now(), &mut SystemRandom).unwrap();
    assert_eq!(shown(&issuer.home), (old, 2, old, before.3.clone()));
    issuer.home.finish_rotation().unwrap();
    let new = *issuer.home.load_authority().unwrap().point();
    assert_eq!(shown(&issuer.home), (new, 1, new, before.3), "it keeps its names");
}

#[test]
fn only_the_own_ca_brings_another_one() {
    let Pair { issuer, door } = Pair::new();
    begin(&issuer);
    let right = renewal(&issuer, &door);
    let previous = right.previous.clone().unwrap();
    // Another pair of CAs, whose old one endorses its own successor, and one that would endorse ours.
    let stranger = Place::initialised();
    begin(&stranger);
    let strange = renewal(&stranger, &door);
    let other = strange.previous.clone().unwrap();
    let mut bent = previous.endorsement.clone();
    *bent.last_mut().unwrap() ^= 1;
    let with = |previous: BundledPrevious| BundledCertificates { previous: Some(previous), ..right.clone() };
    let before = door.contents();
    for (told, expected) in [
        (strange.clone(), "pki.not-endorsed"),
        (BundledCertificates { previous: Some(previous.clone()), ..strange.clone() }, "pki.not-endorsed"),
        (with(BundledPrevious { endorsement: other.endorsement.clone(), ..previous.clone() }), "pki.not-endorsed"),
        (with(BundledPrevious { endorsement: bent, ..previous.clone() }), "pki.not-endorsed"),
        (with(BundledPrevious { endorsement: Vec::new(), ..previous.clone() }), "pki.not-endorsed"),
        (with(other.clone()), "pki.not-endorsed"),
        (with(BundledPrevious { ecka: other.ecka.clone(), ..previous.clone() }), "pki.bundle"),
        (with(BundledPrevious { ca: right.ca.clone(), ecka: right.ecka.clone(), ..previous.clone() }), "pki.bundle"),
        (BundledCertificates { previous: None, ..right.clone() }, "pki.bundle"),
    ] {
        assert_eq!(code(door.home.renewed(&told).unwrap_err()), expected);
        assert!(door.contents() == before && door.home.previous().unwrap().is_none());
    }
    // No CA can be smuggled in as a previous one: one that was never trusted here is ignored.
    assert_eq!(door.home.renewed(&right).unwrap(), Followed::Begun);
    issuer.home.finish_rotation().unwrap();
    assert_eq!(door.home.renewed(&renewal(&issuer, &door)).unwrap(), Followed::Ended);
    let behind = BundledCertificates { previous: Some(previous), ..renewal(&issuer, &door) };
    assert_eq!(door.home.renewed(&behind).unwrap(), Followed::Nothing);
    assert_eq!(door.home.load_trusted().unwrap().len(), 1);
}

/// A terminal set up during a rotation knows both CAs from the beginning.
#[test]
fn a_bundle_of_the_time_between_brings_both() {
    let issuer = Place::initialised();
    begin(&issuer);
    let (keys, door) = (TerminalKeys::generate(&mut SystemRandom).unwrap(), Place::new());
    let requests = keys.requests("late", "late").unwrap();
    let read = |der: &[u8]| CertificateRequest::verify(der).unwrap();
    let before = issuer.home.previous().unwrap().unwrap();
    let (mut ca, mut old) =
        (issuer.home.load_ca(ClockCheck::Enforced).unwrap(), before.load_ca(ClockCheck::Enforced).unwrap());
    let ecka = |ca: &mut crate::pki::Ca| {
        ca.certify_terminal(TerminalRole::Read, &read(&requests.ecka), Lifetime::Usual, now(), &mut SystemRandom)
            .unwrap()
    };
    let certificates = BundledCertificates {
        ecka: ecka(&mut ca),
        tls: ca.certify_tls_client(&read(&requests.tls), Lifetime::Usual, now(), &mut SystemRandom).unwrap(),
        ca: ca.authority().der().to_vec(),
        previous: Some(BundledPrevious {
            ecka: ecka(&mut old),
            ca: old.authority().der().to_vec(),
            endorsement: Vec::new(),
        }),
    };
    let json = Bundle::new("late", None, keys, certificates).unwrap().to_json().unwrap();
    door.home.import(&Bundle::read(&json).unwrap()).unwrap();
    assert_eq!(door.home.load_trusted().unwrap(), issuer.home.load_trusted().unwrap());
    assert!(door.home.load_terminal(now()).unwrap().previous.is_some());
}
