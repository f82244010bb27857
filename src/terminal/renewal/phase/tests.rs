//! Every transition, without a clock, a file or a thread.

use super::*;

const DAY: u64 = 86_400;
const OLD: Option<CaFile> = Some((1, 0));
const NEW: Option<CaFile> = Some((2, 0));

/// A terminal whose certificates end after some days, and a clock.
struct Bench {
    state: RenewalState,
    start: Now,
    seconds: u64,
}

impl Bench {
    fn new(days: i64) -> Self {
        let start = Now { clock: "2026-11-22T12:00:00Z".parse().unwrap(), steady: Instant::now() };
        let end = start.clock + SignedDuration::from_hours(24 * days);
        Self { state: RenewalState::new(end, OLD), start, seconds: 0 }
    }

    fn now(&self) -> Now {
        let passed = Duration::from_secs(self.seconds);
        Now { clock: self.start.clock + passed, steady: self.start.steady + passed }
    }

    fn after(&mut self, seconds: u64) -> &mut Self {
        self.seconds += seconds;
        self
    }

    fn tick(&mut self, ca: Option<CaFile>) -> Option<RenewalEffect> {
        let now = self.now();
        self.state.step(RenewalInput::Tick { ca }, now)
    }

    fn stranger(&mut self, ca: Option<CaFile>, may_ask: bool) -> RenewalEffect {
        let now = self.now();
        self.state.step(RenewalInput::UnknownCa { ca, may_ask }, now).unwrap()
    }

    fn done(&mut self, days: u64) -> Option<RenewalEffect> {
        let now = self.now();
        self.state.step(RenewalInput::Ended(Some(now.clock + Duration::from_secs(days * DAY))), now)
    }

    fn failed(&mut self) -> Option<RenewalEffect> {
        let now = self.now();
        self.state.step(RenewalInput::Ended(None), now)
    }
}

const RENEW: Option<RenewalEffect> = Some(RenewalEffect::Start(Task::Renew));
const RELOAD: Option<RenewalEffect> = Some(RenewalEffect::Start(Task::Reload));

#[test]
fn it_is_due_three_days_before_the_end_and_once_at_a_time() {
    let mut bench = Bench::new(7);
    assert_eq!(bench.tick(OLD), None);
    assert_eq!(bench.after(4 * DAY - 1).tick(OLD), None);
    assert_eq!(bench.after(1).tick(OLD), RENEW);
    assert_eq!(bench.after(DAY).tick(OLD), None);
    assert_eq!(bench.done(7), Some(RenewalEffect::RetapHeld));
    assert_eq!(bench.state.end(), bench.now().clock + Duration::from_secs(7 * DAY));
    assert_eq!((bench.state.phase(), bench.tick(OLD)), (Phase::Idle, None));
    assert_eq!(bench.after(4 * DAY).tick(OLD), RENEW);
}

#[test]
fn each_failure_doubles_the_pause_up_to_an_hour_and_a_success_ends_that() {
    let mut bench = Bench::new(1);
    for pause in [60, 120, 240, 480, 960, 1920, 3600, 3600] {
        assert_eq!(bench.tick(OLD), RENEW);
        assert_eq!(bench.failed(), Some(RenewalEffect::RefuseHeld));
        assert_eq!(bench.tick(OLD), None);
        assert_eq!(bench.after(pause - 1).tick(OLD), None, "{pause}");
        bench.after(1);
    }
    assert_eq!(bench.tick(OLD), RENEW);
    assert_eq!(bench.done(1), Some(RenewalEffect::RetapHeld));
    assert_eq!(bench.tick(OLD), RENEW);
    assert_eq!(bench.failed(), Some(RenewalEffect::RefuseHeld));
    assert_eq!(bench.after(60).tick(OLD), RENEW);
}

#[test]
fn another_ca_file_is_read_and_taps_wait_for_it() {
    let mut bench = Bench::new(7);
    assert_eq!(bench.tick(None), None);
    // Before the change was seen, and while it is read.
    assert_eq!(bench.stranger(NEW, false), RenewalEffect::HoldTap);
    assert_eq!(bench.tick(NEW), RELOAD);
    assert_eq!(bench.stranger(NEW, false), RenewalEffect::HoldTap);
    assert_eq!(bench.done(7), Some(RenewalEffect::RetapHeld));
    // A tap that began with the CA before comes to an end within two seconds.
    assert_eq!(bench.after(1).stranger(NEW, true), RenewalEffect::RetapHeld);
    assert_eq!(bench.after(1).stranger(NEW, false), RenewalEffect::RefuseTap);
    assert_eq!(bench.tick(NEW), None);
}

#[test]
fn a_ca_that_cannot_be_read_is_left_alone_and_holds_nobody_up() {
    let mut bench = Bench::new(7);
    assert_eq!(bench.tick(NEW), RELOAD);
    assert_eq!(bench.failed(), Some(RenewalEffect::RefuseHeld));
    assert_eq!(bench.after(10).stranger(NEW, true), RenewalEffect::RefuseTap);
    assert_eq!(bench.stranger(OLD, true), RenewalEffect::RefuseTap);
    // Not again, unless the file is another once more.
    assert_eq!(bench.after(60).tick(NEW), None);
    assert_eq!(bench.tick(OLD), RELOAD);
    assert_eq!(bench.stranger(OLD, true), RenewalEffect::RefuseTap);
    assert_eq!(bench.done(7), Some(RenewalEffect::RetapHeld));
}

#[test]
fn a_stranger_makes_us_ask_the_server_once_in_ten_minutes() {
    let mut bench = Bench::new(7);
    assert_eq!(bench.stranger(OLD, false), RenewalEffect::RefuseTap);
    assert_eq!(bench.stranger(OLD, true), RenewalEffect::HoldTap);
    assert_eq!(bench.state.phase(), Phase::Requested);
    assert_eq!(bench.stranger(OLD, true), RenewalEffect::HoldTap);
    assert_eq!(bench.tick(OLD), RENEW);
    assert_eq!(bench.stranger(OLD, true), RenewalEffect::HoldTap);
    assert_eq!(bench.done(7), Some(RenewalEffect::RetapHeld));
    assert_eq!(bench.after(599).stranger(OLD, true), RenewalEffect::RefuseTap);
    assert_eq!(bench.tick(OLD), None);
    assert_eq!(bench.after(1).stranger(OLD, true), RenewalEffect::HoldTap);
    assert_eq!(bench.tick(OLD), RENEW);
    // A server that does not answer is left alone, and strangers are refused meanwhile.
    assert_eq!(bench.failed(), Some(RenewalEffect::RefuseHeld));
    assert_eq!(bench.after(600).stranger(OLD, true), RenewalEffect::RefuseTap);
    assert_eq!(bench.tick(OLD), None);
}

#[test]
fn a_stranger_waits_for_a_renewal_that_runs_already() {
    let mut bench = Bench::new(1);
    assert_eq!(bench.tick(OLD), RENEW);
    assert_eq!(bench.stranger(OLD, false), RenewalEffect::RefuseTap);
    assert_eq!(bench.stranger(OLD, true), RenewalEffect::HoldTap);
    assert_eq!(bench.done(7), Some(RenewalEffect::RetapHeld));
    assert_eq!((bench.state.phase(), bench.tick(OLD)), (Phase::Idle, None));
}

#[test]
fn nothing_ends_that_was_not_begun() {
    let mut bench = Bench::new(7);
    let before = bench.state.clone();
    assert_eq!((bench.failed(), bench.done(1)), (None, None));
    assert_eq!(bench.state, before);
}
