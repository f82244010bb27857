//! Every transition, without a clock, a file or a thread.

use jiff::SignedDuration;

use super::*;
use crate::pki::CLOCK_TOLERANCE;

const DAY: u64 = 86_400;
const OLD: Option<CaFile> = Some((1, 0));
const NEW: Option<CaFile> = Some((2, 0));

/// The validity of a certificate issued at this time, for some days.
fn issued(at: Timestamp, days: i64) -> RenewalTime {
    RenewalTime::of(at - CLOCK_TOLERANCE, at + SignedDuration::from_hours(24 * days))
}

/// A terminal whose certificates expire after some days, and a clock.
struct Bench {
    state: RenewalState,
    start: Now,
    seconds: u64,
}

impl Bench {
    fn new(days: i64) -> Self {
        let start = Now { clock: "2026-11-22T12:00:00Z".parse().unwrap(), steady: Instant::now() };
        let time = issued(start.clock, days);
        Self { state: RenewalState::new(time, OLD), start, seconds: 0 }
    }

    /// A bench whose certificates are already due.
    fn due() -> Self {
        let mut bench = Self::new(1);
        bench.after(DAY);
        bench
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

    fn done(&mut self, days: i64) -> Option<RenewalEffect> {
        let now = self.now();
        self.state.step(RenewalInput::Ended(Some(issued(now.clock, days))), now)
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
fn the_longer_certificates_are_valid_the_more_is_left_of_them_and_short_ones_are_not_renewed_at_once() {
    let at: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
    for (days, due) in [(1, 4 * DAY / 7), (7, 4 * DAY), (14, 8 * DAY), (90, 30 * DAY), (366, 30 * DAY)] {
        let time = issued(at, days);
        let after = time.due.duration_since(at).as_secs().unsigned_abs();
        // A division by seven leaves whole seconds.
        assert!(after.abs_diff(due) < 7, "{days} days: after {after} s");
        assert_eq!((time.is_due(at), time.is_due(time.due), time.is_due(time.end)), (false, true, true));
    }
    let both = issued(at, 7).min(issued(at, 90));
    assert_eq!(both, issued(at, 7));
    let later = RenewalTime { due: at, end: both.end + SignedDuration::from_secs(1) };
    assert_eq!(both.min(later), RenewalTime { due: at, end: both.end });
}

#[test]
fn each_failure_doubles_the_pause_up_to_an_hour_and_a_success_ends_that() {
    let mut bench = Bench::due();
    for pause in [60, 120, 240, 480, 960, 1920, 3600, 3600] {
        assert_eq!(bench.tick(OLD), RENEW);
        assert_eq!(bench.failed(), Some(RenewalEffect::RefuseHeld));
        assert_eq!(bench.tick(OLD), None);
        assert_eq!(bench.after(pause - 1).tick(OLD), None, "{pause}");
        bench.after(1);
    }
    assert_eq!(bench.tick(OLD), RENEW);
    assert_eq!(bench.done(1), Some(RenewalEffect::RetapHeld));
    assert_eq!(bench.tick(OLD), None);
    assert_eq!(bench.after(DAY).tick(OLD), RENEW);
    assert_eq!(bench.failed(), Some(RenewalEffect::RefuseHeld));
    assert_eq!(bench.after(60).tick(OLD), RENEW);
}

#[test]
fn another_ca_file_is_read_and_taps_wait_for_it() {
    let mut bench = Bench::new(7);
    assert_eq!(bench.tick(None), None);
    // Before the change was noticed, and while it is loaded.
    assert_eq!(bench.stranger(NEW, false), RenewalEffect::HoldTap);
    assert_eq!(bench.tick(NEW), RELOAD);
    assert_eq!(bench.stranger(NEW, false), RenewalEffect::HoldTap);
    assert_eq!(bench.done(7), Some(RenewalEffect::RetapHeld));
    // A tap that began under the previous CA completes within two seconds.
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
    // Not again, unless the file changes once more.
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
    // A server that does not answer is left alone, and foreign tokens are refused in the meantime.
    assert_eq!(bench.failed(), Some(RenewalEffect::RefuseHeld));
    assert_eq!(bench.after(600).stranger(OLD, true), RenewalEffect::RefuseTap);
    assert_eq!(bench.tick(OLD), None);
}

#[test]
fn a_stranger_waits_for_a_renewal_that_runs_already() {
    let mut bench = Bench::due();
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
