//! Counting cards in sets.

use super::*;
use crate::pki::Set;

const SIZE: u16 = 32;

fn card(number: usize) -> String {
    format!("{number:020x}")
}

impl Place {
    fn join(&self, size: u16, card: &str) -> SetId {
        let create = &mut || self.set();
        self.home.join_set_of(size, card, create).unwrap().id
    }

    fn set(&self) -> Result<Set, PkiError> {
        self.home.create_set(&mut self.home.load_ca(ClockCheck::Enforced)?, now(), &mut SystemRandom)
    }

    fn sets(&self) -> usize {
        let files = fs::read_dir(self.path("sets")).unwrap();
        files.filter(|file| file.as_ref().unwrap().path().extension().unwrap() == "crt").count()
    }
}

#[test]
fn a_set_takes_its_size_and_the_next_one_begins() {
    let place = Place::initialised();
    let first: Vec<_> = (0..32).map(|number| place.join(SIZE, &card(number))).collect();
    assert!(first.iter().all(|id| *id == first[0]));
    assert_eq!(place.sets(), 1);
    // A card that comes again is already counted, even when the set is full.
    assert_eq!((place.join(SIZE, &card(0)), place.join(SIZE, &card(31))), (first[0], first[0]));
    let second = place.join(SIZE, &card(32));
    assert!(second != first[0] && place.sets() == 2);
    for number in [0, 31] {
        assert_eq!(place.join(SIZE, &card(number)), first[0], "although another set has room");
    }
    assert_eq!(place.join(SIZE, &card(33)), second);
    // Another size needs another set.
    let other = place.join(64, &card(34));
    assert!(other != second && place.sets() == 3);
    // A place that was given up is free for another card.
    place.home.leave_sets(&card(7)).unwrap();
    place.home.leave_sets(&card(99)).unwrap();
    let free = (SIZE - 1).into();
    let membership = fs::read(place.path(&format!("sets/{}.json", first[0]))).unwrap();
    let membership: serde_json::Value = serde_json::from_slice(&membership).unwrap();
    assert_eq!(membership["cards"].as_array().map(Vec::len), Some(free));
    assert!([first[0], second].contains(&place.join(SIZE, &card(35))));
}

#[test]
fn a_named_set_is_refused_when_it_is_full_or_not_here() {
    let place = Place::initialised();
    let id = place.set().unwrap().id;
    // Without a stated size it is at most 256.
    let at_most = usize::from(*crate::pki::SET_SIZES.end());
    let cards: Vec<_> = (0..at_most - 1).map(card).collect();
    let membership = serde_json::json!({ "size": at_most, "cards": cards }).to_string();
    assert_eq!(place.home.join_set(id, &card(0)).unwrap().id, id);
    let about = fs::metadata(place.path(&format!("sets/{id}.json"))).unwrap();
    assert_eq!(about.permissions().mode() & 0o777, 0o600);
    fs::write(place.path(&format!("sets/{id}.json")), membership).unwrap();
    place.home.join_set(id, &card(1000)).unwrap();
    assert_eq!(code(place.home.join_set(id, &card(1001)).unwrap_err()), "pki.set-full");
    assert_eq!(place.home.join_set(id, &card(1000)).unwrap().id, id);
    place.home.leave_sets(&card(3)).unwrap();
    place.home.join_set(id, &card(1001)).unwrap();
    let unknown = "0123456789abcdef".parse().unwrap();
    assert_eq!(code(place.home.join_set(unknown, &card(0)).unwrap_err()), "pki.no-set");
}

#[test]
fn a_membership_file_that_cannot_be_read_is_no_empty_one() {
    let place = Place::initialised();
    let id = place.join(SIZE, &card(0));
    fs::write(place.path(&format!("sets/{id}.json")), "{").unwrap();
    let create = &mut || place.set();
    assert_eq!(code(place.home.join_set_of(SIZE, &card(1), create).unwrap_err()), "pki.file");
    assert_eq!(code(place.home.join_set(id, &card(1)).unwrap_err()), "pki.file");
}

