//! `watch --on-event`: the command gets every event in order, and cannot stall the readers.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    people::enrolled,
    signal,
    stack::{Stack, Watch},
};

fn pipe(stack: &Stack, name: &str) -> PathBuf {
    let path = stack.home().join(name);
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

fn both_ends(pipe: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(pipe).unwrap()
}

fn hooked(stack: &Stack, command: &str) -> Watch {
    stack.watch(&["--on-event", command])
}

/// Somebody arrives, leaves and comes back.
fn come_and_go(stack: &Stack, watch: &mut Watch) {
    watch.event("arrived");
    stack.card("remove", 1);
    watch.event("left");
    stack.card("insert", 1);
    watch.event("arrived");
}

case!(EachCard, hooks_get_every_event);
fn hooks_get_every_event(card: &str) {
    let stack = enrolled(2, 1, card);
    let file = stack.home().join("events");
    let pipe = pipe(&stack, "told");
    let mut told = BufReader::new(both_ends(&pipe)).lines().map(Result::unwrap);
    let command = format!("tee -a {} | tail -n 1 > {}; exit 7", file.display(), pipe.display());
    let mut watch = hooked(&stack, &command);
    come_and_go(&stack, &mut watch);
    let mut objects: Vec<Value> = Vec::new();
    while objects.len() < watch.seen.len() {
        objects.push(serde_json::from_str(&told.next().unwrap()).unwrap());
    }
    assert_eq!(objects, watch.seen);
    let seen = watch.end();
    let text = fs::read_to_string(&file).unwrap();
    let all: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(all, seen);
}

case!(EachCard, hooks_stall_nobody);
/// A command that never ends costs the list and stdout nothing, and goes with the watch.
fn hooks_stall_nobody(card: &str) {
    let stack = enrolled(2, 1, card);
    let pipe = pipe(&stack, "held");
    let mut held = {
        let _both = both_ends(&pipe);
        File::open(&pipe).unwrap()
    };
    let command = format!("exec 3> {}; echo >&3; sleep 1000 & sleep 1000", pipe.display());
    let mut watch = hooked(&stack, &command);
    come_and_go(&stack, &mut watch);
    assert_eq!(stack.present(), ["p1"]);
    watch.end();
    // Nobody holds the other end any more: the first run has begun, and is gone with its child.
    let mut begun = String::new();
    held.read_to_string(&mut begun).unwrap();
    assert_eq!(begun, "\n");
}

case!(EachCard, hooks_may_fail);
/// A command that fails, or is not there, is told on stderr, and no file or socket of the program is open in it.
fn hooks_may_fail(card: &str) {
    let stack = enrolled(2, 1, card);
    fs::write(stack.home().join("config.toml"), "on_event = \"/no/such/hook\"\n").unwrap();
    let open = "ls -l /proc/self/fd | grep -e socket: -e \"$ROLLCALL_HOME\" >&2; exit 3";
    for (args, expected) in [(&[][..], "exit status 127"), (&["--on-event", open], "exit status 3\n")] {
        let mut command = stack.command("rollcall");
        command.args(["--output", "ndjson", "watch"]).args(args);
        let mut watch = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(watch.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("the command for events, at event ") {
            line.clear();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "nothing was told of it");
        }
        assert!(line.contains(expected), "{line}");
        signal::send(watch.id(), "TERM");
        std::io::copy(&mut stderr, &mut std::io::sink()).unwrap();
        assert_eq!(watch.wait().unwrap().code(), Some(143));
    }
}
