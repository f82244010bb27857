//! Cards that do not answer, and readers that do not work: their holders become unconfirmed, but are not removed.

use super::{rules::story, *};

#[test]
fn who_does_not_answer_for_long_is_in_doubt_and_confirmed_by_the_first_answer() {
    let mut fixture = story(&[
        (tap("field-a", 1, 1), &["arrived 1 field-a"]),
        (tap("field-b", 2, 1), &["arrived 2 field-b"]),
        (silent("field-a"), &["unconfirmed 1 field-a no_answer"]),
        (silent("field-a"), &[]),
    ]);
    assert_eq!(fixture.listed(), ["1 field-a?", "2 field-b"]);
    assert_eq!(fixture.after(1).tell(&seen("field-a", 1)), ["confirmed 1 field-a"], "a heartbeat");
    assert_eq!(fixture.tell(&silent("field-a")), ["unconfirmed 1 field-a no_answer"]);
    assert_eq!(
        fixture.after(59_999).tell(&tap("field-a", 1, 1)),
        ["confirmed 1 field-a"],
        "a tap of the same insertion"
    );
    assert_eq!(fixture.tell(&silent("field-a")), ["unconfirmed 1 field-a no_answer"]);
    assert_eq!(fixture.after(1).tell(&lifted("field-a")), ["left 1 field-a lifted"]);
    assert_eq!(fixture.tell(&silent("field-b")), ["unconfirmed 2 field-b no_answer"]);
    assert_eq!(fixture.after(60_000).tell(&Input::Tick), ["left 2 field-b stale"]);
    assert_eq!(fixture.tell(&seen("field-b", 2)), ["arrived 2 field-b"], "it lay there all the time");
}

#[test]
fn whoever_lies_at_a_reader_that_hangs_stays_in_doubt() {
    let mut fixture = story(&[
        (tap("field-a", 1, 1), &["arrived 1 field-a"]),
        (tap("field-b", 2, 1), &["arrived 2 field-b"]),
        (hang(&["field-a"]), &[]),
        (silent("field-a"), &["unconfirmed 1 field-a no_answer"]),
        (silent("field-b"), &["unconfirmed 2 field-b no_answer"]),
    ]);
    assert_eq!(fixture.after(31_000).tell(&hang(&["field-a"])), [""; 0]);
    assert_eq!(fixture.after(29_000).tell(&Input::Tick), ["left 2 field-b stale"], "its reader works");
    assert_eq!(fixture.after(30_999).tell(&hang(&["field-a"])), [""; 0]);
    assert_eq!(fixture.after(59_999).tell(&seen("field-a", 1)), ["confirmed 1 field-a"], "it lay there all the time");
    // However late it is reported, none of the holders at these readers leaves.
    fixture.tell(&tap("field-b", 2, 2));
    for reader in ["field-a", "field-b"] {
        fixture.tell(&silent(reader));
    }
    assert_eq!(fixture.after(60_000).tell(&hang(&["field-a", "field-b"])), [""; 0]);
    assert_eq!(fixture.tell(&Input::Tick), [""; 0]);
    let mut left = fixture.after(60_000).tell(&Input::Tick);
    left.sort();
    assert_eq!(left, ["left 1 field-a stale", "left 2 field-b stale"]);
    // Holders at readers that do not hang leave at that moment.
    for (reader, n) in [("field-a", 1), ("field-b", 2)] {
        fixture.tell(&tap(reader, n, 3));
        fixture.tell(&silent(reader));
    }
    assert_eq!(fixture.after(60_000).tell(&hang(&["field-a"])), ["left 2 field-b stale"]);
}

#[test]
fn a_card_that_falls_silent_is_not_refused() {
    let mut fixture = story(&[
        (tap("field-a", 1, 1), &["arrived 1 field-a"]),
        (mute("field-a", 1), &[]),
        (mute("field-a", 1), &[]),
        (seen("field-a", 1), &[]),
        (tap("toggle-a", 2, 1), &["arrived 2 toggle-a"]),
        (mute("toggle-a", 1), &[]),
        (tap("toggle-a", 2, 1), &[]),
    ]);
    assert_eq!(fixture.listed(), ["1 field-a", "2 toggle-a"]);
    assert_eq!(fixture.after(59_999).tell(&mute("field-a", 1)), ["unconfirmed 1 field-a no_answer"]);
    assert_eq!(
        fixture.tell(&mute("field-a", 3)),
        ["left 1 field-a lifted", "refused field-a token.mute"],
        "another card"
    );
}

#[test]
fn a_card_that_says_nothing_lies_there_all_the_same() {
    let mut fixture = story(&[
        (tap("toggle-a", 1, 1), &["arrived 1 toggle-a"]),
        (unavailable("toggle-a"), &["reader_unavailable toggle-a reader.unavailable"]),
        (vacant("toggle-a"), &["reader_available toggle-a"]),
    ]);
    let settled = i64::try_from(by_name.settles_after().as_millis()).unwrap();
    assert_eq!(fixture.after(settled).tell(&mute("toggle-a", 1)), [""; 0], "the moment at which it would be empty");
    assert_eq!(fixture.tell(&mute("toggle-a", 1)), [""; 0]);
    assert_eq!(fixture.tell(&tap("toggle-a", 1, 1)), [""; 0], "no second tap");
    assert_eq!(fixture.listed(), ["1 toggle-a"]);
}

#[test]
fn a_first_tap_that_fails_after_a_start_throws_nobody_off() {
    let fixture = story(&[
        (tap("field-a", 1, 1), &["arrived 1 field-a"]),
        (tap("toggle-a", 2, 1), &["arrived 2 toggle-a"]),
        (Input::Startup, &["unconfirmed 1 field-a restart"]),
        (mute("field-a", 4), &[]),
        (mute("toggle-a", 4), &[]),
        (tap("field-a", 1, 4), &["confirmed 1 field-a"]),
        (tap("toggle-a", 2, 4), &[]),
    ]);
    assert_eq!(fixture.listed(), ["1 field-a", "2 toggle-a"]);
}

#[test]
fn a_reader_that_does_not_work_is_told_once_and_doubts() {
    let mut fixture = story(&[
        (Input::ReaderAdded { reader: "field-a".to_owned() }, &["reader_added field-a"]),
        (tap("field-a", 1, 1), &["arrived 1 field-a"]),
        (
            unavailable("field-a"),
            &["reader_unavailable field-a reader.unavailable", "unconfirmed 1 field-a reader_unavailable"],
        ),
        (unavailable("field-a"), &[]),
        (mute("field-a", 1), &[]),
        (seen("field-a", 1), &["reader_available field-a"]),
        (available("field-a"), &[]),
        (tap("field-a", 1, 3), &["confirmed 1 field-a"]),
        (
            unavailable("field-a"),
            &["reader_unavailable field-a reader.unavailable", "unconfirmed 1 field-a reader_unavailable"],
        ),
        (available("field-a"), &["reader_available field-a"]),
        (vacant("field-a"), &[]),
    ]);
    assert_eq!(fixture.after(5_000).tell(&Input::Tick), ["left 1 field-a gone"]);
    assert_eq!(fixture.tell(&unavailable("field-a")), ["reader_unavailable field-a reader.unavailable"]);
    let unplugged = Input::ReaderRemoved { reader: "field-a".to_owned() };
    assert_eq!(fixture.tell(&unplugged), ["reader_removed field-a"]);
    assert!(fixture.tell(&available("field-a")).is_empty());
}
