//! Modules import only from those below them in the table of the crate's documentation.

use std::collections::BTreeSet;

use crate::{
    files::files,
    source::{Crate, Source},
};

/// Modules that use less than all that stands below them, and what they use: beginnings of paths. The last row of the
/// map is open to all. A permission that nobody uses any more fails the test, and goes.
const NARROW: &[(&str, &[&str])] = &[
    ("card", &[]),
    ("crypto", &[]),
    ("proof", &["crypto"]),
    ("channel", &["crypto", "card::apdu", "card::status", "card::tlv"]),
    ("reader", &["card::link", "card::t0", "card::trace"]),
    ("token", &["api", "channel", "card", "crypto", "proof"]),
    ("pki", &["crypto"]),
    ("emulator", &["channel", "card", "crypto", "proof", "token::constants"]),
    ("server_client", &["api", "crypto"]),
    ("server", &["api", "proof", "pki", "crypto"]),
    ("board", &["api", "terminal::presence", "crypto"]),
    ("terminal", &["api", "server_client", "token", "reader", "pki", "channel", "card", "crypto"]),
    (
        "config",
        &[
            "terminal::presence",
            "token::resume",
            "reader::feedback",
            "reader::name",
            "reader::select",
            "pki::pkcs11",
            "server_client",
        ],
    ),
];

/// The rows of the map, from the top down: the modules that each names.
fn map(lib: &str) -> Vec<Vec<String>> {
    let mut rows = lib.lines().skip_while(|line| !line.starts_with("//! | module |")).skip(2);
    let mut map = Vec::new();
    while let Some(row) = rows.next().and_then(|line| line.strip_prefix("//! | ")) {
        let cell = row.split(" | ").next().unwrap();
        map.push(cell.split('`').skip(1).step_by(2).map(str::to_owned).collect());
    }
    map
}

/// The modules that the crate has.
fn declared(lib: &str) -> Vec<String> {
    lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).map(str::to_owned).collect()
}

/// `imports` as a path below `prefix`, or it itself.
fn below(path: &[String], prefix: &str) -> bool {
    let prefix: Vec<_> = prefix.split("::").collect();
    path.len() >= prefix.len() && path.iter().zip(prefix).all(|(one, other)| one == other)
}

struct Rules<'a> {
    map: Vec<Vec<String>>,
    narrow: &'a [(&'a str, &'a [&'a str])],
}

impl Rules<'_> {
    fn row(&self, module: &str) -> Option<usize> {
        self.map.iter().position(|row| row.iter().any(|name| name == module))
    }

    /// The forbidden imports of a file. Records each permission that was needed.
    fn faults(&self, source: &Source, used: &mut BTreeSet<String>) -> Vec<String> {
        let layer = source.layer();
        let mut faults = Vec::new();
        // The root declares the others, and the program stands above them all.
        let Some(row) = self.row(&layer) else { return faults };
        let narrow = self.narrow.iter().find(|(who, _)| *who == layer).map(|(_, may)| may);
        for path in source.paths().into_iter().filter(|path| path.first().is_some_and(|first| *first != layer)) {
            let Some(other) = self.row(&path[0]) else { continue };
            let written = path.join("::");
            if other <= row {
                faults.push(format!("{}: {layer} does not stand above {written}", source.path));
            } else if let Some(may) = narrow.filter(|_| other + 1 < self.map.len()) {
                match may.iter().find(|what| below(&path, what)) {
                    Some(what) => drop(used.insert(format!("{layer} -> {what}"))),
                    None => faults.push(format!("{}: {layer} does without {written}", source.path)),
                }
            }
        }
        faults
    }

    /// All permissions.
    fn permissions(&self) -> BTreeSet<String> {
        self.narrow.iter().flat_map(|(who, may)| may.iter().map(move |what| format!("{who} -> {what}"))).collect()
    }
}

#[test]
fn the_map_names_every_module_once() {
    let lib = lib();
    let mut named = map(&lib).concat();
    assert!(named.len() > 10, "the map was not found");
    named.sort();
    let mut declared = declared(&lib);
    declared.sort();
    assert_eq!(named, declared);
}

#[test]
fn imports_go_downwards_only() {
    let rules = Rules { map: map(&lib()), narrow: NARROW };
    assert!(NARROW.iter().all(|(who, _)| rules.row(who).is_some()), "a module that is not on the map");
    let mut used = BTreeSet::new();
    let all = Crate::read();
    for source in &all.sources {
        let layer = source.layer();
        assert!(
            layer.is_empty() || layer == "main" || rules.row(&layer).is_some(),
            "{} is not on the map",
            source.path
        );
    }
    let faults: Vec<_> = all.sources.iter().flat_map(|source| rules.faults(source, &mut used)).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    let unused: Vec<_> = rules.permissions().difference(&used).cloned().collect();
    assert!(unused.is_empty(), "permissions that nobody uses:\n{}", unused.join("\n"));
}

fn lib() -> String {
    files("src", "rs").into_iter().find(|(path, _)| path == "src/lib.rs").unwrap().1
}

#[test]
fn imports_that_go_upwards_are_seen() {
    let lib = "//! | module | what it is |\n//! | --- | --- |\n//! | [`a`] | top |\n//! | [`b`], [`c`] | two |\n\
               //! | [`d`] | not [`a`] |\n//! | [`e`] | base |\n//!\npub mod a;\npub mod b;\n";
    assert_eq!(map(lib), [vec!["a"], vec!["b", "c"], vec!["d"], vec!["e"]]);
    assert_eq!(declared(lib), ["a", "b"]);

    let rules = Rules { map: map(lib), narrow: &[("b", &["d::x", "d::y"])] };
    let mut used = BTreeSet::new();
    let mut faults = |path: &str, text: &str| rules.faults(&Source::new(path, text), &mut used).len();
    assert_eq!(faults("src/a/x.rs", "use crate::{b::B, d::{D, x}};\n"), 0);
    assert_eq!(faults("src/b.rs", "use crate::{a::A, b::B, c::C};\n"), 2);
    assert_eq!(faults("src/b.rs", "use crate::{d::{x::X, z::Z}, e::E};\n"), 1);
    assert_eq!(faults("src/d/e.rs", "use super::super::c::C;\n"), 1);
    assert_eq!(faults("src/e.rs", "fn f() { crate::d::D }\n"), 1);
    assert_eq!(faults("src/lib.rs", "use crate::a::A;\n"), 0);
    assert_eq!(rules.permissions().difference(&used).collect::<Vec<_>>(), ["b -> d::y"]);
}
