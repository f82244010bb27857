//! Writes a trace. A transaction is kept in memory until it ends, so that no card waits for a disk.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    Digest, SCHEMA, SIZE_MAX, chained,
    record::{Exchange, Question, RecordedVerdict, TraceLine, TraceRecord, is_get_response, is_public},
};
use crate::card::link::{Link, LinkError, Sensitivity};

/// Removes from a transaction what a card said of its holder.
pub type Mask = fn(&mut [TraceRecord]);

/// How a trace is written.
#[derive(Clone, Copy)]
pub struct TraceOptions {
    /// Removes what cards say of their holders; `None` keeps it.
    pub mask: Option<Mask>,
    /// The hash that chains the lines.
    pub digest: Digest,
    /// The clock.
    pub clock: fn() -> Timestamp,
}

/// The trace of this process, if one is written.
static PROCESS: OnceLock<Arc<Recorder>> = OnceLock::new();

/// Traces every exchange of this process with cards from now on. Only the first call has an effect.
pub fn start(recorder: Arc<Recorder>) {
    let _ = PROCESS.set(recorder);
}

/// The trace of this process.
pub fn current() -> Option<&'static Arc<Recorder>> {
    PROCESS.get()
}

/// Writes a trace. Its failures do not affect the exchanges with a card: [`Recorder::finish`] reports them.
pub struct Recorder {
    options: TraceOptions,
    sink: Mutex<TraceSink>,
}

struct TraceSink {
    file: File,
    sum: String,
    seq: u64,
    size: u64,
    taps: u32,
    problem: Option<TraceProblem>,
    ended: bool,
}

/// Why a trace is incomplete.
#[derive(Debug, thiserror::Error)]
pub enum TraceProblem {
    /// It cannot be written.
    #[error("the trace could not be written: {0}")]
    Io(#[from] io::Error),
    /// It has reached the maximum size.
    #[error("the trace has reached {} MiB, and ends there", SIZE_MAX >> 20)]
    Full,
}

/// Room for the last line.
const RESERVE: u64 = 1 << 10;

impl Recorder {
    /// Creates a file that only its owner may read; an existing file is left alone, and is an error.
    ///
    /// # Errors
    /// What the system says; [`AlreadyExists`](io::ErrorKind::AlreadyExists) for an existing file.
    pub fn create(path: &Path, options: TraceOptions) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Self::on(file, options))
    }

    /// Writes to an open file.
    pub(super) fn on(file: File, options: TraceOptions) -> Self {
        let sink = TraceSink { file, sum: String::new(), seq: 0, size: 0, taps: 0, problem: None, ended: false };
        let recorder = Self { options, sink: Mutex::new(sink) };
        let begin = TraceRecord::Begin {
            schema: SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            personal: options.mask.is_none(),
        };
        recorder.lone(0, begin);
        recorder
    }

    /// Begins a transaction with this card.
    pub fn begin(self: &Arc<Self>, reader: &str, atr: &[u8]) -> Tape {
        let id = self.next();
        let mut tape = Tape { recorder: Arc::clone(self), id, lines: Vec::new(), shown: false };
        tape.record(TraceRecord::Transaction { reader: reader.to_owned(), atr: hex::encode_upper(atr) });
        tape
    }

    /// Records that no transaction with the card in this reader was established. Returns its number.
    pub fn unreached(&self, reader: &str, error: &LinkError, again: bool) -> u32 {
        let id = self.next();
        self.lone(id, TraceRecord::Unreached { reader: reader.to_owned(), error: error.clone(), again });
        id
    }

    fn next(&self) -> u32 {
        let mut sink = self.sink();
        sink.taps += 1;
        sink.taps
    }

    /// A line of its own, outside a transaction.
    pub fn lone(&self, tap: u32, record: TraceRecord) {
        self.append(tap, vec![((self.options.clock)(), record)]);
    }

    /// Writes the last line, and reports what went wrong, if anything.
    pub fn finish(&self) -> Option<TraceProblem> {
        self.lone(0, TraceRecord::End);
        let mut sink = self.sink();
        sink.ended = true;
        sink.problem.take()
    }

    fn append(&self, tap: u32, lines: Vec<(Timestamp, TraceRecord)>) {
        let mut sink = self.sink();
        for (at, record) in lines {
            sink.line(self.options.digest, tap, at, record);
        }
    }

    fn sink(&self) -> std::sync::MutexGuard<'_, TraceSink> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TraceSink {
    fn line(&mut self, digest: Digest, tap: u32, at: Timestamp, record: TraceRecord) {
        let last = record == TraceRecord::End;
        let full = matches!(self.problem, Some(TraceProblem::Full));
        if self.ended || (self.problem.is_some() && !(last && full)) {
            return;
        }
        if let Err(problem) = self.write(digest, tap, at, record, last) {
            self.problem = Some(problem);
        }
    }

    fn write(
        &mut self,
        digest: Digest,
        tap: u32,
        at: Timestamp,
        record: TraceRecord,
        last: bool,
    ) -> Result<(), TraceProblem> {
        let line = TraceLine { seq: self.seq, at, tap, record };
        let text = serde_json::to_string(&line).map_err(io::Error::from)?;
        let sum = chained(digest, &self.sum, &text);
        let whole = format!("{},\"sum\":\"{sum}\"}}\n", text.strip_suffix('}').unwrap_or(&text));
        let room = if last { SIZE_MAX } else { SIZE_MAX - RESERVE };
        if self.size + whole.len() as u64 > room {
            return Err(TraceProblem::Full);
        }
        self.file.write_all(whole.as_bytes())?;
        self.size += whole.len() as u64;
        self.seq += 1;
        self.sum = sum;
        Ok(())
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recorder")
    }
}

