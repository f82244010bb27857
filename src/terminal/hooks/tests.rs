//! Real runs of a real shell. Tests wait for runs through named pipes, never by the clock.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use super::*;

const LONG: Duration = Duration::from_secs(120);

/// A folder with named pipes.
struct Pipes {
    folder: tempfile::TempDir,
}

impl Pipes {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn make(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }
}

/// The lines that runs write into a pipe, which stays open between them.
fn lines(pipe: &Path) -> impl Iterator<Item = String> {
    let both = OpenOptions::new().read(true).write(true).open(pipe).unwrap();
    BufReader::new(both).lines().map(Result::unwrap)
}

fn start(command: &str, limit: Duration) -> (Hooks, Receiver<HookReport>) {
    let (tell, news) = mpsc::channel();
    (Hooks::start(command, limit, move |one| drop(tell.send(one))).unwrap(), news)
}

fn job(seq: u64) -> Job {
    Job { seq, json: format!("{{\"seq\":{seq},\"name\":\"Zoë $(id) `id` '\\\" 山田\"}}") }
}

#[test]
fn every_event_is_one_run_in_order_with_the_object_on_stdin() {
    let pipes = Pipes::new();
    let pipe = pipes.make("told");
    let told = lines(&pipe);
    let (mut hooks, news) = start(&format!("cat > {}", pipe.display()), LONG);
    for seq in 0..40 {
        assert_eq!(hooks.give(job(seq)), None);
    }
    let expected: Vec<_> = (0..40).map(|seq| job(seq).json).collect();
    assert_eq!(told.take(40).collect::<Vec<_>>(), expected);
    assert_eq!(hooks.finish(), None);
    assert_eq!(news.try_iter().count(), 0);
}

#[test]
fn a_run_that_fails_is_told_and_the_next_one_comes() {
    let long = "x".repeat(2 * LONGEST_WORD);
    let cases = [
        ("echo 'no \u{1b}door' >&2; exit 3", How::Status(3), "no \u{1b}door"),
        ("kill -KILL $$", How::Signal(9), ""),
        (&format!("echo {long} >&2; false"), How::Status(1), &long[..LONGEST_WORD]),
        ("if", How::Status(2), "unexpected"),
        ("/no/such/command", How::Status(127), "not found"),
    ];
    for (command, how, word) in cases {
        let (mut hooks, news) = start(command, LONG);
        for seq in [7, 8] {
            hooks.give(job(seq));
            match news.recv().unwrap() {
                HookReport::Failed { seq: at, how: manner, said } => {
                    assert_eq!((at, &manner), (seq, &how), "{command}");
                    assert!(said.contains(word), "{said:?} of {command}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Reads a pipe until no writer is left.
struct Held(File);

impl Held {
    fn open(pipe: &Path) -> Self {
        // With another end already open, opening does not block.
        let _both = OpenOptions::new().read(true).write(true).open(pipe).unwrap();
        Self(File::open(pipe).unwrap())
    }

    fn until_nobody_is_left(self) -> String {
        std::io::read_to_string(self.0).unwrap()
    }
}

/// Everything in the process group of a run is killed with it, even processes that ignore SIGTERM.
#[test]
fn a_run_that_takes_too_long_is_ended_with_its_children() {
    let pipes = Pipes::new();
    let pipe = pipes.make("held");
    let held = Held::open(&pipe);
    let command =
        format!("exec 3> {}; trap '' TERM; sleep 1000 & echo late | tee /dev/fd/3 >&2; sleep 1000", pipe.display());
    let (mut hooks, news) = start(&command, Duration::from_secs(2));
    hooks.give(job(1));
    assert_eq!(news.recv().unwrap(), HookReport::Failed { seq: 1, how: How::Late, said: "late".into() });
    assert_eq!(held.until_nobody_is_left(), "late\n");
}

#[test]
fn what_a_run_leaves_behind_is_ended() {
    let pipes = Pipes::new();
    let pipe = pipes.make("held");
    let held = Held::open(&pipe);
    let (mut hooks, news) = start(&format!("exec 3> {}; sleep 1000 & echo left >&3", pipe.display()), LONG);
    hooks.give(job(1));
    assert_eq!(hooks.finish(), None);
    assert_eq!(held.until_nobody_is_left(), "left\n");
    assert_eq!(news.try_iter().count(), 0);
}

#[test]
fn a_run_that_floods_or_does_not_read_goes_on() {
    let flood = "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2";
    for command in [flood, "exec <&-", "exec <&- >&- 2>&-", "cat; exec <&-"] {
        let pipes = Pipes::new();
        let pipe = pipes.make("told");
        let mut told = lines(&pipe);
        let (mut hooks, news) = start(&format!("{command}; echo done > {}", pipe.display()), LONG);
        for seq in [1, 2] {
            hooks.give(Job { seq, json: "x".repeat(1 << 20) });
            assert_eq!(told.next().unwrap(), "done", "{command}");
        }
        hooks.finish();
        assert_eq!(news.try_iter().count(), 0, "{command}");
    }
}

/// The thread that queues events is the test's own, so the test would hang if queuing ever waited for a run.
#[test]
fn a_slow_run_holds_nobody_up_and_what_does_not_fit_is_counted() {
    let pipes = Pipes::new();
    let (begun, gate) = (pipes.make("begun"), pipes.make("gate"));
    let mut begins = lines(&begun);
    let (mut hooks, news) = start(&format!("echo > {}; cat {}", begun.display(), gate.display()), LONG);
    let longest = LONGEST_QUEUE as u64;
    assert_eq!(hooks.give(job(0)), None);
    begins.next().unwrap();
    for seq in 1..=longest {
        assert_eq!(hooks.give(job(seq)), None);
    }
    assert_eq!(hooks.give(job(longest + 1)), Some(HookReport::Full { seq: longest + 1 }));
    for seq in 2..=50 {
        assert_eq!(hooks.give(job(longest + seq)), None);
    }
    // Runs finish; from half empty on there is room again, and the number of dropped events is reported.
    for _ in 0..=LONGEST_QUEUE / 2 {
        drop(OpenOptions::new().write(true).open(&gate).unwrap());
        begins.next().unwrap();
    }
    assert_eq!(hooks.give(job(9_999)), Some(HookReport::Missed(50)));
    // The current run is ended, and the queued half is dropped.
    assert_eq!(hooks.finish(), Some(HookReport::Missed(longest / 2)));
    let told: Vec<_> = news.try_iter().collect();
    assert!(matches!(told[..], [HookReport::Failed { how: How::Ended, .. }]), "{told:?}");
}

#[test]
fn what_is_due_is_run_before_the_end() {
    let pipes = Pipes::new();
    let pipe = pipes.make("told");
    let mut told = lines(&pipe);
    let (mut hooks, _news) = start(&format!("cat > {}", pipe.display()), LONG);
    hooks.give(job(1));
    drop(hooks);
    assert_eq!(told.next().unwrap(), job(1).json);
}
