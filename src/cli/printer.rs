//! The one place that prints: results to stdout in the requested format, everything else to stderr.
//!
//! - `text`: tables and lines for people.
//! - `json`: one document. A command that lists prints an array of objects (an empty one when there is nothing), a
//!   command about one thing prints one object.
//! - `ndjson`: one object a line, written out at once.
//! - `csv`: a header, then one record per object; no cell that a spreadsheet would take for a formula. If a program is
//!   named, the dialect that suits it best.
//!
//! A command that fails as a whole reports that only on stderr and by its exit status, in every format. Output that was
//! begun on stdout is completed, so that a JSON document always parses.
//!
//! A closed stdout is not an error: nothing more is written there, and [`Printer::is_closed`] tells long-running
//! commands.
//!
//! Specification: docs/cli.md, "Streams and errors"; docs/cli.md, "Output formats".

pub mod column;
pub mod form;
mod journal;
mod progress;
mod screen;

use std::io::{self, IsTerminal, Write};
use std::time::Instant;

use jiff::tz::TimeZone;

use super::sanitize;
use super::table::{self, Screen, Style};
use super::wall_clock::{self, WallClock};
use crate::config::{Colour, CsvReader, OutputFormat, Settings};
use crate::failure::{ExitClass, Failure};
pub use column::{Column, Printable};
use progress::{ProgressLine, Stand};

/// How output is formatted.
#[derive(Debug, Clone, Copy, Default)]
#[allow(clippy::struct_excessive_bools)] // three independent switches, and one of them for each stream
pub struct OutputOptions {
    /// The output format.
    pub format: OutputFormat,
    /// The program for which csv is written.
    pub csv_for: Option<CsvReader>,
    /// Colour on stdout.
    pub colour_out: bool,
    /// Colour on stderr.
    pub colour_err: bool,
    /// The width of stdout; none if unlimited.
    pub width: Option<usize>,
    /// Whether progress may be shown: stderr is a terminal that can move its cursor.
    pub progress: bool,
    /// Whether a whole screen may be shown: the same holds for stdout.
    pub live: bool,
    /// Whether times are local; otherwise in UTC.
    pub is_local: bool,
    /// Whether details are printed.
    pub verbose: bool,
    /// Whether stderr is the journal: lines then begin with their priority (sd-daemon(3)).
    pub journal: bool,
}

impl OutputOptions {
    /// The options that the settings imply for the streams of this process.
    pub fn of_process(settings: &Settings) -> Self {
        let terminal = io::stderr().is_terminal();
        let is_dumb = std::env::var_os("TERM").is_none_or(|name| name.is_empty() || name == "dumb");
        Self {
            format: settings.format,
            csv_for: settings.csv_for,
            colour_out: coloured(settings.colour, io::stdout().is_terminal() && !is_dumb),
            colour_err: coloured(settings.colour, terminal && !is_dumb),
            width: screen::width(&io::stdout(), std::env::var_os("COLUMNS").as_deref()),
            progress: terminal && !is_dumb,
            live: settings.format == OutputFormat::Text && io::stdout().is_terminal() && !is_dumb,
            is_local: !settings.utc,
            verbose: settings.verbose,
            journal: journal::is_stderr(),
        }
    }
}

/// The failure to write stdout.
pub fn output_failed(error: &io::Error) -> Failure {
    Failure::new(ExitClass::Io, "output.failed", format!("stdout cannot be written: {error}")).hint("is the disk full?")
}

/// Whether a stream is coloured.
fn coloured(colour: Colour, terminal: bool) -> bool {
    match colour {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => terminal,
    }
}

/// The state of the results on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Nothing,
    List { items: bool },
}

/// Writes results, notes, progress and errors.
pub struct Printer {
    options: OutputOptions,
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    stage: Stage,
    /// Whether the byte order mark was written.
    marked: bool,
    closed: bool,
    work: Option<ProgressLine>,
    zone: Option<TimeZone>,
}

impl Printer {
    /// On stdout and stderr.
    pub fn new(options: OutputOptions) -> Self {
        Self::on(options, Box::new(io::BufWriter::new(io::stdout())), Box::new(io::stderr()))
    }

    /// On any two streams.
    pub fn on(options: OutputOptions, out: Box<dyn Write + Send>, err: Box<dyn Write + Send>) -> Self {
        Self { options, out, err, stage: Stage::Nothing, marked: false, closed: false, work: None, zone: None }
    }

    /// The output format.
    pub const fn format(&self) -> OutputFormat {
        self.options.format
    }

    /// The current options.
    pub const fn options(&self) -> OutputOptions {
        self.options
    }

    /// Changes the options.
    pub const fn set_options(&mut self, options: OutputOptions) {
        self.options = options;
    }

    /// From now on notes, warnings and errors go there, without colour.
    pub fn divert(&mut self, err: Box<dyn Write + Send>) {
        self.err = err;
        self.options.colour_err = false;
    }