/// The recording of one transaction. It is written when dropped.
#[derive(Debug)]
pub struct Tape {
    recorder: Arc<Recorder>,
    id: u32,
    lines: Vec<(Timestamp, TraceRecord)>,
    /// Whether the data of the last command, and so of its continued answer, are shown.
    shown: bool,
}

impl Tape {
    /// The number of this transaction in the trace.
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Records an exchange.
    pub fn exchange(
        &mut self,
        command: &[u8],
        sensitivity: Sensitivity,
        answer: &Result<Vec<u8>, LinkError>,
        took: Duration,
    ) {
        if !is_get_response(command) {
            self.shown = command.first_chunk::<4>().is_some_and(|header| is_public(*header, sensitivity));
        }
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.record(TraceRecord::Exchange(Exchange::new(command, self.shown, answer, us)));
    }

    /// Records what the layers above know.
    pub fn record(&mut self, record: TraceRecord) {
        self.lines.push(((self.recorder.options.clock)(), record));
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        let (times, mut records): (Vec<_>, Vec<_>) = std::mem::take(&mut self.lines).into_iter().unzip();
        if let Some(mask) = self.recorder.options.mask {
            mask(&mut records);
        }
        self.recorder.append(self.id, times.into_iter().zip(records).collect());
    }
}

/// A traced link.
#[derive(Debug)]
pub struct Traced<L> {
    link: L,
    tape: Tape,
}

impl<L> Traced<L> {
    /// Records everything that this link exchanges on the tape.
    pub const fn new(link: L, tape: Tape) -> Self {
        Self { link, tape }
    }
}

impl<L: Link> Link for Traced<L> {
    fn transmit(&mut self, command: &[u8], sensitivity: Sensitivity) -> Result<Vec<u8>, LinkError> {
        let start = Instant::now();
        let answer = self.link.transmit(command, sensitivity);
        self.tape.exchange(command, sensitivity, &answer, start.elapsed());
        answer
    }

    fn note(&mut self, record: &dyn Fn() -> TraceRecord) {
        self.tape.record(record());
    }

    fn recorded(&mut self, question: Question) -> Option<RecordedVerdict> {
        self.link.recorded(question)
    }
}
