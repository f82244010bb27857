//! Diagnoses what is wrong between a terminal and its cards: a tree of probes that run in parallel.
//!
//! Each probe has its own thread and time limit, reports its findings as data, and starts further probes for what it
//! finds. A probe that hangs is reported and abandoned: it neither hides nor delays anything else.

pub mod bundle;
mod card;
mod glance;
mod hsm;
mod keys;
mod link;
mod memory;
mod readers;
mod server;
mod service;
mod state;
mod system;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::Value;

pub use glance::{HomeProbe, glance};
pub use readers::{all_ignored, same_names};

use crate::{
    config::Settings,
    failure::{Failure, Remedy},
    terminal::thread::no_thread,
};

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// There is nothing to check.
    Skipped,
    /// It works but should be corrected.
    Warning,
    /// It does not work.
    Fault,
}

/// A result of a probe.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The probe: `reader`.
    pub probe: &'static str,
    /// What it checked: the name of a reader, a file, a host.
    pub subject: Option<String>,
    /// How serious it is.
    pub verdict: Verdict,
    /// Stable, for scripts: `reader.none`. None if all is well.
    pub code: Option<&'static str>,
    /// One line, without a full stop.
    pub message: String,
    /// What to do, and the command to type, if there is one.
    pub remedy: Option<Remedy>,
    /// Measurements and other facts.
    pub facts: BTreeMap<&'static str, Value>,
    /// How long the probe had run.
    pub took: Duration,
}

impl Finding {
    fn of(verdict: Verdict, code: Option<&'static str>, message: String) -> Self {
        let (facts, took) = (BTreeMap::new(), Duration::ZERO);
        Self { probe: "", subject: None, verdict, code, message, remedy: None, facts, took }
    }

    /// As it should be.
    pub fn good(message: impl Into<String>) -> Self {
        Self::of(Verdict::Good, None, message.into())
    }

    /// There was nothing to check.
    pub fn skipped(message: impl Into<String>) -> Self {
        Self::of(Verdict::Skipped, None, message.into())
    }

    /// It works but should be corrected.
    pub fn warning(code: &'static str, message: impl Into<String>, remedy: impl Into<Remedy>) -> Self {
        Self { remedy: Some(remedy.into()), ..Self::of(Verdict::Warning, Some(code), message.into()) }
    }

    /// It does not work.
    pub fn fault(code: &'static str, message: impl Into<String>, remedy: impl Into<Remedy>) -> Self {
        Self { remedy: Some(remedy.into()), ..Self::of(Verdict::Fault, Some(code), message.into()) }
    }

    /// Adds a fact.
    #[must_use]
    pub fn fact(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.facts.insert(name, value.into());
        self
    }
}

impl From<Failure> for Finding {
    /// The failure of other commands.
    fn from(failure: Failure) -> Self {
        let mut found = Self::of(Verdict::Fault, Some(failure.code), failure.message);
        found.remedy = Some(failure.hint.unwrap_or_else(|| "report it: it is a bug in rollcall".into()));
        found
    }
}

/// Looks up an environment variable.
pub type Environment = dyn Fn(&str) -> Option<std::ffi::OsString> + Send + Sync;

/// The common knowledge of all probes.
pub struct ProbeContext {
    /// The settings; defaults if the file cannot be read.
    pub settings: Settings,
    /// Why the configuration cannot be read, if so.
    pub unconfigured: Option<Failure>,
    /// The environment.
    pub environment: Box<Environment>,
    /// Whether to send cards more than a tap does.
    pub deep: bool,
    /// The clock.
    pub clock: fn() -> Timestamp,
}

/// A probe to run.
struct Probe {
    name: &'static str,
    subject: Option<String>,
    limit: Duration,
    /// The finding if it does not end in time.
    silent: fn() -> Finding,
    work: Box<dyn FnOnce(&ProbeReport) + Send>,
}

/// The only output of a probe.
struct ProbeReport {
    context: Arc<ProbeContext>,
    sender: Sender<ProbeMessage>,
    number: usize,
    began: Instant,
}

enum ProbeMessage {
    Finding(usize, Finding),
    Begin(usize, Probe),
    Done(usize),
}

impl ProbeReport {
    fn found(&self, mut finding: Finding) {
        finding.took = self.began.elapsed();
        // Nobody listens any more to an abandoned probe.
        let _ = self.sender.send(ProbeMessage::Finding(self.number, finding));
    }

