use std::{
    fs::{self, OpenOptions},
    path::Path,
};

use proptest::prelude::*;

use super::*;
use crate::{
    api::User,
    cli::views::{self, Schema},
};

const FORMS: [OutputFormat; 2] = [OutputFormat::Ndjson, OutputFormat::Csv];

fn read(token: u128, name: &str) -> views::ScanView {
    views::ScanView {
        schema: Schema::default(),
        at: "2026-11-22T15:04:05Z".parse::<jiff::Timestamp>().unwrap().into(),
        reader: "reader \"1\"".into(),
        token_id: Some(Uuid::from_u128(token)),
        identified: true,
        authenticated: views::AuthenticatedView { token: true, server: views::ServerVerdictView::NotAsked },
        source: None,
        user: Some(User { id: "7".into(), name: name.into(), fields: [].into() }),
        error: None,
        proof: None,
        timings_ms: views::TimingsView::default(),
        exchanges: 5,
    }
}

fn ids(tokens: impl IntoIterator<Item = u128>) -> HashSet<Uuid> {
    tokens.into_iter().map(Uuid::from_u128).collect()
}

fn csv_of(object: &views::ScanView) -> String {
    String::from_utf8(form::csv(object.record().iter().map(String::as_str)).unwrap()).unwrap()
}

fn code(result: Result<(Records, HashSet<Uuid>), Failure>) -> (&'static str, u8) {
    let failure = result.unwrap_err();
    (failure.code, failure.class.exit_status())
}

#[test]
fn what_holds_something_is_refused_or_gone_on_with() {
    for form in FORMS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        drop(Records::open(&path, form, false).unwrap());
        // An empty file contains nothing to lose.
        let (mut records, known) = Records::open(&path, form, false).unwrap();
        assert!(known.is_empty());
        assert_eq!(code(Records::open(&path, form, true)), ("scan.out-busy", 75));
        records.add(&read(1, "=cmd()\nZoë \"山田\"")).unwrap();
        drop(records);
        let before = fs::read(&path).unwrap();
        assert_eq!(code(Records::open(&path, form, false)), ("scan.out-exists", 73));
        assert_eq!(fs::read(&path).unwrap(), before);
        let (mut records, known) = Records::open(&path, form, true).unwrap();
        assert_eq!(known, ids([1]));
        records.add(&read(2, "Ada")).unwrap();
        drop(records);
        assert!(fs::read(&path).unwrap().starts_with(&before));
        assert_eq!(Records::open(&path, form, true).unwrap().1, ids([1, 2]));
        // Neither format is taken for the other.
        let other = FORMS.into_iter().find(|other| *other != form).unwrap();
        let length = fs::metadata(&path).unwrap().len();
        assert_eq!(code(Records::open(&path, other, true)), ("scan.out-damaged", 65));
        assert_eq!(fs::metadata(&path).unwrap().len(), length);
    }
}

#[test]
fn csv_has_one_header_and_no_formula() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for n in 0..3 {
        Records::open(&path, OutputFormat::Csv, true).unwrap().0.add(&read(n, "=1+1")).unwrap();
    }
    let rows: Vec<_> = csv::Reader::from_path(&path).unwrap().records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| &row[8] == "'=1+1"), "{rows:?}");
}

#[test]
fn a_file_of_an_earlier_release_keeps_its_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let first = "at,reader,token_id,identified,authenticated,server,source,user_id,user_name,user_fields,error_code,\
                 error_message,proof_counter,proof_nonce_source,proof_cose,total_ms\n";
    fs::write(&path, first.to_owned() + &csv_of(&read(1, "Ada")).replace(",\n", "\n")).unwrap();
    let (mut records, known) = Records::open(&path, OutputFormat::Csv, true).unwrap();
    assert_eq!(known, ids([1]));
    records.add(&read(2, "Zoë")).unwrap();
    drop(records);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with(first), "{text}");
    let rows: Vec<_> = csv::Reader::from_reader(text.as_bytes()).records().map(Result::unwrap).collect();
    assert_eq!((rows.len(), &rows[1][8]), (2, "Zoë"));
    assert_eq!(Records::open(&path, OutputFormat::Csv, true).unwrap().1, ids([1, 2]));
}

