//! Problems that users of readers, drivers and services reported: each situation as it was, and the correct result.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::{
    card::blank,
    doctor::{brief, doctor, findings},
    lift::{Bench, TEST_KEY},
    people::enrolled,
    signal,
    slot::{NO_ATR, Slot},
    stack::{Run, Stack, Watch},
};

/// How a service refuses a library of another version: 1.9 and 2.x of PC/SC Lite by a code, one in another container by
/// its silence.
const REFUSALS: [Option<u32>; 3] = [Some(0x8010_001D), Some(0x8010_001E), None];

/// A service at this socket that refuses every version, so, for as long as the process runs.
fn refusing_service(socket: &Path, refusal: Option<u32>) {
    let listener = UnixListener::bind(socket).expect("a socket");
    std::thread::spawn(move || {
        for mut link in listener.incoming().flatten() {
            // A length and the command VERSION, then its body: major, minor, and room for a code.
            let mut message = [0; 20];
            if let (Ok(()), Some(code)) = (link.read_exact(&mut message), refusal) {
                let theirs = u32::from_ne_bytes(message[12..16].try_into().expect("four"));
                let ours = if theirs == 5 { 3 } else { 5 };
                let words = [4, ours, code].map(u32::to_ne_bytes);
                // The client may have gone.
                let _ = link.write_all(&words.concat());
            }
        }
    });
}

case!(Once, a_service_of_another_version_is_told_as_such);
fn a_service_of_another_version_is_told_as_such() {
    let mut stack = Stack::start(1, "none");
    stack.rollcall(&["pki", "init"]).expect(0);
    for (number, refusal) in REFUSALS.into_iter().enumerate() {
        let socket = stack.home().join(format!("service{number}"));
        refusing_service(&socket, refusal);
        stack.set("PCSCLITE_CSOCK_NAME", socket.to_str().expect("a name"));
        for command in [&["readers"][..], &["scan"], &["enroll", "--id", "a", "--name", "A"]] {
            let run = stack.rollcall(command).expect(69);
            assert_eq!(run.code(), "pcsc.version", "{refusal:X?} {command:?}: {run:#?}");
        }
        let found = brief(&findings(&mut doctor(&stack, "rollcall")));
        assert_eq!(found.into_values().collect::<Vec<_>>(), ["pcsc.version"], "{refusal:X?}");
    }
}

case!(Once, whoever_waits_is_told_what_keeps_the_service_away);
/// A service of another version takes the place of one that has ended: each cause is told once.
fn whoever_waits_is_told_what_keeps_the_service_away() {
    let mut stack = enrolled(2, 2, "virtual");
    stack.card("remove", 2);
    stack.rollcall(&["pki", "rotate-ca", "--yes"]).expect(0);
    let [people, socket, refusing] = ["people.csv", "socket", "refusing"].map(|name| stack.home().join(name));
    fs::write(&people, "id,name\np9,Nina\n").expect("a file");
    refusing_service(&refusing, REFUSALS[0]);
    let real = stack.variable("PCSCLITE_CSOCK_NAME").to_owned();
    stack.set("PCSCLITE_CSOCK_NAME", socket.to_str().expect("a name"));
    let point_at = |target: &Path| {
        fs::remove_file(&socket).ok();
        symlink(target, &socket).expect("a link");
    };
    let commands: [&[&str]; 5] = [
        &["readers", "--watch"],
        &["watch"],
        &["scan", "--count", "2"],
        &["enroll", "--from", people.to_str().expect("a name"), "--yes"],
        &["token", "rotate", "--all", "--yes"],
    ];
    point_at(Path::new(&real));
    for command in commands {
        let (told, tell) = std::io::pipe().expect("a pipe");
        let mut waiting = stack.stream_beside(command, tell.into());
        assert!(waiting.next(Duration::from_secs(30)).is_some(), "{command:?}: it sees the card");
        stack.service("stop");
        let lines = BufReader::new(told).lines().map(|line| line.expect("text"));
        let mut causes = lines.filter(|line| line.contains("until it works"));
        // `readers` prints that as an event.
        if command[0] != "readers" {
            let first = causes.next();
            assert!(first.as_ref().is_some_and(|line| line.contains("pcsc.service-down")), "{command:?}: {first:?}");
        }
        point_at(&refusing);
        let second = causes.next();
        assert!(second.as_ref().is_some_and(|line| line.contains("pcsc.version")), "{command:?}: {second:?}");
        drop(waiting);
        assert_eq!(causes.next(), None, "{command:?}: once");
        point_at(Path::new(&real));
        stack.service("start");
    }
}

