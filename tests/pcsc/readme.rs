//! A newcomer's first ten minutes: the everyday commands of README.md run as they are printed, one after the other, and
//! print what stands below them.

use std::fs;

use crate::{
    card::blank,
    lift::{Bench, TEST_KEY},
};

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

/// The commands of that section, each with what stands below it.
fn shown(page: &str) -> Vec<(&str, &str)> {
    let (_, section) = page.split_once("\n## Eight everyday commands\n").unwrap();
    let (_, block) = section.split_once("\n```console\n").unwrap();
    let (block, _) = block.split_once("```\n").unwrap();
    let commands = block.split("$ ").skip(1);
    commands.map(|command| command.split_once('\n').unwrap()).collect()
}

case!(EachCard, everyday_commands_run_as_printed);
fn everyday_commands_run_as_printed(kind: &str) {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let commands = shown(&page);
    assert!(commands.len() >= 8, "{commands:?}");
    let bench = Bench::uninitialised();
    let _slot = bench.put(blank(kind, TEST_KEY), None);
    for (command, below) in commands {
        let output = bench.stack.command("sh").args(["-c", command]).output().unwrap();
        let said = String::from_utf8(output.stdout.clone()).unwrap();
        if below.is_empty() {
            assert!(output.status.success(), "{command}: {output:?}");
        } else {
            assert_eq!(words(&said), words(below), "{command}: {output:?}");
        }
    }
}