#[test]
fn several_at_once_take_no_place_twice() {
    let place = Place::initialised();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let place = &place;
            scope.spawn(move || {
                for number in 0..10 {
                    place.join(SIZE, &card(thread * 10 + number));
                }
            });
        }
    });
    let ids: Vec<_> = (0..40).map(|number| place.join(SIZE, &card(number))).collect();
    assert_eq!(place.sets(), 2);
    let first = ids.iter().filter(|id| **id == ids[0]).count();
    assert!(first == 32 || first == 8, "{first}");
}

#[test]
fn another_set_takes_the_place_of_one_with_all_its_cards() {
    let place = Place::initialised();
    let home = &place.home;
    let first = place.join(SIZE, &card(0));
    place.join(SIZE, &card(1));
    let begin = |id| home.begin_set_rotation(id, &mut || place.set());
    assert_eq!(code(home.set_rotation(first).unwrap_err()), "pki.no-set-rotation");
    assert_eq!(code(begin("0123456789abcdef".parse().unwrap()).unwrap_err()), "pki.no-set");
    let mut rotation = begin(first).unwrap();
    let second = rotation.to.id;
    assert_eq!((rotation.tokens, rotation.done(), rotation.left()), (2, 0, 2));
    assert_eq!((begin(first).unwrap().to.id, place.sets()), (second, 2), "said again");
    // A counted card is counted in the new set, and no card joins the replaced one.
    assert_eq!((place.join(SIZE, &card(1)), place.join(SIZE, &card(2))), (second, second));
    assert_eq!(code(home.join_set(first, &card(3)).unwrap_err()), "pki.set-replaced");
    // A token that was enrolled into the new set has never been moved.
    let [moved, new] = [Uuid::from_u128(1), Uuid::from_u128(2)];
    home.note_moved(&mut rotation, new, true).unwrap();
    home.note_moved(&mut rotation, moved, false).unwrap();
    assert_eq!((rotation.done(), home.set_rotation(first).unwrap().done()), (0, 0));
    home.note_moved(&mut rotation, moved, true).unwrap();
    home.note_moved(&mut rotation, moved, false).unwrap();
    assert_eq!((rotation.left(), home.set_rotation(first).unwrap().left()), (1, 1));
    // The new set can be replaced, too.
    let third = begin(second).unwrap();
    assert_eq!((third.tokens, third.to.id == second), (3, false));
    // Its key is destroyed; late tokens are moved nevertheless.
    for _ in 0..2 {
        assert_eq!(home.finish_set_rotation(first).unwrap().to.id, second);
    }
    assert!(["key", "crt", "json"].iter().all(|suffix| !place.path(&format!("sets/{first}.{suffix}")).exists()));
    assert_eq!((begin(first).unwrap().to.id, place.sets()), (second, 2));
}

#[test]
fn without_the_ca_key_no_set_follows() {
    let place = Place::initialised();
    let id = place.join(SIZE, &card(0));
    fs::remove_file(place.path("ca.key")).unwrap();
    assert_eq!(code(place.home.begin_set_rotation(id, &mut || place.set()).unwrap_err()), "pki.no-ca-key");
    assert_eq!(code(place.home.set_rotation(id).unwrap_err()), "pki.no-set-rotation");
}

#[test]
fn the_sets_of_a_ca_that_is_rotated_out_are_good_until_its_end() {
    let place = Place::initialised();
    let id = place.join(SIZE, &card(0));
    place.home.begin_rotation(&names(), ClockCheck::Enforced, now(), &mut SystemRandom).unwrap();
    let broken = || {
        let broken =
            |item: &crate::pki::InventoryItem| matches!(item.content, crate::pki::Content::Certificate(Err(_)));
        place.home.inventory().unwrap().iter().filter(|item| broken(item)).count()
    };
    assert_eq!(broken(), 0);
    let follower = place.home.begin_set_rotation(id, &mut || place.set()).unwrap().to.id;
    place.home.finish_rotation().unwrap();
    assert_eq!((broken(), place.sets()), (0, 1));
    assert!(place.home.load_set(follower).is_ok() && !place.path(&format!("sets/{id}.key")).exists());
}