case!(Polkit, a_container_without_d_bus_is_told_as_such);
/// Mounts and processes of its own, the unmodified service, and no D-Bus over which that could ask polkit.
fn a_container_without_d_bus_is_told_as_such() {
    const CONTAINER: &str = "mount -t tmpfs tmpfs /run/dbus && mount -t tmpfs tmpfs /run/pcscd && pcscd && exec \"$@\"";
    let home = tempfile::tempdir().expect("a folder");
    let inside = |args: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--mount-proc", "--", "sh", "-c", CONTAINER, "sh"]);
        command.arg(env!("CARGO_BIN_EXE_rollcall")).args(args).env("ROLLCALL_HOME", home.path());
        Run::of(&command.env_remove("PCSCLITE_CSOCK_NAME").output().expect("unshare"))
    };
    let refused = inside(&["readers"]).expect(77);
    assert_eq!(refused.code(), "pcsc.no-polkit", "{refused:#?}");
    assert!(refused.stderr.contains("D-Bus does not run"), "{refused:#?}");
    let found = inside(&["--output", "ndjson", "doctor"]).expect(1).objects();
    let told = |one: &Value| one["code"] == "pcsc.no-polkit" && one["severity"] == "fault";
    assert_eq!(found.iter().filter(|one| told(one)).count(), 1, "{found:#?}");
}

case!(Once, something_mute_in_another_slot);
/// Beside a token lies what never answers, such as an empty security module: it fails nothing, and can be left out.
fn something_mute_in_another_slot() {
    let stack = Stack::start(2, "virtual,none");
    stack.rollcall(&["pki", "init"]).expect(0);
    let readers = stack.readers();
    stack.rollcall(&["enroll", "--id", "a", "--name", "A", "--reader", &readers[0]]).expect(0);
    let port = stack.variable("VPCD_PORTS").split(' ').nth(1).expect("two").to_owned();
    let _mute = Slot::insert_as(&port, Box::new(crate::doctor::Foreign), &NO_ATR, Box::new(|_, answer| answer));
    let mute = |one: &serde_json::Value| one["reader"] == *readers[1] && one["state"] == "mute";
    assert!((0..1000).any(|_| stack.lists(&mute)), "{:#?}", stack.ndjson(0, &["readers"]));
    let all_well = || {
        stack.rollcall(&["scan"]).expect(0);
        stack.rollcall(&["token", "info"]).expect(0);
        stack.rollcall(&["doctor"]).expect(0);
        assert_eq!(stack.present(), ["a"]);
    };
    all_well();
    fs::write(stack.home().join("config.toml"), format!("ignore = [\"{}\"]\n", readers[1])).expect("the configuration");
    all_well();
    let told = stack.rollcall(&["scan"]).expect(0);
    assert!(!format!("{}{}", told.stdout, told.stderr).contains(&readers[1]), "{told:#?}");
}

/// The configuration of the stack's service.
pub fn conf(stack: &Stack) -> PathBuf {
    Path::new(stack.variable("ROLLCALL_STACK")).join("pcscd/conf/readers")
}

/// The readers get other names: those of the service's configuration, each line by this rule.
pub fn rename(stack: &Stack, name: impl Fn(usize) -> Vec<u8>) {
    let text = fs::read(conf(stack)).expect("it is ours");
    let mut number = 0;
    let lines = text.split(|byte| *byte == b'\n').map(|line| {
        if !line.starts_with(b"FRIENDLYNAME") {
            return line.to_vec();
        }
        number += 1;
        [&b"FRIENDLYNAME \""[..], &name(number), b"\""].concat()
    });
    fs::write(conf(stack), lines.collect::<Vec<_>>().join(&b'\n')).expect("it is ours");
    stack.service("stop");
    stack.service("start");
}

