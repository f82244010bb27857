//! The text of `src/` as the checks read it: without comments and test modules, with every path made absolute.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use crate::files::files;

/// A path of modules and items from the root of the crate: `["card", "tlv", "Reader"]`.
pub type Names = Vec<String>;

/// A file of `src/`, without comments and test modules.
pub struct Source {
    /// `src/card/tlv.rs`
    pub path: String,
    /// As it is written, line by line.
    pub lines: Vec<String>,
    /// The same lines; those of comments and test modules are empty.
    pub code: Vec<String>,
}

/// What a `use` brings into a module: a name, or all names of a module.
struct Import {
    /// `*` for all.
    name: String,
    path: Names,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
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

    /// `["card", "tlv"]` for `src/card/tlv.rs`, `["card"]` for `src/card/mod.rs`, nothing for `src/lib.rs`.
    pub fn module(&self) -> Names {
        let inside = self.path.strip_prefix("src/").unwrap().strip_suffix(".rs").unwrap();
        let names = inside.strip_suffix("/mod").unwrap_or(inside).split('/');
        names.filter(|name| *name != "lib").map(str::to_owned).collect()
    }

    /// The module below the root that this file belongs to; empty for `src/lib.rs`.
    pub fn layer(&self) -> String {
        self.module().into_iter().next().unwrap_or_default()
    }

    /// Every path in the code that begins with `crate`, `super` or `self`, from the root and with groups written out.
    pub fn paths(&self) -> Vec<Names> {
        let text = self.code.join("\n");
        let mut leaves = Vec::new();
        for start in ["crate::", "super::", "self::"] {
            for (at, _) in text.match_indices(start) {
                let before = text[..at].chars().next_back();
                if !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                    tree(&[], &mut &text[at..], &mut leaves);
                }
            }
        }
        leaves.into_iter().filter_map(|(path, _)| self.absolute(path)).collect()
    }

    /// What its `use` declarations bring in from this crate; `children` are the modules below this one.
    fn imports(&self, children: &BTreeSet<String>) -> Vec<Import> {
        let text = self.code.join("\n");
        let mut leaves = Vec::new();
        for (at, _) in text.match_indices("use ") {
            let line = text[..at].rsplit('\n').next().unwrap_or_default();
            if line.is_empty() || (line.starts_with("pub") && line.ends_with(' ')) {
                tree(&[], &mut &text[at + "use ".len()..], &mut leaves);
            }
        }
        let local = leaves.into_iter().filter_map(|(path, name)| {
            let relative = path.first().is_some_and(|first| children.contains(first));
            let path = if relative { Some([self.module(), path].concat()) } else { self.absolute(path) };
            path.map(|path| Import { name, path })
        });
        local.collect()
    }

    fn absolute(&self, path: Names) -> Option<Names> {
        let mut at = match path.first()?.as_str() {
            "crate" => Names::new(),
            "super" | "self" => self.module(),
            _ => return None,
        };
        let mut rest = path.into_iter().skip_while(|name| matches!(name.as_str(), "crate" | "self")).peekable();
        while rest.next_if(|name| name == "super").is_some() {
            at.pop();
        }
        at.extend(rest);
        Some(at)
    }
}

/// Reads one tree of paths, `a::{b, c::d as e}`, from the beginning of `rest`: every path, and the name that it gets.
fn tree(before: &[String], rest: &mut &str, leaves: &mut Vec<(Names, String)>) {
    let mut path = before.to_vec();
    loop {
        *rest = rest.trim_start();
        if let Some(inside) = rest.strip_prefix('{') {
            *rest = inside.trim_start();
            while !rest.starts_with('}') && !rest.is_empty() {
                let length = rest.len();
                tree(&path, rest, leaves);
                *rest = rest.trim_start().trim_start_matches(',').trim_start();
                assert!(rest.len() < length, "no tree of paths: {rest}");
            }
            *rest = rest.get(1..).unwrap_or_default();
            return;
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '*').unwrap_or(rest.len());
        // `a::{self}` is `a`.
        if path.is_empty() || &rest[..end] != "self" {
            path.push(rest[..end].to_owned());
        }
        *rest = &rest[end..];
        let Some(further) = rest.strip_prefix("::") else { break };
        // `Vec::<u8>`
        if further.starts_with('<') {
            break;
        }
        *rest = further;
    }
    let mut name = path.last().cloned().unwrap_or_default();
    if let Some(alias) = rest.strip_prefix(" as ") {
        let end = alias.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(alias.len());
        alias[..end].clone_into(&mut name);
        *rest = &alias[end..];
    }
    leaves.push((path, name));
}

/// All files, with their modules and names.
pub struct Crate {
    pub sources: Vec<Source>,
    imports: BTreeMap<Names, Vec<Import>>,
    /// The types, functions and values that a module itself defines.
    items: BTreeMap<Names, BTreeSet<String>>,
}

impl Crate {
    pub fn new(sources: Vec<Source>) -> Self {
        let modules: BTreeSet<_> = sources.iter().map(Source::module).collect();
        let below = |module: &Names| {
            let children = modules.iter().filter(|one| one.len() == module.len() + 1 && one.starts_with(module));
            children.filter_map(|one| one.last().cloned()).collect()
        };
        let imports = sources.iter().map(|one| (one.module(), one.imports(&below(&one.module())))).collect();
        let items = sources.iter().map(|one| (one.module(), items(one))).collect();
        Self { sources, imports, items }
    }

