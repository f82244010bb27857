//! Tests when a terminal counts as silent.
use jiff::SignedDuration;

use super::*;

#[test]
fn a_terminal_is_silent_after_its_time_and_words_of_the_future_say_nothing() {
    let now: Timestamp = "2026-11-29T08:00:00Z".parse().unwrap();
    let at = |seconds| Some(now + SignedDuration::from_secs(seconds));
    let silent = [at(-SILENT_SECONDS - 1), at(AHEAD_SECONDS + 1), None];
    let heard = [at(-SILENT_SECONDS), at(0), at(AHEAD_SECONDS)];
    assert_eq!(silent.map(|heard| is_silent(heard, now)), [true; 3]);
    assert_eq!(heard.map(|heard| is_silent(heard, now)), [false; 3]);
    assert_eq!(heard.map(|heard| credible(heard, now)), heard);
    assert_eq!(silent.map(|heard| credible(heard, now)), [silent[0], None, None]);
}
