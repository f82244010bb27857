//! Every message and hint of the program, kept in `tests/saved/messages`, one file for each area of the source, so that
//! author and reviewer see a changed text among its neighbours.
//!
//! `ROLLCALL_TEST_OVERWRITE=1 cargo test --test messages` writes the files.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "common/files.rs"]
mod files;
#[path = "common/turns.rs"]
mod turns;

use std::{collections::BTreeMap, env, fmt::Write as _, fs, path::Path};

use files::files;
use turns::turns;

const KEPT: &str = "tests/saved/messages";

/// What is kept elsewhere, or is no text: tests/cmd has the help, tests/api/openapi.json what the API says of itself.
const ELSEWHERE: [&str; 4] = ["src/cli/help.rs", "src/cli/complete", "src/server/openapi", "src/server/routes.rs"];

/// A text in quotation marks, and the source between the one before it and this one, without comments.
struct Literal {
    before: String,
    text: String,
}

/// What is read of a source: its characters, and how far they are.
struct Reader<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
}

impl Reader<'_> {
    /// All texts of a source, in their order.
    fn literals(source: &str) -> Vec<Literal> {
        let mut reader = Reader { rest: source.chars().peekable() };
        let (mut found, mut before) = (Vec::new(), String::new());
        while let Some(c) = reader.rest.next() {
            match c {
                '/' if reader.rest.peek() == Some(&'/') => reader.skip_line(),
                '\'' => reader.skip_quote(),
                '"' => {
                    let hashes = before.chars().rev().take_while(|c| *c == '#').count();
                    let is_raw = before.trim_end_matches('#').ends_with('r');
                    let text = if is_raw { reader.raw(hashes) } else { reader.text() };
                    found.push(Literal { before: std::mem::take(&mut before), text });
                    continue;
                }
                _ => {}
            }
            before.push(c);
        }
        found
    }

    fn skip_line(&mut self) {
        while self.rest.next_if(|c| *c != '\n').is_some() {}
    }

    /// A character in quotes; of a lifetime no more than its quote.
    fn skip_quote(&mut self) {
        let mut ahead = self.rest.clone();
        match (ahead.next(), ahead.next()) {
            (Some('\\'), Some(_)) => {
                self.rest.nth(1);
                while self.rest.next().is_some_and(|c| c != '\'') {}
            }
            (Some(_), Some('\'')) => drop(self.rest.nth(1)),
            _ => {}
        }
    }

    fn raw(&mut self, hashes: usize) -> String {
        let end = format!("\"{}", "#".repeat(hashes));
        let mut text = String::new();
        while !text.ends_with(&end) {
            let Some(c) = self.rest.next() else { panic!("a text without an end: {text}") };
            text.push(c);
        }
        text.truncate(text.len() - end.len());
        text
    }

    fn text(&mut self) -> String {
        let mut text = String::new();
        loop {
            match self.rest.next() {
                None => panic!("a text without an end: {text}"),
                Some('"') => return text,
                Some('\\') => match self.rest.next() {
                    Some('\n') => while self.rest.next_if(|c| c.is_whitespace()).is_some() {},
                    Some('"') => text.push('"'),
                    Some(other) => text.extend(['\\', other]),
                    None => {}
                },
                Some(c) => text.push(c),
            }
        }
    }
}

/// Whether somebody reads it as words: two of them at least, and not for a database or a compiler.
fn is_prose(literal: &Literal) -> bool {
    const SQL: [&str; 17] = [
        "SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "PRAGMA", "BEGIN;", "WITH", "ALTER", "DROP", "ATTACH", "SET",
        "VACUUM", "LOCK", "REPLACE", "DETACH", "ON",
    ];
    let begin = literal.text.split_whitespace().next().unwrap_or_default();
    let before = literal.before.trim_end();
    let is_of_code =
        ["expect(", "panic!(", "unreachable!(", "assert!(", "feature ="].iter().any(|end| before.ends_with(end));
    let attribute = before.rfind("#[").map_or("", |at| &before[at..]);
    let is_attribute = !attribute.contains(']') && !attribute.starts_with("#[error(") && !attribute.is_empty();
    let mut is_in_braces = false;
    let words = literal.text.split(|c: char| {
        is_in_braces = (is_in_braces || c == '{') && c != '}';
        is_in_braces || c.is_whitespace()
    });
    let is_word = |word: &&str| word.chars().filter(|c| c.is_alphabetic()).count() > 1;
    let is_sql = SQL.contains(&begin) || literal.text.contains("?1") || literal.text.contains("$1");
    !is_sql && !is_of_code && !is_attribute && words.filter(is_word).count() > 1
}

