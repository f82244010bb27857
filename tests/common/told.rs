//! What a run says on stderr of its failure.

/// The value behind `label: `, for the labels `code` and `hint`.
pub fn after<'a>(stderr: &'a str, label: &str) -> Option<&'a str> {
    stderr.lines().find_map(|line| line.strip_prefix(label)?.strip_prefix(": "))
}
