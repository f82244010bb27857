//! How long certificates are valid when that is requested.

use super::*;
use crate::failure::ExitClass;
use crate::pki::{CertificateDays, DAYS_MAX, RenewalTime, SERVER_LIFE, days};

fn of(number: u16) -> Option<CertificateDays> {
    let days = CertificateDays::new(number);
    assert!(days.is_some());
    days
}

/// The durations of the certificates for tokens, for TLS, and of the server, from their issue.
fn lives(place: &Place, at: Timestamp) -> [SignedDuration; 4] {
    let home = &place.home;
    [
        home.load_terminal(at).unwrap().certificate.not_after(),
        home.load_terminal_tls(at).unwrap().certificate.not_after(),
        home.load_server_tls(at).unwrap().certificate.not_after(),
        home.load_server_signature(at).unwrap().certificate.not_after(),
    ]
    .map(|end| end.duration_since(at))
}

#[test]
fn the_number_of_days_has_bounds() {
    for good in [1, 7, DAYS_MAX] {
        assert_eq!(good.to_string().parse::<CertificateDays>().unwrap().get(), good);
    }
    for bad in ["0", "367", "65536", "-1", "1.5", "7d", ""] {
        let error = bad.parse::<CertificateDays>().unwrap_err();
        assert!(error.contains("1 to 366"), "{error}");
    }
}

#[test]
fn what_was_asked_for_once_holds_for_every_renewal_and_under_the_next_ca() {
    let place = Place::new();
    place.home.init(&names(), of(60), ClockCheck::Enforced, now(), &mut SystemRandom).unwrap();
    assert_eq!(lives(&place, now()), [days(60); 4]);
    assert_eq!(place.home.load_admin_terminal(now()).unwrap().certificate.not_after(), now() + days(60));
    // Another init changes nothing that is there.
    place.home.init(&names(), of(5), ClockCheck::Enforced, now(), &mut SystemRandom).unwrap();
    assert_eq!(lives(&place, now()), [days(60); 4]);
    let later = now() + days(30);
    place.renew(later).unwrap();
    assert_eq!(lives(&place, later), [days(60); 4]);
    place.home.issue_server(&names(), of(366), ClockCheck::Enforced, later, &mut SystemRandom).unwrap();
    place.renew(later).unwrap();
    assert_eq!(lives(&place, later), [days(60), days(60), days(366), days(60)]);
    place.home.begin_rotation(&[], ClockCheck::Enforced, later, &mut SystemRandom).unwrap();
    assert_eq!(place.home.load_terminal(later).unwrap().certificate.not_after(), later + days(60));
    place.home.renew(&names(), of(10), ClockCheck::Enforced, later, &mut SystemRandom).unwrap();
    let both = place.home.load_terminal(later).unwrap();
    let before = both.previous.unwrap().certificate;
    assert_eq!([both.certificate.not_after(), before.not_after()], [later + days(10); 2]);
    place.home.finish_rotation().unwrap();
    assert_eq!(lives(&place, later), [days(10); 4]);
}

#[test]
fn without_a_word_it_is_what_is_usual() {
    let place = Place::initialised();
    assert_eq!(lives(&place, now()), [TERMINAL_LIFE, TERMINAL_LIFE, SERVER_LIFE, SERVER_LIFE]);
    // A clock slightly behind does not shorten them.
    place.renew(now() - SignedDuration::from_secs(60)).unwrap();
    assert_eq!(lives(&place, now()), [TERMINAL_LIFE, TERMINAL_LIFE, SERVER_LIFE, SERVER_LIFE]);
}

