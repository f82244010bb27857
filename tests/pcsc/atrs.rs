//! Our interpretation of ATRs matches the card list of pcsc-tools and its `ATR_analysis`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use rollcall::reader::atr::{
    Atr, CheckByte,
    fields::fields,
    names::{LIST, entries, names},
};

/// One in so many is given to the other program, which takes its time.
const SAMPLE: usize = 48;

/// What the other program says: interface bytes by name, whether TCK is right, and names of cards.
struct Told {
    bytes: BTreeMap<String, u8>,
    check: Option<bool>,
    names: BTreeSet<String>,
}

fn by_analysis(atr: &str) -> Told {
    let mut command = Command::new("ATR_analysis");
    // It prefers a list that somebody has fetched into a home folder.
    command.arg(atr).env("TERM", "dumb").env("HOME", "/nonexistent").env_remove("XDG_CACHE_HOME");
    let output = command.output().expect("pcsc-tools");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut told = Told { bytes: BTreeMap::new(), check: None, names: BTreeSet::new() };
    for line in text.lines() {
        let plain = without_colour(line);
        if let Some((name, rest)) = plain.trim_start_matches([' ', '+']).split_once(" = ") {
            let name: String = name.chars().filter(|c| *c != '(' && *c != ')').collect();
            let value = rest.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
            match (name.as_str(), value) {
                ("TCK", _) => told.check = Some(rest.contains("correct")),
                (name, Some(value)) if name.len() >= 2 && name.starts_with('T') => {
                    told.bytes.insert(name.to_owned(), value);
                }
                _ => {}
            }
        } else if plain.starts_with('\t') && !plain.contains("://") {
            told.names.insert(plain.trim().to_owned());
        }
    }
    told
}

fn without_colour(line: &str) -> String {
    let mut plain = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    plain + rest
}

case!(Once, atrs_are_told_alike);
/// Every pattern parses; whole ATRs among them, one in a few, are told alike by both.
fn atrs_are_told_alike() {
    let list = fs::read_to_string(LIST).expect("pcsc-tools");
    let all: Vec<_> = entries(&list).map(|(pattern, _)| pattern).collect();
    assert!(all.len() > 3_000, "{}", all.len());
    let bad: Vec<_> = all.iter().filter(|pattern| !pattern.is_well_formed()).collect();
    assert!(bad.is_empty(), "{bad:?}");

    let whole = all.iter().filter_map(|pattern| Some((pattern.0, hex::decode(pattern.0.replace(' ', "")).ok()?)));
    let (mut compared, mut refused) = (0, 0);
    for (text, bytes) in whole.step_by(SAMPLE) {
        // The list contains ATRs that violate the standard: truncated, or with extra bytes. The other parser accepts
        // them.
        let (Ok(atr), Ok(ours)) = (Atr::parse(&bytes), fields(&bytes)) else {
            refused += 1;
            continue;
        };
        let theirs = by_analysis(text);
        let interface = ours.iter().filter(|field| field.name != "historical" && field.name != "TCK");
        let ours: BTreeMap<_, _> = interface.map(|field| (field.name.clone(), field.bytes[0])).collect();
        assert_eq!(ours, theirs.bytes, "{text}");
        let check = match atr.check {
            CheckByte::Right => Some(true),
            CheckByte::Wrong => Some(false),
            CheckByte::NotNeeded | CheckByte::Missing => None,
        };
        if atr.check != CheckByte::Missing {
            assert_eq!(check, theirs.check, "{text}");
        }
        assert_eq!(names(&list, &bytes).into_iter().collect::<BTreeSet<_>>(), theirs.names, "{text}");
        compared += 1;
    }
    println!("{} patterns parse; {compared} ATRs told alike, {refused} are none by the standard", all.len());
    assert!(compared > 50, "{compared}");
}
