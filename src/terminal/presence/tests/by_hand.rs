//! Entries made by hand.

use std::time::Duration;

use super::*;

fn told(list: &mut PresenceList, input: &Input, ms: i64) -> Vec<(EventKind, u64, i64)> {
    let told = events(list.apply(input, at(ms), &Bouncing));
    told.into_iter().map(|event| (event.event, event.seq, event.at.as_millisecond() - at(0).as_millisecond())).collect()
}

#[test]
fn a_check_in_counts_from_its_time_and_the_next_tap_ends_it() {
    let mut list = PresenceList::default();
    told(&mut list, &tap("toggle-a", 2, 1), 90_000);
    assert_eq!(told(&mut list, &check_in("toggle-a", 1, 10_000), 100_000), [(EventKind::CheckedIn, 2, 10_000)]);
    let entry = &list.stay(token(1)).unwrap().entry;
    assert_eq!((entry.since, entry.last_seen, entry.authenticated), (at(10_000), at(10_000), false));
    assert_eq!(told(&mut list, &check_in("toggle-a", 1, 20_000), 100_001), [], "they are here");
    assert_eq!(told(&mut list, &tap("toggle-a", 1, 2), 100_002), [(EventKind::Left, 3, 100_002)]);
}

#[test]
fn nothing_is_entered_for_a_time_to_come_or_before_somebody_came() {
    let mut list = PresenceList::default();
    assert_eq!(told(&mut list, &check_in("toggle-a", 1, 5_000), 1_000), [(EventKind::CheckedIn, 1, 1_000)]);
    assert_eq!(told(&mut list, &check_out(1, 9_000), 2_000), [(EventKind::CheckedOut, 2, 2_000)]);
    assert_eq!(told(&mut list, &tap("toggle-a", 1, 1), 6_000), [(EventKind::Arrived, 3, 6_000)]);
    assert_eq!(told(&mut list, &check_out(1, 3_000), 7_000), [(EventKind::CheckedOut, 4, 6_000)]);
    assert_eq!(told(&mut list, &check_out(1, 3_000), 7_000), [], "they are not here");
}

#[test]
fn no_lifted_card_ends_a_check_in_and_a_tap_in_mode_field_takes_it_over() {
    let mut list = PresenceList::default();
    told(&mut list, &check_in("field-a", 1, 0), 0);
    assert_eq!(told(&mut list, &tap("field-a", 2, 1), 1), [(EventKind::Arrived, 2, 1)]);
    assert_eq!(told(&mut list, &lifted("field-a"), 2), [(EventKind::Left, 3, 2)]);
    assert_eq!(list.entries().count(), 1);
    // It has authenticated now.
    let both = [(EventKind::Left, 4, 3), (EventKind::Arrived, 5, 3)];
    assert_eq!(told(&mut list, &tap("field-a", 1, 2), 3), both);
    assert_eq!(told(&mut list, &lifted("field-a"), 4), [(EventKind::Left, 6, 4)]);
}

#[test]
fn time_ends_a_check_in_in_mode_until_also_when_it_is_over_already() {
    let mut list = PresenceList::default();
    let both = [(EventKind::CheckedIn, 1, 0), (EventKind::Left, 2, 10_000)];
    assert_eq!(told(&mut list, &check_in("until-a", 1, 0), 50_000), both);
    told(&mut list, &check_in("until-a", 1, 45_000), 50_000);
    assert_eq!(list.next_deadline(), Some(at(55_000)));
    assert_eq!(PresenceMode::Until(Duration::from_secs(10)), by_name("until-a"));
}

#[test]
fn a_check_in_in_the_moment_in_which_somebody_leaves_counts() {
    let mut list = PresenceList::default();
    told(&mut list, &Input::ReaderAdded { reader: "field-a".to_owned() }, 0);
    told(&mut list, &tap("field-a", 1, 1), 0);
    told(&mut list, &Input::ReaderRemoved { reader: "field-a".to_owned() }, 0);
    let both = [(EventKind::Left, 5, 60_000), (EventKind::CheckedIn, 6, 60_000)];
    assert_eq!(told(&mut list, &check_in("field-a", 1, 60_000), 60_000), both);
    assert_eq!(told(&mut list, &check_in("field-a", 1, 60_000), 60_000), []);
}

#[test]
fn who_was_taken_off_needs_a_new_tap_and_who_is_denied_is_not_checked_in() {
    let mut list = PresenceList::default();
    told(&mut list, &tap("field-a", 1, 1), 0);
    assert_eq!(told(&mut list, &remove(1), 1), [(EventKind::Removed, 2, 1)]);
    assert_eq!(told(&mut list, &seen("field-a", 1), 2), []);
    assert_eq!(told(&mut list, &tap("field-a", 1, 2), 3), [(EventKind::Arrived, 3, 3)]);
    told(&mut list, &check_out(1, 4), 4);
    assert_eq!(told(&mut list, &seen("field-a", 1), 5), []);
    told(&mut list, &deny("u1"), 6);
    assert_eq!(told(&mut list, &check_in("field-a", 1, 7), 7), []);
}

#[test]
fn a_tap_after_it_is_no_bounce_of_one_before_it() {
    let mut list = PresenceList::default();
    told(&mut list, &tap("toggle-a", 1, 1), 0);
    told(&mut list, &tap("toggle-a", 1, 2), 4_000);
    told(&mut list, &check_in("toggle-a", 1, 4_500), 4_500);
    assert_eq!(told(&mut list, &tap("toggle-a", 1, 3), 5_000), [(EventKind::Left, 4, 5_000)]);
}

#[test]
fn who_entered_it_is_told() {
    let mut list = PresenceList::default();
    let event = events(list.apply(&check_in("toggle-a", 1, 0), at(0), &by_name)).remove(0);
    assert_eq!((event.by.as_deref(), event.note.as_deref()), (Some("ada"), Some("forgot it")));
    assert_eq!((event.user, event.reader.as_deref()), (Some(user("u1")), Some("toggle-a")));
}
