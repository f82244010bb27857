//! Reads in a script: a number of different tokens into a file, killed midway and resumed.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::{objects, people::enrolled, stack::Stack};

/// A name that a spreadsheet would take for a formula, and that takes two lines.
const FORMULA: &str = "=HYPERLINK(\"x\") Zoë, \"山田\"";

/// How often each token was read, by its user, and what the file says of the user's name.
fn read(form: &str, file: &Path) -> BTreeMap<String, (usize, String)> {
    let rows: Vec<(String, String)> = if form == "csv" {
        let mut reader = csv::Reader::from_path(file).unwrap();
        let headers = reader.headers().unwrap().clone();
        let at = |column: &str| headers.iter().position(|name| name == column).unwrap();
        let rows = reader.records().map(Result::unwrap);
        rows.map(|row| (row[at("user_id")].into(), row[at("user_name")].into())).collect()
    } else {
        let text = fs::read_to_string(file).unwrap();
        let objects = objects::lines(&text).into_iter();
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        objects.map(|o| (word(&o["user"]["id"]), word(&o["user"]["name"]))).collect()
    };
    let mut read = BTreeMap::new();
    for (id, name) in rows {
        read.entry(id).or_insert((0, name)).0 += 1;
    }
    read
}

/// Whole lines of the file, as far as it is written.
fn lines(file: &Path) -> usize {
    fs::read(file)
        .map_or(0, |text| text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")).count())
}

fn length(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |found| found.len())
}

struct Desk<'a> {
    stack: &'a Stack,
    form: &'static str,
    file: String,
}

impl Desk<'_> {
    fn args<'b>(&'b self, more: &[&'b str]) -> Vec<&'b str> {
        [&["--output", self.form, "scan", "--source", "card", "--out", &self.file], more].concat()
    }

    fn start(&self, more: &[&str]) -> Child {
        let mut command = self.stack.command("rollcall");
        command.args(self.args(more)).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts")
    }
}

case!(EachCard, reads_are_resumed);
fn reads_are_resumed(card: &str) {
    let stack = enrolled(4, 3, card);
    let fourth = stack.readers().remove(3);
    stack.ndjson(0, &["enroll", "--reader", &fourth, "--id", "p4", "--name", FORMULA]);
    for form in ["csv", "ndjson"] {
        let file = stack.home().join(form);
        let desk = Desk { stack: &stack, form, file: file.to_str().unwrap().to_owned() };
        for number in 2..=4 {
            stack.card("remove", number);
        }
        let mut first = desk.start(&["--count", "4"]);
        let header = usize::from(form == "csv");
        assert!((0..6000).any(|_| {
            std::thread::sleep(Duration::from_millis(5));
            lines(&file) > header
        }));
        first.kill().unwrap();
        let mut stdout = String::new();
        first.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        assert_eq!((first.wait().unwrap().code(), stdout.as_str()), (None, ""));
        // As if power had failed in the middle of a record.
        let whole = fs::read(&file).unwrap();
        fs::write(&file, [whole.as_slice(), b"{\"schema\":\"roll"].concat()).unwrap();
        assert_eq!(stack.rollcall(&desk.args(&["--count", "4"])).expect(73).code(), "scan.out-exists");
        let mut second = desk.start(&["--count", "4", "--resume"]);
        for number in 2..=4 {
            stack.card("insert", number);
        }
        assert_eq!(second.wait().unwrap().code(), Some(0));
        let told = read(form, &file);
        assert_eq!(
            told.iter().map(|(id, (times, _))| (id.as_str(), *times)).collect::<Vec<_>>(),
            [("p1", 1), ("p2", 1), ("p3", 1), ("p4", 1)]
        );
        assert_eq!(told["p4"].1, if form == "csv" { format!("'{FORMULA}") } else { FORMULA.to_owned() });
        // All of them are there already.
        let before = fs::read(&file).unwrap();
        assert!(before.starts_with(&whole));
        assert_eq!(stack.rollcall(&desk.args(&["--count", "4", "--resume"])).expect(0).stdout, "");
        assert_eq!(stack.rollcall(&desk.args(&["--resume"])).expect(0).stdout, "");
        assert_eq!(fs::read(&file).unwrap(), before);
    }
    assert_eq!(stack.present(), ["p1", "p2", "p3", "p4"]);
}

case!(EachCard, reads_killed_at_random);
/// However often it is killed, repeating the command ends with every token exactly once.
fn reads_killed_at_random(card: &str) {
    let stack = enrolled(4, 3, card);
    let file = stack.home().join("reads.csv");
    let desk = Desk { stack: &stack, form: "csv", file: file.to_str().unwrap().to_owned() };
    let args = ["--count", "3", "--resume", "--timeout", "60s"];
    let mut middle = 0;
    for n in 0..12 {
        let _ = fs::remove_file(&file);
        for k in 0..3 {
            let mut run = desk.start(&args);
            if n % 2 == 0 {
                std::thread::sleep(Duration::from_millis(20 + 13 * n + 5 * k));
            } else {
                // As soon as it has written anything more; the others may follow at once, or it has ended.
                let before = length(&file);
                while length(&file) == before && run.try_wait().unwrap().is_none() {
                    std::thread::yield_now();
                }
            }
            let _ = run.kill();
            let _ = run.wait();
            middle += usize::from((2..4).contains(&lines(&file)));
        }
        assert_eq!(stack.rollcall(&desk.args(&args)).expect(0).stdout, "");
        let told = read("csv", &file);
        assert_eq!(told.values().map(|(times, _)| *times).collect::<Vec<_>>(), [1, 1, 1], "{told:?}");
    }
    assert!(middle > 0, "no kill hit the time between two tokens");
}

case!(EachCard, reads_until_a_time);
/// A time ends it like a time limit, with what was read; without a number, that is enough.
fn reads_until_a_time(card: &str) {
    let stack = enrolled(2, 1, card);
    let soon = || (jiff::Timestamp::now() + Duration::from_secs(4)).to_string();
    let run = stack.rollcall(&["-o", "ndjson", "scan", "--source", "card", "--until", &soon()]).expect(0);
    let read: Vec<_> = run.objects().into_iter().filter(|object| object["user"].is_object()).collect();
    assert_eq!((read.len(), &read[0]["user"]["id"]), (1, &Value::from("p1")));
    let few =
        stack.rollcall(&["-o", "ndjson", "scan", "--source", "card", "--count", "2", "--until", &soon()]).expect(1);
    assert_eq!(few.code(), "scan.too-few");
    stack.card("remove", 1);
    assert_eq!(stack.rollcall(&["scan", "--until", &soon()]).expect(1).code(), "scan.nobody");
    let over = ["scan", "--until", "2026-01-01T00:00:00Z"];
    assert_eq!(stack.rollcall(&over).expect(2).code(), "time.past");
}