    /// A finding on part of what the probe checks.
    fn found_below(&self, part: &'static str, finding: Finding) {
        self.found(Finding { probe: part, ..finding });
    }

    fn begin(&self, probe: Probe) {
        let _ = self.sender.send(ProbeMessage::Begin(self.number, probe));
    }
}

/// A probe that is running.
struct Running {
    /// Its place in the tree.
    place: Vec<usize>,
    name: &'static str,
    subject: Option<String>,
    began: Instant,
    until: Instant,
    silent: fn() -> Finding,
    ended: bool,
    children: usize,
}

/// All findings as a tree: each with its depth.
pub type Findings = Vec<(usize, Finding)>;

/// Runs all probes; `progress` is given the name of each as it ends. Ends within the sum of the limits on the longest
/// path from root to leaf, about 20 s, whatever hangs. If a server is on this machine, its store is checked.
pub fn examine(context: ProbeContext, home: Option<HomeProbe>, progress: impl FnMut(&'static str)) -> Findings {
    let roots = roots().into_iter().chain(home.map(glance::store_probe)).collect();
    examine_all(context, roots, progress)
}

fn examine_all(context: ProbeContext, roots: Vec<Probe>, mut progress: impl FnMut(&'static str)) -> Findings {
    let context = Arc::new(context);
    let (sender, messages) = mpsc::channel();
    let mut all: Vec<Running> = Vec::new();
    let mut found: Vec<(Vec<usize>, Finding)> = Vec::new();
    for (place, probe) in roots.into_iter().enumerate() {
        start(probe, vec![place], &context, &sender, &mut all, &mut found);
    }
    while let Some(until) = all.iter().filter(|one| !one.ended).map(|one| one.until).min() {
        match messages.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(ProbeMessage::Finding(number, finding)) => {
                if let Some(one) = all.get_mut(number).filter(|one| !one.ended) {
                    let place = if finding.probe.is_empty() { one.place.clone() } else { one.below() };
                    found.push((place, one.sign(finding)));
                }
            }
            Ok(ProbeMessage::Begin(number, probe)) => {
                let Some(parent) = all.get_mut(number).filter(|one| !one.ended) else { continue };
                let place = parent.below();
                start(probe, place, &context, &sender, &mut all, &mut found);
            }
            Ok(ProbeMessage::Done(number)) => {
                if let Some(one) = all.get_mut(number) {
                    one.ended = true;
                    progress(one.name);
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => give_up(&mut all, &mut found),
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found.into_iter().map(|(place, finding)| (place.len() - 1, finding)).collect()
}

fn roots() -> Vec<Probe> {
    vec![system::probe(), service::probe(), keys::probe(), state::probe(), server::probe()]
}

fn start(
    probe: Probe,
    place: Vec<usize>,
    context: &Arc<ProbeContext>,
    sender: &Sender<ProbeMessage>,
    all: &mut Vec<Running>,
    found: &mut Vec<(Vec<usize>, Finding)>,
) {
    let (number, began) = (all.len(), Instant::now());
    let report = ProbeReport { context: Arc::clone(context), sender: sender.clone(), number, began };
    let Probe { name, subject, limit, silent, work } = probe;
    let mut one = Running { place, name, subject, began, until: began + limit, silent, ended: false, children: 0 };
    let thread = thread::Builder::new().name(format!("doctor-{name}")).spawn(move || {
        work(&report);
        let _ = report.sender.send(ProbeMessage::Done(report.number));
    });
    if let Err(error) = thread {
        found.push((one.place.clone(), one.sign(no_thread(error).into())));
        one.ended = true;
    }
    all.push(one);
}

fn give_up(all: &mut [Running], found: &mut Vec<(Vec<usize>, Finding)>) {
    let now = Instant::now();
    for one in all.iter_mut().filter(|one| !one.ended && one.until <= now) {
        one.ended = true;
        let silent = Finding { took: now.saturating_duration_since(one.began), ..one.sign((one.silent)()) };
        found.push((one.place.clone(), silent));
    }
}

impl Running {
    /// The next place below this one.
    fn below(&mut self) -> Vec<usize> {
        self.children += 1;
        [&self.place[..], &[self.children]].concat()
    }

    fn sign(&self, finding: Finding) -> Finding {
        let subject = finding.subject.clone().or_else(|| self.subject.clone());
        let probe = if finding.probe.is_empty() { self.name } else { finding.probe };
        Finding { probe, subject, ..finding }
    }
}

#[cfg(test)]
mod tests;
