//! `docs/cli.md` says what the program does: its commands and options, objects, variables, keys and exit statuses; and
//! every file that has the version has the same.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::{collections::BTreeSet, fs, path::Path};

use clap::{Command, CommandFactory};
use rollcall::{
    cli::{args::Cli, views},
    config::{Global, Settings},
    failure::ExitClass,
};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// A section of the contract, up to the next one of its level.
fn section(heading: &str) -> String {
    let text = read("docs/cli.md");
    let (_, rest) = text.split_once(&format!("\n## {heading}\n")).unwrap();
    rest.split("\n## ").next().unwrap().to_owned()
}

/// The lines of the synopsis that belong to a command of the first level.
fn synopsis(command: &str) -> String {
    let text = section("Commands");
    let block = text.split("```").nth(1).unwrap();
    let mut lines = Vec::new();
    let mut inside = false;
    for line in block.lines() {
        if line.starts_with("rollcall ") {
            inside = line.split_whitespace().nth(1) == Some(command);
        }
        if inside {
            lines.push(line);
        }
    }
    lines.join("\n")
}

/// The words of a synopsis, without what marks choice and repetition.
fn words(synopsis: &str) -> BTreeSet<String> {
    let marks = |c: char| c.is_whitespace() || "[]|…=".contains(c);
    synopsis.split(marks).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Every command and long option below a command, those of all commands left out.
fn defined(command: &Command, into: &mut BTreeSet<String>) {
    let own = command.get_arguments().filter(|one| !one.is_global_set() && !one.is_hide_set());
    into.extend(own.filter_map(|one| one.get_long()).filter(|long| *long != "help").map(|long| format!("--{long}")));
    for below in command.get_subcommands() {
        into.insert(below.get_name().to_owned());
        defined(below, into);
    }
}

#[test]
fn commands_and_options_are_those_of_the_program() {
    let program = Cli::command();
    for command in program.get_subcommands() {
        let name = command.get_name();
        let mut expected = BTreeSet::new();
        defined(command, &mut expected);
        let told = words(&synopsis(name));
        assert!(told.contains(name), "docs/cli.md has no synopsis of {name}");
        let missing: Vec<_> = expected.difference(&told).collect();
        assert!(missing.is_empty(), "docs/cli.md, the synopsis of {name} lacks {missing:?}");
        let extra: Vec<_> = told.iter().filter(|word| word.starts_with("--") && !expected.contains(*word)).collect();
        assert!(extra.is_empty(), "docs/cli.md, the synopsis of {name} has {extra:?}, and the program has not");
    }
    let table = section("Commands");
    for option in program.get_arguments().filter_map(|one| one.get_long()) {
        let named = table.contains(&format!("--{option}"));
        assert!(named || ["help", "version"].contains(&option), "docs/cli.md lacks the global option --{option}");
    }
}

#[test]
fn objects_are_those_of_the_program() {
    let text = section("JSON objects");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name));
    let told: BTreeSet<_> = rows.map(|name| format!("rollcall.{name}")).collect();
    assert_eq!(told, views::NAMES.iter().map(|name| (*name).to_owned()).collect());
}

#[test]
fn exit_statuses_are_those_of_the_program() {
    let text = section("Exit status");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" |").map(|(status, _)| status));
    let told: BTreeSet<u8> = rows.filter_map(|status| status.parse().ok()).collect();
    assert_eq!(told, std::iter::once(0).chain(ExitClass::ALL.iter().map(|class| class.exit_status())).collect());
}

/// The keys that the program knows in a table of `config.toml`, as it says when it is given another.
fn known_keys(table: &str) -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    fs::write(&path, format!("{table}\nno_such_key = 1\n")).unwrap();
    let typed = Global { config: Some(path), ..Global::default() };
    let environment = |name: &str| (name == "ROLLCALL_HOME").then(|| folder.path().as_os_str().to_owned());
    let hint = Settings::resolve(&typed, &environment).unwrap_err().hint.unwrap();
    hint.split_once(": ").unwrap().1.split(", ").map(str::to_owned).collect()
}

#[test]
fn keys_are_those_of_the_program() {
    let text = section("Configuration");
    let mut told = BTreeSet::new();
    for row in text.lines().filter(|line| line.starts_with("| `")) {
        let names: Vec<_> = row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2).collect();
        match names.as_slice() {
            [table, key] if table.starts_with('[') => assert!(told.insert(format!("{table} {key}"))),
            keys => told.extend(keys.iter().map(|key| key.trim_matches(['[', ']']).to_owned())),
        }
    }
    let mut known = known_keys("");
    for table in ["[limits]", "[server]"] {
        // Named by its keys.
        assert!(known.remove(table.trim_matches(['[', ']'])), "{table}");
        known.extend(known_keys(table).into_iter().map(|key| format!("{table} {key}")));
    }
    assert_eq!(told, known);
}

/// The sources of the program, without tests.
fn sources(folder: &Path, into: &mut String) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
        if path.is_dir() && !is_test {
            sources(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") && !is_test {
            into.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

/// Every name that begins so.
fn names(text: &str, beginning: &str) -> BTreeSet<String> {
    let ends = |c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    let found = text.match_indices(beginning).map(|(at, _)| text[at..].split(ends).next().unwrap().to_owned());
    found.filter(|name| !name.starts_with("ROLLCALL_TEST") && !name.ends_with('_')).collect()
}

#[test]
fn variables_are_those_of_the_program() {
    let mut code = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut code);
    assert_eq!(names(&read("docs/cli.md"), "ROLLCALL_"), names(&code, "ROLLCALL_"));
}

#[test]
fn one_version_stands_everywhere() {
    let version = env!("CARGO_PKG_VERSION");
    let change_log = read("CHANGELOG.md");
    let released =
        change_log.lines().find_map(|line| line.strip_prefix("## ")?.split(' ').find(|word| word.contains('.')));
    assert_eq!(released, Some(version), "CHANGELOG.md");
    for (path, line) in [
        ("applet/pom.xml", format!("<version>{version}</version>")),
        ("tests/cmd/help.trycmd", format!("rollcall {version}")),
        ("tests/api/openapi.json", format!("\"version\": \"{version}\"")),
        ("README.md", format!("rollcall_{version}-1_amd64.deb")),
    ] {
        assert!(read(path).contains(&line), "{path} has no {line}");
    }
}
