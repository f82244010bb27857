//! Reads a trace, strictly because it may come from anybody.

use std::{collections::BTreeMap, fs::File, io::Read, path::Path};

use jiff::Timestamp;

use super::{
    Digest, LINE_MAX, SCHEMA, SIZE_MAX, chained,
    record::{Judged, TraceLine, TraceRecord},
};
use crate::{
    card::link::LinkError,
    failure::{ExitClass, Failure},
};

/// Why a trace cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file cannot be read.
    #[error("the trace cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// It is not one of our traces.
    #[error("not a trace written by this version of rollcall")]
    Foreign,
    /// A line is missing or was changed.
    #[error("line {0} of the trace was changed, or one before it is missing")]
    Tampered(usize),
    /// The end is missing.
    #[error("the end of the trace is missing")]
    Truncated,
    /// It is longer than any that we write.
    #[error("the trace is longer than any that rollcall writes")]
    TooLarge,
    /// A line has a different format from ours.
    #[error("line {0} of the trace has the wrong form")]
    Form(usize),
    /// The recording differs from what this version sends and asks.
    #[error("the replay departs from the trace at {reader} after {exchanges} exchanges")]
    Diverged {
        /// The reader.
        reader: String,
        /// How many exchanges matched.
        exchanges: u32,
    },
    /// What the card said of its holder was not a user record, and is not in the trace.
    #[error("the trace leaves out what the outcome at {reader} depends on")]
    Withheld {
        /// The reader.
        reader: String,
    },
    /// It contains no tap.
    #[error("there is no tap in this trace")]
    Nothing,
}

impl From<TraceError> for Failure {
    fn from(error: TraceError) -> Self {
        let message = error.to_string();
        match error {
            TraceError::Io(_) => {
                Self::new(ExitClass::Io, "trace.unreadable", message).hint("name a file that can be read")
            }
            TraceError::Foreign => Self::new(ExitClass::Data, "trace.foreign", message)
                .hint("name a file that this version of rollcall has written with --trace"),
            TraceError::Tampered(_) => Self::new(ExitClass::Data, "trace.tampered", message)
                .hint("ask for the file as it was written; redact nothing by hand"),
            TraceError::Truncated => Self::new(ExitClass::Data, "trace.truncated", message)
                .hint("copy the whole file, once the command that writes it has ended"),
            TraceError::TooLarge => {
                Self::new(ExitClass::Data, "trace.too-large", message).hint("name a file that --trace has written")
            }
            TraceError::Form(_) => {
                Self::new(ExitClass::Data, "trace.malformed", message).hint("use the version of rollcall that wrote it")
            }
            TraceError::Diverged { .. } => {
                Self::new(ExitClass::Data, "trace.diverged", message).hint("use the version of rollcall that wrote it")
            }
            TraceError::Withheld { .. } => {
                Self::new(ExitClass::Data, "trace.withheld", message).hint("record it once more with --trace-personal")
            }
            TraceError::Nothing => Self::new(ExitClass::Data, "trace.no-tap", message).hint(
                "record a scan, a watch or token verify: commands that enroll or change a token cannot be replayed",
            ),
        }
    }
}

/// A complete trace.
#[derive(Debug, Clone)]
pub struct Trace {
    /// Whether it contains what cards say of their holders.
    pub personal: bool,
    /// The attempts, in the order in which they ended.
    pub scenes: Vec<RecordedAttempt>,
}

/// One attempt to reach a card, and its exchanges.
#[derive(Debug, Clone)]
pub struct RecordedAttempt {
    /// When its first line was recorded.
    pub at: Timestamp,
    /// The reader.
    pub reader: String,
    /// What happened, or why nothing could.
    pub records: Result<Vec<TraceRecord>, LinkError>,
    /// Whether it is the second attempt of a tap whose first one failed.
    pub again: bool,
    /// The terminal's reasons to refuse the token.
    pub judged: Judged,
}

impl Trace {
    /// Reads a file of at most [`SIZE_MAX`] bytes.
    ///
    /// # Errors
    /// [`TraceError::Io`] when the file cannot be read; as [`Self::parse`].
    pub fn load(path: &Path, digest: Digest) -> Result<Self, TraceError> {
        let mut text = Vec::new();
        File::open(path)?.take(SIZE_MAX + 1).read_to_end(&mut text)?;
        Self::parse(&text, digest)
    }

