//! What code and documents cite exists: documents, their sections, and the targets of relative links.
//!
//! A citation has the form `docs/protocol.md, "Section"`. It may continue on the next line, also in a comment.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

/// Folders that contain citations.
const FOLDERS: &[&str] = &[".ci", "applet", "docs", "examples", "scripts", "src", "tests"];

/// Generated files, third-party files, and data.
const LEFT_OUT: &[&str] = &["applet/target", "tests/fuzz/corpus", "tests/fuzz/target", "tests/vectors/wycheproof"];

/// Endings of what is read beside files without any.
const ENDINGS: &[&str] = &["c", "java", "md", "py", "rs", "sh", "toml", "trycmd", "xml"];

/// Documents that are cited with their section, outside of `docs`.
const WITH_SECTION: &[&str] = &["protocol.md", "cli.md"];

/// Names cited in the past that are not documents of this repository.
const GONE: &[&str] = &["DECISIONS", "anchors.md", "fast-tap", "names.md", "virtual-stack"];

/// A file of the repository, by its path from the root.
struct File {
    path: String,
    text: String,
}

impl File {
    fn is_markdown(&self) -> bool {
        self.path.ends_with(".md")
    }

    /// Whether the file reads the documents and names them for that purpose.
    fn reads_documents(&self) -> bool {
        ["tests/citations.rs", "tests/contract.rs"].contains(&self.path.as_str())
    }

    /// The text as one line without comment markers, so that citations broken across lines are joined.
    fn unwrapped(&self) -> String {
        let marks = |line: &str| line.trim_start().trim_start_matches(['/', '*', '#', '!', '>']).trim().to_owned();
        self.text.lines().map(marks).collect::<Vec<_>>().join(" ")
    }

    /// The text without its blocks of code.
    fn prose(&self) -> String {
        let mut inside = false;
        let keep = |line: &&str| {
            let fence = line.trim_start().starts_with("```");
            inside ^= fence;
            !inside && !fence
        };
        self.text.lines().filter(keep).collect::<Vec<_>>().join("\n")
    }

