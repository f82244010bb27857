//! The shape of the code, checked: who may import whom, who prints, which crate is used where, and what may panic.
//!
//! It reads the text of `src/`. Test modules are left out: they may use everything.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::fs;
use std::path::{Path, PathBuf};

/// What each layer may import of the others, by the beginning of the path. `failure`, `files` and `api` are below
/// everything, each layer may import itself, and `cli` may import everything.
const LAYERS: &[(&str, &[&str])] = &[
    ("failure", &[]),
    ("files", &[]),
    ("api", &[]),
    ("card", &[]),
    ("crypto", &[]),
    ("channel", &["crypto", "card::apdu", "card::status", "card::tlv"]),
    ("proof", &["crypto"]),
    ("pki", &["crypto"]),
    ("reader", &["card::link", "card::trace"]),
    ("token", &["channel", "card", "crypto", "proof"]),
    ("emulator", &["channel", "card", "crypto", "proof", "token::constants"]),
    ("server_client", &["crypto"]),
    ("terminal", &["server_client", "token", "reader", "pki", "channel", "card", "crypto"]),
    ("config", &["terminal::presence", "reader::select", "pki::pkcs11"]),
    ("server", &["config", "proof", "pki", "crypto"]),
    (
        "doctor",
        &[
            "terminal",
            "server_client",
            "token",
            "emulator",
            "reader",
            "pki",
            "proof",
            "channel",
            "card",
            "crypto",
            "config",
            "server",
        ],
    ),
];

const BELOW_EVERYTHING: &[&str] = &["failure", "files", "api"];

/// The only importers of a crate, by the beginning of the path of the file.
const CRATES: &[(&str, &[&str])] = &[
    ("pcsc", &["src/reader/pcsc"]),
    ("iso7816_tlv", &["src/card/tlv.rs"]),
    ("cryptoki", &["src/pki/pkcs11.rs"]),
    ("openssl", &["src/crypto", "src/server/tls", "src/server_client/tls"]),
    ("rusqlite", &["src/terminal/presence/store", "src/terminal/lookups/store"]),
    ("axum", &["src/server"]),
    ("hyper", &["src/server/listen.rs"]),
    ("hyper_util", &["src/server/listen.rs"]),
    ("prometheus_client", &["src/server/metrics.rs"]),
    ("sqlx", &["src/server"]),
    ("tokio", &["src/server", "src/cli/server/run.rs"]),
    ("tokio_openssl", &["src/server/tls.rs"]),
    ("ureq", &["src/server_client"]),
    ("clap", &["src/cli", "src/config"]),
    ("clap_complete", &["src/cli"]),
    ("clap_mangen", &["src/cli"]),
    ("indicatif", &["src/cli"]),
    ("csv", &["src/cli"]),
    ("signal_hook", &["src/cli"]),
    ("tar", &["src/doctor/bundle.rs"]),
    ("toml", &["src/config"]),
];

const PRINTING: &[&str] = &["println!", "eprintln!", "print!", "eprint!", "dbg!", "stdout()", "stderr()"];

const PANICKING: &[&str] = &[".unwrap()", ".expect(", "panic!(", "unreachable!(", "todo!(", "unimplemented!("];

/// A file of `src/`, without comments and test modules.
struct Source {
    /// `src/card/tlv.rs`
    path: String,
    /// As it is written, line by line.
    lines: Vec<String>,
    /// The same lines; those of comments and test modules are empty.
    code: Vec<String>,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        let mut code = lines.clone();
        let mut inside_tests = false;
        for at in 0..code.len() {
            if lines[at].starts_with("mod tests {") && at > 0 && lines[at - 1] == "#[cfg(test)]" {
                inside_tests = true;
            }
            let ends = inside_tests && lines[at] == "}";
            if inside_tests || lines[at].trim_start().starts_with("//") {
                code[at].clear();
            }
            inside_tests &= !ends;
        }
        Self { path: path.to_owned(), lines, code }
    }

    /// `card` for `src/card/tlv.rs`, `proof` for `src/proof.rs`.
    fn layer(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap();
        inside.split_once('/').map_or_else(|| inside.strip_suffix(".rs").unwrap(), |(layer, _)| layer)
    }

    /// Every path that begins with `crate::`, without `crate::`, groups written out.
    fn imports(&self) -> Vec<String> {
        let text = self.code.join("\n");
        let mut paths = Vec::new();
        for (at, _) in text.match_indices("crate::") {
            let mut rest = &text[at + "crate::".len()..];
            expand("", &mut rest, &mut paths);
        }
        paths
    }
}