    /// Parses a trace of at most [`SIZE_MAX`] bytes.
    ///
    /// # Errors
    /// [`TraceError::TooLarge`] above [`SIZE_MAX`] bytes; [`TraceError::Foreign`], [`TraceError::Truncated`],
    /// [`TraceError::Tampered`] and [`TraceError::Form`] for anything but a complete trace as written.
    pub fn parse(bytes: &[u8], digest: Digest) -> Result<Self, TraceError> {
        if bytes.len() as u64 > SIZE_MAX {
            return Err(TraceError::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| TraceError::Foreign)?;
        let (mut lines, mut sum) = (Vec::new(), String::new());
        let mut rest = text;
        while !rest.is_empty() {
            // The newline is written last.
            let Some((line, behind)) = rest.split_once('\n') else {
                return Err(if lines.is_empty() { TraceError::Foreign } else { TraceError::Truncated });
            };
            rest = behind;
            lines.push(parse_line(line, lines.len(), &mut sum, digest)?);
        }
        Self::of(lines)
    }

    fn of(lines: Vec<TraceLine>) -> Result<Self, TraceError> {
        let mut lines = lines.into_iter();
        let Some(TraceRecord::Begin { personal, .. }) = lines.next().map(|line| line.record) else {
            return Err(TraceError::Foreign);
        };
        let mut taps: BTreeMap<u32, usize> = BTreeMap::new();
        let mut scenes: Vec<RecordedAttempt> = Vec::new();
        let mut ended = false;
        for (at, line) in lines.enumerate() {
            let form = TraceError::Form(at + 2);
            if ended {
                return Err(form);
            }
            match line.record {
                TraceRecord::End => ended = true,
                TraceRecord::Begin { .. } => return Err(form),
                TraceRecord::Unreached { reader, error, again } => {
                    taps.insert(line.tap, scenes.len());
                    scenes.push(RecordedAttempt {
                        at: line.at,
                        reader,
                        records: Err(error),
                        again,
                        judged: Judged::default(),
                    });
                }
                TraceRecord::Transaction { reader, .. } => {
                    if taps.insert(line.tap, scenes.len()).is_some() {
                        return Err(form);
                    }
                    scenes.push(RecordedAttempt {
                        at: line.at,
                        reader,
                        records: Ok(Vec::new()),
                        again: false,
                        judged: Judged::default(),
                    });
                }
                record => {
                    let scene = taps.get(&line.tap).and_then(|place| scenes.get_mut(*place)).ok_or(form)?;
                    match (record, &mut scene.records) {
                        (TraceRecord::Judged(judged), _) => scene.judged = judged,
                        (record, Ok(records)) => records.push(record),
                        (_, Err(_)) => return Err(TraceError::Form(at + 2)),
                    }
                }
            }
        }
        if ended { Ok(Self { personal, scenes }) } else { Err(TraceError::Truncated) }
    }
}

/// Parses a line whose hash must fit the chain.
fn parse_line(line: &str, number: usize, sum: &mut String, digest: Digest) -> Result<TraceLine, TraceError> {
    let foreign = |error| if number == 0 { TraceError::Foreign } else { error };
    if line.len() > LINE_MAX {
        return Err(foreign(TraceError::TooLarge));
    }
    let (text, told) = split_sum(line).ok_or_else(|| foreign(TraceError::Form(number + 1)))?;
    let expected = chained(digest, sum, &text);
    if expected != told {
        return Err(foreign_or_changed(&text, number));
    }
    *sum = expected;
    let line: TraceLine = serde_json::from_str(&text).map_err(|_| foreign(TraceError::Form(number + 1)))?;
    if line.seq != number as u64 {
        return Err(TraceError::Tampered(number + 1));
    }
    match &line.record {
        TraceRecord::Begin { schema, .. } if schema != SCHEMA => Err(TraceError::Foreign),
        record if !record.is_well_formed() => Err(TraceError::Form(number + 1)),
        _ => Ok(line),
    }
}

/// A first line that names our schema is ours but was changed.
fn foreign_or_changed(text: &str, number: usize) -> TraceError {
    if number > 0 || text.contains(SCHEMA) { TraceError::Tampered(number + 1) } else { TraceError::Foreign }
}

/// The line as it was hashed, and its hash.
fn split_sum(line: &str) -> Option<(String, &str)> {
    let (text, sum) = line.strip_suffix("\"}")?.rsplit_once(",\"sum\":\"")?;
    (sum.len() == 32).then(|| (format!("{text}}}"), sum))
}
