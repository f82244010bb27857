//! The PROXY header: read step by step as from a connection, parsing ends, in bounds, and depends only on the header.

use rollcall::proxies::{HEAD_MAX, HeadStep, next_step};

/// # Panics
/// When something does not hold.
pub fn run(data: &[u8]) {
    let mut read = 0;
    let source = loop {
        match next_step(&data[..read]) {
            Ok(HeadStep::Read(more)) => {
                assert!(more > 0 && read + more <= HEAD_MAX, "{read} and {more} more");
                read += more;
            }
            Ok(HeadStep::Done(source)) => break source,
            Err(_) => return,
        }
        if read > data.len() {
            return;
        }
    };
    // No shorter prefix is a header, and the bytes after it are ignored.
    for short in 0..read {
        assert!(!matches!(next_step(&data[..short]), Ok(HeadStep::Done(_))), "{short} of {read}");
    }
    if let Some(source) = source {
        assert_eq!(source.ip(), source.ip().to_canonical());
    }
}