/// A code stands before the message and the hint that belong to it, up to the end of its statement or match arm.
fn is_code(text: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    text.split_once('.').is_some_and(|(area, what)| is_word(area) && is_word(what))
}

/// The messages of a source up to its tests, a line each, with the code where there is one.
fn messages(source: &str) -> Vec<String> {
    let (mut code, mut found) = (String::new(), Vec::new());
    for literal in Reader::literals(source.split("#[cfg(test)]\nmod tests {").next().unwrap()) {
        if [";", "=>", "fn ", "#[error("].iter().any(|end| literal.before.contains(end)) {
            code.clear();
        }
        if is_code(&literal.text) {
            code.clone_from(&literal.text);
        } else if is_prose(&literal) {
            let text = literal.text.replace('\n', "\\n");
            found.push(if code.is_empty() { text } else { format!("[{code}] {text}") });
        }
    }
    found
}

/// The files as they have to be: the name, and the messages below the source that has them.
fn kept_files() -> BTreeMap<String, String> {
    let mut areas: BTreeMap<String, String> = BTreeMap::new();
    for (path, source) in files("src", "rs") {
        if path.contains("/tests") || ELSEWHERE.iter().any(|kept| path.starts_with(kept)) {
            continue;
        }
        let found = messages(&source);
        if found.is_empty() {
            continue;
        }
        let area = path["src/".len()..].split(['/', '.']).next().unwrap();
        let text = areas.entry(format!("{area}.txt")).or_default();
        let gap = if text.is_empty() { "" } else { "\n" };
        writeln!(text, "{gap}== {path}\n{}", found.join("\n")).unwrap();
    }
    areas
}

#[test]
fn every_message_is_kept_as_it_is() {
    let areas = kept_files();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(KEPT);
    if env::var_os("ROLLCALL_TEST_OVERWRITE").is_some() {
        fs::remove_dir_all(&folder).ok();
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in &areas {
            fs::write(folder.join(name), text).unwrap();
        }
    }
    let names: Vec<_> = files(KEPT, "txt").into_iter().map(|(path, _)| path[KEPT.len() + 1..].to_owned()).collect();
    assert_eq!(names, areas.keys().cloned().collect::<Vec<_>>(), "{KEPT}");
    for (name, text) in &areas {
        let kept = fs::read_to_string(folder.join(name)).unwrap();
        let different = text.lines().zip(kept.lines()).find(|(now, then)| now != then);
        let why = format!("{KEPT}/{name}: read what changed, then write it with ROLLCALL_TEST_OVERWRITE=1");
        assert_eq!(different, None, "now and then; {why}");
        assert_eq!(text.lines().count(), kept.lines().count(), "{why}");
    }
    let all: usize = areas.values().map(|text| text.lines().filter(|line| !line.starts_with("== ")).count()).sum();
    assert!(all > 1000, "{all} messages: they were not found");
}

#[test]
fn no_message_has_a_banned_turn() {
    let found: Vec<_> = kept_files()
        .iter()
        .flat_map(|(name, text)| text.lines().map(move |line| (name, line)))
        .flat_map(|(name, line)| turns(line).into_iter().map(move |turn| format!("{name}: {turn:?} in {line}")))
        .collect();
    assert!(found.is_empty(), "{} banned turns:\n{}", found.len(), found.join("\n"));
}

#[test]
fn messages_are_found_with_their_codes() {
    let source = r##"
        // "not this one"
        #[serde(rename = "nor this one")]
        #[error("{0} cannot be read: {1}")]
        fn a<'a>(c: char) { x.expect("invariant of ours"); c == '"' || c == '\'' || c == '\\'; }
        Failure::new(ExitClass::No, "pki.no-set", format!("there is \
            no \"set\" {}", 1)).hint("see which: {x}"); note("one", r#"raw "and" free"#);
        "SELECT this FROM that"
        #[cfg(test)]
mod tests { "a test's own words" }"##;
    let expected = [
        "{0} cannot be read: {1}",
        "[pki.no-set] there is no \"set\" {}",
        "[pki.no-set] see which: {x}",
        "raw \"and\" free",
    ];
    assert_eq!(messages(source), expected);
    assert_eq!(turns("that is told here"), ["is told"]);
}
