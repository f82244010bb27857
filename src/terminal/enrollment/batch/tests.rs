use std::fs;

use proptest::prelude::*;

use super::*;

fn people(count: usize) -> Vec<User> {
    let one = |n: usize| User { id: format!("u{n}"), name: format!("Person {n}"), fields: [].into() };
    (0..count).map(one).collect()
}

fn rows(users: Vec<User>) -> Vec<Row> {
    users.into_iter().map(Row::from).collect()
}

struct LedgerFixture {
    folder: tempfile::TempDir,
}

impl LedgerFixture {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("batch.journal")
    }

    fn open(&self, users: Vec<User>) -> Result<BatchLedger, BatchError> {
        BatchLedger::open(&self.path(), rows(users), "ca01")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }
}

fn states(book: &BatchLedger) -> Vec<RowState> {
    book.rows().map(|(_, state)| state.clone()).collect()
}

fn token(n: u8) -> Uuid {
    Uuid::from_bytes([n; 16])
}

#[test]
fn a_card_keeps_its_row_and_a_row_its_card() {
    let fixture = LedgerFixture::new();
    let mut book = fixture.open(people(2)).unwrap();
    assert_eq!(book.user("aa", None).unwrap().id, "u0");
    assert_eq!(book.user("bb", None).unwrap().id, "u1");
    assert_eq!(book.user("aa", None).unwrap().id, "u0", "the same card again");
    assert!(matches!(book.user("cc", None), Err(EnrollError::NobodyLeft)));
    drop(book);

    let mut book = fixture.open(people(3)).unwrap();
    assert_eq!(book.user("bb", None).unwrap().id, "u1", "also in the next run");
    assert_eq!(book.user("cc", None).unwrap().id, "u2", "a row that was added");
    book.finish(&people(3)[1], token(1)).unwrap();
    book.finish(&people(3)[1], token(1)).unwrap();
    drop(book);

    let book = fixture.open(people(3)).unwrap();
    assert_eq!(states(&book), [RowState::Begun("aa".into()), RowState::Done(token(1)), RowState::Begun("cc".into())]);
    assert_eq!(book.count(), BatchCount { rows: 3, done: 1, begun: 2 });
    assert_eq!(book.holder(token(1)).unwrap().id, "u1");
    assert_eq!(fixture.text().lines().count(), 5, "{}", fixture.text());
}

#[test]
fn what_a_single_enrollment_began_is_that_row() {
    let fixture = LedgerFixture::new();
    let mut book = fixture.open(people(3)).unwrap();
    let entry = |n: usize| JournalEntry::new("aa".into(), token(9), people(9).remove(n), "ca01".into(), false);
    assert_eq!(book.user("aa", Some(&entry(2))).unwrap().id, "u2");
    assert_eq!(book.user("bb", None).unwrap().id, "u0");
}

/// A card started for somebody else is abandoned by an explicit decision, not because a file needs its next card.
#[test]
fn a_card_that_was_begun_for_somebody_else_goes_to_no_row() {
    let fixture = LedgerFixture::new();
    let mut book = fixture.open(people(3)).unwrap();
    let entry = |n: usize| JournalEntry::new("bb".into(), token(9), people(9).remove(n), "ca01".into(), false);
    let begun_for = |result| match result {
        Err(EnrollError::BegunForAnother { user, .. }) => user.id,
        other => panic!("{other:?}"),
    };
    assert_eq!(begun_for(book.user("bb", Some(&entry(8)))), "u8", "nobody of this file");
    assert_eq!(book.user("aa", None).unwrap().id, "u0");
    assert_eq!(begun_for(book.user("bb", Some(&entry(0)))), "u0", "that row has another card");
    assert_eq!(begun_for(book.user("aa", Some(&entry(8)))), "u8", "it was taken for somebody else since");
    assert_eq!(book.user("cc", None).unwrap().id, "u1", "nothing of that took a row");
    book.limit_to(&["u1".into()]).unwrap();
    assert_eq!(begun_for(book.user("bb", Some(&entry(2)))), "u2", "that row is left out");
    assert!(matches!(book.user("dd", None), Err(EnrollError::NobodyLeft)));
}