    fn headings(&self) -> BTreeSet<String> {
        let prose = self.prose();
        let headings = prose.lines().filter(|line| line.starts_with('#'));
        headings.map(|line| line.trim_start_matches('#').trim().replace('`', "")).collect()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files() -> Vec<File> {
    let mut found = Vec::new();
    let mut folders: Vec<_> = FOLDERS.iter().map(|folder| root().join(folder)).collect();
    let top = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    found.extend(top.filter(|path| path.is_file() && is_read(path)));
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if LEFT_OUT.iter().any(|out| path == root().join(out)) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if is_read(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    let named = |path: PathBuf| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
    let read = |path: PathBuf| fs::read_to_string(&path).ok().map(|text| File { path: named(path), text });
    found.into_iter().filter_map(read).collect()
}

fn is_read(path: &Path) -> bool {
    path.extension().is_none_or(|ending| ENDINGS.iter().any(|known| ending == *known))
}

type Documents = BTreeMap<String, BTreeSet<String>>;

/// Every Markdown file with its headings.
fn documents(files: &[File]) -> Documents {
    files.iter().filter(|file| file.is_markdown()).map(|file| (file.path.clone(), file.headings())).collect()
}

/// What stands between quotation marks at the beginning of a text.
fn quoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.split_once('"').map(|(inside, _)| inside)
}

/// The citations of documents and sections that lead nowhere, and those without a section.
fn wrong_citations(file: &File, documents: &Documents) -> Vec<String> {
    let text = file.unwrapped();
    let mut wrong = Vec::new();
    for name in WITH_SECTION {
        for (at, _) in text.match_indices(name) {
            let (before, after) = (&text[..at], &text[at + name.len()..]);
            // Another name, or the path of a file that a script copies.
            if before.ends_with(|c: char| c.is_alphanumeric() || c == '-' || c == '_') || before.ends_with("/docs/") {
                continue;
            }
            let whole = before.ends_with("docs/");
            let told = format!("{}: {}", file.path, text[at..].chars().take(60).collect::<String>());
            let section = after.strip_prefix(", ").and_then(quoted);
            match section {
                Some(section) if !documents[&format!("docs/{name}")].contains(section) => {
                    wrong.push(format!("{told}: there is no section {section:?}"));
                }
                Some(_) if whole || file.is_markdown() => {}
                None if file.is_markdown() => {}
                _ => wrong.push(format!("{told}: write docs/{name}, \"Section\"")),
            }
        }
    }
    wrong
}

/// Citations `docs/NAME.md` of documents that do not exist.
fn missing_documents(file: &File) -> Vec<String> {
    let text = file.unwrapped();
    let ends = |c: char| !(c.is_alphanumeric() || "-_./".contains(c));
    let cited = text.match_indices("docs/").map(|(at, _)| text[at..].split(ends).next().unwrap_or_default());
    let documents = cited.filter_map(|path| path.split_once(".md").map(|(stem, _)| format!("{stem}.md")));
    let missing = documents.filter(|path| !root().join(path).is_file());
    missing.map(|path| format!("{}: there is no {path}", file.path)).collect()
}

fn names_of_the_gone(file: &File) -> Vec<String> {
    let gone = GONE.iter().filter(|name| file.text.contains(**name));
    gone.map(|name| format!("{}: {name} is no document of this repository", file.path)).collect()
}

/// `see "Section"` in a document means one of its own.
fn wrong_sections(file: &File, documents: &Documents) -> Vec<String> {
    let text = file.prose().replace('\n', " ");
    let seen =
        ["see \"", "See \""].into_iter().flat_map(|word| text.match_indices(word).map(|(at, word)| at + word.len()));
    let sections: Vec<_> = seen.filter_map(|at| text[at..].split_once('"').map(|(section, _)| section)).collect();
    let missing = sections.into_iter().filter(|section| !documents[&file.path].contains(*section));
    missing.map(|section| format!("{}: it has no section {section:?}", file.path)).collect()
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// `docs/adr/../cli.md` is `docs/cli.md`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain
}

fn wrong_links(file: &File, documents: &Documents) -> Vec<String> {
    let prose = file.prose();
    let targets = prose.match_indices("](").filter_map(|(at, open)| prose[at + open.len()..].split_once(')'));
    let local = targets.map(|(target, _)| target).filter(|target| !target.contains("://"));
    let mut wrong = Vec::new();
    for target in local {
        let (path, section) = target.split_once('#').map_or((target, None), |(path, section)| (path, Some(section)));
        let folder = Path::new(&file.path).parent().unwrap();
        let led = if path.is_empty() { PathBuf::from(&file.path) } else { plain(&folder.join(path)) };
        let headings = documents.get(led.to_str().unwrap());
        let there = headings.is_some() || root().join(&led).exists();
        let known = |section| headings.is_some_and(|all| all.iter().any(|heading| anchor(heading) == section));
        if !there || !section.is_none_or(known) {
            wrong.push(format!("{}: the link to {target} leads nowhere", file.path));
        }
    }
    wrong
}

/// Paths in backquotes, as the documents name files: each is there.
fn wrong_paths(file: &File) -> Vec<String> {
    let prose = file.prose();
    let inside = prose.split('`').skip(1).step_by(2);
    let is_path = |text: &&str| {
        let plain = text.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
        plain && text.split_once('/').is_some_and(|(first, _)| FOLDERS.contains(&first) && first != "examples")
    };
    // Names that stand for any file, and build products.
    let stands_for_any =
        |text: &str| text.chars().any(|c| c.is_uppercase() && !text.contains("README")) || text.contains("target/");
    let named = inside.filter(is_path).filter(|text| !stands_for_any(text) || text.ends_with(".java"));
    let folder = root().join(&file.path).parent().unwrap().to_owned();
    let missing = named.filter(|text| !root().join(text).exists() && !folder.join(text).exists());
    missing.map(|text| format!("{}: there is no {text}", file.path)).collect()
}

fn none(check: impl Fn(&File) -> Vec<String>, of: impl Fn(&File) -> bool) {
    let found: Vec<_> = files().iter().filter(|file| of(file)).flat_map(check).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn citations_lead_to_sections_that_are_there() {
    let documents = documents(&files());
    none(|file| wrong_citations(file, &documents), |file| !file.reads_documents());
    none(missing_documents, |file| !file.reads_documents());
    none(names_of_the_gone, |file| !file.reads_documents());
}

#[test]
fn links_and_sections_of_documents_are_there() {
    let documents = documents(&files());
    none(|file| wrong_links(file, &documents), File::is_markdown);
    none(|file| wrong_sections(file, &documents), File::is_markdown);
}

#[test]
fn paths_in_documents_are_there() {
    none(wrong_paths, |file| file.is_markdown() && file.path != "CHANGELOG.md");
}

/// The checks find what they look for, because a check that looks at nothing would always pass.
#[test]
fn the_checks_see_violations() {
    let files = files();
    let documents = documents(&files);
    assert!(files.len() > 300 && documents.len() > 10, "{} files, {} documents", files.len(), documents.len());
    let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };

    let good =
        file("src/x.rs", "/// See docs/protocol.md,\n    /// \"The handshake\", and docs/cli.md, \"Exit status\".\n");
    assert_eq!(wrong_citations(&good, &documents), Vec::<String>::new());
    for bad in [
        "// protocol.md's table",
        "// (docs/cli.md)",
        "// docs/protocol.md, \"No such section\"",
        "// protocol.md, \"The handshake\"",
    ] {
        assert_eq!(wrong_citations(&file("src/x.rs", bad), &documents).len(), 1, "{bad}");
    }
    assert_eq!(missing_documents(&file("src/x.rs", "// docs/adr/9999-none.md.")).len(), 1);
    assert_eq!(missing_documents(&file("src/x.rs", "// docs/protocol.md.")).len(), 0);
    assert_eq!(names_of_the_gone(&file("src/x.rs", "// DECISIONS 12")).len(), 1);

    let text = "# A b: `c`\n[x](#a-b-c) [y](docs/cli.md#json-objects) [z](https://x.y/z)\n```\n[no](none)\n```\n";
    let here = Documents::from([("R.md".to_owned(), file("R.md", text).headings())]);
    let all: Documents = documents.clone().into_iter().chain(here).collect();
    assert_eq!(wrong_links(&file("R.md", text), &all), Vec::<String>::new());
    let bad = "[x](#no) [y](docs/none.md) [z](docs/cli.md#none) [w](docs/cli.md)";
    assert_eq!(wrong_links(&file("R.md", bad), &all).len(), 3);
    assert_eq!(wrong_sections(&file("R.md", "see \"A b: c\", and see \"D\""), &all).len(), 1);

    let paths = "`src/lib.rs` `src/none.rs` `tests/none/` `src/cli/NAME.rs` `a/b` `src/cli::x`";
    assert_eq!(wrong_paths(&file("R.md", paths)).len(), 2);
}
