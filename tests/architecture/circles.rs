//! No import cycles within a module: files side by side in one folder have an order, too.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Crate, Names, Source};

/// Known circular dependencies, each as a module and its parts: this list may only get shorter.
const KNOWN: &[(&str, &[&str])] = &[];

/// A module and those of its parts that depend on each other in a circle.
type Circle = (String, Vec<String>);

/// The circles, and the imports that make each. What a part takes from the module above it is no import of another
/// part; what it takes through that module is.
fn circles(all: &Crate) -> BTreeMap<Circle, Vec<String>> {
    let mut imports: BTreeMap<Names, BTreeMap<String, BTreeMap<String, String>>> = BTreeMap::new();
    for source in &all.sources {
        let from = source.module();
        for path in source.paths() {
            let to = all.target(&path);
            let common = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
            // The order of the modules below the root comes from the map.
            if let (1.., Some(part), Some(other)) = (common, from.get(common), to.get(common)) {
                let others = imports.entry(from[..common].to_vec()).or_default().entry(part.clone()).or_default();
                others.entry(other.clone()).or_insert_with(|| format!("{}: {}", source.path, path.join("::")));
            }
        }
    }
    let mut found = BTreeMap::new();
    for (module, parts) in &imports {
        let reach: BTreeMap<_, _> = parts.keys().map(|part| (part, reached(part, parts))).collect();
        for part in parts.keys().filter(|part| reach[part].contains(*part)) {
            let leads_back = |other: &&String| reach.get(other).is_some_and(|back| back.contains(part));
            let circle: Vec<_> = reach[part].iter().filter(leads_back).cloned().collect();
            let inside = circle.iter().flat_map(|part| parts[part].iter()).filter(|(other, _)| circle.contains(other));
            let imports = inside.map(|(_, import)| import.clone()).collect();
            found.insert((module.join("::"), circle), imports);
        }
    }
    found
}

/// All parts reachable from one; the part itself only through others.
fn reached(part: &str, parts: &BTreeMap<String, BTreeMap<String, String>>) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![part.to_owned()];
    while let Some(one) = open.pop() {
        let next = parts.get(&one).into_iter().flat_map(BTreeMap::keys);
        open.extend(next.filter(|other| reached.insert((*other).clone())).cloned());
    }
    reached
}

#[test]
fn no_part_of_a_module_imports_itself_over_another() {
    let found = circles(Crate::read());
    let known = |(module, parts): &(&str, &[&str])| {
        ((*module).to_owned(), parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>())
    };
    let known: BTreeSet<_> = KNOWN.iter().map(known).collect();
    let new: Vec<_> = found.iter().filter(|(circle, _)| !known.contains(circle)).collect();
    assert!(new.is_empty(), "circles: {new:#?}");
    let gone: Vec<_> = known.iter().filter(|circle| !found.contains_key(circle)).collect();
    assert!(gone.is_empty(), "circles that are no more, and have to go from the list: {gone:#?}");
}

#[test]
fn circles_are_seen() {
    let of = |files: &[(&str, &str)]| {
        let found = circles(&Crate::new(files.iter().map(|(path, text)| Source::new(path, text)).collect()));
        found.into_keys().map(|(module, parts)| format!("{module}: {}", parts.join(" "))).collect::<Vec<_>>()
    };
    let parent = ("src/u/mod.rs", "mod a;\nmod b;\nmod c;\npub use b::B;\npub struct U;\n");
    let a = ("src/u/a.rs", "use super::B;\n");
    let good = ("src/u/b.rs", "use super::{U, c::C};\npub struct B;\n");
    let c = ("src/u/c.rs", "use crate::u::U;\npub struct C;\n");
    assert_eq!(of(&[parent, a, good, c]), Vec::<String>::new());
    assert_eq!(of(&[parent, a, ("src/u/b.rs", "use super::a::A;\npub struct B;\n"), c]), ["u: a b"]);
    // Over three, and from further down.
    let deep = ("src/u/c/d.rs", "use crate::u::a::A;\n");
    assert_eq!(of(&[parent, a, good, c, deep]), ["u: a b c"]);
    assert_eq!(of(&[("src/a.rs", "use crate::b::B;\n"), ("src/b.rs", "use crate::a::A;\n")]), Vec::<String>::new());
}
