//! Finds out how wide the terminal is.

use std::ffi::OsStr;
use std::os::fd::AsFd;

/// If neither the terminal nor a variable gives the width.
const USUAL: usize = 80;
/// A smaller width is not meant seriously.
const NARROWEST: usize = 10;

/// The width of a line in cells: that of the terminal, or else that in `COLUMNS`. Unlimited in a pipe or a file without
/// that variable.
pub fn width(stream: &impl AsFd, columns: Option<&OsStr>) -> Option<usize> {
    let typed = || columns?.to_str()?.parse().ok().filter(|width| *width >= NARROWEST);
    match rustix::termios::tcgetwinsize(stream) {
        Ok(size) if usize::from(size.ws_col) >= NARROWEST => Some(usize::from(size.ws_col)),
        Ok(_) => typed().or(Some(USUAL)),
        Err(_) => typed(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_file_is_as_wide_as_the_variable_says() {
        let file = File::open("/dev/null").unwrap();
        for (columns, meant) in
            [(None, None), (Some("40"), Some(40)), (Some("0"), None), (Some("-1"), None), (Some("wide"), None)]
        {
            assert_eq!(width(&file, columns.map(OsStr::new)), meant, "{columns:?}");
        }
    }
}