    /// The local time zone, or UTC if requested. It is looked up once; a warning says if it is unknown.
    pub fn zone(&mut self) -> TimeZone {
        if !self.options.is_local {
            return TimeZone::UTC;
        }
        if let Some(zone) = &self.zone {
            return zone.clone();
        }
        let (zone, warning) = wall_clock::system_zone();
        self.zone = Some(zone.clone());
        if let Some(text) = warning {
            self.warning(&text, Some("set TZ to a zone such as Europe/Berlin, and check that tzdata is installed"));
        }
        zone
    }

    /// The properties of stdout, for text.
    pub fn screen(&mut self) -> Screen {
        let clock = self.options.is_local.then(|| WallClock::now(self.zone()));
        Screen { width: self.options.width, colour: self.options.colour_out, clock }
    }

    /// Whether nobody reads stdout any more. A long-running command then ends with success.
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Begins a list whose objects are printed one by one: the header of csv, the beginning of the JSON array.
    ///
    /// # Errors
    /// `output.failed` when stdout cannot be written; that nobody reads it any more is not a failure. The same applies
    /// to everything that is printed.
    pub fn begin<R: Printable>(&mut self) -> Result<(), Failure> {
        if self.stage != Stage::Nothing {
            return Ok(());
        }
        self.stage = Stage::List { items: false };
        match self.options.format {
            OutputFormat::Text | OutputFormat::Ndjson => Ok(()),
            OutputFormat::Json => self.write(b"["),
            OutputFormat::Csv => self.csv(R::header().into_iter()),
        }?;
        self.flush()
    }

