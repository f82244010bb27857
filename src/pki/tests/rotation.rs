//! Replacing the CA by a new one.

use std::fs;

use super::*;

fn begin(place: &Place, now: Timestamp) -> Result<super::super::IssueReport, PkiError> {
    place.home.begin_rotation(&names(), ClockCheck::Enforced, now, &mut SystemRandom)
}

#[test]
fn both_cas_are_here_until_it_ends() {
    let place = Place::initialised();
    assert_eq!(code(place.home.rotation().unwrap_err()), "pki.no-rotation");
    assert_eq!(code(place.home.finish_rotation().unwrap_err()), "pki.no-rotation");
    let old = place.home.load_terminal(now()).unwrap();
    let stays = ["perso.key", "start.key"].map(|name| fs::read(place.path(name)).unwrap());
    let ids = [Uuid::from_u128(1), Uuid::from_u128(2)];
    for id in ids {
        let key = *test_key().public();
        let mut ca = place.home.load_ca(ClockCheck::Enforced).unwrap();
        ca.certify_token_ecka(id, &key, now(), &mut SystemRandom).unwrap();
    }
    // Leftovers of an interrupted run do no harm, and are not used.
    fs::create_dir(place.home.folder().with_file_name("pki.next")).unwrap();
    fs::write(place.home.folder().with_file_name("pki.next").join("ca.key"), "half").unwrap();
    begin(&place, now()).unwrap();
    assert!(!place.home.folder().with_file_name("pki.next").exists());
    assert_eq!(code(begin(&place, now()).unwrap_err()), "pki.rotation-under-way");
    place.load_all(now()).unwrap();
    assert_eq!(["perso.key", "start.key"].map(|name| fs::read(place.path(name)).unwrap()), stays);
    let both = place.home.load_terminal(now()).unwrap();
    let previous = both.previous.unwrap();
    assert_ne!(both.authority.point(), old.authority.point());
    assert_ne!(both.key.public(), old.key.public());
    assert_eq!((previous.authority.point(), previous.key.public()), (old.authority.point(), old.key.public()));
    assert!(place.home.load_admin_terminal(now()).unwrap().previous.is_some());

    // Both are renewed.
    let later = now() + SignedDuration::from_hours(24 * 6);
    place.renew(later).unwrap();
    let both = place.home.load_terminal(later).unwrap();
    assert_eq!(both.certificate.not_after(), both.previous.unwrap().certificate.not_after());

    assert_eq!(place.home.rotation().unwrap().left, ids.into());
    place.home.note_rotated(ids[0]).unwrap();
    place.home.note_rotated(ids[0]).unwrap();
    let rotation = place.home.rotation().unwrap();
    assert_eq!((rotation.left, rotation.done), ([ids[1]].into(), [ids[0]].into()));
    place.home.finish_rotation().unwrap();
    place.load_all(later).unwrap();
    assert!(place.home.load_terminal(later).unwrap().previous.is_none());
    let left: Vec<_> = fs::read_dir(place.home.folder().parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    begin(&place, later).unwrap();
    assert!(place.home.rotation().unwrap().done.is_empty());
}

#[test]
fn without_the_ca_key_nothing_is_rotated() {
    let place = Place::initialised();
    fs::remove_file(place.path("ca.key")).unwrap();
    assert_eq!(code(begin(&place, now()).unwrap_err()), "pki.no-ca-key");
    assert!(place.home.previous().unwrap().is_none());
}
