//! The server as second source of users, end to end: a real server on SQLite, real TLS, a real card.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    process::{Child, Stdio},
};

use serde_json::{Value, json};

use crate::{objects, stack::Stack};

/// A stack with its server.
pub struct Office {
    pub stack: Stack,
    server: Option<Child>,
    pub address: String,
}

impl Office {
    /// So many cards, each enrolled through the server for p1, p2 …
    pub fn new(cards: usize, kind: &str) -> Self {
        let office = Self::without_tokens(cards, kind);
        for (at, reader) in office.stack.readers().iter().take(cards).enumerate() {
            let (id, name) = (format!("p{}", at + 1), format!("Person {}", at + 1));
            let made = office.stack.ndjson(0, &["enroll", "--reader", reader, "--id", &id, "--name", &name]);
            assert_eq!(made[0]["result"], "enrolled");
        }
        office
    }

    /// Readers with blank cards or none, and a server that knows nobody.
    pub fn without_tokens(readers: usize, kind: &str) -> Self {
        let stack = Stack::start(readers, kind);
        stack.rollcall(&["pki", "init"]).expect(0);
        stack.rollcall(&["server", "init"]).expect(0);
        let mut office = Self { stack, server: None, address: "127.0.0.1:0".into() };
        office.start();
        office.configure("");
        office
    }

