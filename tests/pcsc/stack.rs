//! A private PC/SC stack for one test, by `scripts/with-readers`, and commands that run inside it.

use std::{
    cell::Cell,
    collections::HashMap,
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{objects, signal, told};

/// How long any one command may take.
const PATIENCE: &str = "120";

/// The driver that takes every APDU.
pub const VPCD: &str = "vpcd";

thread_local! {
    /// A case runs on one thread, and all its stacks have the same driver.
    static DRIVER: Cell<&'static str> = const { Cell::new(VPCD) };
}

/// The driver of the stacks that this thread starts from now on.
pub fn drive(driver: &'static str) {
    DRIVER.set(driver);
}

/// That driver.
pub fn driver() -> &'static str {
    DRIVER.get()
}

/// A running stack. It ends when it is dropped.
pub struct Stack {
    environment: HashMap<String, String>,
    process: Child,
    open: Option<ChildStdin>,
}

/// What a command printed, and its exit status.
#[derive(Debug)]
pub struct Run {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// The result of a program that has ended.
    pub fn of(output: &Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The run, which must have ended with this status.
    pub fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }

    /// The objects of ndjson output.
    pub fn objects(&self) -> Vec<Value> {
        objects::lines(&self.stdout)
    }

    /// The code of the error on stderr.
    pub fn code(&self) -> &str {
        told::after(&self.stderr, "code").unwrap_or("")
    }
}

/// Whether the service asks polkit, and polkit runs.
pub fn asks_polkit() -> bool {
    std::env::var_os("ROLLCALL_TEST_POLKIT").is_some()
}

impl Stack {
    /// Starts a stack with this many readers and a blank card of this kind in each.
    pub fn start(readers: usize, card: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let polkit = asks_polkit().then_some("--polkit");
        let mut process = Command::new(root.join("scripts/with-readers"))
            .args(["--readers", &readers.to_string(), "--card", card, "--driver", driver()])
            .args(polkit)
            .args(["--", "sh", "-c"])
            .arg("env -0; printf 'READY\\0'; exec cat >/dev/null")
            .env("ROLLCALL_BIN", env!("CARGO_BIN_EXE_rollcall"))
            .env_remove("ROLLCALL_HOME")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("scripts/with-readers starts");
        let mut lines = BufReader::new(process.stdout.take().expect("piped"));
        let mut environment = HashMap::new();
        loop {
            let mut entry = Vec::new();
            let read = lines.read_until(0, &mut entry).expect("readable");
            assert_ne!(read, 0, "the stack did not start");
            let entry = String::from_utf8_lossy(&entry[..entry.len().saturating_sub(1)]).into_owned();
            match entry.split_once('=') {
                Some((name, value)) => drop(environment.insert(name.to_owned(), value.to_owned())),
                None if entry == "READY" => break,
                None => {}
            }
        }
        // Files that programs leave for others to find are removed with the stack.
        let socket = Path::new(&environment["PCSCLITE_CSOCK_NAME"]);
        let folder = socket.parent().expect("a folder").to_string_lossy().into_owned();
        environment.insert("TMPDIR".to_owned(), folder);
        let open = process.stdin.take();
        Self { environment, process, open }
    }

    /// The state folder of the terminal.
    pub fn home(&self) -> PathBuf {
        PathBuf::from(&self.environment["ROLLCALL_HOME"])
    }

    /// A variable that commands inside the stack have.
    pub fn variable(&self, name: &str) -> &str {
        &self.environment[name]
    }

    /// A clock of its own for everything that is started from now on, through libfaketime; it can be moved meanwhile.
    /// Waits go by the monotonic clock, and that is left alone.
    pub fn clock(&mut self) -> Clock {
        let folders = std::fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
        let library = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|file| file.exists());
        let clock = Clock { file: self.home().join("clock") };
        clock.set(0);
        let library = library.expect("libfaketime: scripts/setup clock");
        for (name, value) in [
            ("LD_PRELOAD", library.to_str().unwrap()),
            ("FAKETIME_TIMESTAMP_FILE", clock.file.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
            ("NO_FAKE_STAT", "1"),
        ] {
            self.set(name, value);
        }
        clock
    }

