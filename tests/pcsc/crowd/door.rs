//! The door: its people, their actions, and the expected results.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::canary::Canaries;
use crate::{
    card::Card,
    dice::Dice,
    server::Office,
    signal,
    slot::{Lift, Slot},
    stack::Watch,
};

pub const PATIENCE: Duration = Duration::from_secs(30);

/// Why a person is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bar {
    No,
    Suspended,
    Blocked,
}

pub struct Person {
    id: String,
    token: String,
    card: Option<Box<dyn Card>>,
    bar: Bar,
    is_in: bool,
    /// Whether a resumed tap is right: there was a full one that nothing has undone since.
    may_resume: bool,
    /// Whether the token is under the other CA already.
    is_rotated: bool,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Tap,
    Lift,
    EndWatch,
    EndService,
    EndServer,
    Suspend,
    Block,
    Rotate,
}

pub struct Crowd {
    pub office: Office,
    port: String,
    reader: String,
    pub dice: Dice,
    people: Vec<Person>,
    watch: Option<Watch>,
    cores: PathBuf,
    said: PathBuf,
    pub keys: Canaries,
    /// Who is still the last one to the reader: a watch or service that has just come back cannot tell a second tap of
    /// that card from one that lies there.
    last: Option<usize>,
    is_rotating: bool,
    pub told: Told,
}

/// What came of the run.
#[derive(Debug, Default)]
pub struct Told {
    pub taps: usize,
    pub resumed: usize,
    refused: usize,
    lifted: usize,
}

impl Crowd {
    pub fn new(people: usize, seed: u64) -> Self {
        let mut office = Office::without_tokens(1, "none");
        let rules = "[presence]\nmin_stay = \"0s\"\ndefault = \"toggle\"\n[resume]\ndefault = true\n";
        office.configure(&format!("resume_max_age = \"4h\"\n{rules}"));
        office.kill();
        office.start();
        let (stack, keys) = (&office.stack, Canaries::default());
        let port = stack.variable("VPCD_PORTS").split(' ').next().unwrap().to_owned();
        let reader = stack.readers().remove(0);
        let (cores, said) = (stack.home().join("cores"), stack.home().join("said"));
        fs::create_dir(&cores).unwrap();
        let mut crowd = Self {
            office,
            port,
            reader,
            dice: Dice::new(seed),
            people: Vec::new(),
            watch: None,
            cores,
            said,
            keys,
            last: None,
            is_rotating: false,
            told: Told::default(),
        };
        for number in 1..=people {
            let (id, name) = (format!("p{number}"), format!("Person {number}"));
            let slot = Slot::insert(&crowd.port, crowd.keys.blank());
            crowd.wait(true);
            let made =
                crowd.office.stack.ndjson(0, &["enroll", "--reader", &crowd.reader, "--id", &id, "--name", &name]);
            let token = made[0]["token_id"].as_str().unwrap().to_owned();
            let card = Some(crowd.take(slot));
            crowd.people.push(Person {
                id,
                token,
                card,
                bar: Bar::No,
                is_in: false,
                may_resume: false,
                is_rotated: false,
            });
        }
        crowd.start_watch();
        crowd
    }

    /// Removes the card and waits until the service has noticed.
    fn take(&self, slot: Slot) -> Box<dyn Card> {
        let card = slot.remove();
        self.wait(false);
        card
    }

    /// Waits until the service has noticed that a card is present or absent.
    fn wait(&self, present: bool) {
        let lies_there = |object: &Value| object["reader"] == *self.reader && object["atr"].is_string();
        let found = (0..1000).any(|_| self.office.stack.lists(&lies_there) == present);
        assert!(found, "the service never noticed: present {present}");
    }

    /// In a folder where it could leave a core file.
    pub fn start_watch(&mut self) {
        let mut command = self.office.stack.command("sh");
        command
            .args(["-c", "ulimit -c unlimited 2>/dev/null; exec rollcall --output ndjson -v watch"])
            .current_dir(&self.cores);
        let said = File::options().create(true).append(true).open(&self.said).unwrap();
        self.watch = Some(Watch::of(command.stderr(Stdio::from(said))));
    }