#[test]
fn a_card_is_given_up() {
    let fixture = LedgerFixture::new();
    let mut book = fixture.open(people(1)).unwrap();
    book.user("aa", None).unwrap();
    assert!(matches!(book.user("bb", None), Err(EnrollError::NobodyLeft)));
    book.abandon("u0").unwrap();
    assert_eq!(book.user("bb", None).unwrap().id, "u0");
    assert!(matches!(book.user("aa", None), Err(EnrollError::NobodyLeft)), "it is a card like any other now");
    drop(book);
    assert_eq!(states(&fixture.open(people(1)).unwrap()), [RowState::Begun("bb".into())]);
}

#[test]
fn one_run_at_a_time() {
    let fixture = LedgerFixture::new();
    let _book = fixture.open(people(1)).unwrap();
    assert!(matches!(fixture.open(people(1)), Err(BatchError::Busy(_))));
}

#[test]
fn a_row_that_was_edited_after_it_went_to_a_card_is_told() {
    let fixture = LedgerFixture::new();
    fixture.open(people(2)).unwrap().user("aa", None).unwrap();
    let mut edited = people(2);
    edited[0].name.push('!');
    let mut book = fixture.open(edited.clone()).unwrap();
    let (id, before, now) = ("u0".to_owned(), Some(people(1).remove(0)), RowNow::Changed(edited[0].clone()));
    assert_eq!(book.differences(), [RowDifference { id, token_id: None, before, now }]);
    // The card is finished as it was started, and the others continue.
    let entry = JournalEntry::new("aa".into(), token(9), people(1).remove(0), "ca01".into(), false);
    assert_eq!(book.user("aa", Some(&entry)).unwrap(), people(1)[0]);
    assert_eq!(book.user("bb", None).unwrap().id, "u1");
    book.finish(&people(1)[0], token(9)).unwrap();
    assert_eq!(book.differences()[0].token_id, Some(token(9)));
    drop(book);
    assert_eq!(fixture.open(people(2)).unwrap().differences(), []);

    // Nothing was on the card yet: it starts over with the new text.
    let fixture = LedgerFixture::new();
    fixture.open(people(2)).unwrap().user("aa", None).unwrap();
    let mut book = fixture.open(edited.clone()).unwrap();
    assert_eq!(book.user("aa", None).unwrap(), edited[0]);
    drop(book);
    assert_eq!(fixture.open(edited).unwrap().differences(), []);
}

/// A spreadsheet turned 007 into 7, and the row of a started card was deleted.
#[test]
fn a_row_that_is_gone_is_told_and_its_card_is_nobody_elses() {
    let fixture = LedgerFixture::new();
    let person = |id: &str, name: &str| User { id: id.into(), name: name.into(), fields: [].into() };
    let mut book = fixture.open(vec![person("007", "Ada"), person("8", "Bob"), person("9", "Eve")]).unwrap();
    book.user("aa", None).unwrap();
    book.user("bb", None).unwrap();
    book.finish(&person("007", "Ada"), token(7)).unwrap();
    drop(book);

    let now = || vec![person("7", "Ada"), person("9", "Eve")];
    let mut book = fixture.open(now()).unwrap();
    let told: Vec<_> = book.differences().iter().map(RowDifference::in_words).collect();
    assert_eq!(told, ["done: 007 (Ada) → perhaps 7 (Ada)", "begun: 8 (Bob) → (no row)"]);
    assert!(matches!(book.user("bb", None), Err(EnrollError::RowGone(id)) if id == "8"));
    assert_eq!(book.holder(token(7)).map(|user| user.name.as_str()), Some("Ada"));
    assert_eq!(book.count(), BatchCount { rows: 2, done: 0, begun: 0 });
    for GivenUp { id, .. } in book.to_abandon() {
        book.abandon(&id).unwrap();
    }
    drop(book);
    let mut book = fixture.open(now()).unwrap();
    assert_eq!((book.differences(), book.holder(token(7))), (Vec::new(), None));
    assert_eq!(book.user("bb", None).unwrap().id, "7", "it is a card like any other now");
}