case!(Once, configuration_that_fits_no_reader);
fn configuration_that_fits_no_reader() {
    let stack = Stack::start(2, "none");
    stack.rollcall(&["pki", "init"]).expect(0);
    let file = stack.home().join("config.toml");
    let config = "ignore = [\"*SAM*\"]\n[alias]\n\"door\" = \"A reader that is gone 00 00\"\n[presence]\n\"gate\" = \"toggle\"\n";
    fs::write(&file, config).expect("the configuration");
    let found = findings(&mut doctor(&stack, "rollcall"));
    let mut command = stack.command("rollcall");
    let mut watch = command.arg("watch").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut said = String::new();
    let mut lines = std::io::BufReader::new(watch.stderr.take().expect("piped"));
    for name in ["door", "gate", "*SAM*"] {
        let warned = |one: &serde_json::Value| one["severity"] == "warning" && one.to_string().contains(name);
        assert!(found.iter().any(warned), "{name}: {found:#?}");
        // One line each, in whatever order.
        while !said.contains(name) {
            assert_ne!(std::io::BufRead::read_line(&mut lines, &mut said).expect("text"), 0, "{name}: {said}");
        }
    }
    signal::send(watch.id(), "TERM");
    watch.wait().expect("it ends");
}

case!(Once, readers_of_one_name);
/// The service gives both the same name where each has a driver of its own: only the first can be reached.
fn readers_of_one_name() {
    let stack = Stack::start(4, "none");
    stack.rollcall(&["pki", "init"]).expect(0);
    rename(&stack, |_| b"One Model".to_vec());
    let mut names = stack.readers();
    names.sort();
    assert_eq!(names[0], names[1], "{names:?}");
    let found = findings(&mut doctor(&stack, "rollcall"));
    let told = |one: &serde_json::Value| one["code"].is_string() && one.to_string().contains(&names[0]);
    assert!(found.iter().any(told), "{found:#?}");
    // With a card in each, too, two of the four can be reached, and their cards lie still.
    let stack = Stack::start(4, "virtual");
    stack.rollcall(&["pki", "init"]).expect(0);
    rename(&stack, |_| b"One Model".to_vec());
    let scanned = stack.ndjson(1, &["scan"]);
    let mut names: Vec<_> = scanned.iter().map(|one| one["reader"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["One Model 00 00", "One Model 00 01"].map(Some));
    let found = findings(&mut doctor(&stack, "rollcall"));
    let codes: Vec<_> = found.iter().filter_map(|one| one["code"].as_str()).collect();
    assert!(codes.contains(&"reader.same-name") && !codes.contains(&"card.flapping"), "{codes:?}");
    // Who reads cards says for each name that cards are not read, and says nothing of those that are not meant.
    let commands = [(&["scan"][..], 1), (&["scan", "--count", "9", "--timeout", "1s"], 1), (&["readers"], 0)];
    for (command, status) in commands {
        let told = stack.rollcall(command).expect(status).stderr;
        assert_eq!(told.matches("(reader.same-name)").count(), 2, "{command:?}: {told}");
        let one = stack.rollcall(&[command, &["--reader", "* 00"]].concat()).expect(status).stderr;
        assert_eq!(one.matches("(reader.same-name)").count(), 1, "{command:?}: {one}");
    }
    let areas = stack.ndjson(1, &["status"]);
    let readers = areas.iter().find(|one| one["area"] == "readers").expect("the area");
    assert_eq!((&readers["mark"], &readers["code"]), (&"fault".into(), &"reader.same-name".into()), "{readers}");
}

case!(Once, names_that_are_no_utf_8);
/// The service cuts long names in the middle of a letter.
fn names_that_are_no_utf_8() {
    let stack = enrolled(1, 1, "virtual");
    rename(&stack, |_| b"Le\xE9or Reader".to_vec());
    stack.rollcall(&["scan"]).expect(0);
    let shown = stack.readers().remove(0);
    assert!(shown.starts_with("Le\\xE9or Reader"), "{shown:?}");
    for name in [shown.as_str(), "or Reader", "le\\xe9or*"] {
        assert_eq!(stack.ndjson(0, &["scan", "--reader", name])[0]["user"]["id"], "p1", "{name}");
    }
    typed_as_it_is(&stack);
    let file = stack.home().join("config.toml");
    fs::write(&file, format!("[alias]\n\"door\" = '{shown}'\n")).expect("the configuration");
    assert_eq!(stack.ndjson(0, &["scan", "--reader", "door"])[0]["user"]["id"], "p1");
    fs::write(&file, format!("ignore = ['{shown}']\n")).expect("the configuration");
    assert_eq!(stack.rollcall(&["scan"]).expect(1).code(), "scan.nobody");
    fs::remove_file(file).expect("it is there");
    stack.rollcall(&["token", "info"]).expect(0);
    stack.rollcall(&["doctor"]).expect(0);
    let named = stack.rollcall(&["completions", "--readers"]).expect(0);
    assert!(!named.stdout.is_empty());
    stack.rollcall(&["users", "clear", "--yes"]).expect(0);
    let mut watch = stack.watch(&[]);
    assert_eq!(watch.event("arrived")["user"]["id"], "p1");
    stack.card("remove", 1);
    assert_eq!(watch.event("left")["user"]["id"], "p1");
    watch.end();
}

/// With the byte itself, as the option and as the variable; another byte is another reader.
fn typed_as_it_is(stack: &Stack) {
    let scan = |byte: u8, is_option: bool| {
        let name = [b'L', b'e', byte, b'o', b'r'];
        let name = OsStr::from_bytes(&name);
        let mut command = stack.command("rollcall");
        command.args(["--output", "ndjson", "scan"]);
        let command = if is_option { command.arg("--reader").arg(name) } else { command.env("ROLLCALL_READER", name) };
        Run::of(&command.output().expect("it starts"))
    };
    for is_option in [true, false] {
        assert_eq!(scan(0xE9, is_option).expect(0).objects()[0]["user"]["id"], "p1");
        let other = scan(0xE8, is_option).expect(2);
        assert!(other.code() == "reader.unknown" && other.stderr.contains("\"Le\\xE8or\""), "{other:#?}");
    }
}

case!(Once, a_watch_tells_each_cause_of_an_outage_once);
/// They start without a service, then there is one of another version, and for the second watch, which finds a list
/// that knows of the outage, at last the right one.
fn a_watch_tells_each_cause_of_an_outage_once() {
    let stack = enrolled(1, 1, "virtual");
    stack.rollcall(&["users", "clear", "--yes"]).expect(0);
    let socket = stack.home().join("service");
    for is_second in [false, true] {
        let mut command = stack.command("rollcall");
        command.args(["--output", "ndjson", "watch"]).env("PCSCLITE_CSOCK_NAME", &socket).stderr(Stdio::piped());
        let mut watch = Watch::of(&mut command);
        let mut lines = BufReader::new(watch.process.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let mut said = String::new();
        let mut hear = |code: &str| {
            while !said.contains(code) {
                let line = lines.next().unwrap_or_else(|| panic!("no {code}: {said}"));
                said += &line;
            }
        };
        hear("(pcsc.service-down)");
        refusing_service(&socket, REFUSALS[1]);
        hear("(pcsc.version)");
        fs::remove_file(&socket).expect("it is there");
        if is_second {
            symlink(stack.variable("PCSCLITE_CSOCK_NAME"), &socket).expect("a link");
            assert_eq!(watch.event("arrived")["user"]["id"], "p1");
        }
        watch.end();
        said.extend(lines);
        let times = |code: &str| said.matches(code).count();
        assert_eq!((times("(pcsc.service-down)"), times("(pcsc.version)")), (1, 1), "{said}");
    }
}

case!(EachCard, a_card_that_wakes_up_late);
/// The first attempts to power it up fail, and the service calls it mute; whoever connects wakes it.
fn a_card_that_wakes_up_late(kind: &str) {
    let bench = Bench::new();
    let stack = &bench.stack;
    let slot = bench.put(blank(kind, TEST_KEY), None);
    stack.rollcall(&["enroll", "--id", "a", "--name", "A"]).expect(0);
    let mut card = bench.take(slot);
    let mut watch = stack.watch(&[]);
    let slot = Slot::insert_late(&bench.port, card, 3);
    assert_eq!(watch.event("arrived")["user"]["id"], "a");
    card = slot.remove();
    watch.event("left");
    assert!(watch.end().iter().all(|event| event["event"] != "refused"));
    for args in [&["scan", "--count", "1", "--timeout", "10s"][..], &["scan"]] {
        let slot = Slot::insert_late(&bench.port, card, 3);
        let lies_there = |one: &serde_json::Value| one["state"] != "empty";
        assert!((0..1000).any(|_| stack.lists(&lies_there)));
        assert_eq!(stack.ndjson(0, args)[0]["user"]["id"], "a", "{args:?}");
        card = slot.remove();
        bench.wait(false);
    }
    // A card that never answers is reported as mute, also by a scan that waits for others.
    let _slot = Slot::insert_late(&bench.port, card, usize::MAX);
    let told = stack.ndjson(1, &["scan", "--count", "1", "--timeout", "8s"]);
    assert_eq!(told[0]["error"]["code"], "token.mute", "{told:#?}");
}
