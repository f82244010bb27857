//! Checks the program itself: its platform, and whether its configuration can be read.

use std::{fs, time::Duration};

use super::{Finding, Probe, ProbeReport};
use crate::failure::Remedy;

/// What a slow card needs for a signature, and a reader for a card that it powers up again.
const SHORTEST_EXCHANGE: Duration = Duration::from_millis(500);
/// The exchanges of a tap on a slow card.
const SHORTEST_TAP: Duration = Duration::from_secs(1);

pub fn probe() -> Probe {
    Probe {
        name: "configuration",
        subject: None,
        limit: Duration::from_secs(3),
        silent: || {
            Finding::fault(
                "config.slow",
                "the configuration cannot be read in time",
                Remedy::with("see whether its disk answers", "df"),
            )
        },
        work: Box::new(inspect),
    }
}

fn inspect(report: &ProbeReport) {
    let found = match &report.context.unconfigured {
        Some(failure) => failure.clone().into(),
        None => Finding::good(format!("as in {}", report.context.settings.config_folder.display())),
    };
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = system.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    report.found(
        found
            .fact("version", env!("CARGO_PKG_VERSION"))
            .fact("system", name.unwrap_or_default().trim_matches('"'))
            .fact("kernel", kernel.trim_end()),
    );
    let limits = &report.context.settings.limits;
    let unreachable = unreachable_limit(limits.exchange, limits.tap);
    for found in unreachable.into_iter().chain(short_limits(limits.exchange, limits.tap)) {
        report.found_below("configuration", found);
    }
}

/// Whether this limit for one exchange is too short for a healthy card.
pub fn is_too_short(exchange: Duration) -> bool {
    exchange < SHORTEST_EXCHANGE
}

/// Limits below what cards need, at which every card would look mute.
fn short_limits(exchange: Duration, tap: Duration) -> Vec<Finding> {
    let limits = [("exchange", exchange, SHORTEST_EXCHANGE, "an exchange"), ("tap", tap, SHORTEST_TAP, "a tap")];
    let short = limits.into_iter().filter(|(_, limit, least, _)| limit < least);
    let found = short.map(|(key, limit, least, what)| {
        Finding::warning(
            "config.limits",
            format!("`{key}` ({limit:?}) under [limits] is shorter than {what} takes: working cards time out"),
            format!("set `{key}` to {least:?} or more, or take it out of config.toml"),
        )
    });
    found.collect()
}

/// A limit for an exchange above the limit for the tap that contains it. Enrollments have no overall limit.
fn unreachable_limit(exchange: Duration, tap: Duration) -> Option<Finding> {
    let remedy = || {
        Finding::warning(
            "config.limits",
            format!(
                "`exchange` ({exchange:?}) is longer than `tap` ({tap:?}) under [limits]: in a tap no exchange gets as much time"
            ),
            "make `tap` at least as long, or `exchange` shorter",
        )
    };
    (exchange > tap).then(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_below_what_cards_take_is_told() {
        let short = |exchange, tap| {
            let found = short_limits(Duration::from_millis(exchange), Duration::from_millis(tap));
            assert!(found.iter().all(|found| found.code == Some("config.limits") && found.remedy.is_some()));
            found.into_iter().map(|found| found.message).collect::<Vec<_>>()
        };
        assert_eq!(short(500, 1000), [""; 0]);
        let tap = short(500, 1);
        assert!(tap.len() == 1 && tap[0].starts_with("`tap` (1ms) "), "{tap:?}");
        let both = short(499, 999);
        assert!(both.len() == 2 && both[0].starts_with("`exchange` (499ms) "), "{both:?}");
    }

    #[test]
    fn a_limit_that_no_tap_reaches_is_told() {
        let seconds = Duration::from_secs;
        assert!(unreachable_limit(seconds(5), seconds(15)).is_none());
        assert!(unreachable_limit(seconds(5), seconds(5)).is_none());
        let found = unreachable_limit(seconds(20), seconds(15)).unwrap();
        assert_eq!(found.code, Some("config.limits"));
        assert!(found.message.contains("(20s)") && found.message.contains("(15s)"), "{}", found.message);
    }
}
