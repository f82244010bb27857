//! `rollcall virtual-token` as a process: in a reader (a socket that speaks vpcd's protocol), ended, restarted,
//! refused.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

#[path = "../common/program.rs"]
mod program;
#[path = "../common/signal.rs"]
mod signal;
#[path = "../common/told.rs"]
mod told;

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

const SELECT: &str = "00A404000AF0524F4C4C43414C4C01";
const INITIALIZE_UPDATE: &str = "80500000080001020304050607";

/// A card program with a home of its own, ended with the test.
struct Card(Child);

impl Card {
    fn start(home: &Path, arguments: &[&str]) -> Self {
        Self(command(home, arguments).spawn().unwrap())
    }

    fn signal(&self, name: &str) {
        signal::send(self.0.id(), name);
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = program::rollcall(home, &[&["virtual-token"], arguments].concat());
    command.current_dir(home).stderr(Stdio::piped());
    command
}

fn refused(home: &Path, arguments: &[&str]) -> (i32, String) {
    let Output { status, stderr, .. } = command(home, arguments).output().unwrap();
    (status.code().unwrap(), String::from_utf8(stderr).unwrap())
}

/// The reader's side.
struct Reader(TcpListener);

impl Reader {
    fn new() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (Self(listener), address)
    }

    fn card(&self) -> TcpStream {
        self.0.accept().unwrap().0
    }
}

fn ask(card: &mut TcpStream, apdu: &str) -> String {
    let apdu = hex::decode(apdu).unwrap();
    card.write_all(&u16::try_from(apdu.len()).unwrap().to_be_bytes()).unwrap();
    card.write_all(&apdu).unwrap();
    let mut length = [0; 2];
    card.read_exact(&mut length).unwrap();
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    card.read_exact(&mut answer).unwrap();
    hex::encode_upper(answer)
}

/// The diversification data of a fresh insertion: made once, at the creation of the token.
fn diversification(card: &mut TcpStream) -> String {
    assert!(ask(card, SELECT).ends_with("9000"));
    let answer = ask(card, INITIALIZE_UPDATE);
    assert!(answer.ends_with("9000"), "{answer}");
    answer[..20].to_owned()
}

#[test]
fn the_same_card_comes_back_from_its_file() {
    let home = tempfile::tempdir().unwrap();
    let (reader, address) = Reader::new();
    let arguments = ["--connect", &address, "--state", "card.json"];
    let mut card = Card::start(home.path(), &arguments);
    // Held until the card has ended: it would connect again, and that connection would be taken for the next card's.
    let mut connection = reader.card();
    let first = diversification(&mut connection);
    card.signal("TERM");
    assert_eq!(card.0.wait().unwrap().code(), Some(143));
    let mut card = Card::start(home.path(), &arguments);
    let mut connection = reader.card();
    assert_eq!(diversification(&mut connection), first);
    // The card waits for a reader that goes away; the session is lost.
    drop(connection);
    let mut connection = reader.card();
    assert_eq!(ask(&mut connection, INITIALIZE_UPDATE), "6D00");
    assert_eq!(diversification(&mut connection), first);
    card.signal("INT");
    assert_eq!(card.0.wait().unwrap().code(), Some(130));
    // Without a file each start is a new card.
    let _card = Card::start(home.path(), &["--connect", &address]);
    assert_ne!(diversification(&mut reader.card()), first);
}

#[test]
fn a_state_serves_one_card_at_a_time() {
    let home = tempfile::tempdir().unwrap();
    let (reader, address) = Reader::new();
    let arguments = ["--connect", &address, "--state", "card.json"];
    let _card = Card::start(home.path(), &arguments);
    let _inserted = reader.card();
    let (status, stderr) = refused(home.path(), &arguments);
    assert_eq!(status, 75);
    assert!(stderr.contains("another virtual token uses this state"), "{stderr}");
    assert_eq!(told::after(&stderr, "code"), Some("virtual-token.in-use"));
}

#[test]
fn other_files_are_refused_and_left_as_they_are() {
    let home = tempfile::tempdir().unwrap();
    for content in ["", "{}", r#"{"schema":"rollcall.virtual-token/2"}"#, r#"{"schema":"rollcall.virtual-token/1"}"#] {
        fs::write(home.path().join("card.json"), content).unwrap();
        let (status, stderr) = refused(home.path(), &["--state", "card.json"]);
        assert_eq!(status, 65, "{content}");
        assert_eq!(told::after(&stderr, "code"), Some("virtual-token.state-malformed"));
        assert_eq!(fs::read_to_string(home.path().join("card.json")).unwrap(), content);
    }
    let (status, stderr) = refused(home.path(), &["--state", "no/such/folder/card.json"]);
    assert_eq!(status, 73);
    assert_eq!(told::after(&stderr, "code"), Some("virtual-token.state-unwritable"));
}

#[test]
fn start_keys_come_from_a_file_and_are_never_told() {
    let home = tempfile::tempdir().unwrap();
    let key = home.path().join("start.key");
    let secret = "00112233445566778899AABBCCDDEE";
    fs::write(&key, secret).unwrap();
    let (status, stderr) = refused(home.path(), &["--start-key-file", "start.key"]);
    assert_eq!(status, 65);
    assert!(!stderr.contains(secret), "{stderr}");
    assert_eq!(told::after(&stderr, "code"), Some("start-key.malformed"));
    let (status, stderr) = refused(home.path(), &["--start-key-file", "none.key"]);
    assert_eq!(status, 73);
    assert_eq!(told::after(&stderr, "code"), Some("start-key.unreadable"));

    fs::write(&key, format!("{secret}FF\n")).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let (reader, address) = Reader::new();
    let mut card = Card::start(home.path(), &["--connect", &address, "--start-key-file", "start.key"]);
    diversification(&mut reader.card());
    card.signal("TERM");
    card.0.wait().unwrap();
    let mut told = String::new();
    card.0.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(told.contains("the start key in"), "{told}");
    assert!(!told.contains("test keys") && !told.contains(secret), "{told}");
}