#[test]
fn what_is_no_such_file_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    assert_eq!(code(Records::open(folder.path(), OutputFormat::Csv, true)), ("scan.out-no-file", 73));
    assert_eq!(code(Records::open(Path::new("/dev/null"), OutputFormat::Csv, true)), ("scan.out-no-file", 73));
    assert_eq!(
        code(Records::open(&folder.path().join("no/file"), OutputFormat::Csv, true)),
        ("scan.out-unwritable", 73)
    );
    assert_eq!(code(Records::open(&path, OutputFormat::Text, true)), ("scan.out-form", 2));
    let header = views::ScanView::header().join(",");
    let mut refused = read(1, "");
    refused.authenticated.token = false;
    let (one, second) = (format!("{header}\n{}", csv_of(&read(1, "Ada"))), csv_of(&read(2, "Ada")));
    let cases = [
        (OutputFormat::Ndjson, "{}\n".to_owned(), 1),
        (OutputFormat::Ndjson, "\n".to_owned(), 1),
        (OutputFormat::Ndjson, form::json(&read(1, "")).unwrap() + "\n{\"schema\":\"rollcall.event/1\"}\n", 2),
        (OutputFormat::Csv, "name,room\nAda,B17\n".to_owned(), 1),
        (OutputFormat::Csv, "at,reader,token_id,identified\n".to_owned(), 1),
        (OutputFormat::Csv, format!("{header},more\n"), 1),
        (OutputFormat::Csv, format!("{header}\nAda,B17\n"), 2),
        (OutputFormat::Csv, format!("{header}\n{}\n", ",".repeat(15)), 2),
        // Foreign content is not a torn record, even without a line end.
        (OutputFormat::Ndjson, "remember the milk".to_owned(), 1),
        (OutputFormat::Csv, "remember the milk".to_owned(), 1),
        (OutputFormat::Csv, one.clone() + &second.replacen("Ada", "Ada \" L", 1) + &second, 3),
        // A refused token was not read.
        (OutputFormat::Ndjson, form::json(&refused).unwrap() + "\n", 1),
        (OutputFormat::Csv, format!("{header}\n{}", csv_of(&refused)), 2),
    ];
    for (form, text, at) in cases {
        fs::write(&path, &text).unwrap();
        let error = Records::open(&path, form, true).unwrap_err();
        assert_eq!(error.code, "scan.out-damaged", "{text}");
        assert!(error.message.contains(&format!(", line {at}: ")), "{error:?} of {text}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn what_a_spreadsheet_made_of_the_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let text = ScanView::header().join(",") + "\n" + &csv_of(&read(1, "Ada"));
    let wide: Vec<u8> = ["\u{FEFF}", &text].concat().encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (saved, how) in [
        (text.replace(',', ";").into_bytes(), "separated by semicolons"),
        (text.replace(',', "\t").into_bytes(), "separated by tabs"),
        (format!("\u{FEFF}{}", text.replace("at,reader,", "\"at\";\"reader\";")).into_bytes(), "semicolons"),
        (wide, "UTF-16"),
        (b"PK\x03\x04 a workbook".to_vec(), "a workbook"),
    ] {
        fs::write(&path, &saved).unwrap();
        let error = Records::open(&path, OutputFormat::Csv, true).unwrap_err();
        assert_eq!((error.code, error.class), ("scan.out-damaged", ExitClass::Data), "{how}");
        assert!(error.message.contains(how) && error.hint.unwrap().contains("CSV in UTF-8"), "{}", error.message);
        assert_eq!(fs::read(&path).unwrap(), saved);
    }
}

#[test]
fn an_editor_may_have_put_a_mark_in_front() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for form in FORMS {
        let _ = fs::remove_file(&path);
        Records::open(&path, form, false).unwrap().0.add(&read(1, "Ada")).unwrap();
        let marked = [b"\xEF\xBB\xBF".as_slice(), &fs::read(&path).unwrap()].concat();
        fs::write(&path, marked).unwrap();
        assert_eq!(Records::open(&path, form, true).unwrap().1, ids([1]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// Wherever the file is torn, complete records stay, the torn one is removed, and records added later can be read.
    #[test]
    fn a_torn_file_is_gone_on_with(names in proptest::collection::vec("[\"\\n\\r,='aZé山]{0,6}", 1..4), at: prop::sample::Index) {
        for form in FORMS {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            let mut ends = vec![0];
            for (token, name) in (1..).zip(&names) {
                Records::open(&path, form, true).unwrap().0.add(&read(token, name)).unwrap();
                ends.push(fs::metadata(&path).unwrap().len());
            }
            let cut = at.index(usize::try_from(ends[names.len()]).unwrap() + 1) as u64;
            OpenOptions::new().write(true).open(&path).unwrap().set_len(cut).unwrap();
            let whole = ends.iter().rposition(|end| *end <= cut).unwrap() as u128;
            let (mut records, known) = Records::open(&path, form, true).unwrap();
            prop_assert_eq!(known, ids(1..=whole));
            records.add(&read(99, "last")).unwrap();
            drop(records);
            prop_assert_eq!(Records::open(&path, form, true).unwrap().1, ids((1..=whole).chain([99])));
        }
    }
}
