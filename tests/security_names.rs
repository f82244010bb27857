//! SECURITY.md names tests for its promises: each of them exists and runs, and no promise is without one.
//!
//! Names are written as they are run: `proof::tests::name` is in the library, `tests/conformance::name` in the
//! integration test of that name, `HandshakeTest#name` in the tests of the applet.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

#[path = "common/files.rs"]
mod files;

use std::{collections::BTreeSet, fs, path::Path};

use files::files;

/// The head of every table of promises.
const HEAD: [&str; 2] = ["promise", "shown by"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What stands before `::name` for a test in this file.
fn prefix(path: &str) -> String {
    let path = path.strip_suffix(".rs").unwrap();
    if let Some(inside) = path.strip_prefix("tests/") {
        return format!("tests/{}", inside.split('/').next().unwrap());
    }
    let module = path.strip_prefix("src/").unwrap();
    let module = module.strip_suffix("/mod").unwrap_or(module).replace('/', "::");
    // A test file is such a module itself; elsewhere the tests are in a module at the end of the file.
    if module.split("::").any(|part| part == "tests") { module } else { format!("{module}::tests") }
}

/// The word after `before` in a line, as far as a name goes.
fn word_after<'a>(line: &'a str, before: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(before)?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    (end > 0).then(|| &rest[..end])
}

/// The functions with `#[test]`, and without `#[ignore]`.
fn functions(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut marked, mut ignored) = (false, false);
    for line in text.lines().map(str::trim_start) {
        marked |= line == "#[test]";
        ignored |= line.starts_with("#[ignore");
        if line.starts_with("fn ") {
            found.extend(word_after(line, "fn ").filter(|_| marked && !ignored).map(str::to_owned));
            (marked, ignored) = (false, false);
        }
    }
    found
}

/// The cases of a test with its own `main`: `case!(EachCard, name);`.
fn cases(text: &str) -> Vec<String> {
    let registered = text.lines().filter_map(|line| line.strip_prefix("case!(")?.strip_suffix(");"));
    registered.filter_map(|case| word_after(case, ", ").map(str::to_owned)).collect()
}

/// The methods with `@Test`, and without `@Disabled`.
fn methods(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut marked, mut disabled) = (false, false);
    for line in text.lines().map(str::trim_start) {
        marked |= line.starts_with("@Test") || line.starts_with("@ParameterizedTest");
        disabled |= line.starts_with("@Disabled");
        if let Some(name) = word_after(line, "void ") {
            found.extend(Some(name).filter(|_| marked && !disabled).map(str::to_owned));
            (marked, disabled) = (false, false);
        }
    }
    found
}

/// Every test of the repository, by its name as SECURITY.md writes it.
fn tests() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (path, text) in files("src", "rs").into_iter().chain(files("tests", "rs")) {
        let mut names = functions(&text);
        if path.starts_with("tests/") && path != file!() {
            names.extend(cases(&text));
        }
        all.extend(names.iter().map(|name| format!("{}::{name}", prefix(&path))));
    }
    for (path, text) in files("applet/src/test/java", "java") {
        let class = Path::new(&path).file_stem().unwrap().to_str().unwrap().to_owned();
        all.extend(methods(&text).iter().map(|name| format!("{class}#{name}")));
    }
    all
}

/// The rows of all tables of promises: what is promised, and the names behind it.
fn promises(text: &str) -> Vec<(String, Vec<String>)> {
    let mut rows = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let Some(row) = line.strip_prefix("| ").and_then(|l| l.strip_suffix(" |")) else {
            inside = false;
            continue;
        };
        let cells: Vec<_> = row.split(" | ").map(str::trim).collect();
        if cells == HEAD {
            inside = true;
        } else if inside && !row.starts_with("---") {
            let names = cells.last().unwrap().split('`').skip(1).step_by(2).map(str::to_owned);
            rows.push((cells[0].to_owned(), names.collect()));
        }
    }
    rows
}

