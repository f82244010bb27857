//! A newcomer's first ten minutes: every command of README.md runs as printed, in order, and gives the output printed
//! below it. Commands that cannot run here are listed, with the test that runs them instead.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
};

use crate::{
    card::blank,
    lift::{Bench, TEST_KEY},
    signal,
    stack::Stack,
};

/// Commands of README.md that do not run in these cases, by how they begin, in their order.
const ELSEWHERE: [(&str, &str); 7] = [
    ("rollcall watch --plain", "with its own readers, below"),
    ("scripts/demo ", "the phase demo"),
    ("scripts/test ", "the run that this case is part of"),
    ("scripts/package && sudo apt install ", "the phase package"),
    ("scripts/setup build && sudo apt install pcscd && cargo install ", "it installs"),
    ("JC_HOME=/path/to/kit scripts/applet-cap ", "it needs a kit that has to be fetched"),
    ("java -jar gp.jar --install ", "it needs a real card"),
];

/// Words that differ from run to run: ids and times.
fn word(word: &str) -> &str {
    let is_id = word.len() == 8 && word.chars().all(|c| c.is_ascii_hexdigit());
    let begins = word.starts_with(|c: char| c.is_ascii_digit());
    let is_time = begins && (word.ends_with('s') || (word.len() == 8 && word.matches(':').count() == 2));
    match (is_id, is_time) {
        (true, _) => "ID",
        (_, true) => "TIME",
        _ => word,
    }
}

/// Line by line, apart from spaces and what differs from run to run.
fn words(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split_whitespace().map(word).collect()).collect()
}

/// The commands of the page in their order, each with what stands below it.
fn shown(page: &str) -> Vec<(&str, &str)> {
    let blocks = page.split("\n```console\n").skip(1).map(|rest| rest.split_once("```\n").unwrap().0);
    let commands = blocks.flat_map(|block| block.split("$ ").skip(1));
    commands.map(|command| command.split_once('\n').unwrap()).collect()
}

fn page() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap()
}

case!(EachCard, every_command_of_readme_runs_as_printed);
fn every_command_of_readme_runs_as_printed(kind: &str) {
    let page = page();
    let (commands, elsewhere): (Vec<_>, Vec<_>) = shown(&page)
        .into_iter()
        .partition(|(command, _)| !ELSEWHERE.iter().any(|(begin, _)| command.starts_with(begin)));
    assert_eq!(elsewhere.len(), ELSEWHERE.len(), "each is there once: {elsewhere:?}");
    for ((command, _), (begin, why)) in elsewhere.iter().zip(ELSEWHERE) {
        assert!(command.starts_with(begin), "{command}: {why}");
    }
    assert!(commands.len() >= 12, "{commands:?}");
    let bench = Bench::uninitialised();
    let _slot = bench.put(blank(kind, TEST_KEY), None);
    for (command, below) in commands {
        let output = bench.stack.command("sh").args(["-c", command]).output().unwrap();
        let said = String::from_utf8(output.stdout.clone()).unwrap();
        if command == "rollcall doctor" {
            // As the page says: what is missing then are keys, and it names the next command.
            let faults: Vec<_> = said.lines().filter(|line| line.trim_start().starts_with("FAULT")).collect();
            assert!(matches!(faults[..], [only] if only.contains("(pki.not-initialised)")), "{said}");
            assert!(said.contains("rollcall pki init") && output.status.code() == Some(1), "{output:?}");
        } else if below.is_empty() {
            assert!(output.status.success(), "{command}: {output:?}");
        } else {
            assert_eq!(words(&said), words(below), "{command}: {output:?}");
        }
    }
}

case!(Once, the_watch_of_readme_prints_what_stands_there);
/// The people may come in another order, and the first watch of a terminal says first which readers there are.
fn the_watch_of_readme_prints_what_stands_there() {
    let page = page();
    let (command, below) = *shown(&page).first().unwrap();
    let stack = Stack::start(3, "none,virtual,virtual");
    stack.rollcall(&["pki", "init"]).expect(0);
    for (reader, id, name) in [(1, "grace", "Grace Hopper"), (2, "jose", "José Núñez")] {
        stack.rollcall(&["enroll", "--reader", &stack.readers()[reader], "--id", id, "--name", name]).expect(0);
    }
    let told = stack.command("sh").args(["-c", &format!("exec {command}")]).stdout(Stdio::piped()).spawn();
    let mut told = told.unwrap();
    let lines = BufReader::new(told.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut lines = lines.filter(|line| !line.contains("  reader connected  "));
    let mut said: Vec<_> = lines.by_ref().take(2).collect();
    said.sort_by_key(|line| !line.contains("jose"));
    stack.card("remove", 2);
    said.extend(lines.next());
    signal::send(told.id(), "TERM");
    assert!(lines.next().is_none() && told.wait().unwrap().code() == Some(143));
    assert_eq!(words(&said.join("\n")), words(below));
}
