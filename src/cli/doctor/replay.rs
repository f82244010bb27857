//! `rollcall doctor --replay FILE`: replays the taps of a trace, without a card, a key, a server or a list. Results are
//! printed as `scan` prints them, and nothing is changed.

use std::path::Path;

use crate::{
    card::trace::Trace,
    cli::{outcome::scan_view, printer::Printer, views},
    crypto::random::SystemRandom,
    failure::{Failure, summary},
    terminal::admission::TapOutcome,
    terminal::tap::replay::play,
    token::trace_points::DIGEST,
};

/// Replays the file. The exit status is that of a scan with the same outcomes.
///
/// # Errors
/// `trace.…` for a trace that cannot be read or played; that of [`Printer::item`].
pub fn run(file: &Path, out: &mut Printer) -> Result<u8, Failure> {
    let trace = Trace::load(file, DIGEST)?;
    let played = play(&trace, &mut SystemRandom)?;
    if played.iter().any(|tap| tap.judged.server) {
        out.note("a server was asked, but its answers are not in the trace: the outcomes rest on the card alone");
    }
    if !trace.personal {
        out.note("this trace does not contain what the cards said about their holders");
    }
    out.begin::<views::ScanView>()?;
    let (mut failures, mut succeeded) = (Vec::new(), 0);
    for tap in played {
        let outcome = TapOutcome::played(tap);
        match outcome.class() {
            Some(class) => failures.push(class),
            None => succeeded += 1,
        }
        out.item(&scan_view(&outcome, trace.personal))?;
    }
    Ok(summary(&failures, succeeded))
}
