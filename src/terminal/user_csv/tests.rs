use proptest::prelude::*;

use super::*;

fn table(text: &[u8]) -> (Option<UserTable>, Vec<BadRow>) {
    read(text, false, &mut |_| Ok(()))
}

fn users(text: &[u8]) -> Vec<User> {
    let (table, bad) = table(text);
    assert_eq!(bad, [], "{:?}", String::from_utf8_lossy(text));
    table.unwrap().rows.into_iter().map(|row| row.user).collect()
}

fn bad(text: &str) -> Vec<String> {
    table(text.as_bytes()).1.iter().map(ToString::to_string).collect()
}

fn user(id: &str, name: &str, fields: &[(&str, &str)]) -> User {
    let fields = fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    User { id: id.to_owned(), name: name.to_owned(), fields }
}

/// With any line ending, and values of any number of lines.
#[test]
fn a_file_of_changes_needs_no_names() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "room;ID\nC02;7\n;8\n").unwrap();
    assert!(load(file.path()).unwrap_err().message.contains("the header needs id and name, and has room | ID"));
    let table = load_changes(file.path()).unwrap();
    let fields = |room: &str| [("room".to_owned(), room.to_owned())].into();
    let patches: Vec<_> = table.rows.iter().map(|row| table.patch(&row.user)).collect();
    let expected = [("7", "C02"), ("8", "")];
    assert_eq!(patches, expected.map(|(id, room)| UserPatch { id: Some(id.into()), name: None, fields: fields(room) }));
    let many: Vec<_> = (0..=FIELDS_MAX).map(|n| format!("f{n}")).collect();
    std::fs::write(file.path(), format!("id,{}\n7{}\n", many.join(","), ",x".repeat(FIELDS_MAX + 1))).unwrap();
    assert!(load_changes(file.path()).unwrap_err().message.contains("at most 32 fields"));
}

#[test]
fn the_line_is_that_of_the_file() {
    for end in ["\n", "\r\n", "\r"] {
        let rows = ["\u{FEFF}id,name", "1,Ada", "", "2,", "\"3", "x\",Bob", "", ",", "1,Eve", "4,\u{7}"];
        assert_eq!(
            bad(&rows.join(end)),
            [
                "line 4, column name: it is empty",
                "line 5, column id: it contains a line break, and the id of a user is 1 to 64 bytes without control characters",
                "line 9, column id: duplicate id \"1\" (first used on line 2)",
                "line 10, column name: the name of a user is 1 to 256 bytes without control characters",
            ],
            "{end:?}"
        );
    }
    let cut = table(b"id,name\r\n1,\xC3\x84da\r\n2,\xFF\r\n3,\xC3\xB6\n").1;
    assert_eq!(cut.iter().map(|row| row.line).collect::<Vec<_>>(), [3]);
    assert_eq!(bad("sep=;\r\nid;name\r\n1;\r\n"), ["line 3, column name: it is empty"]);
}

#[test]
fn what_spreadsheets_save_is_taken() {
    let expected = [user("007", "Eva Ö", &[("Room", "B;1")])];
    let rows = |separator: &str, end: &str| {
        [["ID", " Name ", "Room"], ["007", "Eva Ö", "\"B;1\""], ["", " ", ""]].map(|row| row.join(separator)).join(end)
    };
    for (separator, end) in [(",", "\n"), (";", "\r\n"), ("\t", "\r"), ("|", "\r\n")] {
        let text = rows(separator, end);
        let wide: Vec<_> = format!("\u{FEFF}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [text.as_bytes(), &wide, format!("\u{FEFF}sep={separator}{end}{text}").as_bytes()] {
            assert_eq!(users(bytes), expected, "{separator:?} {end:?}");
        }
    }
    assert_eq!(users(b"id;name;room\r\n7;Eva \xD6;B1\r\n"), [user("7", "Eva Ö", &[("room", "B1")])]);
    let form = table(b"id;name\n7;\xD6\n").0.unwrap().form;
    assert_eq!(form.reading(), "read as Windows-1252, separated by semicolons");
    // Trailing separators, too many or too few.
    let ragged = b";;;\nid;name;room;\n1;Ada;B1;\n2;Bob\n3;\"E\"\"va\"\"\";;;;\n";
    let three = [user("1", "Ada", &[("room", "B1")]), user("2", "Bob", &[]), user("3", "E\"va\"", &[])];
    assert_eq!(users(ragged), three);
}