#[test]
fn only_some_rows_get_a_card() {
    let fixture = LedgerFixture::new();
    let mut book = fixture.open(people(4)).unwrap();
    book.user("aa", None).unwrap();
    assert_eq!(book.limit_to(&["u2".into(), "x".into()]), Err("x".into()));
    book.limit_to(&["u2".into()]).unwrap();
    assert_eq!((book.next().unwrap().id.as_str(), book.count().rows), ("u2", 1));
    assert_eq!(book.user("bb", None).unwrap().id, "u2");
    assert!(matches!(book.user("cc", None), Err(EnrollError::NobodyLeft)));
    assert_eq!(book.begun().map(|user| user.id.as_str()).collect::<Vec<_>>(), ["u2"]);
}

#[test]
fn a_torn_line_is_dropped_and_any_other_damage_is_told() {
    let fixture = LedgerFixture::new();
    let mut book = fixture.open(people(2)).unwrap();
    book.user("aa", None).unwrap();
    book.finish(&people(1)[0], token(1)).unwrap();
    drop(book);
    let whole = fixture.text();
    for length in 0..whole.len() {
        fs::write(fixture.path(), &whole[..length]).unwrap();
        let mut book = fixture.open(people(2)).unwrap_or_else(|e| panic!("{length}: {e}"));
        // With that line dropped, the card gets the first row as before.
        assert_eq!(book.user("aa", None).unwrap().id, "u0");
        book.finish(&people(1)[0], token(1)).unwrap();
        drop(book);
        assert_eq!(fixture.text(), whole, "after {length} bytes");
    }
    let mut lines: Vec<_> = whole.lines().collect();
    for (text, line) in [
        (whole.replace("batch/1", "batch/2"), 1),
        (whole.replace("\"begun\"", "\"began\""), 2),
        (whole.replace("begun", "abandoned"), 2),
        (whole.clone() + lines[1] + "\n", 4),
        (whole.clone() + lines[2] + "\n", 4),
        ([lines[0], lines[2], ""].join("\n"), 2),
        (whole.replacen("\"aa\"", "\"ab\"", 1), 3),
    ] {
        fs::write(fixture.path(), &text).unwrap();
        let told = fixture.open(people(2)).unwrap_err();
        assert!(matches!(told, BatchError::Damaged { line: found, .. } if found == line), "{text}: {told}");
    }
    let second = lines[1].replace("u0", "u1");
    lines.push(&second);
    fs::write(fixture.path(), lines.join("\n") + "\n").unwrap();
    assert!(matches!(fixture.open(people(2)), Err(BatchError::Damaged { line: 4, .. })), "a card with two rows");
    fs::write(fixture.path(), &whole).unwrap();
    assert!(matches!(BatchLedger::open(&fixture.path(), rows(people(2)), "ca02"), Err(BatchError::OtherAuthority(_))));
}

proptest! {
    #[test]
    fn cut_anywhere_it_gives_no_row_two_cards(steps in proptest::collection::vec((0u8..6, 0u8..4), 1..30)) {
        let fixture = LedgerFixture::new();
        let mut book = fixture.open(people(4)).unwrap();
        for (card, what) in steps {
            let card = format!("{card:02x}");
            match what {
                0 => {
                    drop(book);
                    book = fixture.open(people(4)).unwrap();
                }
                1 => if let Ok(user) = book.user(&card, None) {
                    let id = Uuid::from_u128(u128::from_str_radix(&user.id[1..], 16).unwrap() + 1);
                    book.finish(&user, id).unwrap();
                },
                _ => drop(book.user(&card, None)),
            }
            let begun: Vec<_> = states(&book).into_iter().filter_map(|state| match state {
                RowState::Begun(card) => Some(card),
                _ => None,
            }).collect();
            let distinct: std::collections::HashSet<_> = begun.iter().collect();
            prop_assert_eq!(begun.len(), distinct.len());
            let before = states(&book);
            drop(book);
            book = fixture.open(people(4)).unwrap();
            prop_assert_eq!(before, states(&book));
        }
    }
}
