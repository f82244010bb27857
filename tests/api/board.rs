//! The board of a server: what terminals report appears on it at once, whichever server they report it to.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    time::Duration,
};

use jiff::Timestamp;
use rollcall::{
    api::v1::{EventBatch, Role},
    server_client::ServerClient,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Kind, Site, site::Process};

/// The messages of a board, as a page receives them.
struct Page(BufReader<TcpStream>);

impl Page {
    fn open(server: &Process) -> Self {
        let said = server.said();
        let address = said.split("the board: http://").nth(1).unwrap().split('/').next().unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        write!(stream, "GET /events HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
        Self(BufReader::new(stream))
    }

    /// Reads until a message fits, or a change inside a state message does.
    fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "the board ended");
            let Some(data) = line.strip_prefix("data: ") else { continue };
            let message: Value = serde_json::from_str(data).unwrap();
            if fits(&message) {
                return message;
            }
        }
    }

    /// Where this person arrives.
    fn arrival(&mut self, name: &str) -> String {
        let change = self.until(|message| message["kind"] == "arrived" && message["person"]["name"] == name);
        change["person"]["door"].as_str().unwrap().to_owned()
    }
}

/// The next event of a terminal's list.
struct Door {
    client: ServerClient,
    list: Uuid,
    seq: u64,
}

impl Door {
    fn new(site: &Site, port: u16, name: &str) -> Self {
        Self { client: site.terminal(port, name, Role::Read).client(port), list: Uuid::from_u128(7), seq: 0 }
    }

    fn says(&mut self, kind: &str, token: u128, name: &str, reader: &str) {
        self.seq += 1;
        let event = json!({
            "schema": "rollcall.event/1", "event": kind, "seq": self.seq, "at": Timestamp::now().to_string(),
            "reader": reader, "token_id": Uuid::from_u128(token), "error": { "code": "token.lost" },
            "user": { "id": token.to_string(), "name": name, "fields": {} },
        });
        let batch = EventBatch { list: self.list, events: vec![event] };
        assert_eq!(self.client.events(&batch).unwrap().stored, 1);
    }
}

case!(EachStore, a_board_shows_all_doors_at_once);
fn a_board_shows_all_doors_at_once(kind: &Kind) {
    let site = Site::new(kind);
    let config = "[server]\nboard = \"127.0.0.1:0\"\n[alias]\n\"Gate\" = \"Reader*01 00\"\n";
    std::fs::write(site.home.path().join("config.toml"), config).unwrap();
    let server = site.start();
    let (mut north, mut south) = (Door::new(&site, server.port, "north"), Door::new(&site, server.port, "south"));
    let mut page = Page::open(&server);
    page.until(|message| message["people"].is_array());

    north.says("arrived", 1, "Ada", "Reader 00 00");
    assert_eq!(page.arrival("Ada"), "north");
    south.says("arrived", 2, "Bob", "Reader 01 00");
    assert_eq!(page.arrival("Bob"), "south · Gate");
    south.says("refused", 3, "Eve", "Reader 01 00");
    let refused = page.until(|message| message["kind"] == "refused");
    assert_eq!((&refused["door"], &refused["code"]), (&json!("south · Gate"), &json!("token.lost")));
    // A person who taps at another door is there now.
    south.says("arrived", 1, "Ada", "Reader 01 00");
    assert_eq!(page.arrival("Ada"), "south · Gate");
    south.says("left", 2, "Bob", "Reader 01 00");
    page.until(|message| message["kind"] == "left" && message["reason"].is_null());

    // The north is about to fall silent: make sure its events so far are in the store.
    site.admin.client(server.port).presence(None, None, 1).unwrap();
    site.sql("UPDATE terminals SET heard = heard - 400000 WHERE name = 'north'");
    let silent = page.until(|message| message["equipment"]["readers"][0]["fault"] == "silent");
    assert_eq!(silent["equipment"]["readers"][0]["door"], "north");
    let since = silent["equipment"]["readers"][0]["since"].as_i64().unwrap();
    assert!(Timestamp::now().as_millisecond() - since >= 400_000);

    // A page opened later gets all of it.
    let state = Page::open(&server).until(|message| message["people"].is_array());
    assert_eq!(state["people"].as_array().unwrap().len(), 1);
    assert_eq!(state["equipment"]["readers"][0]["fault"], "silent");
    assert!(!state.to_string().contains("00000000-0000"), "{state}");

    if matches!(kind, Kind::Postgres(_)) {
        // The other server has no word with this one.
        std::fs::write(site.home.path().join("config.toml"), "").unwrap();
        let other = site.start();
        let mut west = Door::new(&site, other.port, "west");
        west.says("arrived", 4, "Cyd", "Reader 00 00");
        assert_eq!(page.arrival("Cyd"), "west");
        west.says("refused", 3, "Eve", "Reader 00 00");
        assert_eq!(page.until(|message| message["kind"] == "refused")["door"], "west");
    }
}
