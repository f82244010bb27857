//! `rollcall doctor`: reports what is wrong, with a command to type against it.

mod replay;

use std::{borrow::Cow, fmt::Display, fs::OpenOptions, io, os::unix::fs::OpenOptionsExt, path::Path};

use jiff::Timestamp;

use super::args::DoctorArgs;
use super::home::home_probe;
use super::printer::{OutputOptions, Printer};
use super::table::{Cell, Screen, Style, indented};
use super::views::{FindingView, Ms, Schema, Severity};
use crate::config::{Global, OutputFormat, Settings};
use crate::doctor::{self, Finding, ProbeContext, examine};
use crate::failure::{ExitClass, Failure, Remedy, number_of};
use crate::files;

/// Runs every probe; the status is 1 when there is an error.
///
/// # Errors
/// That of the bundle's file or of the output; with `--replay`, that of the trace. Findings only affect the
/// status.
pub fn run(args: &DoctorArgs, global: &Global, out: &mut Printer) -> Result<u8, Failure> {
    // Without a configuration: a trace has all that is needed.
    if let Some(trace) = &args.replay {
        return replay::run(trace, out);
    }
    // The probes take seconds, and their findings would be lost with the bundle.
    if let Some(path) = args.bundle.as_deref().filter(|path| path.symlink_metadata().is_ok()) {
        return Err(not_written(path, &"it exists already"));
    }
    let environment = |name: &str| std::env::var_os(name);
    // An unreadable configuration is one of the possible findings.
    let (settings, unconfigured) = match Settings::resolve(global, &environment) {
        Ok(settings) => (settings, None),
        Err(failure) => {
            let settings = Settings::without_file(global, &environment);
            (settings.unwrap_or_else(|| Settings::unconfigured(global, &environment)), Some(failure))
        }
    };
    out.set_options(OutputOptions::of_process(&settings));
    if args.deep {
        out.warning(
            "cards and readers get commands that no tap sends: a card that cannot handle them may block its reader",
            Some("if that happens: sudo systemctl restart pcscd"),
        );
    }
    let deep = args.deep;
    let context =
        ProbeContext { settings, unconfigured, environment: Box::new(environment), deep, clock: Timestamp::now };
    let settings = context.settings.clone();
    let found = examine(context, home_probe(&settings), |probe| out.progress(probe, 0, None));
    out.progress_end();
    let objects: Vec<_> = found.into_iter().map(|(depth, finding)| object(depth, finding)).collect();
    if let Some(path) = &args.bundle {
        bundle(path, &settings, &objects)?;
    }
    if out.format() == OutputFormat::Text {
        let text = text(&objects, &out.screen());
        out.document(text.as_bytes())?;
    } else {
        out.list(&objects, "")?;
    }
    Ok(u8::from(objects.iter().any(|one| one.severity == Severity::Fault)))
}

/// Writes the bundle, readable only by its owner, and never over an existing file.
fn bundle(path: &Path, settings: &Settings, objects: &[FindingView]) -> Result<(), Failure> {
    let failed = |error: io::Error| not_written(path, &error);
    let json = serde_json::to_string_pretty(objects).map_err(|error| failure_of_ours(&error))?;
    let json = nameless(&json, std::env::home_dir().as_deref());
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    whole(path, doctor::bundle::write(file, settings, json.as_bytes()))
}

/// Removes what was written if that is not all: half an archive helps nobody, and would be in the way of the next try.
fn whole(path: &Path, written: io::Result<()>) -> Result<(), Failure> {
    let Err(error) = written else { return Ok(()) };
    let left = std::fs::remove_file(path).err().map(|error| format!("; what was written cannot be removed: {error}"));
    let failure = not_written(path, &format!("{error}{}", left.unwrap_or_default()));
    if files::is_full(&error) {
        return Err(failure.hint(Remedy::with("make room", format!("df -h {}", files::word(files::folder_of(path))))));
    }
    Err(failure)
}

fn not_written(path: &Path, why: &dyn Display) -> Failure {
    Failure::new(ExitClass::Io, "bundle.file", format!("{} cannot be written: {why}", path.display()))
        .hint("name a file that does not exist yet, in a writable folder")
}

/// Hides the home folder, which reveals its owner.
fn nameless(text: &str, home: Option<&Path>) -> String {
    match home.and_then(Path::to_str).filter(|home| home.len() > 1) {
        Some(home) => text.replace(home, "~"),
        None => text.to_owned(),
    }
}

fn failure_of_ours(error: &serde_json::Error) -> Failure {
    Failure::new(ExitClass::Bug, "bug.json", error.to_string())
}

fn object(depth: usize, finding: Finding) -> FindingView {
    FindingView {
        schema: Schema::default(),
        probe: finding.probe.to_owned(),
        subject: finding.subject,
        depth,
        severity: match finding.verdict {
            doctor::Verdict::Good => Severity::Ok,
            doctor::Verdict::Skipped => Severity::Note,
            doctor::Verdict::Warning => Severity::Warning,
            doctor::Verdict::Fault => Severity::Fault,
        },
        code: finding.code.map(str::to_owned),
        what: finding.message,
        command: finding.remedy.as_ref().and_then(|remedy| remedy.command.as_ref()).map(ToString::to_string),
        remedy: finding.remedy.map(|remedy| remedy.text),
        facts: finding.facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        took_ms: Ms::from(finding.took),
    }
}

