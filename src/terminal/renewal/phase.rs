//! Decides when certificates are renewed, as a pure state machine: `step(input, now) -> effect`. It reads no clock or
//! file.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::pki::RenewalTime;

/// The pause after a failed renewal; it doubles with each further failure.
pub const PAUSE: Duration = Duration::from_secs(60);
/// The longest pause: the three days that usually remain allow seventy attempts.
pub const PAUSE_MAX: Duration = Duration::from_secs(3600);
/// The minimum time between queries to the server for a successor of our CA, when tokens of unknown CAs are tapped.
pub const ASK_EVERY: Duration = Duration::from_secs(600);
/// Longer than any tap that completes.
pub const TAP: Duration = Duration::from_secs(2);

/// Identifies the CA certificate file: inode, and nanoseconds of its mtime. A rotation puts another file there.
pub type CaFile = (u64, i64);

/// One moment on two clocks: the wall clock for the certificates, and a monotonic one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The time of day.
    pub clock: Timestamp,
    /// Time on the monotonic clock.
    pub steady: Instant,
}

/// A task for a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Get fresh certificates, from the local CA or the server, and load them.
    Renew,
    /// Load the files again, because the CA changed.
    Reload,
}

/// The phase of renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is due.
    Idle,
    /// The server is to be asked whether our CA has a successor; that has not started yet.
    Requested,
    /// A thread is working.
    Running {
        /// Its task.
        task: Task,
        /// Whether a token of an unknown CA is waiting for the result.
        is_awaited: bool,
        /// The pause before it, if it follows a failed one.
        pause: Option<Duration>,
    },
    /// The last task failed.
    Paused {
        /// Since when.
        since: Instant,
        /// How long to wait before the next attempt.
        length: Duration,
    },
}

/// An event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewalInput {
    /// Time passed.
    Tick {
        /// The current CA file.
        ca: Option<CaFile>,
    },
    /// A token of an unknown CA was tapped: it may have been moved to the successor of ours.
    UnknownCa {
        /// The current CA file.
        ca: Option<CaFile>,
        /// Whether there is a server that could be asked for certificates of the successor.
        may_ask: bool,
    },
    /// The task has ended: the validity of the current certificates, or `None` if it failed.
    Ended(Option<RenewalTime>),
}

/// The reaction to an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewalEffect {
    /// Start this task.
    Start(Task),
    /// Hold this tap until the task has ended.
    HoldTap,
    /// Repeat the held taps with the current keys.
    RetapHeld,
    /// Refuse the held taps.
    RefuseHeld,
    /// Refuse this tap: the token belongs to a foreign CA.
    RefuseTap,
}

/// The renewal state of this terminal's certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewalState {
    phase: Phase,
    time: RenewalTime,
    /// The CA file when the keys were loaded.
    ca: Option<CaFile>,
    /// When a changed CA was last loaded.
    reloaded: Option<Instant>,
    /// When a token of an unknown CA last caused a query.
    asked: Option<Instant>,
}

impl RenewalState {
    /// Nothing has been done yet.
    pub const fn new(time: RenewalTime, ca: Option<CaFile>) -> Self {
        Self { phase: Phase::Idle, time, ca, reloaded: None, asked: None }
    }

    /// When the first of the certificates expires.
    pub const fn end(&self) -> Timestamp {
        self.time.end
    }

    /// The current phase.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Processes an event, and returns the reaction.
    #[must_use]
    pub fn step(&mut self, input: RenewalInput, now: Now) -> Option<RenewalEffect> {
        match input {
            RenewalInput::Tick { ca } => self.tick(ca, now).map(RenewalEffect::Start),
            RenewalInput::UnknownCa { ca, may_ask } => Some(self.unknown_ca(ca, may_ask, now)),
            RenewalInput::Ended(end) => self.ended(end, now),
        }
    }

    fn tick(&mut self, ca: Option<CaFile>, now: Now) -> Option<Task> {
        let is_other_ca = ca.is_some() && ca != self.ca;
        let (is_awaited, pause) = match self.phase {
            Phase::Running { .. } => return None,
            Phase::Paused { since, length } if since_then(now, since) < length => return None,
            Phase::Paused { length, .. } => (false, Some(length)),
            Phase::Requested => (true, None),
            Phase::Idle => (false, None),
        };
        if !(is_other_ca || is_awaited || self.time.is_due(now.clock)) {
            return None;
        }
        let task = if is_other_ca { Task::Reload } else { Task::Renew };
        self.phase = Phase::Running { task, is_awaited, pause };
        self.ca = ca;
        Some(task)
    }

    fn unknown_ca(&mut self, ca: Option<CaFile>, may_ask: bool, now: Now) -> RenewalEffect {
        if self.is_behind(ca) {
            return RenewalEffect::HoldTap;
        }
        // The tap may have been in progress with the previous CA.
        let has_just_reloaded = self.reloaded.is_some_and(|at| since_then(now, at) < TAP);
        if !has_just_reloaded && may_ask && self.asked.is_none_or(|at| since_then(now, at) >= ASK_EVERY) {
            self.request(now);
        }
        match (self.is_awaited(), has_just_reloaded) {
            (true, _) => RenewalEffect::HoldTap,
            (false, true) => RenewalEffect::RetapHeld,
            (false, false) => RenewalEffect::RefuseTap,
        }
    }

    /// Whether the CA file on disk differs from the one in use; a reload may be in progress.
    fn is_behind(&self, ca: Option<CaFile>) -> bool {
        let is_reloading = matches!(self.phase, Phase::Running { task: Task::Reload, .. });
        !self.has_failed() && ca.is_some() && (is_reloading || ca != self.ca)
    }

    /// Whether the last finished task failed.
    const fn has_failed(&self) -> bool {
        matches!(self.phase, Phase::Paused { .. } | Phase::Running { pause: Some(_), .. })
    }

    const fn is_awaited(&self) -> bool {
        matches!(self.phase, Phase::Requested | Phase::Running { is_awaited: true, .. })
    }

    /// Requests a query to the server, unless one is running; not during the pause after a failure.
    fn request(&mut self, now: Now) {
        match &mut self.phase {
            Phase::Idle => self.phase = Phase::Requested,
            Phase::Running { is_awaited: awaited @ false, pause: None, .. } => *awaited = true,
            _ => return,
        }
        self.asked = Some(now.steady);
    }

    fn ended(&mut self, time: Option<RenewalTime>, now: Now) -> Option<RenewalEffect> {
        let Phase::Running { task, pause, .. } = self.phase else { return None };
        if task == Task::Reload {
            self.reloaded = Some(now.steady);
        }
        let Some(time) = time else {
            let length = pause.map_or(PAUSE, |length| (length * 2).min(PAUSE_MAX));
            self.phase = Phase::Paused { since: now.steady, length };
            return Some(RenewalEffect::RefuseHeld);
        };
        (self.time, self.phase) = (time, Phase::Idle);
        Some(RenewalEffect::RetapHeld)
    }
}

fn since_then(now: Now, then: Instant) -> Duration {
    now.steady.saturating_duration_since(then)
}

#[cfg(test)]
mod tests;
