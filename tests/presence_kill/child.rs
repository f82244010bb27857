//! The child processes that are killed: this same program, whose environment says what to do.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use rollcall::api::User;
use rollcall::failure::ErrorObject;
use rollcall::terminal::presence::store::Delivery;
use rollcall::terminal::presence::{Holder, Input, Policy, PresenceMode, Refused, Source, Tap, TerminalStore};
use uuid::Uuid;

use crate::dice::Dice;

const ROLE: &str = "ROSTER_KILL_ROLE";
const HOME: &str = "ROSTER_KILL_HOME";
const SEED: &str = "ROSTER_KILL_SEED";

/// Starts the test `test` of this program as a child of that role.
pub fn spawn(test: &str, role: &str, home: &Path, seed: u64) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).env(HOME, home).env(SEED, seed.to_string());
    command.stdout(Stdio::piped()).spawn().unwrap()
}

/// In a child: plays its role and ends the process. Elsewhere nothing.
pub fn play() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let home = PathBuf::from(std::env::var_os(HOME).unwrap());
    let seed = std::env::var(SEED).unwrap().parse().unwrap();
    match role.as_str() {
        "apply" => apply(&home, seed),
        "watch" => watch(&home),
        "deliver" => deliver(&home, seed),
        other => panic!("no role {other}"),
    }
    std::process::exit(0);
}

/// One line that the parent reads; nothing stays in a buffer.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Applies random inputs until killed, and acknowledges every event once it is returned.
fn apply(home: &Path, seed: u64) {
    let mut dice = Dice::new(seed);
    let mut store = TerminalStore::open(home).unwrap();
    for _ in 0..400 {
        let events = store.apply(&dice.input(), Timestamp::now(), &Hasty).unwrap();
        say(&format!("ack {}", serde_json::to_string(&events).unwrap()));
    }
}

/// A watch that only takes outcomes delivered by others.
fn watch(home: &Path) {
    let mut store = TerminalStore::open(home).unwrap();
    let (_lock, bell, _) = store.start_watch(Timestamp::now(), &Hasty).unwrap();
    let bell = bell.unwrap();
    say("ack watching");
    loop {
        let ring = bell.wait().unwrap();
        store.catch_up(Timestamp::now(), &Hasty).unwrap();
        drop(ring);
    }
}

/// Delivers ten unique outcomes, one by one.
fn deliver(home: &Path, seed: u64) {
    let mut store = TerminalStore::open(home).unwrap();
    for n in 0..10 {
        let reader = format!("reader {seed} {n}");
        let delivery = store.deliver(&[Input::ReaderAdded { reader: reader.clone() }], Timestamp::now(), &Hasty);
        let how = if delivery.unwrap() == Delivery::HandedOver { "handed" } else { "stored" };
        say(&format!("ack {how} {reader}"));
    }
}

/// Short times, so that they expire during the test.
pub struct Hasty;

impl Policy for Hasty {
    fn presence(&self, reader: &str) -> PresenceMode {
        match reader {
            "toggle" => PresenceMode::Toggle,
            "until" => PresenceMode::Until(Duration::from_millis(7)),
            _ => PresenceMode::Field,
        }
    }

    fn stale_after(&self) -> Duration {
        Duration::from_millis(11)
    }

    fn min_stay(&self) -> Duration {
        Duration::from_millis(5)
    }
}

impl Dice {
    fn reader(&mut self) -> String {
        ["field a", "field b", "toggle", "until"][usize::try_from(self.roll(4)).unwrap()].to_owned()
    }

    fn token(&mut self) -> Uuid {
        Uuid::from_u128(u128::from(self.roll(6)))
    }

    fn holder(&mut self) -> Holder {
        let token_id = self.token();
        let id = format!("user {}", token_id.as_u128() % 4);
        let user = User { name: "名前 'x\"\n".to_owned(), id, ..User::default() };
        Holder { token_id, user, source: Source::Card, authenticated: true, resumed: false }
    }

    fn input(&mut self) -> Input {
        let reader = self.reader();
        match self.roll(20) {
            0..8 => Input::Tap(Tap { reader, insertion: self.roll(4).into(), holder: self.holder() }),
            8 => Input::Silent { reader },
            9..11 => Input::Seen { reader, token_id: self.token() },
            11..14 => Input::Lifted { reader },
            14 => Input::Refused(Refused {
                reader,
                insertion: self.roll(4).into(),
                error: ErrorObject {
                    code: "token.mute".to_owned(),
                    message: "no answer".to_owned(),
                    hint: None,
                    command: None,
                },
                barred: false,
                silent: self.roll(2) == 0,
                token_id: None,
                user: None,
            }),
            15 => Input::Startup,
            16 => {
                if self.roll(2) == 0 {
                    Input::ServiceLost
                } else {
                    Input::ServiceBack
                }
            }
            17 => Input::Readers { attached: (0..self.roll(4)).map(|_| self.reader()).collect::<BTreeSet<_>>() },
            18 if self.roll(4) == 0 => Input::Clear,
            18 => Input::Deny { id: self.token().to_string() },
            _ => Input::Allow { id: self.token().to_string() },
        }
    }
}
