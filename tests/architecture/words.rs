//! What code may contain where: crates, printing, panics, and the use of keys.

use crate::source::{Crate, Source};

/// The only importers of a crate, by the beginning of the path of the file.
const CRATES: &[(&str, &[&str])] = &[
    ("pcsc", &["src/reader/pcsc"]),
    ("iso7816_tlv", &["src/card/tlv.rs"]),
    ("cryptoki", &["src/pki/pkcs11"]),
    ("openssl", &["src/board/tls.rs", "src/crypto", "src/server/tls", "src/server_client/tls"]),
    ("rusqlite", &["src/server/store/sqlite", "src/terminal/presence/store", "src/terminal/lookups/store"]),
    ("axum", &["src/server"]),
    ("hyper", &["src/board", "src/server/listen"]),
    ("hyper_util", &["src/board/listen.rs", "src/server/listen.rs"]),
    ("prometheus_client", &["src/server/metrics.rs"]),
    ("sqlx", &["src/server"]),
    ("tokio", &["src/board", "src/server", "src/cli/server/run.rs"]),
    ("tokio_openssl", &["src/board/tls.rs", "src/server/tls.rs"]),
    ("ureq", &["src/server_client"]),
    ("clap", &["src/cli", "src/config"]),
    ("clap_complete", &["src/cli"]),
    ("indicatif", &["src/cli"]),
    ("csv", &["src/cli", "src/terminal/scan/record_file.rs", "src/terminal/user_csv"]),
    ("encoding_rs", &["src/terminal/user_csv/encoding.rs"]),
    ("signal_hook", &["src/cli"]),
    ("tar", &["src/doctor/bundle.rs"]),
    ("toml", &["src/config"]),
];

const PRINTING: &[&str] = &["println!", "eprintln!", "print!", "eprint!", "dbg!", "stdout()", "stderr()"];

const PANICKING: &[&str] = &[".unwrap()", ".expect(", "panic!(", "unreachable!(", "todo!(", "unimplemented!("];

/// Lines of code that hold a word, and not as a part of a longer one.
fn lines_with<'a>(source: &'a Source, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let holds = move |line: &String| {
        line.match_indices(word).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            word.starts_with('.') || !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '.')
        })
    };
    source.code.iter().enumerate().filter(move |(_, line)| holds(line)).map(|(at, _)| at)
}

fn misplaced_crates(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (name, places) in CRATES {
        if places.iter().any(|place| source.path.starts_with(place)) {
            continue;
        }
        let inline = format!("{name}::");
        let (used, absolute) = (format!("use {inline}"), format!("::{inline}"));
        let imports = |line: &str| {
            let line = line.trim_start();
            line.starts_with(&used)
                || line.starts_with(&format!("use {name};"))
                || line.contains(&format!(" {absolute}"))
        };
        // Where a module of ours has the name of the crate, only an import tells.
        let is_ours = source.path.starts_with("src/reader/")
            || source.paths().iter().any(|path| path.len() > 1 && path.last().is_some_and(|last| last == name));
        let inline_counts = *name != "pcsc" || !is_ours;
        let by_path = || lines_with(source, &inline).any(|at| !in_use_group(source, at));
        if source.code.iter().any(|l| imports(l)) || (inline_counts && by_path()) {
            found.push(format!("{}: uses the crate {name}", source.path));
        }
    }
    found
}

/// Whether a line stands inside of `use crate::{ … }` that goes over several lines: what it names is ours.
fn in_use_group(source: &Source, at: usize) -> bool {
    let opening = source.code[..at].iter().rev().find(|line| !line.starts_with(' ') && !line.is_empty());
    opening.is_some_and(|line| line.starts_with("use ") && line.ends_with('{'))
}

