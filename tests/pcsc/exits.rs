//! Every exit status of the contract, each from a real run; the table of docs/scripting.md shows these very runs.
//!
//! 70 is an internal error. None is known, so that the process which shows it is one of the library's own tests:
//! `cli::tests::a_panic_on_any_thread_is_reported_as_a_bug_and_ends_the_process`.

use std::fs;

use crate::{
    card::{Card, blank},
    lift::{Bench, TEST_KEY},
    slot::{Lift, Slot},
    stack::{Run, Stack},
};

/// Where the runs are shown.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/scripting.md");

/// A row of the table.
fn row(status: i32, meaning: &str, run: &str, code: &str) -> String {
    let code = if code.is_empty() { String::new() } else { format!("`{code}`") };
    format!("| {status} | {meaning} | {run} | {code} |")
}

/// The code that a run told: of the whole, or of its one outcome.
fn code(run: &Run) -> String {
    match run.code() {
        "" => run.objects().iter().find_map(|o| o["error"]["code"].as_str().map(str::to_owned)).unwrap_or_default(),
        code => code.to_owned(),
    }
}

/// Runs this, and makes a row of what came of it.
fn ran(stack: &Stack, status: i32, meaning: &str, line: &str, when: &str) -> String {
    let args: Vec<_> = line.split(' ').collect();
    let run = stack.rollcall(&[&["--output", "ndjson"], args.as_slice()].concat()).expect(status);
    row(status, meaning, format!("`rollcall {line}` {when}").trim(), &code(&run))
}

/// A `watch` that this signal ends, after a card came to it; a second one beside it is refused.
fn watched(bench: &Bench, card: Box<dyn Card>, signal: &str, status: i32) -> (Box<dyn Card>, [String; 2]) {
    let stack = &bench.stack;
    // A person already on the list would not arrive again.
    stack.rollcall(&["users", "clear", "--yes"]).expect(0);
    let mut watch = stack.watch(&[]);
    let slot = Slot::insert(&bench.port, card);
    watch.event("arrived");
    let busy = ran(stack, 75, "try again later (busy, locked)", "watch", "beside another one");
    crate::signal::send(watch.process.id(), signal);
    assert_eq!(watch.process.wait().unwrap().code(), Some(status));
    let ended = row(status, "ended by a signal", &format!("`rollcall watch`, ended with SIG{signal}"), "");
    (bench.take(slot), [busy, ended])
}

fn on_a_full_disk(stack: &Stack) -> String {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = stack.command("rollcall").args(["users", "export"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(73));
    assert!(String::from_utf8(output.stderr).unwrap().ends_with("code: output.failed\n"));
    row(73, "a local file, disk or database", "`rollcall users export > /dev/full`", "output.failed")
}

case!(EachCard, every_exit_status_is_a_real_run);
fn every_exit_status_is_a_real_run(kind: &str) {
    let bench = Bench::uninitialised();
    let stack = &bench.stack;
    let run = |status, meaning, line, when| ran(stack, status, meaning, line, when);
    let unconfigured = run(78, "configuration", "scan", "before `rollcall pki init`");
    stack.rollcall(&["pki", "init"]).expect(0);
    let nobody = run(1, "done, but the answer is no, or some items failed", "scan", "with no card on a reader");
    let usage = run(2, "usage", "scan --count 0", "");
    let people = stack.home().join("users.csv");
    fs::write(&people, "id,name\n7,\n").unwrap();
    let args = ["-o", "ndjson", "enroll", "--dry-run", "--from", people.to_str().unwrap()];
    let data = stack.rollcall(&args).expect(65);
    let data =
        row(65, "bad input data", "`rollcall enroll --from users.csv` with a row that has no name", &code(&data));

    let slot = bench.put(blank(kind, TEST_KEY), None);
    stack.rollcall(&["enroll", "--id", "7", "--name", "Ada"]).expect(0);
    let done = run(0, "done", "scan", "of a token");
    let (card, [_, interrupted]) = watched(&bench, bench.take(slot), "INT", 130);
    let (card, [busy, terminated]) = watched(&bench, card, "TERM", 143);
    let slot = bench.put(card, None);
    let full = on_a_full_disk(stack);
    stack.rollcall(&["users", "deny", "7"]).expect(0);
    let refused =
        run(77, "refused: authentication or permission", "scan", "of a token that `rollcall users deny` named");
    stack.rollcall(&["users", "allow", "7"]).expect(0);
    let card = bench.take(slot);
    let slot = bench.put(card, Some(Lift { at: 2, carried_out: false }));
    let left = run(74, "the exchange with the card broke off (it left)", "scan", "of a card lifted in the middle");
    let card = bench.take(slot);
    let nonsense = |number, honest| if number == 1 { honest } else { vec![0x90, 0] };
    let slot = bench.put_bent(card, None, Box::new(nonsense));
    let peer = run(76, "the peer broke the protocol", "scan", "of a card that answers nonsense");
    bench.take(slot);
    stack.service("stop");
    let service = run(69, "a service is unavailable (PC/SC, the server)", "scan", "without pcscd");

    let bug = row(
        70,
        "internal error (please report it)",
        "none is known; a test makes a process of its own panic",
        "bug.panic",
    );
    let table = [
        done,
        nobody,
        usage,
        data,
        service,
        bug,
        full,
        left,
        busy,
        peer,
        refused,
        unconfigured,
        interrupted,
        terminated,
    ];
    let page = fs::read_to_string(PAGE).unwrap();
    let shown: Vec<_> = page.lines().skip_while(|line| !line.starts_with("| exit status |")).skip(2).collect();
    let shown: Vec<_> = shown.into_iter().take_while(|line| line.starts_with('|')).collect();
    assert!(shown == table, "docs/scripting.md should show:\n{}", table.join("\n"));
}
