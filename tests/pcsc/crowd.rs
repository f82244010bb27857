//! A door in mode toggle with fast taps, and many people: they tap at random, remove cards too soon, and are suspended,
//! blocked and moved to another CA, while watch, service and server stop and restart. The list must match the truth.
//!
//! `ROLLCALL_TEST_CROWD=TAPS[:SEED[:PEOPLE]]` makes that many taps by fifty people, or by that many; without it a few
//! taps by four.

mod canary;
mod door;

use std::{collections::BTreeSet, time::Instant};

use door::{Crowd, PATIENCE, Step};

use crate::dice::Dice;

/// The steps of a run: every kind, in any order.
fn steps(dice: &mut Dice, taps: usize, each: usize) -> Vec<Step> {
    use Step::{Block, EndServer, EndService, EndWatch, Lift, Rotate, Suspend, Tap};
    let rare = [Lift, EndWatch, EndService, EndServer, Suspend, Block, Rotate];
    let mut steps: Vec<_> = rare.iter().flat_map(|step| vec![*step; each]).collect();
    steps.extend(vec![Lift; taps / 10]);
    steps.extend(vec![Tap; taps]);
    for at in (1..steps.len()).rev() {
        steps.swap(at, usize::try_from(dice.roll(at as u64 + 1)).unwrap());
    }
    steps
}

case!(Once, who_is_in_equals_the_truth);
fn who_is_in_equals_the_truth() {
    let asked = std::env::var("ROLLCALL_TEST_CROWD").ok();
    let numbers: Vec<u64> = asked.iter().flat_map(|asked| asked.split(':')).map(|part| part.parse().unwrap()).collect();
    let now = jiff::Timestamp::now().as_millisecond().unsigned_abs();
    let number = |at: usize, default| numbers.get(at).copied().unwrap_or(default);
    let (taps, seed) = (number(0, 6), number(1, now));
    let people = number(2, if asked.is_some() { 50 } else { 4 });
    println!("crowd: {people} people, {taps} taps: ROLLCALL_TEST_CROWD={taps}:{seed}:{people}");
    let [taps, people] = [taps, people].map(|number| usize::try_from(number).unwrap());
    let mut crowd = Crowd::new(people, seed);
    let steps = steps(&mut crowd.dice, taps, (taps / 100).max(1));
    for (number, step) in steps.into_iter().enumerate() {
        crowd.step(step);
        if number % 25 == 0 {
            crowd.assert_truth();
        }
    }
    // A person who is denied leaves by the server's verdict, at the latest when a watch starts.
    crowd.end_watch(0);
    crowd.start_watch();
    let who = crowd.other();
    crowd.tap(who);
    let barred = crowd.barred();
    let until = Instant::now() + PATIENCE;
    while crowd.office.stack.present().iter().any(|id| barred.contains(id)) {
        assert!(Instant::now() < until, "somebody who is not let in stays");
    }
    crowd.assert_truth();
    crowd.end_watch(0);
    let at_server = crowd.office.stack.ndjson(0, &["server", "presence"]);
    let at_server: BTreeSet<_> = at_server.iter().map(|one| one["user"]["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(at_server, crowd.inside());
    crowd.office.kill();
    // Of so many taps many are fast ones; of a few nobody knows.
    let is_fast = taps < 500 || crowd.told.resumed > crowd.told.taps / 4;
    assert!(crowd.told.taps >= taps && is_fast, "{:?}", crowd.told);
    let looked = crowd.keys.assert_nowhere(&[crowd.office.stack.home().parent().unwrap().to_owned()]);
    println!("crowd: {:?}, {} keys in no file of {looked} bytes", crowd.told, crowd.keys.count());
}
