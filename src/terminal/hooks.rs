//! Runs a user-supplied shell command once for each event, on separate threads.
//!
//! - The command is the text of one `sh -c`, so quoting, pipes and variables follow the shell's rules.
//! - One run at a time, in the order of the events. Up to [`LONGEST_QUEUE`] events wait; further events are dropped
//!   until the queue is half empty, and their number is reported. The caller never waits.
//! - The event object is on stdin, on one line. stdout is discarded, because `watch` writes its own objects there; the
//!   beginning of stderr is reported when a run fails.
//! - Each run is its own process group. After its time limit it receives SIGTERM, and soon after SIGKILL; processes
//!   that a finished run left in its group are killed too.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// The maximum number of events waiting for their run.
pub const LONGEST_QUEUE: usize = 1024;

/// How long runs already due may continue when `watch` ends.
const LAST_RUNS: Duration = Duration::from_secs(2);

/// The time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(1);

/// How much of a failed run's stderr is reported, in bytes.
const LONGEST_WORD: usize = 512;

/// An event and its object.
#[derive(Debug)]
pub struct Job {
    /// The number of the event.
    pub seq: u64,
    /// The object, on one line.
    pub json: String,
}

/// Reports to whoever runs `watch` about the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookReport {
    /// A run could not be started, failed, or was ended after its time limit.
    Failed {
        /// The number of the event.
        seq: u64,
        /// How it ended.
        how: How,
        /// The beginning of its stderr.
        said: String,
    },
    /// The queue is full: this event and the following ones are dropped.
    Full {
        /// The number of the event.
        seq: u64,
    },
    /// The number of events that were dropped.
    Missed(u64),
}

/// How an unsuccessful run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// It could not be started.
    NotStarted(String),
    /// With this exit status.
    Status(i32),
    /// By a signal that we did not send.
    Signal(i32),
    /// It exceeded its time limit and was ended.
    Late,
    /// It was ended because `watch` ended.
    Ended,
}

/// The runs of one command. Dropping this ends them.
pub struct Hooks {
    shared: Arc<HookShared>,
    runner: Option<JoinHandle<()>>,
    /// The number of events dropped since the queue was full, and not yet reported.
    missed: u64,
}

#[derive(Default)]
struct HookShared {
    state: Mutex<HookQueue>,
    changed: Condvar,
}

#[derive(Default)]
struct HookQueue {
    queue: VecDeque<Job>,
    /// The number of the last finished run.
    exited: u64,
    /// Set when `watch` ends: no run continues beyond this.
    end: Option<Instant>,
}

impl Hooks {
    /// Starts the thread that runs the command, with a time limit of `limit` per run; `report` is called on that
    /// thread.
    ///
    /// # Errors
    /// The error of the system when the thread cannot be started.
    pub fn start(command: &str, limit: Duration, report: impl Fn(HookReport) + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(HookShared::default());
        let runner = Runner { shared: Arc::clone(&shared), command: command.to_owned(), limit };
        let work = move || runner.until_ended(&report);
        let runner = Some(thread::Builder::new().name("hook".to_owned()).spawn(work)?);
        Ok(Self { shared, runner, missed: 0 })
    }

    /// Queues a run. Never waits; may return something to report.
    pub fn give(&mut self, job: Job) -> Option<HookReport> {
        let mut state = self.shared.lock();
        let room = if self.missed > 0 { LONGEST_QUEUE / 2 } else { LONGEST_QUEUE };
        if state.queue.len() >= room {
            self.missed += 1;
            return (self.missed == 1).then_some(HookReport::Full { seq: job.seq });
        }
        state.queue.push_back(job);
        drop(state);
        self.shared.changed.notify_all();
        self.missed()
    }

    /// Ends the runs: those already due have two seconds. Events without a run are counted.
    pub fn finish(&mut self) -> Option<HookReport> {
        let runner = self.runner.take()?;
        self.shared.lock().end = Some(Instant::now() + LAST_RUNS);
        self.shared.changed.notify_all();
        // A panic on that thread was already handled by the panic hook, which ended the process.
        let _ = runner.join();
        self.missed += std::mem::take(&mut self.shared.lock().queue).len() as u64;
        self.missed()
    }

    fn missed(&mut self) -> Option<HookReport> {
        let missed = std::mem::take(&mut self.missed);
        (missed > 0).then_some(HookReport::Missed(missed))
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        self.finish();
    }
}