/// The tree, each fault followed by its remedy, and at the end the number of findings.
fn text(objects: &[FindingView], screen: &Screen) -> String {
    let mut lines = Vec::new();
    let mut above: Vec<Option<&String>> = Vec::new();
    for one in objects {
        above.truncate(one.depth);
        // The subject is printed once, by the first finding about it.
        let subject = one.subject.as_ref().filter(|_| above.last() != Some(&one.subject.as_ref()));
        above.resize(one.depth + 1, one.subject.as_ref());
        let indent = 2 * one.depth;
        let name = subject.map_or_else(|| one.probe.clone(), |subject| format!("{} {subject}", one.probe));
        let head = [one.severity.cell(), Cell::new(name, Style::Strong)];
        let told = FoundText {
            what: &one.what,
            code: one.code.as_deref(),
            remedy: one.remedy.as_deref(),
            command: one.command.as_deref(),
        };
        lines.extend(told.lines(head, (indent, indent + 2), screen));
        lines.extend(histogram(one, indent, screen));
    }
    let count = |severity| objects.iter().filter(|one| one.severity == severity).count();
    lines.push(match (count(Severity::Fault), count(Severity::Warning)) {
        (0, 0) => "Everything is as it should be.\n".to_owned(),
        (faults, warnings) => format!("{}.\n", errors_and_warnings(faults, warnings)),
    });
    lines.concat()
}

/// `2 errors, 1 warning`
pub(super) fn errors_and_warnings(errors: usize, warnings: usize) -> String {
    format!("{}, {}", number_of(errors, "error"), number_of(warnings, "warning"))
}

/// A finding, and its remedy.
pub(super) struct FoundText<'a> {
    pub what: &'a str,
    pub code: Option<&'a str>,
    pub remedy: Option<&'a str>,
    pub command: Option<&'a str>,
}

impl FoundText<'_> {
    /// The line that begins with `head`, and the remedy below it, each with its indentation.
    pub(super) fn lines(&self, head: [Cell; 2], (indent, below): (usize, usize), screen: &Screen) -> Vec<String> {
        let mut cells = Vec::from(head);
        cells.push(localised(self.what, screen).into());
        cells.extend(self.code.map(|code| Cell::new(format!("({code})"), Style::Dim)));
        let remedy = self.remedy.map(|remedy| {
            let remedy = Cell::keeping(remedy, self.command.unwrap_or_default());
            indented(&[Cell::new("→", Style::Dim), remedy], below, screen)
        });
        std::iter::once(indented(&cells, indent, screen)).chain(remedy).collect()
    }
}

/// The text with its times in local time.
fn localised<'a>(text: &'a str, screen: &Screen) -> Cow<'a, str> {
    screen.clock.as_ref().map_or(Cow::Borrowed(text), |clock| clock.localised(text))
}

/// The distribution of round-trip times, as bars.
fn histogram(one: &FindingView, indent: usize, screen: &Screen) -> Vec<String> {
    // A bar uses the space after the numbers, but no more than is needed to compare.
    let room = screen.width.map_or(40, |width| width.saturating_sub(indent + 19).clamp(1, 40));
    let room = u64::try_from(room).unwrap_or(1);
    let Some(buckets) = one.facts.get("histogram").and_then(|buckets| buckets.as_array()) else {
        return Vec::new();
    };
    let read = |bucket: &serde_json::Value| Some((bucket["below_ms"].as_u64()?, bucket["count"].as_u64()?));
    let buckets: Vec<_> = buckets.iter().filter_map(read).collect();
    let most = buckets.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let bar = |(below, count): &(u64, u64)| {
        let length = usize::try_from((count * room).div_ceil(most)).unwrap_or_default();
        let bar = Style::Dim.paint(&"▇".repeat(length), screen.colour);
        format!("{:indent$}  < {below:>4} ms {count:>3} {bar}\n", "")
    };
    buckets.iter().filter(|(_, count)| *count > 0).map(bar).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, io, path::Path};

    use super::{nameless, whole};

    #[test]
    fn half_a_bundle_is_removed_and_a_full_disk_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bundle.tar");
        for (kind, helps) in [(io::ErrorKind::StorageFull, "make room"), (io::ErrorKind::Other, "does not exist yet")] {
            fs::write(&file, "half").unwrap();
            let failure = whole(&file, Err(kind.into())).unwrap_err();
            assert_eq!(failure.code, "bundle.file");
            assert!(failure.hint.as_deref().unwrap().contains(helps), "{failure:?}");
            assert!(!file.exists(), "{kind:?}");
        }
        assert!(whole(&file, Err(io::ErrorKind::Other.into())).unwrap_err().message.contains("cannot be removed"));
        fs::write(&file, "all").unwrap();
        whole(&file, Ok(())).unwrap();
        assert!(file.exists());
    }

    #[test]
    fn a_home_folder_is_not_told_by_its_name() {
        let told = nameless("{\"folder\": \"/home/ada/.local\"}", Some(Path::new("/home/ada")));
        assert_eq!(told, "{\"folder\": \"~/.local\"}");
        assert_eq!(nameless("/x", Some(Path::new("/"))), "/x");
        assert_eq!(nameless("/x", None), "/x");
    }
}
