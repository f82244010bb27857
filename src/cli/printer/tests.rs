pub mod stream;

use super::*;
use proptest::prelude::*;
use serde::Serialize;

use stream::Stream;

#[derive(Serialize)]
struct Thing {
    name: String,
    colour: Option<&'static str>,
    size: u8,
}

impl Printable for Thing {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::both("name", |thing| thing.name.clone(), 2, "NAME", |thing| thing.name.as_str().into()),
        Column::csv("colour", |thing| thing.colour.unwrap_or_default().to_owned()),
        Column::both("size", |thing| thing.size.to_string(), 1, "SIZE", |thing| thing.size.to_string().into()),
    ];
}

fn thing(name: &str) -> Thing {
    Thing { name: name.into(), colour: None, size: 7 }
}

/// What is written to stdout and stderr.
fn printed(look: OutputOptions, print: impl FnOnce(&mut Printer)) -> (String, String) {
    let (out, err) = (Stream::default(), Stream::default());
    let mut printer = Printer::on(look, Box::new(out.clone()), Box::new(err.clone()));
    print(&mut printer);
    printer.end().unwrap();
    (out.text(), err.text())
}

fn listed(format: OutputFormat, things: &[&str]) -> (String, String) {
    let things: Vec<_> = things.iter().map(|name| thing(name)).collect();
    printed(OutputOptions { format, ..OutputOptions::default() }, |out| out.list(&things, "nobody").unwrap())
}

const A: &str = r#"{"name":"a","colour":null,"size":7}"#;
const B: &str = r#"{"name":"b","colour":null,"size":7}"#;

#[test]
fn a_list_in_every_form() {
    assert_eq!(listed(OutputFormat::Json, &["a", "b"]).0, format!("[\n{A},\n{B}\n]\n"));
    assert_eq!(listed(OutputFormat::Ndjson, &["a", "b"]).0, format!("{A}\n{B}\n"));
    assert_eq!(listed(OutputFormat::Csv, &["a", "b,c"]).0, "name,colour,size\na,,7\n\"b,c\",,7\n");
    assert_eq!(listed(OutputFormat::Text, &["a"]).0, "SIZE  NAME\n7     a\n");
}

#[test]
fn an_empty_list_is_a_list() {
    assert_eq!(listed(OutputFormat::Json, &[]).0, "[]\n");
    assert_eq!(listed(OutputFormat::Ndjson, &[]).0, "");
    assert_eq!(listed(OutputFormat::Csv, &[]).0, "name,colour,size\n");
    assert_eq!(listed(OutputFormat::Text, &[]), (String::new(), "note: nobody\n".to_owned()));
}

#[test]
fn objects_that_come_one_by_one() {
    let streamed = |format| {
        let print = |out: &mut Printer| {
            out.item(&thing("a")).unwrap();
            out.item(&thing("b")).unwrap();
        };
        printed(OutputOptions { format, ..OutputOptions::default() }, print).0
    };
    assert_eq!(streamed(OutputFormat::Json), listed(OutputFormat::Json, &["a", "b"]).0);
    assert_eq!(streamed(OutputFormat::Ndjson), listed(OutputFormat::Ndjson, &["a", "b"]).0);
    assert_eq!(streamed(OutputFormat::Csv), listed(OutputFormat::Csv, &["a", "b"]).0);
    assert_eq!(streamed(OutputFormat::Text), "7  a\n7  b\n");
}

#[test]
fn one_object() {
    let one = |format| {
        printed(OutputOptions { format, ..OutputOptions::default() }, |out| out.object(&thing("a")).unwrap()).0
    };
    assert_eq!(one(OutputFormat::Json), format!("{A}\n"));
    assert_eq!(one(OutputFormat::Ndjson), format!("{A}\n"));
    assert_eq!(one(OutputFormat::Csv), "name,colour,size\na,,7\n");
    assert!(one(OutputFormat::Text).starts_with("SIZE  7\nNAME  a\n"));
}

#[test]
fn errors_are_three_lines_on_stderr() {
    let failure = Failure::new(ExitClass::Unavailable, "pcsc.service-down", "not\nrunning\u{1b}[2J").hint("start it");
    let (out, err) =
        printed(OutputOptions { format: OutputFormat::Json, ..OutputOptions::default() }, |out| out.error(&failure));
    assert_eq!(out, "");
    assert_eq!(err, "error: not\n       running\\u{1b}[2J\nhint: start it\ncode: pcsc.service-down\n");
}

#[test]
fn the_journal_learns_the_priority_of_each_line() {
    let failure = Failure::new(ExitClass::Unavailable, "pcsc.service-down", "not\nrunning").hint("start it");
    let options = OutputOptions { journal: true, verbose: true, ..OutputOptions::default() };
    let (_, err) = printed(options, |out| {
        out.error(&failure);
        out.warning("take care", None);
        out.note("done");
        out.detail("x");
    });
    let lines =
        "<3>error: not\n<3>       running\n<6>hint: start it\n<6>code: pcsc.service-down\n<4>warning: take care\n";
    assert_eq!(err, format!("{lines}<6>note: done\n<6>x\n"));
}

#[test]
fn details_are_for_who_asked() {
    let said = |verbose| printed(OutputOptions { verbose, ..OutputOptions::default() }, |out| out.detail("x")).1;
    assert_eq!((said(false).as_str(), said(true).as_str()), ("", "x\n"));
}

#[test]
fn a_closed_pipe_is_no_error_and_a_full_disk_is_one() {
    let on = |fails| Printer::on(OutputOptions::default(), Box::new(Stream::failing(fails)), Box::new(io::sink()));
    let mut closed = on(io::ErrorKind::BrokenPipe);
    assert!(!closed.is_closed());
    assert_eq!(closed.item(&thing("a")), Ok(()));
    assert!(closed.is_closed());
    assert_eq!(closed.end(), Ok(()));
    let failure = on(io::ErrorKind::StorageFull).item(&thing("a")).unwrap_err();
    assert_eq!((failure.class, failure.code), (ExitClass::Io, "output.failed"));
}

proptest! {
    /// Whatever the names of readers and cards: no format lets them control the terminal, and those for machines keep
    /// them.
    #[test]
    fn names_are_harmless_in_every_form(name in any::<String>()) {
        for format in [OutputFormat::Text, OutputFormat::Json, OutputFormat::Ndjson, OutputFormat::Csv] {
            let (text, _) = listed(format, &[&name]);
            let bare = |c: char| sanitize::steers(c) && c != '\n' && !(format == OutputFormat::Csv && matches!(c, '\r' | '\t'));
            prop_assert!(!text.contains(bare), "{format:?}: {text:?}");
        }
        let json: serde_json::Value = serde_json::from_str(&listed(OutputFormat::Json, &[&name]).0).unwrap();
        prop_assert_eq!(json[0]["name"].as_str(), Some(name.as_str()));
        let csv = listed(OutputFormat::Csv, &[&name]).0;
        let record = csv::Reader::from_reader(csv.as_bytes()).records().next().unwrap().unwrap();
        prop_assert_eq!(record[0].to_owned(), sanitize::cell(&name).into_owned());
    }
}
