//! The program itself: what it runs on, and whether its configuration can be read.

use std::{fs, time::Duration};

use super::{Finding, Probe, ProbeReport};
use crate::failure::Remedy;

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
    if let Some(found) = unreachable_limit(limits.exchange, limits.tap) {
        report.found_below("configuration", found);
    }
}

/// An exchange that may take longer than the tap that it is a part of. Enrollments have no limit for the whole.
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
    fn a_limit_that_no_tap_reaches_is_told() {
        let seconds = Duration::from_secs;
        assert!(unreachable_limit(seconds(5), seconds(15)).is_none());
        assert!(unreachable_limit(seconds(5), seconds(5)).is_none());
        let found = unreachable_limit(seconds(20), seconds(15)).unwrap();
        assert_eq!(found.code, Some("config.limits"));
        assert!(found.message.contains("(20s)") && found.message.contains("(15s)"), "{}", found.message);
    }
}
