//! When certificates are renewed, as a pure state machine: `step(input, now) -> effect`. It reads no clock and no file.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::pki::RenewalTime;

/// The pause after a renewal that failed; each further one is twice as long.
pub const PAUSE: Duration = Duration::from_secs(60);
/// The longest pause: in the three days that are usually left there is time for seventy.
pub const PAUSE_MAX: Duration = Duration::from_secs(3600);
/// How long a token of an unknown CA does not make us ask the server again whether ours has a successor.
pub const ASK_EVERY: Duration = Duration::from_secs(600);
/// Longer than a tap takes that comes to an end.
pub const TAP: Duration = Duration::from_secs(2);

/// Which file the CA certificate is: inode, and nanoseconds of its time. A rotation puts another file there.
pub type CaFile = (u64, i64);

/// One moment by two clocks: that of the certificates, and one that nobody sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The time of day.
    pub clock: Timestamp,
    /// Since the machine started.
    pub steady: Instant,
}

/// What a thread is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Get fresh certificates, by the CA here or from the server, and read them.
    Renew,
    /// Read what lies here, for the CA has become another.
    Reload,
}

/// How far a renewal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is due.
    Idle,
    /// The server is to be asked whether our CA has a successor; nobody asks yet.
    Requested,
    /// A thread is at it.
    Running {
        /// What it does.
        task: Task,
        /// Whether a token of an unknown CA waits for what comes of it.
        is_awaited: bool,
        /// How long the pause before it was, where it follows one that failed.
        pause: Option<Duration>,
    },
    /// The last one failed.
    Paused {
        /// Since when.
        since: Instant,
        /// For how long it is left alone.
        length: Duration,
    },
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewalInput {
    /// Time passed.
    Tick {
        /// The CA file that lies here.
        ca: Option<CaFile>,
    },
    /// A token of a CA that is not known here was tapped: it may have been moved to the successor of ours.
    UnknownCa {
        /// The CA file that lies here.
        ca: Option<CaFile>,
        /// Whether there is a server that could be asked for certificates of the successor.
        may_ask: bool,
    },
    /// The task has ended: the time of the certificates that are here now, or nothing where it failed.
    Ended(Option<RenewalTime>),
}

/// What is to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewalEffect {
    /// Start this task.
    Start(Task),
    /// Hold this tap until a task has ended.
    HoldTap,
    /// Tap what was held once more, with the keys that are there now.
    RetapHeld,
    /// What was held is refused, as it came.
    RefuseHeld,
    /// The tap is a stranger's.
    RefuseTap,
}

/// What is known of this terminal's certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewalState {
    phase: Phase,
    time: RenewalTime,
    /// The CA file when the keys were loaded.
    ca: Option<CaFile>,
    /// When another CA was read last.
    reloaded: Option<Instant>,
    /// When a token of an unknown CA last made us ask.
    asked: Option<Instant>,
}

impl RenewalState {
    /// Nothing is done yet.
    pub const fn new(time: RenewalTime, ca: Option<CaFile>) -> Self {
        Self { phase: Phase::Idle, time, ca, reloaded: None, asked: None }
    }

    /// When the first of the certificates ends.
    pub const fn end(&self) -> Timestamp {
        self.time.end
    }

    /// How far it is.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Takes what happened, and says what is to be done about it.
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
        // The tap may have been under way with the CA before.
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

    /// Whether another CA file lies here than the one in use; a reload of it may be under way.
    fn is_behind(&self, ca: Option<CaFile>) -> bool {
        let is_reloading = matches!(self.phase, Phase::Running { task: Task::Reload, .. });
        !self.has_failed() && ca.is_some() && (is_reloading || ca != self.ca)
    }

    /// Whether the last task that ended has failed.
    const fn has_failed(&self) -> bool {
        matches!(self.phase, Phase::Paused { .. } | Phase::Running { pause: Some(_), .. })
    }

    const fn is_awaited(&self) -> bool {
        matches!(self.phase, Phase::Requested | Phase::Running { is_awaited: true, .. })
    }

    /// The server is to be asked, or is being asked already; not while it is left alone after a failure.
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