impl HookShared {
    fn lock(&self) -> MutexGuard<'_, HookQueue> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next event; `None` when `watch` ends and none is due, or its time is over.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if state.end.is_some_and(|end| Instant::now() >= end) {
                return None;
            }
            match state.queue.pop_front() {
                None if state.end.is_some() => return None,
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                job => return job,
            }
        }
    }

    /// Waits until this run has exited; returns why not, if a limit came first. With `ends`, the end of `watch` is a
    /// limit too.
    fn await_exit(&self, run: u64, limit: Instant, ends: bool) -> Result<(), How> {
        let mut state = self.lock();
        while state.exited < run {
            let (at, how) = match state.end.filter(|_| ends) {
                Some(end) if end < limit => (end, How::Ended),
                _ => (limit, How::Late),
            };
            let left = at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(how);
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    fn note_exit(&self, run: u64) {
        let mut state = self.lock();
        state.exited = state.exited.max(run);
        drop(state);
        self.changed.notify_all();
    }
}

struct Runner {
    shared: Arc<HookShared>,
    command: String,
    limit: Duration,
}

impl Runner {
    fn until_ended(&self, report: &impl Fn(HookReport)) {
        let due = std::iter::from_fn(|| self.shared.next());
        for (run, Job { seq, json }) in (1..).zip(due) {
            if let Err((how, said)) = self.run(run, json) {
                report(HookReport::Failed { seq, how, said });
            }
        }
    }

    fn run(&self, run: u64, json: String) -> Result<(), (How, String)> {
        let silent = |error: io::Error| (How::NotStarted(error.to_string()), String::new());
        let mut child = self.spawn().map_err(silent)?;
        let group = Pid::from_child(&child);
        let said = self.attend(&mut child, run, json);
        let limit = Instant::now() + self.limit;
        let on_time = said.as_ref().map_or(Err(How::Late), |_| self.shared.await_exit(run, limit, true));
        if on_time.is_err() {
            let _ = kill_process_group(group, Signal::TERM);
            let _ = self.shared.await_exit(run, Instant::now() + GRACE, false);
        }
        // The process group id cannot be reused until the child is waited for.
        let _ = kill_process_group(group, Signal::KILL);
        let status = child.wait();
        let word = |said: Receiver<String>| said.recv_timeout(GRACE).unwrap_or_default();
        match (said, on_time, status) {
            (Err(error), ..) | (_, _, Err(error)) => Err(silent(error)),
            (Ok(_), Ok(()), Ok(status)) if status.success() => Ok(()),
            (Ok(said), Ok(()), Ok(status)) => Err((How::of(status), word(said))),
            (Ok(said), Err(how), Ok(_)) => Err((how, word(said))),
        }
    }

    fn spawn(&self) -> io::Result<Child> {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(&self.command).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()
    }

    /// Writes the object to the run's stdin, reads its stderr and waits for its exit, each on its own thread.
    fn attend(&self, child: &mut Child, run: u64, json: String) -> io::Result<Receiver<String>> {
        let (sender, said) = mpsc::channel();
        let (stdin, stderr, id) = (child.stdin.take(), child.stderr.take(), Pid::from_child(child));
        let named = || thread::Builder::new().name("hook".to_owned());
        named().spawn(move || {
            // A command may choose not to read its event.
            let _ = stdin.map(|mut stdin| stdin.write_all(json.as_bytes()).and_then(|()| stdin.write_all(b"\n")));
        })?;
        named().spawn(move || {
            let Some(mut stderr) = stderr else { return };
            let _ = sender.send(beginning(&mut stderr));
            // The rest is read and discarded, so that the command does not block on a full pipe.
            let _ = io::copy(&mut stderr, &mut io::sink());
        })?;
        let shared = Arc::clone(&self.shared);
        named().spawn(move || {
            // NOWAIT leaves the child for its parent to reap.
            let exited = || waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            let _ = rustix::io::retry_on_intr(exited);
            shared.note_exit(run);
        })?;
        Ok(said)
    }
}

impl How {
    fn of(status: ExitStatus) -> Self {
        match status.signal() {
            Some(signal) => Self::Signal(signal),
            None => Self::Status(status.code().unwrap_or_default()),
        }
    }
}

/// The beginning of a stream.
fn beginning(stream: &mut impl Read) -> String {
    let mut said = Vec::new();
    // Whatever was read before an error counts too.
    let _ = stream.take(LONGEST_WORD as u64).read_to_end(&mut said);
    String::from_utf8_lossy(&said).trim().to_owned()
}

#[cfg(test)]
mod tests;
