//! What doctor finds about the PC/SC service.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::PathBuf,
};

use super::{brief, codes, codes_of, doctor, findings, home::unprivileged, text};
use crate::stack::{Stack, StoppedService};

case!(Once, doctor_finds_faults_of_the_service);
fn doctor_finds_faults_of_the_service() {
    let stack = Stack::start(2, "none");
    stack.rollcall(&["pki", "init"]).expect(0);
    assert_eq!(codes(&stack, &[]), Vec::<String>::new());
    let version = findings(&mut doctor(&stack, "rollcall"))[1]["facts"]["version"].as_str().map(str::to_owned);
    assert!(version.is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit())));

    let socket = PathBuf::from(stack.variable("PCSCLITE_CSOCK_NAME"));
    let mode = |mode| fs::set_permissions(&socket, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o000);
    assert_eq!(codes_of(&mut unprivileged(&stack)), ["pcsc.socket-denied"]);
    mode(0o666);

    // It accepts the connection but does not answer: keys, state and server are checked nevertheless.
    let stopped = StoppedService::stop(stack.daemon());
    let found = findings(&mut doctor(&stack, "rollcall"));
    drop(stopped);
    assert_eq!(brief(&found).into_iter().collect::<Vec<_>>(), [("service".into(), "pcsc.service-hangs".into())]);
    for probe in ["keys", "state", "server"] {
        let one = found.iter().find(|one| one["probe"] == probe).unwrap();
        assert!(one["took_ms"].as_f64() < found[1]["took_ms"].as_f64(), "{one}");
    }
    assert_eq!(codes(&stack, &[]), Vec::<String>::new());

    stack.service("stop");
    assert_eq!(codes(&stack, &[]), ["pcsc.service-down"]);
    // systemd makes no socket at the place of this stack.
    assert!(text(&stack, 1).stdout.contains("start the service that listens at"));
    // As if nothing were installed: no socket, and no program that could create one.
    let _ = fs::remove_file(&socket);
    assert_eq!(codes(&stack, &[]), ["pcsc.service-down"]);
    assert_eq!(without_the_program(&stack), ["pcsc.not-installed"]);
    stack.service("start");
    assert_eq!(codes(&stack, &[]), Vec::<String>::new());
    // It was killed and its socket remains: nobody listens, so it is reported as not running.
    stack.service("kill");
    assert_eq!(codes(&stack, &[]), ["pcsc.service-down"]);
}

/// A stand-in for the service that does this with each client until dropped.
struct StandIn {
    path: PathBuf,
}

impl StandIn {
    fn start(path: PathBuf, serve: fn(&mut UnixStream)) -> Self {
        let listener = UnixListener::bind(&path).expect("a place of its own");
        std::thread::spawn(move || listener.incoming().flatten().for_each(|mut client| serve(&mut client)));
        Self { path }
    }
}

/// What every client of PC/SC Lite says first: length and command, then a version and a place for a code.
fn hear(client: &mut UnixStream) -> bool {
    client.read_exact(&mut [0; 20]).is_ok()
}

/// A client that only checks whether somebody listens sends nothing.
fn hear_only(client: &mut UnixStream) {
    hear(client);
}

fn answer(client: &mut UnixStream, minor: u32, code: u32) {
    if hear(client) {
        let _ = client.write_all(&[4, minor, code].map(u32::to_ne_bytes).concat());
    }
}

case!(Once, other_services_are_told_as_what_they_are);
/// Services of other releases, and one that refuses whoever comes: in every command, and in doctor.
fn other_services_are_told_as_what_they_are() {
    let stack = Stack::start(1, "none");
    stack.rollcall(&["pki", "init"]).expect(0);
    for (name, serve, code, status) in [
        ("newer", (|client| answer(client, 5, 0x8010_001E)) as fn(&mut UnixStream), "pcsc.version", 69),
        ("older", |client| answer(client, 3, 0x8010_001D), "pcsc.version", 69),
        ("silent", hear_only, "pcsc.version", 69),
        // It closes the connection without reading anything.
        ("refusing", |client| drop(client.set_nonblocking(true)), "pcsc.denied", 77),
    ] {
        let stand_in = StandIn::start(stack.home().join(name), serve);
        let run = |args: &[&str]| {
            let mut command = stack.command("rollcall");
            command.args(args).env("PCSCLITE_CSOCK_NAME", &stand_in.path);
            command.output().expect("it starts")
        };
        for args in [&["readers"][..], &["scan"]] {
            let output = run(args);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(status), "{name}: {said}");
            // Where it could not ask polkit, that is what is told.
            let unasked = ["code: pcsc.no-polkit", "code: pcsc.hidepid"].iter().any(|code| said.contains(code));
            let known = said.contains(&format!("code: {code}")) || (status == 77 && unasked);
            assert!(known && !said.contains("not running"), "{name}: {said}");
        }
        let output = run(&["doctor", "-o", "ndjson"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let told =
            text.contains(code) || (status == 77 && (text.contains("pcsc.no-polkit") || text.contains("pcsc.hidepid")));
        assert!(told, "{name}: {text}");
    }
}

/// In a mount namespace of its own, where the folders of the system's programs for root are empty, and so is that of
/// sockets. All commands say it as doctor does.
fn without_the_program(stack: &Stack) -> Vec<String> {
    let script = "for folder in /usr/sbin /usr/local/sbin /run; do mount -t tmpfs none $folder; done
        unset PCSCLITE_CSOCK_NAME
        for command in readers scan; do
            rollcall $command 2>&1 | grep -q 'code: pcsc.not-installed' || exit 7
        done
        exec rollcall doctor --output ndjson";
    let mut command = doctor(stack, "unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script]);
    codes_of(&mut command)
}