#[test]
fn users_in_any_script() {
    let text = "\u{FEFF}id,name,team\r\n7,\"Lovelace, Ada\",\r\nü,山田 太郎,\"a \"\"b\"\"\"\r\n";
    let expected = [user("7", "Lovelace, Ada", &[]), user("ü", "山田 太郎", &[("team", "a \"b\"")])];
    assert_eq!(users(text.as_bytes()), expected);
}

#[test]
fn every_bad_row_is_told_with_its_place() {
    let long = "x".repeat(257);
    let text = format!("id,name\n1,Ada\n,Bob\n2,\n1,Eve\n3,{long}\n4\n5,a\u{7}\n6,Zoe,,x\n");
    assert_eq!(
        bad(&text),
        [
            "line 3, column id: it is empty",
            "line 4, column name: it is empty",
            "line 5, column id: duplicate id \"1\" (first used on line 2)",
            "line 6, column name: the name of a user is 1 to 256 bytes without control characters",
            "line 7: it has 1 value, and the header has 2",
            "line 8, column name: the name of a user is 1 to 256 bytes without control characters",
            "line 9: it has 4 values, and the header has 2",
        ]
    );
    assert_eq!(
        bad("name,Name\n"),
        [
            "line 1, column id: it is missing: the header needs id and name, and has name | Name",
            "line 1, column Name: it appears twice",
        ]
    );
    assert_eq!(bad("id,name,room,room\n"), ["line 1, column room: it appears twice"]);
    assert_eq!(bad("id,name,\n1,Ada,x\n"), ["line 2, column 3: it has a value, but its column has no name"]);
    assert_eq!(bad("id,name\n"), ["line 1: there is no row below the header"]);
    let file = tempfile::NamedTempFile::new().unwrap();
    for (text, taken) in [("id,name\n", true), ("", false), ("id\n", true), ("room\n", false), ("id,name\n1,\n", false)]
    {
        std::fs::write(file.path(), text).unwrap();
        assert_eq!(load_changes(file.path()).is_ok_and(|table| table.rows.is_empty()), taken, "{text:?}");
        assert!(load(file.path()).is_err());
    }
    assert_eq!(bad("").len(), 2);
    assert!(bad("PK\u{3}\u{4}")[0].contains("workbook"));
}

#[test]
fn rows_with_another_separator_than_the_header_are_told_as_such() {
    assert_eq!(
        bad("id,name\n7;Eva\n8\tBob\n9;Zoe;x\n10|Ada\n"),
        [
            "line 2: its values are separated by semicolons, and those of the header by commas",
            "line 3: its values are separated by tabs, and those of the header by commas",
            "line 4: it has 1 value, and the header has 2",
            "line 5: its values are separated by '|', and those of the header by commas",
        ]
    );
    assert_eq!(
        bad("id;name;room\n7,Eva,B1\n8,Bob\n"),
        [
            "line 2: its values are separated by commas, and those of the header by semicolons",
            "line 3: it has 1 value, and the header has 3",
        ]
    );
    assert_eq!(users(b"id,name\n7;1,Eva\n"), [user("7;1", "Eva", &[])]);
    // Without a column of names, the row would be an id.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "id,room\n7;B1\n8\n").unwrap();
    let told = load_changes(file.path()).unwrap_err().message;
    assert!(told.contains("line 2: its values are separated by semicolons"), "{told}");
    assert!(!told.contains("line 3"), "{told}");
    std::fs::write(file.path(), "id\n7;B1\n").unwrap();
    assert_eq!(load_changes(file.path()).unwrap().rows[0].user.id, "7;B1", "there is one column");
}

/// The same in a file of users and in one of changes.
#[test]
fn ids_that_a_spreadsheet_spoiled_are_refused_and_not_enrolled() {
    let rows = "id,name\n1,Ann\n#REF!,Bob\n1E+05,Eve\n2,#N/A\n3,1E+05\n";
    let told = [
        "line 3, column id: \"#REF!\" marks a formula of the spreadsheet that failed: correct it there, and export it \
         again; one that is meant so is written =\"#REF!\"",
        "line 4, column id: \"1E+05\" is a number that a spreadsheet shortened: format the column as text there, enter the \
         id once more, and export it again; one that is meant so is written =\"1E+05\"",
        "line 5, column name: \"#N/A\" marks a formula of the spreadsheet that failed: correct it there, and export it \
         again; one that is meant so is written =\"#N/A\"",
    ];
    assert_eq!(bad(rows), told);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), rows).unwrap();
    for failure in [load(file.path()).unwrap_err(), load_changes(file.path()).unwrap_err()] {
        assert_eq!((failure.code, failure.class), ("csv.bad-rows", ExitClass::Data));
        assert!(told.iter().all(|line| failure.message.contains(line)), "{}", failure.message);
    }
    // On purpose.
    let meant = "id,name\n\"=\"\"1E+05\"\"\",Ann\n\"=\"\"#REF!\"\"\",\\u{23}N/A\n";
    assert_eq!(users(meant.as_bytes()), [user("1E+05", "Ann", &[]), user("#REF!", "#N/A", &[])]);
}

