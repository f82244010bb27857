//! Every file is built: no source, test or fuzz target exists that nothing declares.

use std::{collections::BTreeSet, path::Path};

use crate::files::files;

/// The files that may declare this one as a module.
fn parents(path: &str) -> Vec<String> {
    let path = Path::new(path);
    // `x/mod.rs` is the module x of the folder above.
    let module = if path.ends_with("mod.rs") { path.parent().unwrap() } else { path };
    let folder = module.parent().unwrap();
    let mut parents: Vec<_> = ["mod.rs", "lib.rs", "main.rs"].iter().map(|name| folder.join(name)).collect();
    parents.push(folder.with_extension("rs"));
    parents.into_iter().map(|parent| parent.to_str().unwrap().to_owned()).collect()
}

/// The files that `#[path = "…"]` in this one leads to.
fn pointed_at(path: &str, text: &str) -> Vec<String> {
    let folder = path.rsplit_once('/').unwrap().0;
    let to = text.lines().filter_map(|line| line.trim_start().strip_prefix("#[path = \"")?.strip_suffix("\"]"));
    let whole = |to: &str| {
        let mut names: Vec<_> = folder.split('/').collect();
        for name in to.split('/') {
            if name == ".." {
                names.pop();
            } else {
                names.push(name);
            }
        }
        names.join("/")
    };
    to.map(whole).collect()
}

/// Whether cargo itself finds the file: a root of a library, a program or a test.
fn is_root(path: &str) -> bool {
    let parts: Vec<_> = path.split('/').collect();
    matches!(
        parts.as_slice(),
        ["src", "lib.rs" | "main.rs"] | ["tests", _] | ["tests", _, "main.rs"] | ["tests", "fuzz", "src", "lib.rs"]
    )
}

/// The files that no module declaration leads to.
fn forgotten(all: &[(String, String)], manifest: &str) -> Vec<String> {
    let pointed_at: BTreeSet<_> = all.iter().flat_map(|(path, text)| pointed_at(path, text)).collect();
    let text = |path: &str| all.iter().find(|(one, _)| one == path).map(|(_, text)| text.as_str());
    let names = |path: &str| {
        if is_root(path) {
            return true;
        }
        if path.starts_with("tests/fuzz/targets/") {
            let target = path.strip_prefix("tests/fuzz/").unwrap();
            return manifest.contains(&format!("path = \"{target}\"\n"));
        }
        if pointed_at.contains(path) {
            return true;
        }
        let module = path.strip_suffix("/mod.rs").unwrap_or(path.strip_suffix(".rs").unwrap());
        let declaration = format!("mod {};", module.rsplit('/').next().unwrap());
        let declares =
            |text: &str| text.lines().any(|line| line.ends_with(&declaration) && !line.trim_start().starts_with("//"));
        parents(path).iter().filter_map(|parent| text(parent)).any(declares)
    };
    all.iter().map(|(path, _)| path.clone()).filter(|path| !names(path)).collect()
}

#[test]
fn no_file_is_forgotten() {
    let all = [files("src", "rs"), files("tests", "rs")].concat();
    let manifest = files("tests/fuzz", "toml").into_iter().next().unwrap().1;
    assert_eq!(forgotten(&all, &manifest), Vec::<String>::new());
}

#[test]
fn forgotten_files_are_seen() {
    let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let all = [
        file("src/lib.rs", "pub mod a;\nmod b;\n// mod c;\n"),
        file("src/a/mod.rs", "#[cfg(test)]\nmod tests;\n"),
        file("src/a/tests.rs", ""),
        file("src/b.rs", "mod d;\n"),
        file("src/b/d.rs", ""),
        file("src/c.rs", ""),
        file("src/b/e.rs", ""),
        file("tests/x.rs", ""),
        file("tests/y/main.rs", "#[path = \"../common/used.rs\"]\nmod used;\n"),
        file("tests/y/z.rs", ""),
        file("tests/common/used.rs", ""),
        file("tests/common/unused.rs", ""),
        file("tests/fuzz/src/lib.rs", "pub mod tlv;\n"),
        file("tests/fuzz/src/tlv.rs", ""),
        file("tests/fuzz/targets/tlv.rs", ""),
        file("tests/fuzz/targets/apdu.rs", ""),
    ];
    let expected = ["src/c.rs", "src/b/e.rs", "tests/y/z.rs", "tests/common/unused.rs", "tests/fuzz/targets/apdu.rs"];
    assert_eq!(forgotten(&all, "path = \"targets/tlv.rs\"\n"), expected);
}
