//! `docs/cli.md` matches the program: its commands and options, objects, variables, keys and exit statuses; and every
//! file that states the version states the same one.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use clap::{Command, CommandFactory};
use rollcall::{
    cli::{args::Cli, man, views},
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
    for table in ["[board]", "[limits]", "[server]"] {
        // Named by its keys.
        assert!(known.remove(table.trim_matches(['[', ']'])), "{table}");
        known.extend(known_keys(table).into_iter().map(|key| format!("{table} {key}")));
    }
    // Tables of the user's names, each with one key of its own.
    known.extend(["[presence] min_stay", "[feedback] sound", "[resume] max_age"].map(str::to_owned));
    assert_eq!(told, known);
}

/// The table and the manual page rollcall.toml(5) say the same.
#[test]
fn keys_are_told_as_the_manual_tells_them() {
    let text = section("Configuration");
    let told: Vec<_> = text.lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect();
    let row = |setting: &man::Setting| {
        let table = Some(format!("`[{}]`", setting.table)).filter(|_| !setting.table.is_empty());
        let key = Some(format!("`{}`", setting.key)).filter(|_| !setting.key.is_empty());
        let name = table.into_iter().chain(key).collect::<Vec<_>>().join(" ");
        let default = if setting.default.is_empty() { String::new() } else { format!("{} ", setting.default) };
        format!("| {name} | {} | {default}| {} |", setting.kind, setting.meaning)
    };
    assert_eq!(told, man::SETTINGS.iter().map(row).collect::<Vec<_>>());
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
    assert!(change_log.contains(&format!("\n## {version} ({})\n", man::RELEASED)), "src/cli/man.rs: RELEASED");
    for (path, line) in [
        ("applet/pom.xml", format!("<version>{version}</version>")),
        ("tests/cmd/help.trycmd", format!("rollcall {version}")),
        ("tests/api/openapi.json", format!("\"version\": \"{version}\"")),
        ("README.md", format!("rollcall_{version}-1_amd64.deb")),
    ] {
        assert!(read(path).contains(&line), "{path} has no {line}");
    }
}

#[test]
fn a_code_has_one_exit_status() {
    let mut code = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut code);
    let mut classes = BTreeMap::<&str, BTreeSet<&str>>::new();
    for after in code.split("ExitClass::").skip(1) {
        let (class, rest) = after.split_at(after.find(|c: char| !c.is_ascii_alphanumeric()).unwrap());
        let quoted = rest.strip_prefix(',').and_then(|rest| rest.trim_start().strip_prefix('"'));
        if let Some((found, _)) = quoted.and_then(|rest| rest.split_once('"')) {
            classes.entry(found).or_default().insert(class);
        }
    }
    assert!(classes.len() > 150, "the search finds only {}", classes.len());
    classes.retain(|_, classes| classes.len() > 1);
    assert!(classes.is_empty(), "{classes:?}");
}

/// The codes that a source can give: texts of the form of a code, up to its tests.
fn codes_in(path: &str) -> BTreeSet<String> {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
    };
    let is_file = |code: &str| [".toml", ".db", ".json", ".txt", ".conf"].iter().any(|end| code.ends_with(end));
    let is_code = |text: &&str| text.split_once('.').is_some_and(|(area, what)| is_word(area) && is_word(what));
    let text = read(path);
    let code = text.split("#[cfg(test)]").next().unwrap();
    code.split('"').skip(1).filter(is_code).filter(|code| !is_file(code)).map(str::to_owned).collect()
}

/// Every source of codes that doctor shows whatever they are.
fn codes_of_doctor() -> BTreeSet<String> {
    let mut sources: Vec<String> = ["src/reader/causes.rs", "src/reader/select.rs", "src/config/error.rs"]
        .into_iter()
        .chain(["src/terminal/presence/store/error.rs", "src/failure.rs"])
        .map(str::to_owned)
        .collect();
    let mut folders = vec!["src/doctor".to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(&folder)).unwrap().flatten() {
            let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(path),
                false if path != "src/doctor/tests.rs" => sources.push(path),
                false => {}
            }
        }
    }
    sources.iter().flat_map(|path| codes_in(path)).collect()
}

/// Codes in sources shared with doctor that only other commands report.
const NOT_OF_DOCTOR: [&str; 21] = [
    "crypto.failed",
    "pki.bundle",
    "pki.ca-expired",
    "pki.days",
    "pki.key-taken",
    "pki.no-rotation",
    "pki.no-set",
    "pki.no-set-rotation",
    "pki.not-endorsed",
    "pki.occupied",
    "pki.profile",
    "pki.record-damaged",
    "pki.record-missing",
    "pki.request",
    "pki.rotation-under-way",
    "pki.set-full",
    "pki.set-replaced",
    "pki.terminal-expired",
    "server.cache",
    "server.local",
    "watch.already-running",
];

/// `docs/doctor.md` has every code that doctor gives, once, with cause and remedy, and no other.
#[test]
fn the_page_of_doctor_has_its_codes() {
    let page = read("docs/doctor.md");
    // The table after it says how a test makes each fault.
    let (reference, _) = page.split_once("\n## Made on purpose\n").unwrap();
    let rows: Vec<Vec<_>> = reference
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect())
        .collect();
    let mut told = BTreeSet::new();
    for row in &rows {
        let [code, cause, remedy] = row.as_slice() else { panic!("{row:?}") };
        assert!(!cause.is_empty() && !remedy.is_empty(), "{row:?}");
        assert!(told.insert(code.trim_matches('`').to_owned()), "{code} stands there twice");
    }
    let shared: BTreeSet<_> = ["src/pki/error.rs", "src/pki/pkcs11_error.rs", "src/server_client/error.rs"]
        .into_iter()
        .flat_map(codes_in)
        .collect();
    let all: BTreeSet<_> = codes_of_doctor().union(&shared).cloned().collect();
    let missing: Vec<_> =
        all.iter().filter(|code| !told.contains(*code) && !NOT_OF_DOCTOR.contains(&code.as_str())).collect();
    assert!(missing.is_empty(), "docs/doctor.md lacks {missing:?}");
    let extra: Vec<_> = told.difference(&all).collect();
    assert!(extra.is_empty(), "docs/doctor.md has {extra:?}, and doctor has not");
    let both: Vec<_> = NOT_OF_DOCTOR.iter().filter(|code| told.contains(**code)).collect();
    assert!(both.is_empty(), "{both:?}");
}

#[test]
fn services_that_fail_are_not_started_many_times_a_minute() {
    for name in ["server", "watch"] {
        let unit = read(&format!("scripts/lib/package/rollcall-{name}.service"));
        // systemd before 254 ignores RestartSteps and keeps the first pause.
        assert!(unit.contains("\nRestartSec=10s\nRestartSteps=8\nRestartMaxDelaySec=5min\n"), "{name}");
    }
}
