//! The server's metrics, as OpenMetrics text; [`super::exposition`] converts them to the other format.

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::api::v1::{PresenceSummary, RegisteredTerminal};

/// Labels of a request.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RequestLabels {
    /// The route, not the path, which clients choose freely.
    pub route: &'static str,
    /// The method.
    pub method: &'static str,
    /// The status of the answer.
    pub status: u16,
}

/// Labels of a decision about a lookup.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct LookupLabels {
    /// `active`, or the code of the refusal.
    pub result: &'static str,
}

/// Labels of a terminal.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct TerminalLabels {
    /// Its name.
    pub terminal: String,
}

/// Gauges that are read from the store whenever the metrics are requested.
#[derive(Debug, Default)]
pub struct StoreMetrics {
    /// 1 when the store takes changes, otherwise 0.
    store_up: Gauge,
    /// People counted at a terminal.
    present: Family<TerminalLabels, Gauge>,
    /// When a terminal last sent a request, in seconds since 1970.
    last_word: Family<TerminalLabels, Gauge>,
    /// When the newest certificate of a terminal ends, in seconds since 1970.
    certificate_end: Family<TerminalLabels, Gauge>,
}

impl StoreMetrics {
    /// Sets whether the store takes changes.
    pub fn store(&self, is_up: bool) {
        self.store_up.set(i64::from(is_up));
    }

    /// Replaces what is known of presence.
    pub fn presence(&self, summary: &PresenceSummary) {
        self.present.clear();
        for one in &summary.terminals {
            self.present.get_or_create(&label(&one.name)).set(one.present.cast_signed());
        }
    }

    /// Replaces what is known of terminals; revoked ones are left out.
    pub fn terminals(&self, all: &[RegisteredTerminal]) {
        self.last_word.clear();
        self.certificate_end.clear();
        for one in all.iter().filter(|one| !one.revoked) {
            if let Some(at) = one.last_seen {
                self.last_word.get_or_create(&label(&one.name)).set(at.as_second());
            }
            if let Some(until) = one.certificate_until {
                self.certificate_end.get_or_create(&label(&one.name)).set(until.as_second());
            }
        }
    }
}

fn label(name: &str) -> TerminalLabels {
    TerminalLabels { terminal: name.to_owned() }
}

/// All metrics.
pub struct Metrics {
    registry: Registry,
    /// Answered requests.
    pub requests: Family<RequestLabels, Counter>,
    /// Decided lookups.
    pub lookups: Family<LookupLabels, Counter>,
    /// Proofs that reveal a copied token.
    pub clones: Counter,
    /// Nonces given to terminals.
    pub nonces: Counter,
    /// New events.
    pub events: Counter,
    /// The time from the head of a request to its answer.
    pub seconds: Histogram,
    /// What is read from the store.
    pub stored: StoreMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let buckets = [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0];
        let mut metrics = Self {
            registry: Registry::with_prefix("rollcall"),
            requests: Family::default(),
            lookups: Family::default(),
            clones: Counter::default(),
            nonces: Counter::default(),
            events: Counter::default(),
            seconds: Histogram::new(buckets),
            stored: StoreMetrics::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("requests", "Answered requests", metrics.requests.clone());
        registry.register("lookups", "Decided lookups", metrics.lookups.clone());
        registry.register("clone_alarms", "Proofs that show a copied token", metrics.clones.clone());
        registry.register("nonces", "Nonces given to terminals", metrics.nonces.clone());
        registry.register("events", "New events of terminals", metrics.events.clone());
        registry.register("request_seconds", "Time to answer a request", metrics.seconds.clone());
        let stored = &metrics.stored;
        registry.register("store_up", "Whether the store accepts changes", stored.store_up.clone());
        registry.register("present", "People who are counted at a terminal", stored.present.clone());
        registry.register("terminal_last_word_seconds", "When a terminal last asked", stored.last_word.clone());
        registry.register(
            "certificate_end_seconds",
            "When a terminal's certificate ends",
            stored.certificate_end.clone(),
        );
        metrics
    }
}

impl Metrics {
    /// As `OpenMetrics` text.
    ///
    /// # Errors
    /// The formatter's, which writing into memory never returns.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
