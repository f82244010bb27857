//! Two doors and a server: what `watch` sees at each reaches `server presence`, also after a network that drops every
//! packet, and when everything resumes sixteen days later.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::{
    server::Office,
    stack::{Clock, Run, Stack, Watch},
};

/// How long events may take to the server once it answers again.
const PATIENCE: Duration = Duration::from_secs(90);

/// An address where nobody answers: its queue is full, and the kernel drops whatever else comes.
struct BlackHole(#[expect(dead_code, reason = "open as long as it is here")] (Socket, Vec<TcpStream>));

impl BlackHole {
    fn at(address: &str) -> Self {
        let address: SocketAddr = address.parse().expect("an address");
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
        socket.set_reuse_address(true).and_then(|()| socket.bind(&address.into())).expect("the server's address");
        socket.listen(0).expect("a queue");
        let knock = |_| TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
        let waiting: Vec<_> = (0..16).map_while(knock).collect();
        assert!(waiting.len() < 16, "somebody answers");
        Self((socket, waiting))
    }
}

/// A second terminal, which has no CA key, beside the one that has everything.
struct Doors {
    office: Office,
    homes: [PathBuf; 2],
}

impl Doors {
    fn new(office: Office) -> Self {
        let first = office.stack.home();
        let homes = [first.clone(), first.join("south")];
        Self { office, homes }
    }

    /// Keys of the second terminal from the first one.
    fn supply(&mut self, bundle: &str) -> Run {
        let file = self.homes[0].join(bundle);
        let file = file.to_str().expect("a name");
        self.at(0).rollcall(&["server", "terminal", "add", "south", "--out", file]).expect(0);
        self.at(1).rollcall(&["--yes", "pki", "import", file])
    }

    /// Everything that is started from now on is at this door.
    fn at(&mut self, door: usize) -> &mut Stack {
        self.office.stack.at_home(&self.homes[door]);
        &mut self.office.stack
    }

    /// A watch at each door; the reader of a door has its number.
    fn watches(&mut self) -> [Watch; 2] {
        let readers = self.office.stack.readers();
        [0, 1].map(|door| self.at(door).watch(&["--reader", &readers[door]]))
    }

    /// Waits until the server has these people, each at the door of this terminal.
    fn await_presence(&mut self, expected: &[(&str, usize)]) {
        let begun = Instant::now();
        loop {
            let told = self.at(0).ndjson(0, &["server", "presence"]);
            let door = |one: &Value| usize::from(one["terminal"] == "south");
            let here: BTreeMap<_, _> =
                told.iter().map(|one| (one["user"]["id"].as_str().expect("an id"), door(one))).collect();
            if here == expected.iter().copied().collect() {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{expected:?}: {told:#?}");
        }
    }

    /// The numbers of the events of each door, as it keeps them and as the server has them.
    fn events(&mut self) -> [[BTreeSet<i64>; 2]; 2] {
        let store = rusqlite::Connection::open(self.homes[0].join("server.db")).expect("the store");
        [0, 1].map(|door| {
            let mut found = store
                .prepare("SELECT seq FROM events WHERE (terminal = 'south') = ?1 ORDER BY terminal, list, seq")
                .expect("a statement");
            let there = found
                .query_map([door == 1], |row| row.get::<_, i64>(0))
                .expect("rows")
                .map(|seq| seq.expect("a number"));
            let there: Vec<_> = there.collect();
            let mine = self.at(door).ndjson(0, &["users", "history"]);
            let mine = mine.iter().map(|event| event["seq"].as_i64().expect("a number")).collect();
            let once: BTreeSet<_> = there.iter().copied().collect();
            assert_eq!(once.len(), there.len(), "twice at the server: {there:?}");
            [mine, once]
        })
    }
}

case!(Once, two_doors_through_a_black_hole);
fn two_doors_through_a_black_hole() {
    let mut office = Office::new(2, "virtual");
    let clock = office.stack.clock();
    office.kill();
    office.start(); // under that clock
    let mut doors = Doors::new(office);
    doors.supply("first.json").expect(0);
    std::fs::copy(doors.homes[0].join("config.toml"), doors.homes[1].join("config.toml")).expect("a configuration");
    let mut watches = doors.watches();
    for watch in &mut watches {
        watch.event("arrived");
    }
    doors.await_presence(&[("p1", 0), ("p2", 1)]);

    doors.office.kill();
    let hole = BlackHole::at(&doors.office.address);
    for (verb, kind) in [("remove", "left"), ("insert", "arrived"), ("remove", "left")] {
        doors.office.stack.card(verb, 1);
        doors.office.stack.card(verb, 2);
        for (watch, id) in watches.iter_mut().zip(["p1", "p2"]) {
            assert_eq!(watch.event(kind)["user"]["id"], id);
        }
    }
    drop(hole);
    doors.at(0);
    doors.office.start();
    doors.office.stack.card("insert", 2);
    watches[1].event("arrived");
    // No watch needs to be restarted for it.
    doors.await_presence(&[("p2", 1)]);
    for watch in watches {
        watch.end();
    }
    for [mine, told] in doors.events() {
        assert_eq!(mine, told, "every event, and each once");
        assert!(mine.len() >= 4, "{mine:?}");
    }

    sixteen_days_on(&mut doors, &clock);
}

/// The server runs on; both terminals were off, and their certificates are over.
fn sixteen_days_on(doors: &mut Doors, clock: &Clock) {
    clock.set(16);
    doors.office.stack.card("insert", 1);
    let reader = doors.office.stack.readers().remove(0);
    let scan = doors.at(0).rollcall(&["scan", "--reader", &reader]).expect(0);
    assert!(scan.stderr.contains("certificates were renewed"), "{scan:#?}");
    // A terminal without the CA key only needs new keys from there.
    let south = doors.at(1).rollcall(&["scan", "--reader", &reader]);
    assert_eq!((south.status, south.code()), (78, "pki.terminal-expired"), "{south:#?}");
    doors.supply("second.json").expect(0);
    let mut watches = doors.watches();
    doors.office.stack.card("remove", 2);
    watches[1].event("left");
    doors.await_presence(&[("p1", 0)]);
    doors.office.stack.card("insert", 2);
    watches[1].event("arrived");
    doors.await_presence(&[("p1", 0), ("p2", 1)]);
    for watch in watches {
        watch.end();
    }
    assert_eq!(doors.at(0).ndjson(0, &["server", "audit", "verify"])[0]["whole"], true);
}
