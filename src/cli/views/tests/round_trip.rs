//! `server user import` and `enroll --from` read back what `server user list -o csv` writes.

use std::{collections::BTreeMap, io};

use proptest::prelude::*;

use crate::{
    api::User,
    cli::{
        printer::{OutputOptions, Printer, tests::stream::Stream},
        views::ServerUserView,
    },
    config::{CsvReader, OutputFormat},
    terminal::user_csv,
};

fn exported(users: &[User], csv_for: Option<CsvReader>) -> Vec<u8> {
    let written = Stream::default();
    let options = OutputOptions { format: OutputFormat::Csv, csv_for, ..OutputOptions::default() };
    let mut out = Printer::on(options, Box::new(written.clone()), Box::new(io::sink()));
    let views: Vec<_> = users.iter().cloned().map(ServerUserView::from).collect();
    out.list(&views, "nobody").unwrap();
    let text = written.bytes();
    assert_eq!(text.starts_with(&[0xFF, 0xFE]), csv_for.is_some());
    text
}

/// Texts that a server accepts: no control characters, and not empty in id and name.
fn text(longest: usize) -> impl Strategy<Value = String> {
    let hostile = prop::sample::select(vec![
        "=A",
        "'=A",
        "''@x",
        "'tHart",
        "-1",
        "+49",
        "007",
        "1e5",
        "=\"0042\"",
        "='\"1\"&\"2\"",
        "\\u{41}",
        "\u{202E}x",
        "\u{FEFF}x",
        "\u{2028}",
        " x ",
        "a;b,c\"d",
        "id",
        "ID",
        "name",
        " Name",
        "portrait",
        "field.id",
        "field. x",
        "sep=;",
        "\u{a0}",
        "Ö",
        "{\"a\":1}",
        "|",
    ]);
    let any = prop::string::string_regex("[^\\p{Cc}]{1,12}").unwrap();
    prop_oneof![hostile.prop_map(str::to_owned), any].prop_filter("length", move |text| text.len() <= longest)
}

fn user() -> impl Strategy<Value = User> {
    let seen = |text: &String| !text.trim().is_empty();
    let fields = prop::collection::btree_map(text(64), prop_oneof![text(1024), Just(String::new())], 0..4);
    (text(64).prop_filter("blank", seen), text(256).prop_filter("blank", seen), fields)
        .prop_map(|(id, name, fields)| User { id, name, fields })
}

proptest! {
    #[test]
    fn an_export_that_is_imported_changes_nothing(
        users in prop::collection::vec(user(), 1..5),
        csv_for in prop::sample::select(vec![None, Some(CsvReader::Excel)]),
    ) {
        let users: BTreeMap<_, _> = users.into_iter().map(|user| (user.id.clone(), user)).collect();
        let text = exported(&users.values().cloned().collect::<Vec<_>>(), csv_for);
        for portraits in [false, true] {
            let (table, bad) = user_csv::read(&text, portraits, &mut |_| Ok(()));
            prop_assert_eq!(&bad, &[], "{}", String::from_utf8_lossy(&text));
            let table = table.unwrap();
            prop_assert_eq!(table.rows.len(), users.len());
            for row in &table.rows {
                prop_assert_eq!(&row.portrait, &None);
                let before = users.get(&row.user.id);
                let after = table.patch(&row.user).apply(before).unwrap();
                prop_assert_eq!(Some(&after), before, "{}", String::from_utf8_lossy(&text));
            }
        }
    }
}
