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
}
