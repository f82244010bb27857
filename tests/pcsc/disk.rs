//! A watch and a scan whose store cannot be written: the disk is full, or another process holds the store.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use serde_json::Value;

use crate::{people::enrolled, server::Office, signal, small_disk::SmallDisk, stack::Stack};

const PATIENCE: Duration = Duration::from_secs(30);

/// A watch of which both streams are read.
struct Both {
    process: std::process::Child,
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
}

impl Both {
    /// `around` is a command that starts it; an empty one does nothing.
    fn start(stack: &Stack, around: &str) -> Self {
        let command = format!("{around} exec rollcall --output ndjson watch 2>&1");
        let mut process = stack.command("sh").args(["-c", &command]).stdout(Stdio::piped()).spawn().unwrap();
        let (tell, lines) = mpsc::channel();
        let output = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { process, lines, seen: Vec::new() }
    }

    /// The next line that holds this.
    fn line(&mut self, part: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no {part} among {:#?}", self.seen));
            self.seen.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
    }

    fn event(&mut self, kind: &str) -> Value {
        serde_json::from_str(&self.line(&format!("\"event\":\"{kind}\""))).unwrap()
    }

    /// What it said until its end.
    fn end(mut self) -> Vec<String> {
        signal::send(self.process.id(), "TERM");
        assert_eq!(self.process.wait().unwrap().code(), Some(143));
        self.seen.extend(self.lines.iter());
        self.seen
    }
}

/// People come and go while the store cannot be written; each event is reported at once, only once, and stored later.
fn endures(stack: &Stack, mut watch: Both, code: &str, free: impl FnOnce(&Both)) {
    watch.event("arrived");
    for _ in 0..2 {
        stack.card("remove", 1);
        watch.event("left");
        stack.card("insert", 1);
        watch.event("arrived");
    }
    free(&watch);
    watch.line("can be written again");
    stack.card("remove", 1);
    watch.event("left");
    assert!(stack.present().is_empty());
    let said = watch.end();
    assert_eq!(said.iter().filter(|line| line.contains(code)).count(), 1, "{said:#?}");
    let told: Vec<Value> = said.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let history = stack.ndjson(0, &["users", "history"]);
    assert_eq!(history[history.len() - told.len()..], told);
    assert_eq!(history.iter().map(|event| event["seq"].as_u64().unwrap()).max(), Some(history.len() as u64));
}

case!(EachCard, a_store_that_is_locked_ends_no_watch);
fn a_store_that_is_locked_ends_no_watch(card: &str) {
    let stack = enrolled(1, 1, card);
    stack.rollcall(&["scan"]).expect(0);
    stack.card("remove", 1);
    stack.rollcall(&["users", "clear", "--yes"]).expect(0);
    let held = Connection::open(stack.home().join("terminal.db")).unwrap();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut watch = Both::start(&stack, "");
    watch.line("store.locked");
    stack.card("insert", 1);
    endures(&stack, watch, "store.locked", |_| held.execute_batch("ROLLBACK").unwrap());
}

case!(EachCard, a_cache_that_is_locked_holds_up_no_tap);
/// Before, each of three writes waited for 5 s.
fn a_cache_that_is_locked_holds_up_no_tap(card: &str) {
    let office = Office::new(1, card);
    let stack = &office.stack;
    stack.rollcall(&["scan"]).expect(0);
    stack.card("remove", 1);
    stack.rollcall(&["users", "clear", "--yes"]).expect(0);
    let mut watch = Both::start(stack, "");
    stack.card("insert", 1);
    watch.event("arrived");
    stack.card("remove", 1);
    watch.event("left");
    let held = Connection::open(stack.home().join("directory.db")).unwrap();
    held.busy_timeout(PATIENCE).unwrap();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    let start = Instant::now();
    stack.card("insert", 1);
    watch.event("arrived");
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    held.execute_batch("ROLLBACK").unwrap();
    watch.line("directory.db can be written again");
    let said = watch.end();
    let locked = said.iter().filter(|line| line.contains("directory.db is locked by another process (server.cache)"));
    assert_eq!(locked.count(), 1, "{said:#?}");
}

case!(EachCard, a_full_disk_ends_no_watch);
fn a_full_disk_ends_no_watch(card: &str) {
    let mut stack = enrolled(1, 1, card);
    stack.rollcall(&["scan"]).expect(0);
    stack.card("remove", 1);
    stack.rollcall(&["users", "clear", "--yes"]).expect(0);
    let home = stack.home();
    let place = tempfile::tempdir().unwrap();
    let small = place.path().join("small");
    let Some(disk) = SmallDisk::mount(&small) else {
        // Without the right to mount, forbid files to grow instead.
        let length = fs::metadata(home.join("terminal.db")).unwrap().len() / 512;
        let watch = Both::start(&stack, &format!("trap '' XFSZ; ulimit -S -f {length};"));
        stack.card("insert", 1);
        return endures(&stack, watch, "(store.", |watch| {
            let id = watch.process.id().to_string();
            assert!(Command::new("prlimit").args(["--pid", &id, "--fsize=unlimited"]).status().unwrap().success());
        });
    };
    assert!(Command::new("cp").arg("-a").arg(home.join(".")).arg(&small).status().unwrap().success());
    stack.at_home(&small);
    let mut watch = Both::start(&stack, "");
    stack.card("insert", 1);
    watch.event("arrived");
    let file = disk.fill();
    stack.card("remove", 1);
    watch.event("left");
    watch.line("store.full");
    stack.card("insert", 1);
    endures(&stack, watch, "store.full", |_| file.set_len(0).unwrap());
}

case!(EachCard, a_full_disk_takes_nothing_from_what_a_scan_says);
fn a_full_disk_takes_nothing_from_what_a_scan_says(card: &str) {
    let mut stack = enrolled(1, 1, card);
    stack.rollcall(&["scan"]).expect(0);
    stack.rollcall(&["users", "clear", "--yes"]).expect(0);
    let place = tempfile::tempdir().unwrap();
    let small = place.path().join("small");
    let Some(_disk) = SmallDisk::mount(&small) else { return eprintln!("nothing can be mounted here: not tested") };
    assert!(Command::new("cp").arg("-a").arg(stack.home().join(".")).arg(&small).status().unwrap().success());
    stack.at_home(&small);
    let mut filler = fs::File::create(small.join("filler")).unwrap();
    while filler.write_all(&[1; 512]).is_ok() {}
    for arguments in [&["--output", "json", "scan"][..], &["--output", "json", "scan", "--count", "1"]] {
        let run = stack.rollcall(arguments);
        let objects: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(objects.as_array().map(Vec::len), Some(1), "{run:#?}");
        assert_eq!(objects[0]["authenticated"]["token"], true, "{run:#?}");
        assert_eq!((run.code(), run.status), ("store.full", 73), "{run:#?}");
        assert!(run.stderr.replace('\n', " ").contains("what was read is not stored"), "{run:#?}");
    }
    assert!(stack.present().is_empty());
    filler.set_len(0).unwrap();
    stack.rollcall(&["scan"]).expect(0);
    assert_eq!(stack.present().len(), 1);
}

case!(EachCard, a_card_that_flaps_is_called_so);
fn a_card_that_flaps_is_called_so(card: &str) {
    let stack = enrolled(1, 1, card);
    let mut watch = Both::start(&stack, "");
    watch.event("arrived");
    for _ in 0..6 {
        stack.card("remove", 1);
        stack.card("insert", 1);
    }
    watch.line("card.flapping");
    watch.end();
}