#[test]
fn a_quotation_mark_that_is_never_closed_is_named_where_it_is_opened() {
    let text = "id,name\n6,Zoe\n7,\"Eva\n8,Bob\n";
    assert_eq!(bad(text), ["line 3: a quotation mark is opened here and never closed"]);
    assert_eq!(users(b"id,name\n7,5\" pipe\n"), [user("7", "5\" pipe", &[])]);
}

/// Otherwise `7` and `7 ` would be two users, for no visible reason.
#[test]
fn blanks_around_a_cell_make_nobody_else() {
    let rows = "id,name,room\n 7 , Ada\u{a0},B1 \n";
    assert_eq!(users(rows.as_bytes()), [user("7", "Ada", &[("room", "B1")])]);
    assert_eq!(bad("id,name\n7,A\n\"7 \",B\n"), ["line 3, column id: duplicate id \"7\" (first used on line 2)"]);
    assert_eq!(
        bad("id, name\n7, \"Eva\"\n"),
        ["line 2, column name: there is a blank before its quotation mark, which has to come first"]
    );
    assert_eq!(users(b"id,name\n\\u{20}7,Ada\n"), [user(" 7", "Ada", &[])]);
}

#[test]
fn a_user_has_no_more_fields_than_a_server_takes() {
    let head: Vec<_> = (0..33).map(|n| format!("f{n}")).collect();
    let row = ",x".repeat(33);
    assert_eq!(bad(&format!("id,name,{}\n7,Ada{row}\n", head.join(","))), ["line 2: a user has at most 32 fields"]);
}

/// The error for a bad file shows the format recognised, and which columns became fields.
#[test]
fn what_was_recognised_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("people.csv");
    std::fs::write(&file, b"id;name;Raum;\xD6\n7;;B1\n").unwrap();
    let told = load(&file).unwrap_err().message;
    assert!(told.contains("read as Windows-1252, separated by semicolons; fields: Raum, Ö"), "{told}");
}

#[test]
fn a_table_that_is_piped_is_called_what_it_is() {
    assert_eq!((shown(Path::new("-")), shown(Path::new("./-"))), ("standard input".into(), "./-".into()));
    assert_eq!(require_piped(false), Ok(()));
    let refused = require_piped(true).unwrap_err();
    assert_eq!((refused.code, refused.class), ("csv.no-input", ExitClass::Usage));
}

#[test]
fn a_row_is_a_patch_of_what_has_a_column() {
    let table = table(b"id,name,room,team\n7,Ada,,red\n").0.unwrap();
    let before = user("7", "Eva", &[("room", "B1"), ("team", "blue"), ("floor", "2")]);
    let after = table.patch(&table.rows[0].user).apply(Some(&before)).unwrap();
    assert_eq!(after, user("7", "Ada", &[("team", "red"), ("floor", "2")]));
}

#[test]
fn a_picture_is_no_field_where_pictures_are_asked_for() {
    let text = "id,name,Portrait,field.portrait,field.id\n7,Ada,a.jpg,x,y\n";
    let row = read(text.as_bytes(), true, &mut |_| Ok(())).0.unwrap().rows.remove(0);
    assert_eq!(row.portrait.as_deref(), Some("a.jpg"));
    assert_eq!(row.user, user("7", "Ada", &[("id", "y"), ("portrait", "x")]));
}

proptest! {
    #[test]
    fn whatever_was_written_is_read(ids in proptest::collection::hash_set("[^\\p{C}\\s'=+@-]{1,8}", 1..5), name in "([^\\p{C}\\s][^\\p{C}]{0,20})?x") {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["id", "name"]).unwrap();
        for id in &ids {
            writer.write_record([id, &name]).unwrap();
        }
        let (table, bad) = table(&writer.into_inner().unwrap());
        prop_assert_eq!(bad, Vec::new());
        let rows = table.unwrap().rows;
        prop_assert_eq!(rows.len(), ids.len());
        prop_assert!(rows.iter().all(|row| ids.contains(&row.user.id) && row.user.name == said(&name)));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = table(&bytes);
    }
}
