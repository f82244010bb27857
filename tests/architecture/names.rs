//! One name, one thing: a type's name is used only once in `src`, outside tests.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Source, defined};

/// Names that several types may have, each with its reason.
const SHARED: &[(&str, &str)] = &[
    (
        "Connection",
        "the connection of one store or of PC/SC, each inside its own module; `queries` needs one name for both stores",
    ),
    ("LocalStore", "the stand-in of a build without the server"),
    ("Result", "an alias for the results of one module, as the standard library has them"),
];

/// Names that are used twice today. This list may only get shorter: new types need unique names.
const TO_BE_RENAMED: &[&str] = &[];

/// The names of types that are defined in several places, and where.
fn repeated(sources: &[Source]) -> BTreeMap<String, Vec<String>> {
    let mut places: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for source in sources {
        for name in source.code.iter().filter_map(|line| defined(line, &["struct", "enum", "union", "trait", "type"])) {
            places.entry(name).or_default().push(source.path.clone());
        }
    }
    places.retain(|_, places| places.len() > 1);
    places
}

#[test]
fn no_type_has_the_name_of_another() {
    let repeated = repeated(&crate::source::Crate::read().sources);
    let allowed: BTreeSet<_> = SHARED.iter().map(|(name, _)| *name).chain(TO_BE_RENAMED.iter().copied()).collect();
    assert_eq!(allowed.len(), SHARED.len() + TO_BE_RENAMED.len(), "a name stands in the lists twice");
    let new = repeated.iter().filter(|(name, _)| !allowed.contains(name.as_str()));
    let new: Vec<_> = new.map(|(name, places)| format!("{name}: {}", places.join(", "))).collect();
    assert!(new.is_empty(), "names that are used for two things:\n{}", new.join("\n"));
    let gone: Vec<_> = allowed.iter().filter(|name| !repeated.contains_key(**name)).collect();
    assert!(gone.is_empty(), "used once now, and to be taken from the lists: {gone:?}");
    println!("{} names of types are used more than once", repeated.len());
}

#[test]
fn names_used_twice_are_seen() {
    let one = Source::new(
        "src/a.rs",
        "pub struct A;\nenum B {\n    A,\n}\npub type C = u8;\n#[cfg(test)]\nmod tests {\nstruct D;\n}\n",
    );
    let two = Source::new(
        "src/b.rs",
        "impl C for u8 {\n    type B = A;\n}\npub(crate) trait A {}\ntype C<T> = Vec<T>;\nstruct D;\n",
    );
    let found = repeated(&[one, two]);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["A", "C"]);
    assert_eq!(found["A"], ["src/a.rs", "src/b.rs"]);
}