    pub fn start(&mut self) {
        let mut command = self.stack.command("rollcall");
        command.args(["server", "run", "--listen", &self.address, "--output", "ndjson"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told = objects::line(&line);
        told["listening"].as_str().unwrap().clone_into(&mut self.address);
        self.server = Some(child);
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    /// `config.toml` with the server's address and more of its table.
    pub fn configure(&self, more: &str) {
        let port = self.address.rsplit_once(':').unwrap().1;
        let text = format!("[server]\nurl = \"https://localhost:{port}\"\n{more}\n");
        std::fs::write(self.stack.home().join("config.toml"), text).unwrap();
    }

    /// One scan of the first reader.
    fn scan(&self, status: i32, more: &[&str]) -> Value {
        let reader = &self.stack.readers()[0];
        let found = self.stack.ndjson(status, &[&["scan", "--reader", reader], more].concat());
        assert_eq!(found.len(), 1);
        found[0].clone()
    }

    pub fn status(&self, token: &str, status: &str) {
        let reason: &[&str] = if status == "active" { &[] } else { &["--reason", "a test"] };
        self.stack.rollcall(&[&["server", "token", "status", token, status, "--yes"], reason].concat()).expect(0);
    }

    /// Removes the card and puts it back.
    fn put_again(&self) {
        self.stack.card("remove", 1);
        self.stack.card("insert", 1);
    }

    /// The numbers of the events that the server has.
    fn events(&self) -> Vec<i64> {
        let db = rusqlite::Connection::open(self.stack.home().join("server.db")).unwrap();
        let mut found = db.prepare("SELECT seq FROM events ORDER BY seq").unwrap();
        found.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The server's verdict, the source of the user, and the name.
fn summary(scan: &Value) -> (&str, &str, &str) {
    let text = |value: &'_ Value| value.as_str().unwrap_or("-").to_owned().leak() as &str;
    (text(&scan["authenticated"]["server"]), text(&scan["source"]), text(&scan["user"]["name"]))
}

case!(Once, what_is_not_named_of_a_user_stays);
/// At the server: by one user, by an import, and by what it wrote itself.
fn what_is_not_named_of_a_user_stays() {
    let office = Office::without_tokens(1, "virtual");
    let stack = &office.stack;
    let add = |args: &[&str]| {
        let told = stack.ndjson(0, &[&["server", "user", "add", "--id", "'=7"], args].concat()).remove(0);
        (told["result"].clone(), told["name"].clone(), told["fields"].clone())
    };
    assert_eq!(stack.rollcall(&["server", "user", "add", "--id", "'=7"]).expect(2).code(), "user.incomplete");
    let fields = json!({"room": "B1", "Name": "=1", "id": "@x"});
    let named = ["--name", "=A", "--field", "room=B1", "--field", "Name==1", "--field", "id=@x"];
    assert_eq!(add(&named), (json!("done"), json!("=A"), fields.clone()));
    assert_eq!(add(&[]), (json!("unchanged"), json!("=A"), fields));
    let fewer = json!({"room": "B1", "id": "@x"});
    assert_eq!(add(&["--field", "Name=", "--dry-run"]), (json!("planned"), json!("=A"), fewer.clone()));
    assert_eq!(add(&["--field", "Name="]), (json!("done"), json!("=A"), fewer));

    let file = stack.home().join("users.csv");
    let (name, import) =
        (file.to_str().unwrap(), |name: &str| stack.ndjson(0, &["server", "user", "import", name]).remove(0));
    std::fs::write(&file, stack.rollcall(&["server", "user", "list", "-o", "csv"]).expect(0).stdout).unwrap();
    let counts = |told: &Value| [&told["created"], &told["changed"], &told["unchanged"]].map(|n| n.as_u64().unwrap());
    assert_eq!(counts(&import(name)), [0, 0, 1]);
    std::fs::write(&file, "ID;Name\n''=7;B\n").unwrap();
    let planned = stack.ndjson(0, &["server", "user", "import", name, "--dry-run"]).remove(0);
    let done = import(name);
    let changes = json!([{"id": "'=7", "changes": [{"part": "name", "before": "=A", "after": "B"}]}]);
    for (told, result) in [(&planned, "planned"), (&done, "done")] {
        assert_eq!((counts(told), &told["result"], &told["changes"]), ([0, 1, 0], &json!(result), &changes), "{told}");
    }
    let same = import(name);
    assert_eq!((counts(&same), &same["result"], &same["changes"]), ([0, 0, 1], &json!("unchanged"), &json!([])));
    let mut piped = stack.command("rollcall");
    piped.args(["server", "user", "import", "-", "-o", "ndjson"]).stdin(std::fs::File::open(&file).unwrap());
    let piped = piped.output().unwrap();
    assert!(String::from_utf8_lossy(&piped.stdout).contains("\"result\":\"unchanged\""), "{piped:?}");
    let known = stack.ndjson(0, &["server", "user", "show", "'=7"]).remove(0);
    assert_eq!((&known["name"], &known["fields"]), (&json!("B"), &json!({"room": "B1", "id": "@x"})));

    // Without names it is about users that the server knows.
    std::fs::write(&file, "id,room\n''=7,\n").unwrap();
    let planned = stack.rollcall(&["server", "user", "import", name, "--dry-run"]).expect(0);
    assert!(planned.stdout.contains("'=7: room: B1 → (none)"), "{planned:?}");
    assert!(planned.stderr.contains("read as UTF-8, separated by commas; fields: room"), "{planned:?}");
    std::fs::write(&file, "id,room\n''=7,C1\n8,C2\n9,C3\n").unwrap();
    let refused = stack.rollcall(&["server", "user", "import", name]).expect(65);
    assert_eq!(refused.code(), "csv.bad-rows");
    assert!(refused.stderr.contains("does not know \"8\" and 1 more, the file has no column name"), "{refused:?}");
    assert_eq!(stack.ndjson(0, &["server", "user", "show", "'=7"])[0]["fields"]["room"], "B1");

    // A card's record is also based on what the server knows.
    assert_eq!(stack.ndjson(0, &["enroll", "--id", "'=7", "--dry-run"])[0]["result"], "planned");
    let told = stack.ndjson(0, &["enroll", "--id", "'=7", "--field", "room=C2"]).remove(0);
    assert_eq!(told["user"], json!({"id": "'=7", "name": "B", "fields": {"room": "C2", "id": "@x"}}));
    assert_eq!(told["changes"], json!([{"part": "field", "key": "room", "before": "B1", "after": "C2"}]));
    stack.rollcall(&["server", "user", "add", "--id", "'=7", "--name", "Bea"]).expect(0);
    let written = stack.ndjson(0, &["token", "write", "--yes"]).remove(0);
    assert_eq!(written["changes"], json!([{"part": "name", "before": "B", "after": "Bea"}]));
    // A field written to the card that the server does not know is kept by the next write.
    stack.rollcall(&["token", "write", "--yes", "--field", "badge=17"]).expect(0);
    let written = stack.ndjson(0, &["token", "write", "--yes", "--field", "floor=3"]).remove(0);
    let fields = &written["user"]["fields"];
    assert_eq!((&fields["badge"], &fields["floor"]), (&json!("17"), &json!("3")));

    // Fields named on the command line then differ from the server's record: that is reported, with how to reconcile
    // them.
    let write = |more: &[&str], status: i32| stack.rollcall(&[&["token", "write"], more].concat()).expect(status);
    let named = write(&["--yes", "--name", "Bea Ng", "--field", "room=D4"], 0);
    let command = "rollcall server user add --id ''\\''=7' --name 'Bea Ng' --field room=D4";
    assert!(named.stderr.contains(command) && !named.stderr.contains("you did not name"), "{named:?}");
    // A later write takes back what nobody names, and says so before it asks.
    let asked = write(&["--field", "badge=18"], 2);
    assert_eq!(asked.code(), "confirm.needed");
    for said in
        ["in what you did not name: name: Bea Ng → Bea; room: D4 → ", "name it: --name 'Bea Ng' --field room=D4"]
    {
        assert!(asked.stderr.contains(said), "{said}: {asked:?}");
    }
    stack.rollcall(&["server", "user", "add", "--id", "'=7", "--name", "Bea Ng", "--field", "room=D4"]).expect(0);
    let same = write(&["--yes", "--name", "Bea Ng"], 0);
    assert!(!same.stderr.contains("the server's record"), "{same:?}");
}

case!(EachCard, both_sources_and_a_suspension);
fn both_sources_and_a_suspension(kind: &str) {
    let office = Office::new(1, kind);
    let stack = &office.stack;
    let first = office.scan(0, &[]);
    assert_eq!(summary(&first), ("authenticated", "card", "Person 1"));
    let token = first["token_id"].as_str().unwrap();
    stack.rollcall(&["server", "user", "add", "--id", "p1", "--name", "Renamed"]).expect(0);
    assert_eq!(summary(&office.scan(0, &["--source", "card"])), ("authenticated", "card", "Person 1"));
    let told = office.scan(0, &["--source", "server"]);
    assert_eq!(summary(&told), ("authenticated", "server", "Renamed"));
    assert_eq!(told["proof"]["nonce_source"], "server");
    assert!(told["timings_ms"]["server"].is_number());
    assert_eq!(stack.ndjson(0, &["users"])[0]["user"]["name"], "Renamed");

    for (status, code) in [("suspended", "token.suspended"), ("lost", "token.lost")] {
        office.status(token, status);
        office.put_again(); // a refusal is told once until the card is lifted
        for source in ["auto", "card", "server"] {
            let refused = office.scan(77, &["--source", source]);
            assert_eq!((refused["error"]["code"].as_str(), summary(&refused).0), (Some(code), "refused"), "{source}");
        }
        assert!(stack.present().is_empty());
        office.status(token, "active");
        assert_eq!(summary(&office.scan(0, &[])), ("authenticated", "card", "Person 1"));
    }
    office.status(token, "revoked");
    office.put_again();
    assert_eq!(office.scan(77, &[])["error"]["code"], "token.revoked");
    let history = stack.ndjson(0, &["users", "history"]);
    let codes: BTreeSet<_> = history.iter().filter_map(|event| event["error"]["code"].as_str()).collect();
    assert_eq!(codes, BTreeSet::from(["token.lost", "token.revoked", "token.suspended"]));
    let mut seqs: Vec<_> = history.iter().map(|event| event["seq"].as_i64().unwrap()).collect();
    seqs.sort_unstable();
    assert_eq!(office.events(), seqs, "a terminal that only scans tells the server of all of it");
    let audit = stack.ndjson(0, &["server", "audit", "verify"]);
    assert_eq!(audit[0]["whole"], true);
    // Without a server there is none to ask.
    std::fs::remove_file(stack.home().join("config.toml")).unwrap();
    assert_eq!(stack.rollcall(&["scan", "--source", "server"]).expect(78).code(), "server.not-configured");
}

case!(EachCard, the_server_is_away);
fn the_server_is_away(kind: &str) {
    let mut office = Office::new(1, kind);
    let first = office.scan(0, &["--source", "server"]);
    let token = first["token_id"].as_str().unwrap().to_owned();
    office.kill();
    assert_eq!(summary(&office.scan(0, &[])), ("unreachable", "card", "Person 1"));
    assert_eq!(summary(&office.scan(0, &["--source", "server"])), ("unreachable", "server", "Person 1"));
    // What it said is too old now: the card counts, and says so; the server's word is refused.
    office.configure("feed_max_age = \"1ms\"");
    let reader = office.stack.readers()[0].clone();
    let old = office.stack.rollcall(&["scan", "--reader", &reader]).expect(0);
    assert!(old.stderr.contains("too old"), "{old:?}");
    let refused = office.scan(69, &["--source", "server"]);
    assert_eq!(refused["error"]["code"], "server.unreachable");
    office.configure("offline_max_age = \"1ms\"");
    assert_eq!(office.scan(69, &["--source", "server"])["error"]["code"], "server.unreachable");
    assert_eq!(summary(&office.scan(0, &[])), ("unreachable", "card", "Person 1"));
    // Once known as not active, it stays refused whatever the age.
    office.start();
    office.configure("feed_max_age = \"1ms\"");
    office.status(&token, "suspended");
    assert_eq!(office.scan(77, &[])["error"]["code"], "token.suspended");
    office.kill();
    assert_eq!(office.scan(77, &[])["error"]["code"], "token.suspended");
    assert_eq!(office.scan(77, &["--source", "card"])["error"]["code"], "token.suspended");
    office.start();
    office.status(&token, "active");
    assert_eq!(summary(&office.scan(0, &[])), ("authenticated", "card", "Person 1"));
}

case!(EachCard, a_changed_card_is_told_to_the_server);
/// Server and watch are killed in turns: every event of the list comes to the server, once.
/// What is done to a card the server is told; what it knows better stays, and a server that is away is told by hand.
fn a_changed_card_is_told_to_the_server(kind: &str) {
    let mut office = Office::new(1, kind);
    let token = office.scan(0, &[])["token_id"].as_str().unwrap().to_owned();
    let reader = office.stack.readers()[0].clone();
    let change = |office: &Office, status: i32, args: &[&str]| {
        office
            .stack
            .rollcall(&[&["--output", "ndjson", "token", "--reader", &reader, "--yes"], args].concat())
            .expect(status)
    };
    let told = |run: &crate::stack::Run| (run.objects()[0]["result"].clone(), run.objects()[0]["server"].clone());
    let there = |office: &Office| office.stack.ndjson(0, &["server", "token", "show", &token])[0]["status"].clone();
    let pair = |result: &str, server: Value| (Value::from(result), server);

    assert_eq!(told(&change(&office, 0, &["block", "--dry-run"])), pair("planned", Value::Null));
    assert_eq!(there(&office), "active");
    assert_eq!(told(&change(&office, 0, &["block"])), pair("done", "suspended".into()));
    assert_eq!(there(&office), "suspended");
    assert_eq!(told(&change(&office, 0, &["block"])), pair("unchanged", "suspended".into()));
    assert_eq!(told(&change(&office, 0, &["unblock"])), pair("done", "active".into()));
    office.scan(0, &["--source", "server"]);

    // Lost is stronger than suspended, and a tap does not undo it.
    office.status(&token, "lost");
    assert_eq!(told(&change(&office, 0, &["block"])), pair("done", "lost".into()));
    let unblocked = change(&office, 0, &["unblock"]);
    assert_eq!(told(&unblocked), pair("done", "lost".into()));
    assert!(unblocked.stderr.contains("still refuses"), "{unblocked:#?}");
    office.status(&token, "active");

    // The card is changed all the same, and the way on is a command.
    office.kill();
    let away = change(&office, 69, &["block"]);
    assert_eq!((told(&away), away.code()), (pair("done", Value::Null), "server.unreachable"));
    assert!(away.stderr.contains(&format!("rollcall server token status {token} suspended")), "{away:#?}");
    office.start();
    assert_eq!(there(&office), "active");
    assert_eq!(told(&change(&office, 0, &["block"])), pair("unchanged", "suspended".into()));
    assert_eq!(told(&change(&office, 0, &["terminate"])), pair("done", "revoked".into()));
    assert_eq!(there(&office), "revoked");
}

case!(Once, who_is_lost_leaves_the_list_of_a_watch_at_once);
/// Nobody taps: the watch asks by itself while somebody is here, long before a minute is over.
fn who_is_lost_leaves_the_list_of_a_watch_at_once() {
    let office = Office::new(1, "virtual");
    let mut watch = office.stack.watch(&["--presence", "toggle"]);
    let token = watch.event("arrived")["token_id"].as_str().unwrap().to_owned();
    // What it asks at its start is over.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while office.events().is_empty() && std::time::Instant::now() < until {
        std::thread::yield_now();
    }
    office.status(&token, "lost");
    assert_eq!(watch.event("left")["reason"], "refused");
    watch.end();
}

case!(EachCard, events_reach_the_server_once);
fn events_reach_the_server_once(kind: &str) {
    let mut office = Office::new(1, kind);
    let tap = |office: &Office, watch: &mut crate::stack::Watch| {
        office.stack.card("remove", 1);
        watch.event("left");
        office.stack.card("insert", 1);
        assert_eq!(watch.event("arrived")["user"]["id"], "p1");
    };
    let mut watch = office.stack.watch(&[]);
    watch.event("arrived");
    tap(&office, &mut watch);
    office.kill();
    // The reader continues without it.
    tap(&office, &mut watch);
    tap(&office, &mut watch);
    watch.process.kill().unwrap();
    drop(watch);
    office.start();
    let mut watch = office.stack.watch(&[]);
    // After a crash the one who lies there is confirmed without an event: the next tap tells.
    tap(&office, &mut watch);
    watch.end();
    let mine = office.stack.ndjson(0, &["users", "history"]);
    let mine: Vec<_> = mine.iter().map(|event| event["seq"].as_i64().unwrap()).collect();
    assert_eq!(office.events(), mine);
    assert!(mine.len() >= 8, "{mine:?}");
}

case!(EachCard, a_silent_server_delays_nobody);
/// A server that accepts connections but never answers causes one short delay, and nobody misses an arrival.
fn a_silent_server_delays_nobody(kind: &str) {
    let mut office = Office::new(2, kind);
    office.kill();
    let silent = std::net::TcpListener::bind(&office.address).unwrap();
    let mut watch = office.stack.watch(&[]);
    for _ in 0..2 {
        watch.event("arrived");
    }
    assert_eq!(office.stack.present(), ["p1", "p2"]);
    office.stack.card("remove", 2);
    assert_eq!(watch.event("left")["user"]["id"], "p2");
    office.stack.card("insert", 2);
    assert_eq!(watch.event("arrived")["user"]["id"], "p2");
    drop(silent);
    watch.end();
}