    /// One object of a list, written out at once.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn item<R: Printable>(&mut self, object: &R) -> Result<(), Failure> {
        self.begin::<R>()?;
        self.object_of_list(object)?;
        self.flush()
    }

    /// Prints a whole list: a table for people. If it is empty, `nobody` is printed on stderr for people.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn list<R: Printable>(&mut self, objects: &[R], nobody: &str) -> Result<(), Failure> {
        if self.options.format == OutputFormat::Csv {
            return self.records(&objects.iter().collect::<Vec<_>>());
        }
        self.begin::<R>()?;
        if self.options.format == OutputFormat::Text {
            if objects.is_empty() {
                self.note(nobody);
                return Ok(());
            }
            let rows: Vec<_> = objects.iter().map(Printable::row).collect();
            let text = table::table(&R::heads(), &rows, &self.screen());
            self.write(text.as_bytes())?;
        } else {
            for object in objects {
                self.object_of_list(object)?;
            }
        }
        self.end()
    }

    /// Prints the one object of a command.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn object<R: Printable>(&mut self, object: &R) -> Result<(), Failure> {
        match self.options.format {
            OutputFormat::Text => {
                let text = table::details(&object.details(), &self.screen());
                self.write(text.as_bytes())
            }
            OutputFormat::Json | OutputFormat::Ndjson => {
                let text = form::json(object)? + "\n";
                self.write(text.as_bytes())
            }
            OutputFormat::Csv => self.records(&[object]),
        }?;
        self.flush()
    }

    /// Prints the object of a command that informs people by a note: for programs only.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn object_for_programs<R: Printable>(&mut self, object: &R) -> Result<(), Failure> {
        if self.options.format == OutputFormat::Text { Ok(()) } else { self.object(object) }
    }

    /// The csv header with all columns that these objects have, and a record for each.
    fn records<R: Printable>(&mut self, objects: &[&R]) -> Result<(), Failure> {
        let free = R::free_columns(objects);
        self.csv(R::header().into_iter().chain(free.iter().map(String::as_str)))?;
        for object in objects {
            let values = free.iter().map(|column| object.free_value(column));
            let record: Vec<_> = object.record().into_iter().chain(values).collect();
            self.csv(record.iter().map(String::as_str))?;
        }
        self.flush()
    }

    /// Prints a document that has only one format: a manual page, a schema.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn document(&mut self, content: &[u8]) -> Result<(), Failure> {
        self.write(content)?;
        self.flush()
    }

    /// Completes the output.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn end(&mut self) -> Result<(), Failure> {
        self.progress_end();
        let stage = std::mem::replace(&mut self.stage, Stage::Nothing);
        if let (Stage::List { items }, OutputFormat::Json) = (stage, self.options.format) {
            self.write(if items { b"\n]\n" } else { b"]\n" })?;
        }
        self.flush()
    }

    /// Prints a piece of information.
    pub fn note(&mut self, text: &str) {
        let text = self.localised(text);
        self.say(Style::Dim, "note: ", &text);
    }

    /// Prints lines for a new user.
    pub fn guide(&mut self, text: &str) {
        for line in text.lines() {
            self.say(Style::Plain, "", line);
        }
    }

    /// Prints a detail, with `-v`.
    pub fn detail(&mut self, text: &str) {
        if self.options.verbose {
            let text = self.localised(text);
            self.say(Style::Dim, "", &text);
        }
    }

    /// Prints a warning.
    pub fn warning(&mut self, text: &str, hint: Option<&str>) {
        let text = self.localised(text);
        self.say(Style::Warning, "warning: ", &text);
        if let Some(hint) = hint {
            self.say(Style::Plain, "hint: ", hint);
        }
    }

    /// Prints a failure: what happened, what to do about it, and the code.
    pub fn error(&mut self, failure: &Failure) {
        // Typed input is quoted unchanged.
        let message = if failure.code == "usage" { failure.message.clone() } else { self.localised(&failure.message) };
        self.say(Style::Bad, "error: ", &message);
        if let Some(hint) = &failure.hint {
            self.say(Style::Plain, "hint: ", hint);
        }
        self.say(Style::Dim, "code: ", failure.code);
    }

    /// Converts the UTC times of messages for display.
    fn localised(&mut self, text: &str) -> String {
        if !self.options.is_local || !wall_clock::has_utc(text) {
            return text.to_owned();
        }
        WallClock::now(self.zone()).localised(text).into_owned()
    }

    /// Asks the user a question; the answer is typed on the same line.
    pub fn question(&mut self, text: &str) {
        let text = format!("{} ", sanitize::line(text));
        if let Some(work) = &mut self.work {
            work.hide();
        }
        let _ = self.err.write_all(text.as_bytes()).and_then(|()| self.err.flush());
    }

    /// Ends the line of an unanswered question.
    pub fn end_line(&mut self) {
        // The reader of stderr may be gone.
        let _ = self.err.write_all(b"\n");
    }

    /// Shows progress: `done` of `of`, if the total is known. On a terminal it is one line that is overwritten;
    /// elsewhere a line is printed if it takes long.
    pub fn progress(&mut self, text: &str, done: u64, of: Option<u64>) {
        self.show(text, Stand { done, of, is_long: false });
    }

    /// Shows the progress of work that takes minutes to hours, with the rate and the time left.
    pub fn work(&mut self, text: &str, done: u64, of: u64) {
        self.show(text, Stand { done, of: Some(of), is_long: true });
    }

    fn show(&mut self, text: &str, stand: Stand) {
        let (now, text) = (Instant::now(), sanitize::line(text).into_owned());
        if self.work.as_ref().is_some_and(|work| !work.goes_on(stand)) {
            self.progress_end();
        }
        let work = self.work.get_or_insert_with(|| ProgressLine::new(text.clone(), stand, now));
        work.advance(text, stand);
        if self.options.progress {
            work.draw(now);
        } else if let Some(line) = work.line(now) {
            self.say(Style::Dim, "", &line);
        }
    }

    /// Removes the progress line.
    pub fn progress_end(&mut self) {
        self.work = None;
    }

    fn object_of_list<R: Printable>(&mut self, object: &R) -> Result<(), Failure> {
        match self.options.format {
            OutputFormat::Text => {
                let text = table::line(&object.line(), &self.screen());
                self.write(text.as_bytes())
            }
            OutputFormat::Ndjson => {
                let text = form::json(object)? + "\n";
                self.write(text.as_bytes())
            }
            OutputFormat::Json => {
                let first = self.stage == Stage::List { items: false };
                self.stage = Stage::List { items: true };
                let text = format!("{}{}", if first { "\n" } else { ",\n" }, form::json(object)?);
                self.write(text.as_bytes())
            }
            OutputFormat::Csv => self.csv(object.record().iter().map(String::as_str)),
        }
    }

    fn csv<'a>(&mut self, cells: impl Iterator<Item = &'a str>) -> Result<(), Failure> {
        let mut line = match self.options.csv_for {
            None => form::csv(cells)?,
            Some(CsvReader::Excel) => form::csv_for_excel(cells)?,
        };
        if self.options.csv_for == Some(CsvReader::Excel) && !std::mem::replace(&mut self.marked, true) {
            line.splice(0..0, form::EXCEL_MARK);
        }
        self.write(&line)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.on_stdout(|out| out.write_all(bytes))
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.on_stdout(|out| out.flush())
    }

    fn on_stdout(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        if self.closed {
            return Ok(());
        }
        let out = &mut self.out;
        let written = match &self.work {
            Some(work) => work.suspend(|| write(out)),
            None => write(out),
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            Err(error) => Err(output_failed(&error)),
            Ok(()) => Ok(()),
        }
    }

    /// Lines after the first are indented. A failure to write stderr cannot be reported.
    fn say(&mut self, style: Style, label: &str, text: &str) {
        let before = if self.options.journal { journal::priority(style) } else { "" };
        let indented = sanitize::lines(text).replace('\n', &format!("\n{before}{}", " ".repeat(label.len())));
        let line = format!("{before}{}{indented}\n", style.paint(label, self.options.colour_err));
        let err = &mut self.err;
        let _ = match &self.work {
            Some(work) => work.suspend(|| err.write_all(line.as_bytes())),
            None => err.write_all(line.as_bytes()),
        };
    }
}

#[cfg(test)]
pub(in crate::cli) mod tests;