/// Reads one tree of paths, `a::{b, c::d}`, from the beginning of `rest`.
fn expand(before: &str, rest: &mut &str, paths: &mut Vec<String>) {
    let mut path = before.to_owned();
    loop {
        *rest = rest.trim_start();
        if let Some(inside) = rest.strip_prefix('{') {
            *rest = inside.trim_start();
            while !rest.starts_with('}') {
                expand(&path, rest, paths);
                *rest = rest.trim_start().trim_start_matches(',').trim_start();
            }
            *rest = &rest[1..];
            return;
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '*').unwrap_or(rest.len());
        path.push_str(&rest[..end]);
        *rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(further) => {
                *rest = further;
                path.push_str("::");
            }
            None => break,
        }
    }
    // `x as y`
    let end = rest.find([',', '}', ';', '\n', '(', ')', '<', '>']).unwrap_or(rest.len());
    *rest = &rest[end..];
    paths.push(path.strip_suffix("::self").unwrap_or(&path).to_owned());
}

fn sources() -> Vec<Source> {
    fn visit(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, files);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    visit(&root.join("src"), &mut files);
    files.sort();
    let name = |file: &PathBuf| file.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    let is_test = |name: &str| name.ends_with("/tests.rs") || name.contains("/tests/");
    files
        .iter()
        .map(|f| (name(f), f))
        .filter(|(n, _)| !is_test(n))
        .map(|(n, f)| Source::new(&n, &fs::read_to_string(f).unwrap()))
        .collect()
}

/// Whether `path` is `prefix` or lies below it.
fn below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn may_import(layer: &str, path: &str) -> bool {
    if layer == "cli" || layer == "main" || below(path, layer) {
        return true;
    }
    let base = !BELOW_EVERYTHING.contains(&layer) && BELOW_EVERYTHING.iter().any(|b| below(path, b));
    let listed =
        LAYERS.iter().find(|(name, _)| *name == layer).is_some_and(|(_, may)| may.iter().any(|p| below(path, p)));
    base || listed
}

fn foreign_imports(source: &Source) -> Vec<String> {
    let layer = source.layer();
    let not_allowed = source.imports().into_iter().filter(|path| !may_import(layer, path));
    not_allowed.map(|path| format!("{}: {layer} may not import {path}", source.path)).collect()
}

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
        let ours = format!("::{name}");
        let is_ours = source.path.starts_with("src/reader/") || source.imports().iter().any(|i| i.ends_with(&ours));
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
    let found: Vec<_> = sources().iter().flat_map(check).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn imports_go_downwards_only() {
    let known =
        |layer: &str| layer == "cli" || layer == "main" || layer == "lib" || LAYERS.iter().any(|(l, _)| *l == layer);
    for source in sources() {
        assert!(known(source.layer()), "{} belongs to no layer that this test knows", source.path);
    }
    none(foreign_imports);
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

#[test]
fn the_binary_is_thin() {
    let main = sources().into_iter().find(|s| s.path == "src/main.rs").unwrap();
    assert!(main.lines.len() <= 30);
}

/// Who may say in the place of keys whether a receipt, a MAC or a signature held: the replay of a trace; the others hand
/// on what the link below them says, and that of a card says nothing.
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

/// The checks find what they look for: a check that looks at nothing would pass for ever.
#[test]
fn the_checks_see_violations() {
    let source = |path, text: &str| Source::new(path, text);
    let text = "use crate::{\n    card::{apdu::Command, link as l},\n    crypto,\n};\nfn f() { crate::cli::run() }\n";
    let imports = source("src/channel/x.rs", text).imports();
    assert_eq!(imports, ["card::apdu::Command", "card::link", "crypto", "cli::run"]);
    assert_eq!(foreign_imports(&source("src/channel/x.rs", text)).len(), 2);
    assert_eq!(foreign_imports(&source("src/cli/x.rs", text)).len(), 0);
    assert_eq!(foreign_imports(&source("src/failure.rs", "use crate::api::User;\n")).len(), 1);
    let tested = "#[cfg(test)]\nmod tests {\n    use crate::cli;\n    fn f() {\n        x.unwrap();\n    }\n}\n";
    assert_eq!(foreign_imports(&source("src/card/x.rs", tested)).len(), 0);
    assert_eq!(foreign_imports(&source("src/card/x.rs", &format!("{tested}use crate::cli;\n"))).len(), 1);
    assert_eq!(foreign_imports(&source("src/card/x.rs", "// crate::cli\n")).len(), 0);

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
