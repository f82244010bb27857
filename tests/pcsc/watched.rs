//! `rollcall readers --watch` beside `pcsc_scan`: both see the same cards come and go, and ours outlives the service.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use serde_json::Value;

use crate::stack::{Stack, Watch};

const PATIENCE: Duration = Duration::from_secs(30);

/// Debian's program, and what it tells: the reader, and whether its card came.
struct Scan {
    process: Child,
    told: Receiver<(String, bool)>,
}

impl Scan {
    fn start(stack: &Stack) -> Self {
        // Into a pipe its output would be block-buffered.
        let mut command = stack.command("stdbuf");
        command.args(["--output=L", "pcsc_scan", "-n"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.stderr(Stdio::null()).spawn().expect("pcsc_scan: scripts/setup peers");
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let mut reader = String::new();
            for line in lines.map_while(Result::ok) {
                if let Some((_, name)) = line.trim().strip_prefix("Reader ").and_then(|rest| rest.split_once(": ")) {
                    name.clone_into(&mut reader);
                } else if let Some(state) = line.trim().strip_prefix("Card state: ") {
                    let _ = tell.send((reader.clone(), state.starts_with("Card inserted")));
                }
            }
        });
        Self { process, told }
    }

    fn next(&self) -> (String, bool) {
        self.told.recv_timeout(PATIENCE).expect("pcsc_scan tells it")
    }
}

impl Drop for Scan {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The next reader of ours whose card came or went; events on the way are kept by the stream.
fn next(watch: &mut Watch, events: &mut Vec<String>) -> (String, bool) {
    loop {
        let object = watch.next(PATIENCE).expect("it is told");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        if object["schema"] == "rollcall.reader/1" {
            return (text(&object["reader"]), object["state"] == "present");
        }
        events.push(text(&object["event"]));
    }
}

case!(EachCard, readers_are_watched_as_others_see_them);
fn readers_are_watched_as_others_see_them(kind: &str) {
    let stack = Stack::start(2, kind);
    let readers = stack.readers();
    let mut watch = stack.stream(&["readers", "--watch"]);
    let scan = Scan::start(&stack);
    let mut events = Vec::new();
    for reader in &readers {
        let expected = (reader.clone(), true);
        assert_eq!((next(&mut watch, &mut events), scan.next()), (expected.clone(), expected));
    }
    assert_eq!(events, ["reader_added", "reader_added"]);
    for (verb, present) in [("remove", false), ("insert", true), ("remove", false)] {
        for (slot, reader) in (1..).zip(&readers) {
            stack.card(verb, slot);
            let expected = (reader.clone(), present);
            assert_eq!((next(&mut watch, &mut events), scan.next()), (expected.clone(), expected));
        }
    }
    drop(scan);

    // pcsc_scan ends with its service; ours says so, waits, and tells who came meanwhile.
    events.clear();
    stack.service("stop");
    stack.service("start");
    stack.card("insert", 2);
    assert_eq!(next(&mut watch, &mut events), (readers[1].clone(), true));
    assert_eq!(events, ["service_lost", "service_back", "reader_added", "reader_added"]);
    let scan = Scan::start(&stack);
    let mut now = [scan.next(), scan.next()];
    now.sort();
    assert_eq!(now, [(readers[0].clone(), false), (readers[1].clone(), true)]);
    stack.card("remove", 2);
    let expected = (readers[1].clone(), false);
    assert_eq!((next(&mut watch, &mut events), scan.next()), (expected.clone(), expected));
    watch.end();
}
