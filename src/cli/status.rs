//! `rollcall status`: reports in one screen whether all is well.

use jiff::Timestamp;

use super::{
    doctor::{FoundText, errors_and_warnings},
    home::home_probe,
    printer::Printer,
    table::{Cell, Screen, Style},
    views::{AreaMark, AreaView, Schema},
};
use crate::{
    config::{OutputFormat, Settings},
    doctor::{Finding, ProbeContext, Verdict, glance},
    failure::Failure,
};

/// The widths of the longest mark and the longest area.
const WIDTHS: (usize, usize) = (5, 12);

/// Checks every area; the status is 1 unless all is well.
///
/// # Errors
/// That of the output. Findings only affect the status.
pub fn run(settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let context = ProbeContext {
        settings: settings.clone(),
        unconfigured: None,
        environment: Box::new(|name| std::env::var_os(name)),
        deep: false,
        clock: Timestamp::now,
    };
    let objects: Vec<_> = glance(context, home_probe(settings)).into_iter().map(object).collect();
    if out.format() == OutputFormat::Text {
        let text = text(&objects, &out.screen());
        out.document(text.as_bytes())?;
    } else {
        out.list(&objects, "")?;
    }
    Ok(u8::from(objects.iter().any(|one| one.mark != AreaMark::Ok)))
}

fn object(finding: Finding) -> AreaView {
    AreaView {
        schema: Schema::default(),
        area: finding.probe.to_owned(),
        mark: match finding.verdict {
            Verdict::Good | Verdict::Skipped => AreaMark::Ok,
            Verdict::Warning => AreaMark::Look,
            Verdict::Fault => AreaMark::Fault,
        },
        code: finding.code.map(str::to_owned),
        what: finding.message,
        command: finding.remedy.as_ref().and_then(|remedy| remedy.command.as_ref()).map(ToString::to_string),
        remedy: finding.remedy.map(|remedy| remedy.text),
        facts: finding.facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    }
}

/// A line for each area, its remedy below, and at the end whether all is well.
fn text(objects: &[AreaView], screen: &Screen) -> String {
    let mut lines = Vec::new();
    for one in objects {
        let (mark, style) = one.mark.shown();
        let (marks, areas) = WIDTHS;
        let head = [
            Cell::solid(format!("{mark:<marks$}"), style),
            Cell::solid(format!("{:<areas$}", one.area), Style::Strong),
        ];
        let told = FoundText {
            what: &one.what,
            code: one.code.as_deref(),
            remedy: one.remedy.as_deref(),
            command: one.command.as_deref(),
        };
        lines.extend(told.lines(head, (0, 7), screen));
    }
    let count = |mark| objects.iter().filter(|one| one.mark == mark).count();
    lines.push(match (count(AreaMark::Fault), count(AreaMark::Look)) {
        (0, 0) => "All is well.\n".to_owned(),
        (faults, looks) => format!("{}: rollcall doctor says more.\n", errors_and_warnings(faults, looks)),
    });
    lines.concat()
}
