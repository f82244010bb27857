//! What users read is plain English: phrases that once crept in do not come back.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "common/files.rs"]
mod files;
#[path = "common/turns.rs"]
mod turns;

use std::fs;

use files::files;
use turns::turns;

/// The texts in quotation marks of a source up to its tests, and the doc comments that become the help.
fn texts(source: &str, is_help: bool) -> Vec<String> {
    let code = source.split("#[cfg(test)]").next().unwrap();
    // A text may continue on the next line.
    let joined = code.replace("\\\n", " ");
    let mut found: Vec<String> = Vec::new();
    for line in joined.lines() {
        match line.trim_start() {
            help if help.starts_with("/// ") => found.extend(is_help.then(|| help.to_owned())),
            comment if comment.starts_with("//") => {}
            code => found.extend(code.split('"').skip(1).step_by(2).map(str::to_owned)),
        }
    }
    found
}

/// What a script prints with `--help`: the text of its `usage`.
fn help_of(script: &str) -> String {
    let of = |word: &str| {
        let (_, rest) = script.split_once(&format!("<<'{word}'\n"))?;
        Some(rest.split_once(&format!("\n{word}\n"))?.0.to_owned())
    };
    of("END").or_else(|| of("USAGE")).unwrap_or_default()
}

/// A page without text in backticks within a line: names of tests and keys are not prose.
fn prose(page: &str) -> String {
    page.lines().map(|line| line.split('`').step_by(2).collect::<Vec<_>>().join(" ` ") + "\n").collect()
}

#[test]
fn no_banned_turn_stands_in_what_users_read() {
    let mut found = Vec::new();
    let mut read = 0;
    for (name, source) in files("src", "rs").into_iter().filter(|(name, _)| !name.contains("/tests")) {
        for text in texts(&source, name.starts_with("src/cli/args") || name == "src/cli/server/args.rs") {
            read += 1;
            found.extend(turns(&text).into_iter().map(|turn| format!("{name}: {turn:?} in {text:?}")));
        }
    }
    let pages = [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "docs/operating.md",
        "docs/scripting.md",
        "docs/scaling.md",
        "docs/spreadsheets.md",
        "docs/testing.md",
        "docs/doctor.md",
        "docs/hardware.md",
        "docs/board.md",
        "docs/privacy.md",
        // In two pieces, because otherwise each would be taken for a citation without a section.
        concat!("docs/cli", ".md"),
        concat!("docs/protocol", ".md"),
        "docs/interop.md",
        "docs/proof.md",
        "SECURITY.md",
        "applet/README.md",
        "applet/machine/README.md",
        "scripts/lib/package/README.Debian",
        "src/board/page/texts/en.json",
        "src/board/page/index.html",
    ];
    for page in pages {
        // A phrase may continue on the next line.
        let text = prose(&fs::read_to_string(page).unwrap());
        read += text.lines().count();
        found.extend(turns(&text).into_iter().map(|turn| format!("{page}: {turn:?}")));
    }
    let mut scripts = 0;
    for script in fs::read_dir("scripts").unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        // It has no --help: its usage is in its header comment.
        if script.ends_with("setup") {
            continue;
        }
        scripts += 1;
        let help = help_of(&fs::read_to_string(&script).unwrap());
        assert!(!help.is_empty(), "{}: its help was not found", script.display());
        found.extend(turns(&help).into_iter().map(|turn| format!("{}: {turn:?}", script.display())));
    }
    assert!(scripts > 8, "{scripts} scripts: they were not found");
    assert!(read > 3000, "{read} texts: they were not found");
    assert!(found.is_empty(), "{} banned turns:\n{}", found.len(), found.join("\n"));
}

#[test]
fn a_banned_turn_is_found() {
    assert_eq!(turns("whether it\n is told, and Anew."), ["is told", "anew"]);
    assert!(turns("renewal of nowhere: retold, a canewood").is_empty());
    for text in ["is no TOML", "{:?} is no language tag", "and `false` is no bound.", "keys that are no AES keys"] {
        assert_eq!(turns(text), ["is no …"], "{text}");
    }
    assert!(
        turns("there is no such user; it is no longer here; the answer is no or some failed; no card is ` , no reader")
            .is_empty()
    );
    let source = "/// is told\n// is told\nlet a = \"it is no\"; // be told\n#[cfg(test)]\nlet b = \"anew\";\n";
    assert_eq!(texts(source, false), ["it is no"]);
    assert_eq!(texts(source, true).len(), 2);
    assert_eq!(turns(&prose("a `written_anew` log is\ntold, `anew`\n")), ["is told"]);
    assert_eq!(help_of("x\n    cat <<'END'\nUsage: anew\nEND\n}\n"), "Usage: anew");
}