#[test]
fn nothing_is_valid_for_longer_than_its_ca_and_who_asks_for_it_hears_the_bound() {
    let place = Place::initialised();
    let end = place.home.load_authority().unwrap().not_after();
    let late = end - days(20) - SECOND;
    let renew = |number| place.home.renew(&names(), number, ClockCheck::Skipped, late, &mut SystemRandom);
    let before = place.contents();
    let failure = Failure::from(renew(of(21)).unwrap_err());
    assert_eq!((failure.code, failure.class), ("pki.days", ExitClass::Usage));
    assert!(failure.hint.unwrap().text.contains("at most 20 "));
    assert_eq!(place.contents(), before);
    let server = place.home.issue_server(&names(), of(21), ClockCheck::Skipped, late, &mut SystemRandom);
    assert_eq!(code(server.unwrap_err()), "pki.days");
    let init = place.home.init(&names(), of(21), ClockCheck::Skipped, late, &mut SystemRandom);
    assert_eq!((code(init.unwrap_err()), place.contents()), ("pki.days", before));
    renew(of(20)).unwrap();
    assert_eq!(lives(&place, late), [days(20); 4]);
    // A lifetime that was not requested is cut short, but not kept that short under the next CA.
    let last = end - days(3);
    let renewed = place.home.renew(&names(), None, ClockCheck::Skipped, last, &mut SystemRandom);
    renewed.unwrap();
    assert_eq!(lives(&place, last), [days(3); 4]);
    place.home.begin_rotation(&[], ClockCheck::Skipped, last, &mut SystemRandom).unwrap();
    assert_eq!(place.home.load_terminal_tls(last).unwrap().certificate.not_after(), last + TERMINAL_LIFE);
    let gone = end + SECOND;
    let error = place.home.renew(&names(), of(1), ClockCheck::Skipped, gone, &mut SystemRandom).unwrap_err();
    assert_eq!(code(error), "pki.ca-expired");
}

#[test]
fn a_renewal_is_due_while_a_watch_has_time_for_it_and_never_later_than_the_record_allows() {
    for number in 1..=DAYS_MAX {
        let (from, to) = (now() - CLOCK_TOLERANCE, now() + days(number.into()));
        let due = RenewalTime::of(from, to).due.duration_since(now());
        assert!(due > SignedDuration::from_hours(13) && due <= days(30), "{number}: {due}");
        assert!(due < CLOCK_LEAP && now() + due < to);
        assert_eq!(CertificateDays::of((from, to), []).map(CertificateDays::get), Some(number));
        assert_eq!(CertificateDays::of((from + CLOCK_TOLERANCE, to), []).map(CertificateDays::get), Some(number));
    }
    for wrong in [SignedDuration::ZERO, days(367), days(1_000_000)] {
        assert_eq!(CertificateDays::of((now() - CLOCK_TOLERANCE, now() + wrong), []), None);
    }
}

#[test]
fn the_first_certificate_that_must_be_renewed_decides_when_a_machine_does_so() {
    let place = Place::new();
    assert_eq!(code(place.home.renewal_time().unwrap_err()), "pki.not-initialised");
    place.home.init(&names(), of(60), ClockCheck::Enforced, now(), &mut SystemRandom).unwrap();
    let end = || place.home.renewal_time().unwrap().end;
    assert_eq!(end(), now() + days(60));
    assert!(!place.home.renewal_time().unwrap().is_due(now()));
    place.home.issue_server(&names(), of(3), ClockCheck::Enforced, now(), &mut SystemRandom).unwrap();
    assert_eq!(end(), now() + days(3));
    assert!(place.home.renewal_time().unwrap().is_due(now() + days(2)));
    // It may be past, when nothing could be loaded any more.
    assert!(place.home.load_server_tls(now() + days(4)).is_err() && place.home.renewal_time().is_ok());
    place.home.begin_rotation(&names(), ClockCheck::Enforced, now() + days(1), &mut SystemRandom).unwrap();
    place.home.renew(&names(), of(20), ClockCheck::Enforced, now() + days(1), &mut SystemRandom).unwrap();
    place.home.issue_server(&names(), of(30), ClockCheck::Enforced, now() + days(1), &mut SystemRandom).unwrap();
    assert_eq!(end(), now() + days(21));
    // While a CA is rotated out, the server still shows a certificate of that one.
    let previous = place.home.previous().unwrap().unwrap();
    previous.issue_server(&names(), of(2), ClockCheck::Enforced, now() + days(1), &mut SystemRandom).unwrap();
    assert_eq!(end(), now() + days(3));
}

#[test]
fn a_renewal_changes_what_a_server_compares_and_nothing_else_does() {
    let place = Place::initialised();
    let before = place.home.server_certificates().unwrap();
    place.home.init(&names(), None, ClockCheck::Enforced, now(), &mut SystemRandom).unwrap();
    assert_eq!(place.home.server_certificates().unwrap(), before);
    place.renew(now()).unwrap();
    let after = place.home.server_certificates().unwrap();
    assert!(after[0] != before[0] && after[1] != before[1]);
    // The server keeps the certificates of the CA that every terminal knows.
    place.home.begin_rotation(&names(), ClockCheck::Enforced, now(), &mut SystemRandom).unwrap();
    assert_eq!(place.home.server_certificates().unwrap(), after);
    place.home.finish_rotation().unwrap();
    assert_ne!(place.home.server_certificates().unwrap(), after);
}
