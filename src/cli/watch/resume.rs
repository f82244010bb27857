//! The fast tap of a watch: only where the configuration asks for it, and only in a process whose memory is protected.

use std::{io, sync::Arc};

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use crate::{
    config::Settings,
    terminal::tap::{ResumptionCache, tap_terminal::ReaderResumption},
};

/// The fast taps, if configured and possible; and a warning if they are configured but not possible.
pub fn start(settings: &Settings) -> (Option<ReaderResumption>, Option<String>) {
    let rules = settings.resume.clone();
    if !rules.is_on() {
        return (None, None);
    }
    if let Err(error) = hide_memory() {
        let text = format!("fast taps are off: their keys would not be safe in memory ({error})");
        return (None, Some(text));
    }
    let cache = ResumptionCache::new(rules.max_age());
    (Some(ReaderResumption { cache, rule: Arc::new(move |reader: &str| rules.at(reader)) }), None)
}

/// Prevents core files, and other processes of the same user from reading this one's memory (prctl(2),
/// `PR_SET_DUMPABLE`).
fn hide_memory() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(())
}
