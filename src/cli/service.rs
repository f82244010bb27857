//! Reports once, with the cause, that the PC/SC service is away or has no readers while a command waits for cards.

use std::time::Duration;

use super::printer::Printer;
use crate::{failure::Failure, reader::pcsc::list_within, terminal::readers::no_reader};

/// How long the service may take to list its readers.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Why the service does not answer; `None` if it does.
pub fn lost_service() -> Option<Failure> {
    list_within(PATIENCE).err().map(Failure::from)
}

/// An outage of the service, of which a waiting command reports each cause once.
#[derive(Debug, Default)]
pub struct ServiceOutage {
    told: Option<&'static str>,
}

impl ServiceOutage {
    /// The service went away, or was never there. If it is already back, nothing is reported.
    pub fn begin(&mut self, out: &mut Printer) {
        *self = Self::default();
        if let Some(failure) = lost_service() {
            self.go_on(&failure, out);
        }
    }

    /// A cause of the continued outage.
    pub fn go_on(&mut self, failure: &Failure, out: &mut Printer) {
        if self.is_news(failure) {
            out.warning(&in_words(failure), failure.hint.as_deref());
        }
    }

    /// Whether it differs from the cause reported last.
    pub fn is_news(&mut self, failure: &Failure) -> bool {
        self.told.replace(failure.code) != Some(failure.code)
    }
}

/// The text of a waiting command.
pub fn in_words(failure: &Failure) -> String {
    format!("{failure}; waiting until it works ({})", failure.code)
}

/// Without a reader nobody would know what a command waits for. Other faults are reported by the service's first event.
pub fn warn_of_no_reader(out: &mut Printer) {
    if list_within(PATIENCE).is_ok_and(|readers| readers.is_empty()) {
        warn_of_none(out);
    }
}

/// The same, if the readers were already listed.
pub fn warn_of_none(out: &mut Printer) {
    let failure = no_reader();
    out.warning(&format!("{failure}; waiting until one is ({})", failure.code), failure.hint.as_deref());
}