    /// A variable of everything that is started from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// The same readers for another terminal: its state is in this folder.
    pub fn at_home(&mut self, folder: &Path) {
        self.set("ROLLCALL_HOME", folder.to_str().unwrap());
    }

    /// Whether `rollcall readers` lists such a reader.
    pub fn lists(&self, reader: &dyn Fn(&Value) -> bool) -> bool {
        self.ndjson(0, &["readers"]).iter().any(reader)
    }

    /// A command inside the stack.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(&self.environment).stdin(Stdio::null());
        command
    }

    fn bounded(&self, program: &str, args: &[&str]) -> Run {
        let output = self.command("timeout").arg(PATIENCE).arg(program).args(args).output();
        Run::of(&output.expect("the command starts"))
    }

    /// Runs rollcall.
    pub fn rollcall(&self, args: &[&str]) -> Run {
        let run = self.bounded("rollcall", args);
        objects::output(args, &run.stdout);
        run
    }

    /// Runs rollcall with ndjson output; it must end with this status.
    pub fn ndjson(&self, status: i32, args: &[&str]) -> Vec<Value> {
        self.rollcall(&[&["--output", "ndjson"], args].concat()).expect(status).objects()
    }

    /// `card remove 2` and the like.
    pub fn card(&self, verb: &str, number: usize) {
        self.bounded("card", &[verb, &number.to_string()]).expect(0);
    }

    /// A command for an emulated CCID reader; what it tells.
    pub fn reader(&self, number: usize, command: &str) -> String {
        let number = number.to_string();
        let words: Vec<_> = std::iter::once(number.as_str()).chain(command.split(' ')).collect();
        self.bounded("reader", &words).expect(0).stdout
    }

    /// What an emulated CCID reader counts: `blocks`, `faults` to come, `absences`.
    pub fn stat(&self, number: usize, name: &str) -> usize {
        let told: Value = serde_json::from_str(&self.reader(number, "stats")).expect("an object");
        told[name].as_u64().and_then(|count| count.try_into().ok()).expect("a number")
    }

    /// Waits until the service has looked at the empty slot of a CCID reader: after an exchange that failed it shows an
    /// empty one before that, and misses a card that comes meanwhile.
    pub fn await_absence(&self, number: usize) {
        if driver() != VPCD {
            let before = self.stat(number, "absences");
            // One look may be that of a client.
            assert!((0..1000).any(|_| self.stat(number, "absences") > before + 1), "nobody looks at the slot");
        }
    }

    /// `pcsc-stack stop` and the like.
    pub fn service(&self, verb: &str) {
        self.bounded("pcsc-stack", &[verb]).expect(0);
    }

    /// The process that listens at the stack's socket.
    pub fn daemon(&self) -> u32 {
        let folder = Path::new(self.variable("PCSCLITE_CSOCK_NAME")).parent().unwrap().to_str().unwrap();
        let numbers = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
        let mut all = fs::read_dir("/proc").unwrap().flatten().filter_map(numbers);
        let is_ours = |pid: &u32| {
            let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let words = [read("cmdline"), read("environ")].concat();
            read("comm").starts_with(b"pcscd") && String::from_utf8_lossy(&words).contains(folder)
        };
        all.find(is_ours).expect("the stack's pcscd")
    }

    /// The names of the readers, in order.
    pub fn readers(&self) -> Vec<String> {
        let listed = self.ndjson(0, &["readers"]);
        listed.iter().map(|r| r["reader"].as_str().expect("a name").to_owned()).collect()
    }

    /// The current user list: user ids, sorted.
    pub fn present(&self) -> Vec<String> {
        let mut ids: Vec<_> = self
            .ndjson(0, &["users"])
            .iter()
            .map(|entry| entry["user"]["id"].as_str().expect("an id").to_owned())
            .collect();
        ids.sort();
        ids
    }

    /// Starts `rollcall watch`.
    pub fn watch(&self, args: &[&str]) -> Watch {
        self.stream(&[&["watch"], args].concat())
    }

    /// Starts a command that tells objects as they come.
    pub fn stream(&self, args: &[&str]) -> Watch {
        self.stream_beside(args, Stdio::null())
    }

    /// The same; what it says besides goes to `stderr`.
    pub fn stream_beside(&self, args: &[&str], stderr: Stdio) -> Watch {
        let mut command = self.command("rollcall");
        Watch::of(command.args(["--output", "ndjson"]).args(args).stderr(stderr))
    }
}

