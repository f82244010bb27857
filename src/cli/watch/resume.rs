//! The fast tap of a watch: where the configuration asks for it, and only in a process that nobody can look into.

use std::{io, sync::Arc};

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use crate::{
    cli::printer::Printer,
    config::Settings,
    terminal::tap::{ResumptionCache, tap_terminal::ReaderResumption},
};

/// Where channels are resumed; none where nothing is, or may be.
pub fn start(settings: &Settings, out: &mut Printer) -> Option<ReaderResumption> {
    let rules = settings.resume.clone();
    if !rules.is_on() {
        return None;
    }
    if settings.server.url.is_some() {
        let hint = "take [resume] out of config.toml, or let this terminal do without the server";
        out.warning("[resume] has no effect here: the server hears the proof of every tap", Some(hint));
        return None;
    }
    if let Err(error) = hide_memory() {
        let text = format!("all taps are full ones: the keys for faster ones would not be safe in memory ({error})");
        out.warning(&text, None);
        return None;
    }
    let cache = ResumptionCache::new(rules.max_age());
    Some(ReaderResumption { cache, rule: Arc::new(move |reader: &str| rules.at(reader)) })
}

/// No core file, and no other process of the same user may read the memory of this one (prctl(2), `PR_SET_DUMPABLE`).
fn hide_memory() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(())
}
