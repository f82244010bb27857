//! Portraits written onto the cards of a batch, and shown from cards on the board.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::Stdio,
};

use serde_json::Value;

use crate::{
    batch::{Desk, SILENCE, arguments},
    slot::Lift,
};

/// It begins like a JPEG; what it looks like does not matter here, that all of it arrives does.
fn picture(length: usize) -> Vec<u8> {
    let rest = (4..length.max(4)).map(|at| u8::try_from(at % 251).unwrap());
    b"\xFF\xD8\xFF\xD9".iter().copied().chain(rest).take(length).collect()
}

case!(EachDriver, pictures_of_a_batch);
fn pictures_of_a_batch(kind: &str) {
    let stack = crate::stack::Stack::start(2, "none");
    stack.rollcall(&["pki", "init"]).expect(0);
    let folder = stack.home();
    fs::create_dir(folder.join("faces")).unwrap();
    for (name, length) in [("u1.jpg", 8192), ("u2.jpg", 4), ("long.jpg", 8193), ("none.jpg", 0)] {
        fs::write(folder.join("faces").join(name), picture(length)).unwrap();
    }
    let file = folder.join("people.csv");
    let write = |faces: [&str; 3]| {
        let rows: Vec<_> =
            (1..).zip(faces).map(|(n, face)| format!("u{n},\"Müller, 山田 {n}\",{face},B{n}\n")).collect();
        fs::write(&file, format!("id,name,portrait,room\n{}", rows.concat())).unwrap();
    };
    write(["faces/long.jpg", "faces/none.jpg", "faces/missing.jpg"]);
    let bad = stack.rollcall(&arguments(&file)).expect(65);
    assert_eq!(bad.code(), "csv.bad-rows");
    for line in ["line 2, column portrait", "line 3, column portrait", "line 4, column portrait"] {
        assert!(bad.stderr.contains(line), "{bad:?}");
    }

    write(["faces/u1.jpg", "faces/u2.jpg", ""]);
    let mut desk = Desk::new(&stack, kind, 3);
    desk.fill();
    // In the middle of the picture, which has 37 parts. Either card may be the one that gets it; no other takes so long.
    for at in [0, 1] {
        desk.slot(at).arm(Some(Lift { at: 45, carried_out: false }));
    }
    let mut batch = stack.stream(&[&arguments(&file)[..], &["--max-failures", "1000"]].concat());
    let (mut done, mut lifted) = (0, 0);
    while done < 3 {
        let told = batch.next(SILENCE).expect("an object");
        let at = desk.at(&told);
        match told["error"]["code"].as_str() {
            None => {
                done += 1;
                desk.change(at);
            }
            Some("card.left") => {
                lifted += 1;
                desk.put_back();
            }
            Some(other) => panic!("{other}: {told}"),
        }
    }
    assert!(batch.ended(SILENCE).success());
    assert_eq!(lifted, 1);
    for (user, length) in [("u1", 8192), ("u2", 4), ("u3", 0)] {
        desk.show(user);
        let to = folder.join(format!("{user}.read"));
        let args = ["token", "verify", "--reader", desk.first(), "--portrait", to.to_str().unwrap()];
        let told = stack.ndjson(0, &args);
        assert_eq!((&told[0]["user"]["id"], &told[0]["user"]["fields"]["portrait"]), (&user.into(), &().into()));
        assert_eq!(to.exists(), length > 0);
        if length > 0 {
            assert_eq!(fs::read(&to).unwrap(), picture(length));
            assert_eq!(stack.rollcall(&args).expect(73).code(), "file.exists");
        }
        desk.hide();
    }
}

/// A PNG of one pixel.
const PIXEL: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\
    \0\0\0\x0aIDATx\x9cc\0\x01\0\0\x05\0\x01\x0d\x0a\x2d\xb4\0\0\0\0IEND\xaeB`\x82";

fn get(address: &str, path: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    BufReader::new(stream)
}

/// The next thing that the board tells its page.
fn told(page: &mut BufReader<TcpStream>) -> Value {
    loop {
        let mut line = String::new();
        assert_ne!(page.read_line(&mut line).unwrap(), 0, "the board ended");
        if let Some(data) = line.strip_prefix("data: ") {
            return serde_json::from_str(data).unwrap();
        }
    }
}

case!(Once, portraits_are_on_the_board_while_their_owners_are_here);
fn portraits_are_on_the_board_while_their_owners_are_here() {
    let stack = crate::stack::Stack::start(2, "virtual");
    stack.rollcall(&["pki", "init"]).expect(0);
    let (home, readers) = (stack.home(), stack.readers());
    let file = home.join("face.png");
    // Longer than one answer of a card.
    let picture = [PIXEL, &picture(1000)].concat();
    fs::write(&file, &picture).unwrap();
    for (reader, name) in readers.iter().zip(["Ada", "Bob"]) {
        let file = file.to_str().unwrap();
        stack.rollcall(&["enroll", "--reader", reader, "--id", name, "--name", name, "--portrait", file]).expect(0);
    }
    // At the second reader the card does not stay: its channel is kept for the picture alone.
    let config =
        format!("[board]\nlisten = \"127.0.0.1:0\"\nportraits = true\n[presence]\n{:?} = \"until:8h\"\n", readers[1]);
    fs::write(home.join("config.toml"), config).unwrap();
    let mut watch = stack.command("rollcall");
    let mut watch = watch.arg("watch").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(watch.stderr.take().unwrap()).lines().map_while(Result::ok);
    let address = said.find_map(|line| {
        let (_, url) = line.split_once("the board: http://")?;
        Some(url.trim_end_matches('/').to_owned())
    });
    let address = address.expect("the board says where it is");

    let mut page = get(&address, "/events");
    let (mut names, mut pictures) = (BTreeMap::new(), BTreeMap::new());
    while pictures.len() < 2 {
        let message = told(&mut page);
        let people = message["people"].as_array().into_iter().flatten().chain(message.get("person"));
        for person in people {
            names.insert(person["key"].as_u64().unwrap(), person["name"].as_str().unwrap().to_owned());
            pictures.extend(person["portrait"].as_str().map(|path| (person["key"].as_u64().unwrap(), path.to_owned())));
        }
        if message["kind"] == "portrait" {
            let key = message["key"].as_u64().unwrap();
            assert!(names.contains_key(&key), "its owner is shown before");
            pictures.insert(key, message["portrait"].as_str().unwrap().to_owned());
        }
    }
    for path in pictures.values() {
        let mut answer = Vec::new();
        get(&address, &format!("/portraits/{path}")).read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(&picture));
    }
    for reader in [2, 1] {
        stack.card("remove", reader);
    }
    let left = loop {
        let message = told(&mut page);
        if message["kind"] == "left" {
            break message["key"].as_u64().unwrap();
        }
    };
    assert_eq!(names[&left], "Ada");
    for (key, path) in &pictures {
        let mut line = String::new();
        get(&address, &format!("/portraits/{path}")).read_line(&mut line).unwrap();
        assert!(line.contains(if *key == left { "404" } else { "200" }), "{line}");
    }
    crate::signal::send(watch.id(), "TERM");
    assert_eq!(watch.wait().unwrap().code(), Some(143));
}
