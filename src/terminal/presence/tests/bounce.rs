//! A card that bounces in mode toggle counts as one tap, whether it arrived or left.

use super::rules::ListFixture;
use super::*;

/// The bouncing card, and the times at which it touches the reader.
struct Bounces {
    fixture: ListFixture,
    insertion: u64,
}

impl Bounces {
    fn new() -> Self {
        Self { fixture: ListFixture::under(&Bouncing), insertion: 1 }
    }

    /// Lifts the card and taps it again this much later.
    fn tap_after(&mut self, ms: i64, reader: &str, n: u8) -> Vec<String> {
        self.insertion += 2;
        assert_eq!(self.fixture.tell(&lifted(reader)), [""; 0]);
        self.fixture.after(ms).tell(&tap(reader, n, self.insertion))
    }
}

#[test]
fn who_bounces_has_come_once_and_goes_once() {
    let mut door = Bounces::new();
    assert_eq!(door.tap_after(0, "toggle-a", 1), ["arrived 1 toggle-a"]);
    assert_eq!(door.tap_after(200, "toggle-a", 1), [""; 0]);
    assert_eq!(door.tap_after(2_999, "toggle-a", 1), [""; 0], "it bounces as long as it does not rest");
    assert_eq!(door.fixture.listed(), ["1 toggle-a"]);
    assert_eq!(door.tap_after(3_000, "toggle-a", 1), ["left 1 toggle-a toggled"]);
    assert_eq!(door.tap_after(200, "toggle-a", 1), [""; 0], "it does not come back by that");
    assert!(door.fixture.listed().is_empty());
    assert_eq!(door.tap_after(3_000, "toggle-a", 1), ["arrived 1 toggle-a"]);
}

#[test]
fn two_cards_in_one_wallet_bounce_each_for_itself() {
    let mut door = Bounces::new();
    assert_eq!(door.tap_after(0, "toggle-a", 1), ["arrived 1 toggle-a"]);
    assert_eq!(door.tap_after(100, "toggle-a", 2), ["arrived 2 toggle-a"]);
    assert_eq!(door.tap_after(100, "toggle-a", 1), [""; 0]);
    assert_eq!(door.tap_after(100, "toggle-a", 2), [""; 0]);
    assert_eq!(door.fixture.listed(), ["1 toggle-a", "2 toggle-a"]);
}

#[test]
fn another_reader_and_another_mode_do_not_wait() {
    let mut door = Bounces::new();
    assert_eq!(door.tap_after(0, "toggle-a", 1), ["arrived 1 toggle-a"]);
    assert_eq!(door.tap_after(100, "toggle-b", 1), ["left 1 toggle-a moved", "arrived 1 toggle-b"]);
    assert_eq!(door.tap_after(100, "toggle-a", 1), ["left 1 toggle-b moved", "arrived 1 toggle-a"]);
    assert_eq!(door.tap_after(100, "field-a", 1), ["left 1 toggle-a moved", "arrived 1 field-a"]);
    assert_eq!(door.fixture.tell(&lifted("field-a")), ["left 1 field-a lifted"]);
    assert_eq!(door.tap_after(100, "toggle-a", 1), ["arrived 1 toggle-a"]);
}

#[test]
fn who_was_taken_off_the_list_comes_back_with_the_next_tap() {
    let mut door = Bounces::new();
    assert_eq!(door.tap_after(0, "toggle-a", 1), ["arrived 1 toggle-a"]);
    assert_eq!(door.fixture.tell(&Input::Clear), ["left 1 toggle-a cleared"]);
    assert_eq!(door.tap_after(100, "toggle-a", 1), ["arrived 1 toggle-a"]);
    assert_eq!(door.fixture.tell(&deny("u1")), ["left 1 toggle-a denied"]);
    assert_eq!(door.fixture.tell(&allow("u1")), [""; 0]);
    assert_eq!(door.tap_after(100, "toggle-a", 1), ["arrived 1 toggle-a"]);
}

#[test]
fn a_clock_that_was_set_back_holds_nobody_for_long() {
    let mut door = Bounces::new();
    assert_eq!(door.tap_after(0, "toggle-a", 1), ["arrived 1 toggle-a"]);
    assert_eq!(door.tap_after(-3_000, "toggle-a", 1), ["left 1 toggle-a toggled"]);
}
