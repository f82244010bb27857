//! The two text formats in which metrics are exported, and how a request chooses between them.

use std::fmt::Write;

/// A text format for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposition {
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4, which `promtool check metrics` reads.
    Prometheus,
}

impl Exposition {
    /// The format that `Accept` prefers (RFC 9110, 12.5.1): `OpenMetrics` if it is named with no lower quality,
    /// otherwise the older format. Without the header it is `OpenMetrics`, as it always was.
    pub fn of(accept: Option<&str>) -> Self {
        let Some(accept) = accept else { return Self::OpenMetrics };
        let (mut open, mut plain) = (0.0_f32, 0.0_f32);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut quality, mut version) = (1.0, None);
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                match name.trim().to_ascii_lowercase().as_str() {
                    "q" => quality = value.trim().parse().unwrap_or(0.0_f32),
                    "version" => version = Some(value.trim().trim_matches('"')),
                    _ => {}
                }
            }
            match (kind.as_str(), version) {
                ("application/openmetrics-text", None | Some("0.0.1" | "1.0.0")) => open = open.max(quality),
                ("text/plain", None | Some("0.0.4")) | ("text/*" | "*/*", _) => plain = plain.max(quality),
                _ => {}
            }
        }
        if open > 0.0 && open >= plain { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Converts `OpenMetrics` text to this format. The older one names a counter as its samples are named, and has no
    /// units and no end marker.
    pub fn write(self, open: String) -> String {
        if self == Self::OpenMetrics {
            return open;
        }
        let counters: Vec<_> =
            open.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
        let mut plain = String::with_capacity(open.len());
        for line in open.lines().filter(|line| *line != "# EOF" && !line.starts_with("# UNIT ")) {
            let about = ["# HELP ", "# TYPE "].into_iter().find_map(|word| Some((word, line.strip_prefix(word)?)));
            let counter = about.and_then(|(word, rest)| {
                let (name, rest) = rest.split_once(' ')?;
                counters.contains(&name).then(|| format!("{word}{name}_total {rest}"))
            });
            // Writing into memory does not fail.
            let _ = writeln!(plain, "{}", counter.as_deref().unwrap_or(line));
        }
        plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_a_format_gets_it() {
        let open = [
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; Version=1.0.0",
            "application/openmetrics-text; version=\"1.0.0\", text/plain",
            // Prometheus 2.42, and 3 with the escaping of names.
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        ];
        for accept in open {
            assert_eq!(Exposition::of(Some(accept)), Exposition::OpenMetrics, "{accept}");
        }
        let plain = [
            "",
            "*/*",
            "text/*",
            "text/plain;version=0.0.4",
            "text/html, */*;q=0.8",
            "application/json",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=high, text/plain",
            "application/openmetrics-text;version=2.0.0, text/plain;q=0.1",
            "application/openmetrics-text;q=0.2, text/plain;q=0.3",
            ",;=,;q,=;q=;",
        ];
        for accept in plain {
            assert_eq!(Exposition::of(Some(accept)), Exposition::Prometheus, "{accept}");
        }
        assert_eq!(Exposition::of(None), Exposition::OpenMetrics);
    }

    #[test]
    fn the_older_format_differs_where_it_has_to() {
        let open = "# HELP a_things Things.\n# TYPE a_things counter\na_things_total{of=\"# EOF\"} 3\n\
             # HELP a_seconds Time.\n# TYPE a_seconds histogram\n# UNIT a_seconds seconds\na_seconds_sum 1.5\n\
             a_seconds_count 2\na_seconds_bucket{le=\"+Inf\"} 2\n# EOF\n";
        let plain = "# HELP a_things_total Things.\n# TYPE a_things_total counter\na_things_total{of=\"# EOF\"} 3\n\
             # HELP a_seconds Time.\n# TYPE a_seconds histogram\na_seconds_sum 1.5\na_seconds_count 2\n\
             a_seconds_bucket{le=\"+Inf\"} 2\n";
        assert_eq!(Exposition::Prometheus.write(open.to_owned()), plain);
        assert_eq!(Exposition::OpenMetrics.write(open.to_owned()), open);
    }
}
