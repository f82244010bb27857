//! Reports once, with the cause, that the PC/SC service is away or has no readers while a command waits for cards.

use std::time::Duration;

use super::printer::Printer;
use crate::{failure::Failure, reader::pcsc::list_within, terminal::readers::no_reader};

/// How long the service may take to list its readers.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Why the service does not answer; nothing where it does.
pub fn lost_service() -> Option<Failure> {
    list_within(PATIENCE).err().map(Failure::from)
}

/// An outage of the service, of which a waiting command tells each cause once.
#[derive(Debug, Default)]
pub struct ServiceOutage {
    told: Option<&'static str>,
}

impl ServiceOutage {
    /// The service went away, or was never there. One that is back already is no matter.
    pub fn begin(&mut self, out: &mut Printer) {
        *self = Self::default();
        if let Some(failure) = lost_service() {
            self.go_on(&failure, out);
        }
    }

    /// What keeps the service from working now.
    pub fn go_on(&mut self, failure: &Failure, out: &mut Printer) {
        if self.is_news(failure) {
            out.warning(&in_words(failure), failure.hint.as_deref());
        }
    }

    /// Whether this is not what was given last.
    pub fn is_news(&mut self, failure: &Failure) -> bool {
        self.told.replace(failure.code) != Some(failure.code)
    }
}

/// What a waiting command says of it.
pub fn in_words(failure: &Failure) -> String {
    format!("{failure}; waiting until it works ({})", failure.code)
}

/// Nobody would know what a command waits for that has no reader. What else is wrong the first event of the service says.
pub fn warn_of_no_reader(out: &mut Printer) {
    if list_within(PATIENCE).is_ok_and(|readers| readers.is_empty()) {
        warn_of_none(out);
    }
}

/// The same for who has listed them already.
pub fn warn_of_none(out: &mut Printer) {
    let failure = no_reader();
    out.warning(&format!("{failure}; waiting until one is ({})", failure.code), failure.hint.as_deref());
}
