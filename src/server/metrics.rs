//! What the server counts, as OpenMetrics text, which Prometheus reads.

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

/// One kind of request.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RequestLabels {
    /// The route, not the path: a path may hold anything.
    pub route: String,
    /// The method.
    pub method: String,
    /// The status of the answer.
    pub status: u16,
}

/// One kind of decision about a lookup.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct LookupLabels {
    /// `active`, or the code of the refusal.
    pub result: String,
}

/// All counters.
pub struct Metrics {
    registry: Registry,
    /// Answered requests.
    pub requests: Family<RequestLabels, Counter>,
    /// Decided lookups.
    pub lookups: Family<LookupLabels, Counter>,
    /// Proofs that tell of a copied token.
    pub clones: Counter,
    /// Nonces that were given away.
    pub nonces: Counter,
    /// Events that were new.
    pub events: Counter,
    /// The time from the head of a request to its answer.
    pub seconds: Histogram,
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
        };
        let registry = &mut metrics.registry;
        registry.register("requests", "Answered requests", metrics.requests.clone());
        registry.register("lookups", "Decided lookups", metrics.lookups.clone());
        registry.register("clone_alarms", "Proofs that tell of a copied token", metrics.clones.clone());
        registry.register("nonces", "Nonces given to terminals", metrics.nonces.clone());
        registry.register("events", "New events of terminals", metrics.events.clone());
        registry.register("request_seconds", "Time to answer a request", metrics.seconds.clone());
        metrics
    }
}

impl Metrics {
    /// As text.
    ///
    /// # Errors
    /// The formatter's, which writing into memory never gives.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
