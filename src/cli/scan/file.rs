//! The file of `scan --out`, in the output formats of scans.

use std::{collections::HashSet, path::Path};

use uuid::Uuid;

use crate::{
    cli::{
        printer::{Printable, form},
        views::{Named, ScanView},
    },
    config::OutputFormat,
    failure::{ExitClass, Failure},
    terminal::scan::record_file::{RecordFile, RecordForm},
};

/// The format of the records in a file; text and a JSON document cannot be resumed.
///
/// # Errors
/// `scan.out-form` for text and json.
pub fn record_form(format: OutputFormat) -> Result<RecordForm, Failure> {
    match format {
        OutputFormat::Ndjson => Ok(RecordForm::Ndjson { schema: ScanView::SCHEMA }),
        OutputFormat::Csv => Ok(RecordForm::Csv { header: ScanView::header() }),
        OutputFormat::Text | OutputFormat::Json => {
            Err(Failure::new(ExitClass::Usage, "scan.out-form", "--out takes ndjson or csv")
                .hint("add --output ndjson, or --output csv"))
        }
    }
}

/// The file, and the format of its records.
#[derive(Debug)]
pub struct Records {
    file: RecordFile,
    form: RecordForm,
}

impl Records {
    /// Opens the file as [`RecordFile::open`] does, and returns which tokens are in it.
    ///
    /// # Errors
    /// As [`record_form`] and [`RecordFile::open`].
    pub fn open(path: &Path, format: OutputFormat, resume: bool) -> Result<(Self, HashSet<Uuid>), Failure> {
        let form = record_form(format)?;
        let (file, tokens) = RecordFile::open(path, &form, resume)?;
        Ok((Self { file, form }, tokens))
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Appends a record; it is on disk when this returns. The csv header precedes the first.
    ///
    /// # Errors
    /// As [`RecordFile::append`].
    pub fn add(&mut self, object: &ScanView) -> Result<(), Failure> {
        let text = match &self.form {
            RecordForm::Ndjson { .. } => (form::json(object)? + "\n").into_bytes(),
            RecordForm::Csv { header } => {
                let mut text = Vec::new();
                if self.file.is_empty() {
                    text = form::csv(header.iter().copied())?;
                }
                let record = object.record();
                text.extend(form::csv(record.iter().take(self.file.columns()).map(String::as_str))?);
                text
            }
        };
        Ok(self.file.append(&text)?)
    }
}

#[cfg(test)]
mod tests;
