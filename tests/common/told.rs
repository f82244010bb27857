//! The failure that a run reports on stderr.

/// The value behind `label: `, for the labels `code` and `hint`.
pub fn after<'a>(stderr: &'a str, label: &str) -> Option<&'a str> {
    stderr.lines().find_map(|line| line.strip_prefix(label)?.strip_prefix(": "))
}