fn printing(source: &Source) -> Vec<String> {
    if source.layer() == "cli" {
        return Vec::new();
    }
    let prints = PRINTING.iter().filter(|word| {
        lines_with(source, word).next().is_some() || source.code.iter().any(|l| l.contains(&format!("io::{word}")))
    });
    prints.map(|word| format!("{}: {word} outside of cli", source.path)).collect()
}

fn panics(source: &Source) -> Vec<String> {
    let explained =
        |at: usize| source.lines[at.saturating_sub(2)..=at].iter().any(|line| line.contains("// invariant"));
    let panicking = PANICKING.iter().flat_map(|word| lines_with(source, word).map(move |at| (word, at)));
    let unexplained = panicking.filter(|(_, at)| !explained(*at));
    unexplained.map(|(word, at)| format!("{}:{}: {word} without an // invariant", source.path, at + 1)).collect()
}

fn none(check: impl Fn(&Source) -> Vec<String>) {
    let found: Vec<_> = Crate::read().sources.iter().flat_map(check).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn only_cli_prints() {
    none(printing);
}

#[test]
fn each_crate_is_used_where_it_belongs() {
    none(misplaced_crates);
}

#[test]
fn nothing_panics_without_saying_why_it_cannot() {
    none(panics);
}

/// Who may say in the place of keys whether a receipt, a MAC or a signature held: the replay of a trace; the others
/// hand on what the link below them says, and that of a card says nothing.
const VOUCHING: &[&str] = &["src/card/link.rs", "src/card/meter.rs", "src/card/trace/"];

fn vouching(source: &Source) -> Vec<String> {
    let free = VOUCHING.iter().any(|place| source.path.starts_with(place));
    let defined = lines_with(source, "fn recorded(").filter(|_| !free);
    let played = lines_with(source, "Replay::new(").filter(|_| !free && source.path != "src/terminal/tap/replay.rs");
    let name = |at: usize| format!("{}:{}: {}", source.path, at + 1, source.lines[at]);
    defined.chain(played).map(name).collect()
}

#[test]
fn only_a_replay_speaks_for_keys() {
    none(vouching);
    assert_eq!(vouching(&Source::new("src/reader/pcsc/card.rs", "    fn recorded(&mut self) {}\n")).len(), 1);
    assert_eq!(vouching(&Source::new("src/tap/terminal.rs", "let link = Replay::new(records);\n")).len(), 1);
}

/// Guards against a check that looks at nothing and so always passes.
#[test]
fn misplaced_words_are_seen() {
    let source = |path, text: &str| Source::new(path, text);
    let spoiled = ["use pcsc::Context;\n", "fn f() { pcsc::Context::establish() }\n", "    use rusqlite::Row;\n"];
    assert!(spoiled.iter().all(|text| misplaced_crates(&source("src/tap/x.rs", text)).len() == 1));
    let ours = [
        "use crate::reader::{self, pcsc};\nfn f() { pcsc::list() }\n",
        "use crate::reader::pcsc::Card;\n",
        "fn f() { reader::pcsc::list() }\n",
        "use crate::{\n    pcsc::Card,\n};\n",
    ];
    assert!(ours.iter().all(|text| misplaced_crates(&source("src/tap/x.rs", text)).is_empty()));
    assert!(misplaced_crates(&source("src/reader/pcsc/x.rs", spoiled[0])).is_empty());

    assert_eq!(printing(&source("src/tap/x.rs", "    println!(\"\");\n    io::stdout().lock();\n")).len(), 2);
    assert_eq!(printing(&source("src/cli/x.rs", "    println!(\"\");\n")).len(), 0);

    assert_eq!(panics(&source("src/tap/x.rs", "    x\n        .unwrap()\n")).len(), 1);
    assert_eq!(panics(&source("src/tap/x.rs", "    // invariant: never empty\n    x.unwrap()\n")).len(), 0);
    assert_eq!(panics(&source("src/tap/x.rs", "    x.unwrap_or(1); messaging.unwrap(&r);\n")).len(), 0);
}