    /// By a signal that it heeds, by one that nobody can, or by one that leaves a core file of any other program.
    pub fn end_watch(&mut self, how: u64) {
        let mut watch = self.watch.take().unwrap();
        let told = if how == 0 {
            watch.end()
        } else {
            let (name, number) = if how == 1 { ("KILL", 9) } else { ("ABRT", 6) };
            signal::send(watch.process.id(), name);
            let status = watch.process.wait().unwrap();
            assert_eq!((status.signal(), status.core_dumped()), (Some(number), false));
            std::iter::from_fn(|| watch.next(PATIENCE)).collect()
        };
        for event in &told {
            self.between_taps(event);
        }
        assert_eq!(fs::read_dir(&self.cores).unwrap().count(), 0, "a core file");
        for person in &mut self.people {
            person.may_resume = false;
        }
    }

    /// The account of the last tap that watch has given.
    fn account(&self) -> String {
        let said = fs::read_to_string(&self.said).unwrap();
        let is_account = |line: &&str| line.contains(" exchanges, ") || line.contains(" 1 exchange, ");
        said.lines().rfind(is_account).expect("an account").to_owned()
    }

    /// Takes events until this person's tap is told. Of others only one that is not let in any more may leave
    /// meanwhile.
    fn await_tap(&mut self, who: usize) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let event = self.watch.as_mut().unwrap().next(left).expect("the tap is told");
            let kind = event["event"].as_str().unwrap();
            if !["arrived", "left", "refused"].contains(&kind) {
                continue;
            }
            if (kind, event["reason"].as_str()) == ("left", Some("refused")) {
                self.between_taps(&event);
                continue;
            }
            assert_eq!(event["token_id"], *self.people[who].token, "{event}");
            return event;
        }
    }

    /// Checks that nobody arrives or leaves without a tap, except those who are now denied.
    fn between_taps(&mut self, event: &Value) {
        match event["event"].as_str().unwrap() {
            "left" => {
                assert_eq!(event["reason"], "refused", "{event}");
                let gone = self.people.iter().find(|person| event["token_id"] == *person.token).unwrap();
                assert_ne!(gone.bar, Bar::No, "{event}");
            }
            kind => assert!(!["arrived", "refused"].contains(&kind), "{event}"),
        }
    }

    /// One tap, and what is done while the card lies there.
    fn tap_and(&mut self, who: usize, then: impl FnOnce(&Self)) -> String {
        let slot = Slot::insert(&self.port, self.people[who].card.take().unwrap());
        let event = self.await_tap(who);
        let account = self.account();
        let is_resumed = account.ends_with(", resumed");
        let person = &mut self.people[who];
        let expected = match (person.bar, person.is_in) {
            (Bar::No, false) => ("arrived", None),
            (Bar::No, true) => ("left", None),
            (Bar::Suspended, _) => ("refused", Some("token.suspended")),
            (Bar::Blocked, _) => ("refused", Some("token.blocked")),
        };
        let told = (event["event"].as_str().unwrap(), event["error"]["code"].as_str());
        assert_eq!(told, expected, "{event}");
        // A suspended person may resume once more and is rejected, but never after that.
        assert!(person.may_resume || !is_resumed, "{}: {account}", person.id);
        if person.bar == Bar::No {
            person.is_in = !person.is_in;
            person.may_resume = true;
            if person.is_in {
                assert_eq!(event["resumed"] == true, is_resumed, "{event}: {account}");
            }
        } else {
            person.may_resume = false;
            self.told.refused += 1;
        }
        self.told.taps += 1;
        self.told.resumed += usize::from(is_resumed);
        then(self);
        self.people[who].card = Some(self.take(slot));
        self.last = Some(who);
        account
    }

    pub fn tap(&mut self, who: usize) -> String {
        self.tap_and(who, |_| {})
    }

    /// A random person who fits.
    fn anybody(&mut self, fits: impl Fn(usize, &Person) -> bool) -> usize {
        let fitting: Vec<_> = (0..self.people.len()).filter(|at| fits(*at, &self.people[*at])).collect();
        assert!(!fitting.is_empty(), "nobody is left for this");
        fitting[usize::try_from(self.dice.roll(fitting.len() as u64)).unwrap()]
    }

    /// Somebody who is let in, and is not the last who tapped.
    pub fn other(&mut self) -> usize {
        let last = self.last;
        self.anybody(|at, person| Some(at) != last && person.bar == Bar::No)
    }

    fn rollcall(&self, args: &[&str]) -> Vec<Value> {
        self.office.stack.ndjson(0, &[&["--yes"], args].concat())
    }

    fn token(&self, command: &str) {
        let told = self.rollcall(&["token", command, "--reader", &self.reader]);
        assert_eq!(told[0]["result"], "done", "{told:?}");
    }

    /// The card leaves at one of the three exchanges that every tap needs: nobody came, and nobody left.
    fn lift(&mut self) {
        let who = self.anybody(|_, person| person.bar == Bar::No);
        let at = usize::try_from(1 + self.dice.roll(3)).unwrap();
        let lift = Some(Lift { at, carried_out: self.dice.roll(2) == 0 });
        let slot = Slot::insert_lifted(&self.port, self.people[who].card.take().unwrap(), lift);
        self.people[who].card = Some(slot.lifted());
        self.wait(false);
        self.last = Some(who);
        self.told.lifted += 1;
    }

    /// A change of the bar, and the first tap after it.
    fn change_bar(&mut self, bar: Bar) {
        let who = self.anybody(|_, _| true);
        let token = self.people[who].token.clone();
        match self.people[who].bar {
            Bar::No if bar == Bar::Suspended => {
                self.office.status(&token, "suspended");
                self.people[who].bar = bar;
                if self.dice.roll(2) == 0 {
                    // It is lifted before anybody has tapped: the next tap is a full one all the same.
                    self.office.status(&token, "active");
                    self.let_in(who);
                }
            }
            Bar::No => {
                self.tap_and(who, |crowd| crowd.token("block"));
                (self.people[who].bar, self.people[who].may_resume) = (bar, false);
            }
            Bar::Suspended => {
                self.office.status(&token, "active");
                self.let_in(who);
            }
            Bar::Blocked => {
                self.tap_and(who, |crowd| crowd.token("unblock"));
                self.let_in(who);
            }
        }
        self.tap(who);
    }

    /// Who was barred has left by the server's word, or by a tap, or was not in: the list says which.
    fn let_in(&mut self, who: usize) {
        let is_in = self.office.stack.present().contains(&self.people[who].id);
        self.drain();
        let person = &mut self.people[who];
        (person.bar, person.is_in, person.may_resume) = (Bar::No, is_in, false);
    }

    /// What watch has told since the last tap.
    fn drain(&mut self) {
        while let Some(event) = self.watch.as_mut().unwrap().next(Duration::ZERO) {
            self.between_taps(&event);
        }
    }

    /// Who is under the other CA already would be left as they are, and resume.
    fn rotate(&mut self) {
        if !self.is_rotating {
            self.rollcall(&["pki", "rotate-ca"]);
            self.is_rotating = true;
        }
        let who = self.anybody(|_, person| person.bar == Bar::No && !person.is_rotated);
        self.tap_and(who, |crowd| crowd.token("rotate"));
        let person = &mut self.people[who];
        (person.is_rotated, person.may_resume) = (true, false);
        self.tap(who);
        self.await_server();
    }

    pub fn step(&mut self, step: Step) {
        match step {
            Step::Tap => {
                let who = self.anybody(|_, _| true);
                self.tap(who);
            }
            Step::Lift => self.lift(),
            Step::Suspend => self.change_bar(Bar::Suspended),
            Step::Block => self.change_bar(Bar::Blocked),
            Step::Rotate => self.rotate(),
            Step::EndWatch => {
                let how = self.dice.roll(3);
                self.end_watch(how);
                self.start_watch();
                let who = self.other();
                self.tap(who);
            }
            Step::EndService => {
                let verb = if self.dice.roll(2) == 0 { "stop" } else { "kill" };
                self.office.stack.service(verb);
                self.office.stack.service("start");
                let who = self.other();
                self.tap(who);
            }
            Step::EndServer => self.end_server(),
        }
    }

    /// Taps go on meanwhile. It is back once it is asked again: before that a suspension could not be known here.
    fn end_server(&mut self) {
        self.office.kill();
        for _ in 0..self.dice.roll(4) {
            let who = self.other();
            self.tap(who);
        }
        self.office.start();
        self.await_server();
    }

    fn await_server(&mut self) {
        let asked = (0..200).any(|_| {
            let who = self.other();
            self.tap(who).contains(", server ")
        });
        assert!(asked, "the server is never asked again");
    }

    pub fn inside(&self) -> BTreeSet<String> {
        self.people
            .iter()
            .filter(|person| person.is_in && person.bar == Bar::No)
            .map(|person| person.id.clone())
            .collect()
    }

    /// Asserts that the list shows exactly those who are in.
    pub fn assert_truth(&mut self) {
        let listed = self.office.stack.present();
        self.drain();
        let barred = self.barred();
        assert_eq!(listed.into_iter().filter(|id| !barred.contains(id)).collect::<BTreeSet<_>>(), self.inside());
    }

    pub fn barred(&self) -> BTreeSet<String> {
        self.people.iter().filter(|person| person.bar != Bar::No).map(|person| person.id.clone()).collect()
    }
}