/// The clock of a stack's commands.
pub struct Clock {
    file: PathBuf,
}

impl Clock {
    /// Sets it to this many days from now. Readers see either the old time or the new one.
    pub fn set(&self, days: u32) {
        self.write(&format!("+{days}d\n"));
    }

    /// Makes every process start at this moment: `2026-12-20 09:00:00`.
    pub fn begin_at(&self, moment: &str) {
        self.write(&format!("@{moment}\n"));
    }

    fn write(&self, text: &str) {
        let new = self.file.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(&new, &self.file).unwrap();
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        drop(self.open.take());
        let _ = self.process.wait();
    }
}

/// A service that is stopped in whatever it does, until this is dropped.
pub struct StoppedService(u32);

impl StoppedService {
    /// Stops the process, and returns once it has stopped.
    pub fn stop(daemon: u32) -> Self {
        signal::send(daemon, "STOP");
        let state = || fs::read_to_string(format!("/proc/{daemon}/stat")).expect("it is there");
        while !state().contains(") T ") {
            std::thread::yield_now();
        }
        Self(daemon)
    }
}

impl Drop for StoppedService {
    fn drop(&mut self) {
        signal::send(self.0, "CONT");
    }
}

/// A running `rollcall watch`. It is killed when it is dropped.
pub struct Watch {
    pub process: Child,
    events: Receiver<Value>,
    reader: Option<JoinHandle<()>>,
    /// Every event so far.
    pub seen: Vec<Value>,
}

impl Watch {
    /// Starts a command that tells objects as they come.
    pub fn of(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let stdout = BufReader::new(process.stdout.take().expect("piped"));
        let (tell, events) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // A killed process may have written half a line.
                if serde_json::from_str::<Value>(&line).is_err() {
                    return;
                }
                if tell.send(objects::line(&line)).is_err() {
                    return;
                }
            }
        });
        Self { process, events, reader: Some(reader), seen: Vec::new() }
    }

    /// The next object; none if none comes within this time or the output has ended.
    pub fn next(&mut self, patience: Duration) -> Option<Value> {
        self.events.recv_timeout(patience).ok()
    }

    /// Its exit status; it must end within this time, without another object.
    pub fn ended(&mut self, patience: Duration) -> ExitStatus {
        let told = self.events.recv_timeout(patience);
        assert_eq!(told, Err(RecvTimeoutError::Disconnected), "it should have ended");
        self.process.wait().expect("it has closed its output")
    }

    /// Waits for the next event of this kind, and returns it.
    pub fn event(&mut self, kind: &str) -> Value {
        self.find(kind).unwrap_or_else(|| panic!("no {kind} among {:#?}", self.seen))
    }

    fn find(&mut self, kind: &str) -> Option<Value> {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let event = self.events.recv_timeout(until.saturating_duration_since(Instant::now())).ok()?;
            self.seen.push(event.clone());
            if event["event"] == kind {
                return Some(event);
            }
        }
    }

    /// Ends it with SIGTERM, which must lead to status 143, and returns every event.
    pub fn end(mut self) -> Vec<Value> {
        signal::send(self.process.id(), "TERM");
        let status = self.process.wait().expect("ended");
        // Before the handler is installed, the signal itself ends the process; to a shell that is the same.
        assert_eq!(status.code().or(status.signal().map(|number| 128 + number)), Some(143));
        while let Ok(event) = self.events.recv() {
            self.seen.push(event);
        }
        std::mem::take(&mut self.seen)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let read = self.reader.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(read, Some(Ok(()))), "an object is not as its schema says");
    }
}