    /// The crate as it is.
    pub fn read() -> &'static Self {
        static READ: LazyLock<Crate> = LazyLock::new(Crate::from_files);
        &READ
    }

    fn from_files() -> Self {
        let is_test = |path: &str| path.ends_with("/tests.rs") || path.contains("/tests/");
        let files = files("src", "rs").into_iter().filter(|(path, _)| !is_test(path));
        Self::new(files.map(|(path, text)| Source::new(&path, &text)).collect())
    }

    /// The module that a path finally leads to, through re-exports.
    pub fn target(&self, path: &[String]) -> Names {
        self.follow(path, 8)
    }

    fn follow(&self, path: &[String], hops: usize) -> Names {
        let mut at = Names::new();
        for (depth, name) in path.iter().enumerate() {
            at.push(name.clone());
            if self.items.contains_key(&at) {
                continue;
            }
            at.pop();
            let imports = self.imports.get(&at).map_or(&[][..], Vec::as_slice);
            let passed_on = imports.iter().find(|import| import.name == *name);
            if let Some(import) = passed_on.filter(|_| hops > 0) {
                return self.follow(&[import.path.as_slice(), &path[depth + 1..]].concat(), hops - 1);
            }
            let whole = imports.iter().filter(|import| import.name == "*").map(|import| &import.path);
            let whole = whole.map(|path| path[..path.len() - 1].to_vec());
            let defines = |module: &Names| self.items.get(module).is_some_and(|items| items.contains(name));
            let own = self.items.get(&at).is_some_and(|items| items.contains(name));
            return if own { at } else { whole.into_iter().find(defines).unwrap_or(at) };
        }
        at
    }
}

/// The names that a file defines at its top level.
fn items(source: &Source) -> BTreeSet<String> {
    source
        .code
        .iter()
        .filter_map(|line| defined(line, &["struct", "enum", "trait", "type", "fn", "const", "static"]))
        .collect()
}

/// The name that a line at the top level defines, with one of these keywords.
pub fn defined(line: &str, keywords: &[&str]) -> Option<String> {
    let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    if line.starts_with([' ', '#', '}']) {
        return None;
    }
    let keyword = words.find(|word| !matches!(*word, "pub" | "crate" | "super" | "in" | "unsafe" | "async"))?;
    // `const fn`
    let name = words.find(|word| *word != "fn")?;
    keywords.contains(&keyword).then(|| name.to_owned())
}

#[test]
fn paths_are_found_and_made_absolute() {
    let paths = |path: &str, text: &str| -> Vec<String> {
        let mut found: Vec<_> = Source::new(path, text).paths().iter().map(|names| names.join("::")).collect();
        found.sort();
        found
    };
    let text = "use crate::{\n    card::{apdu::Command, link as l, tlv::{self, *}},\n    crypto,\n};\nfn f() { crate::cli::run() }\n";
    let expected = ["card::apdu::Command", "card::link", "card::tlv", "card::tlv::*", "cli::run", "crypto"];
    assert_eq!(paths("src/channel/x.rs", text), expected);
    let text = "use super::{a::A, B};\nfn f(x: self::c::C) -> super::super::d::D { x as super::E }\n";
    assert_eq!(paths("src/u/v/x.rs", text), ["u::d::D", "u::v::B", "u::v::E", "u::v::a::A", "u::v::x::c::C"]);
    assert_eq!(paths("src/u/v/mod.rs", "use super::w::W;\n"), ["u::w::W"]);
    let tested = "#[cfg(test)]\nmod tests {\n    use crate::cli;\n}\nuse crate::card;\n";
    assert_eq!(paths("src/card/x.rs", tested), ["card"]);
    assert!(paths("src/card/x.rs", "// crate::cli\nfn f() { my_crate::x(); a::super_::b() }\n").is_empty());
}

#[test]
fn names_are_followed_to_where_they_are_defined() {
    let file = |path: &str, text: &str| Source::new(path, text);
    let all = Crate::new(vec![
        file("src/lib.rs", "pub mod u;\n"),
        file("src/u/mod.rs", "mod a;\nmod b;\nmod c;\npub use a::A;\npub use b::*;\nuse c::C as D;\nstruct Own;\n"),
        file("src/u/a.rs", "pub struct A;\n"),
        file("src/u/b.rs", "pub use super::a::A as Again;\npub(crate) const fn b() {}\n"),
        file("src/u/c.rs", "pub enum C {}\n"),
    ]);
    for (path, module) in [
        ("u::A", "u::a"),
        ("u::A::new", "u::a"),
        ("u::b", "u::b"),
        ("u::b::Again", "u::a"),
        ("u::D", "u::c"),
        ("u::Own", "u"),
        ("u::unknown", "u"),
    ] {
        let path: Names = path.split("::").map(str::to_owned).collect();
        assert_eq!(all.target(&path).join("::"), module, "{path:?}");
    }
}

#[test]
fn definitions_are_seen() {
    let types = ["struct", "enum", "type"];
    for (line, name) in [
        ("pub struct A;", Some("A")),
        ("pub(crate) enum B<'a> {", Some("B")),
        ("type C = u8;", Some("C")),
        ("    type Output = u8;", None),
        ("pub const fn d() {", None),
        ("", None),
    ] {
        assert_eq!(defined(line, &types).as_deref(), name, "{line}");
    }
    assert_eq!(defined("pub(crate) const fn d() {", &["const"]).as_deref(), Some("d"));
    assert_eq!(defined("pub async fn e() {", &["fn"]).as_deref(), Some("e"));
}