/// The faults of a text, given these tests.
fn faults(text: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    for (promise, names) in promises(text) {
        if names.is_empty() {
            found.push(format!("no test shows: {promise}"));
        }
        let missing = names.iter().filter(|name| !tests.contains(*name));
        found.extend(missing.map(|name| format!("there is no test {name}, for: {promise}")));
    }
    // Names in running text are allowed too, and must be right as well.
    let spans = text.lines().filter(|line| !line.starts_with('|')).flat_map(|l| l.split('`').skip(1).step_by(2));
    let named = spans.filter(|span| span.contains("::") || span.contains("Test#"));
    found.extend(named.filter(|span| !tests.contains(*span)).map(|span| format!("there is no test {span}")));
    found
}

/// The table of faults of docs/doctor.md: each is expected by a test of `tests/pcsc/doctor` or `tests/pcsc/ccid`.
#[test]
fn every_fault_of_the_table_is_made_by_a_test() {
    let page = fs::read_to_string(root().join("docs/doctor.md")).unwrap();
    let (_, section) = page.split_once("\n## Made on purpose\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let codes: Vec<_> = section.lines().filter_map(|l| l.strip_prefix("| `")?.split('`').next()).collect();
    assert!(codes.len() >= 25, "{codes:?}");
    let files = ["tests/pcsc/doctor", "tests/pcsc/ccid"].into_iter().flat_map(|folder| files(folder, "rs"));
    let tests: String = files.map(|(_, text)| text).collect();
    let missing: Vec<_> = codes.iter().filter(|code| !tests.contains(&format!("\"{code}\""))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_promise_has_its_tests() {
    let text = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let found = faults(&text, &tests());
    assert!(found.is_empty(), "SECURITY.md:\n{}", found.join("\n"));
    let promises = promises(&text);
    let names: BTreeSet<_> = promises.iter().flat_map(|(_, names)| names).collect();
    assert!(promises.len() >= 20, "the tables of promises were not found");
    println!("{} promises, shown by {} tests", promises.len(), names.len());
}

/// Guards against a search that finds everything, or nothing, and so always passes.
#[test]
fn missing_names_are_found() {
    let rust = "    #[test]\n    fn one() {}\n#[test]\n#[ignore = \"slow\"]\nfn two() {}\nfn three() {}\n";
    assert_eq!(functions(rust), ["one"]);
    assert_eq!(cases("case!(EachCard, a);\n/// Says.\nfn a(kind: &str) {}\n// case!(Once, b);\nfn c() {}\n"), ["a"]);
    let java = "    @Test\n    void one() {\n    }\n    @Test\n    @Disabled\n    void two() {\n    void three() {\n";
    assert_eq!(methods(java), ["one"]);

    let places =
        ["src/card/tlv.rs", "src/cli/mod.rs", "src/proof/tests.rs", "src/x/tests/walk.rs", "src/x/tests/mod.rs"];
    let expected = ["card::tlv::tests", "cli::tests", "proof::tests", "x::tests::walk", "x::tests"];
    assert_eq!(places.map(prefix), expected);
    assert_eq!(["tests/cmd.rs", "tests/pcsc/main.rs"].map(prefix), ["tests/cmd", "tests/pcsc"]);

    let tests = BTreeSet::from(["tests/cmd::cases".to_owned(), "ATest#a".to_owned()]);
    let table = |rows: &str| format!("text\n| promise | shown by |\n| --- | --- |\n{rows}\n");
    assert_eq!(faults(&table("| p | `tests/cmd::cases`, `ATest#a` |"), &tests).len(), 0);
    assert_eq!(faults(&table("| p | `tests/cmd::cases`, `ATest#b` |"), &tests).len(), 1);
    assert_eq!(faults(&table("| p | by nature |"), &tests).len(), 1);
    assert_eq!(faults("| attacker | may |\n| --- | --- |\n| p | all |\n", &tests).len(), 0);
    assert_eq!(faults("see `tests/cmd::cases` and `card::tests::none`, with `--yes`\n", &tests).len(), 1);
}
