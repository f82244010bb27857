//! Finds out whether the systemd journal reads stderr, and marks lines with their priority for it.

use std::{io, os::fd::AsFd, os::unix::fs::MetadataExt};

use crate::cli::table::Style;

/// Whether stderr is the stream that systemd connected to the journal: `JOURNAL_STREAM` names its device and inode,
/// because a process whose stderr goes elsewhere inherits the variable, too.
pub fn is_stderr() -> bool {
    let Some(named) = std::env::var_os("JOURNAL_STREAM") else { return false };
    let stream = io::stderr().as_fd().try_clone_to_owned().and_then(|fd| std::fs::File::from(fd).metadata());
    stream.is_ok_and(|stream| named.to_str().is_some_and(|named| is_named(named, stream.dev(), stream.ino())))
}

fn is_named(named: &str, device: u64, inode: u64) -> bool {
    named.split_once(':').is_some_and(|(dev, ino)| dev.parse() == Ok(device) && ino.parse() == Ok(inode))
}

/// The priority of a line in this style: error, warning, informational.
pub const fn priority(style: Style) -> &'static str {
    match style {
        Style::Bad => "<3>",
        Style::Warning => "<4>",
        _ => "<6>",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stream_that_is_named_is_the_journal() {
        assert!(is_named("8:421", 8, 421));
        for other in ["8:42", "8:421:1", "8", "", ":", "a:421", "421:8"] {
            assert!(!is_named(other, 8, 421), "{other}");
        }
    }
}
