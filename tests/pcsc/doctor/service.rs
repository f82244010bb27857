//! The PC/SC service.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{brief, codes, codes_of, doctor, findings, home::unprivileged, text};
use crate::{signal, stack::Stack};

/// The process that listens at the stack's socket.
fn daemon(stack: &Stack) -> u32 {
    let mut all = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let folder = Path::new(stack.variable("PCSCLITE_CSOCK_NAME")).parent().unwrap().to_str().unwrap();
    let is_ours = |pid: &u32| {
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let words = [read("cmdline"), read("environ")].concat();
        read("comm").starts_with(b"pcscd") && String::from_utf8_lossy(&words).contains(folder)
    };
    all.find(is_ours).expect("the stack's pcscd")
}

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

    // It is there, takes the connection, and does not answer: keys, state and server are looked at all the same.
    let pid = daemon(&stack);
    signal::send(pid, "STOP");
    let found = findings(&mut doctor(&stack, "rollcall"));
    signal::send(pid, "CONT");
    assert_eq!(brief(&found).into_iter().collect::<Vec<_>>(), [("service".into(), "pcsc.service-hangs".into())]);
    for probe in ["keys", "state", "server"] {
        let one = found.iter().find(|one| one["probe"] == probe).unwrap();
        assert!(one["took_ms"].as_f64() < found[1]["took_ms"].as_f64(), "{one}");
    }
    assert_eq!(codes(&stack, &[]), Vec::<String>::new());

    stack.service("stop");
    let code = codes(&stack, &[]);
    assert!(code == ["pcsc.service-down"] || code == ["pcsc.socket-dead"], "{code:?}");
    assert!(text(&stack, 1).stdout.contains("sudo systemctl"));
    // As it is where nothing is installed: no socket, and no program that could make one.
    let _ = fs::remove_file(&socket);
    assert_eq!(codes(&stack, &[]), ["pcsc.service-down"]);
    assert_eq!(without_the_program(&stack), ["pcsc.not-installed"]);
    stack.service("start");
    assert_eq!(codes(&stack, &[]), Vec::<String>::new());
    // It was killed, and its socket is still there.
    stack.service("kill");
    if Path::new(&socket).exists() {
        assert_eq!(codes(&stack, &[]), ["pcsc.socket-dead"]);
    }
}

/// In a mount namespace of its own, where the folders of the system's programs for root are empty.
fn without_the_program(stack: &Stack) -> Vec<String> {
    let script = "for folder in /usr/sbin /usr/local/sbin; do mount -t tmpfs none $folder; done; exec rollcall doctor --output ndjson";
    let mut command = doctor(stack, "unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script]);
    codes_of(&mut command)
}
