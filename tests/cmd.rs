//! The program as scripts see it, where no reader is needed: streams, messages and exit status.
//!
//! The cases are in `tests/cmd/*.trycmd`. Each file has its own `ROLLCALL_HOME`, and no PC/SC service.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

#[path = "common/objects.rs"]
mod objects;
#[path = "common/program.rs"]
mod program;
#[path = "common/told.rs"]
mod told;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use program::rollcall;

#[test]
fn cases() {
    let mut files: Vec<_> = fs::read_dir("tests/cmd").unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "trycmd"));
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let home = tempfile::tempdir().unwrap();
        let cases = trycmd::TestCases::new();
        cases.register_bin("rollcall", Path::new(env!("CARGO_BIN_EXE_rollcall")));
        cases.env("ROLLCALL_HOME", home.path().to_str().unwrap()).env("COLUMNS", "100");
        cases.env("PCSCLITE_CSOCK_NAME", home.path().join("nobody.listens").to_str().unwrap());
        cases.insert_var("[STATE]", home.path().to_str().unwrap().to_owned()).unwrap();
        cases.case(&file).run();
        let left = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        let state = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("terminal.");
        let may_keep_a_list = file.ends_with("users.trycmd");
        assert!(left.iter().all(|name| may_keep_a_list && state(name)), "{} left {left:?}", file.display());
    }
}

/// What the cases show of JSON, and what docs/scripting.md does, is what the program says that it prints.
#[test]
fn what_is_shown_of_json_has_its_schema() {
    let read = |file: &Path| fs::read_to_string(file).unwrap();
    let mut shown = 0;
    for line in read(Path::new("docs/scripting.md")).lines().filter(|line| line.starts_with("{\"schema\"")) {
        objects::line(line);
        shown += 1;
    }
    assert!(shown > 0, "docs/scripting.md shows no object");
    for case in fs::read_dir("tests/cmd").unwrap().map(|entry| entry.unwrap().path()) {
        let Some("trycmd") = case.extension().and_then(|e| e.to_str()) else { continue };
        for run in read(&case).split("\n$ ").skip(1) {
            let (command, rest) = run.split_once('\n').unwrap();
            let arguments: Vec<_> = command.split(' ').collect();
            let printed: Vec<_> = rest.lines().take_while(|line| !line.is_empty() && *line != "```").collect();
            let data = printed.into_iter().filter(|line| line.starts_with(['{', '[', ']'])).collect::<Vec<_>>();
            objects::output(&arguments, &data.join("\n"));
        }
    }
}

/// Who makes terminals by a script reads where the bundle is, not what people are told.
#[test]
fn a_new_terminal_is_an_object_for_programs() {
    let home = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let output = rollcall(home.path(), args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    run(&["pki", "init"]);
    let file = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let issue = |form: &str, name: &str| run(&["-o", form, "pki", "issue", "terminal", name, "--out", &file(name)]);
    assert_eq!(issue("text", "hall"), "");
    for (form, name) in [("json", "door"), ("ndjson", "gate")] {
        let told = objects::document(issue(form, name).as_bytes());
        assert_eq!(told["schema"], "rollcall.terminal-bundle/1");
        assert_eq!([&told["name"], &told["role"], &told["file"]], [name, "read", &file(name)]);
        assert!(told["server"].is_null() && told["not_after"].is_string(), "{told}");
    }
    assert!(issue("csv", "desk").starts_with("name,role,server,not_after,file\ndesk,read,,"));
    let again = rollcall(home.path(), &["pki", "issue", "terminal", "desk", "--out", &file("desk")]).output().unwrap();
    assert_eq!((again.status.code(), told(&again, "code").unwrap().as_str()), (Some(73), "file.exists"));
}

#[test]
fn a_table_may_come_from_standard_input() {
    let home = tempfile::tempdir().unwrap();
    assert!(rollcall(home.path(), &["pki", "init"]).output().unwrap().status.success());
    let journal = home.path().join("people.journal");
    let check = ["enroll", "--from", "-", "--dry-run", "-o", "json", "--journal", journal.to_str().unwrap()];
    let run = |args: &[&str], table: &str| {
        let mut command = rollcall(home.path(), args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Who refuses the arguments does not read it.
        let _ = child.stdin.take().unwrap().write_all(table.as_bytes());
        child.wait_with_output().unwrap()
    };
    let good = run(&check, "id,name\n7,Ann\n8,Bob\n");
    assert_eq!(good.status.code(), Some(0), "{}", String::from_utf8_lossy(&good.stderr));
    assert_eq!(objects::document(&good.stdout)["rows"], 2);
    assert!(String::from_utf8(good.stderr).unwrap().contains("standard input: read as UTF-8, separated by commas"));
    let bad = run(&check, "id,name\n7,\n");
    assert_eq!((bad.status.code(), told(&bad, "code").unwrap().as_str()), (Some(65), "csv.bad-rows"));
    assert!(told(&bad, "error").unwrap().starts_with("standard input: 1 row cannot be used"));
    // Nothing else could name the journal.
    let nameless = run(&check[..4], "id,name\n7,Ann\n");
    assert_eq!((nameless.status.code(), told(&nameless, "code").unwrap().as_str()), (Some(2), "usage"));
    assert!(told(&nameless, "error").unwrap().contains("--journal <FILE>"));
}

#[test]
fn the_check_of_objects_sees_faults() {
    let good = r#"{"schema":"rollcall.denied/1","id":"7"}"#;
    objects::line(good);
    for (from, to) in [
        ("\"7\"", "7"),
        (",\"id\":\"7\"", ""),
        ("}", ",\"more\":1}"),
        ("denied/1", "denied/2"),
        ("denied/1", "event/1"),
        ("\"schema\":\"rollcall.denied/1\",", ""),
        ("}", ""),
    ] {
        let bad = good.replace(from, to);
        assert!(std::panic::catch_unwind(|| objects::line(&bad)).is_err(), "{bad}");
    }
}

/// The value behind `label: ` on stderr.
fn told(output: &Output, label: &str) -> Option<String> {
    told::after(std::str::from_utf8(&output.stderr).unwrap(), label).map(str::to_owned)
}

#[test]
fn a_configuration_that_everybody_may_write_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config.toml");
    fs::write(&file, "verbose = true\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    let output = rollcall(home.path(), &["readers"]).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(told(&output, "code").unwrap(), "config.permissions");
    assert_eq!(told(&output, "hint").unwrap(), format!("remove that permission: chmod o-w {}", file.display()));
}

#[test]
fn the_file_in_the_home_is_read_and_what_is_typed_comes_before_it() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("config.toml"), "output = \"xml\"\n").unwrap();
    let output = rollcall(home.path(), &["readers", "--output", "json"]).output().unwrap();
    assert_eq!((output.status.code(), told(&output, "code").unwrap().as_str()), (Some(78), "config.bad-value"));
    let other = home.path().join("other.toml");
    fs::write(&other, "").unwrap();
    let output = rollcall(home.path(), &["readers", "--config", other.to_str().unwrap()]).output().unwrap();
    assert_ne!(output.status.code(), Some(78));
    // Commands about the program itself work with a broken configuration.
    assert!(rollcall(home.path(), &["schema"]).output().unwrap().status.success());
}

#[test]
fn without_any_home_there_is_nowhere_to_look() {
    let mut command = rollcall(Path::new(""), &["readers"]);
    command.env("HOME", "").env_remove("XDG_CONFIG_HOME").env_remove("XDG_STATE_HOME");
    let output = command.output().unwrap();
    assert_eq!((output.status.code(), told(&output, "code").unwrap().as_str()), (Some(78), "config.no-home"));
}

#[test]
fn colour_is_for_terminals_and_for_who_asks() {
    let home = tempfile::tempdir().unwrap();
    let escapes = |command: &mut Command| command.output().unwrap().stderr.contains(&0x1b);
    let refused = ["schema", "nothing"];
    assert!(!escapes(&mut rollcall(home.path(), &refused)));
    assert!(escapes(rollcall(home.path(), &refused).args(["--color", "always"])));
    assert!(escapes(rollcall(home.path(), &refused).env("ROLLCALL_COLOR", "always").env("NO_COLOR", "1")));
    assert!(!escapes(rollcall(home.path(), &refused).args(["--color", "never"]).env("ROLLCALL_COLOR", "always")));
}

#[test]
fn a_closed_pipe_is_no_error() {
    let home = tempfile::tempdir().unwrap();
    for arguments in [["completions", "bash"], ["schema", "scan"], ["users", "--help"]] {
        let mut child =
            rollcall(home.path(), &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn a_full_disk_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = rollcall(home.path(), &["completions", "bash"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(73));
    assert_eq!(told(&output, "code").unwrap(), "output.failed");
}

#[test]
fn manual_pages_are_written_for_every_command() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("man/man1");
    let output = rollcall(home.path(), &["man", "--out", folder.to_str().unwrap()]).output().unwrap();
    assert!(output.status.success());
    for page in ["rollcall.1", "rollcall-scan.1", "rollcall-users-history.1", "rollcall-virtual-token.1"] {
        let text = fs::read_to_string(folder.join(page)).unwrap();
        let sections =
            ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "EXIT STATUS", "ENVIRONMENT", "FILES"];
        for section in sections.into_iter().chain(["SEE ALSO"]) {
            assert_eq!(text.matches(&format!("\n.SH \"{section}\"\n")).count(), 1, "{page} {section}");
        }
    }
    // Not in the folder of the first section, where man(1) would not find it; elsewhere there is one folder.
    assert!(!folder.join("rollcall.toml.5").exists());
    let text = fs::read_to_string(home.path().join("man/man5/rollcall.toml.5")).unwrap();
    assert!(text.starts_with(".TH ROLLCALL.TOML 5 "), "{text}");
    let elsewhere = home.path().join("pages");
    assert!(rollcall(home.path(), &["man", "--out", elsewhere.to_str().unwrap()]).status().unwrap().success());
    assert!(elsewhere.join("rollcall.1").exists() && elsewhere.join("rollcall.toml.5").exists());
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    let output = rollcall(home.path(), &["man", "--out", file.to_str().unwrap()]).output().unwrap();
    assert_eq!((output.status.code(), told(&output, "code").unwrap().as_str()), (Some(73), "man.unwritable"));
}

/// Mistyped input may come from anywhere, so control characters in it are shown and not interpreted.
#[test]
fn escape_sequences_in_arguments_are_shown_and_not_obeyed() {
    let home = tempfile::tempdir().unwrap();
    for arguments in [["schema", "\u{1b}[2J"], ["readers", "\u{1b}[2J"], ["users", "\u{9b}2J"]] {
        let output = rollcall(home.path(), &arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!stderr.contains(['\u{1b}', '\u{9b}']), "{stderr:?}");
    }
}

/// Commands that copy or repair a store do not create a missing one.
#[test]
#[cfg(feature = "server")]
fn a_store_that_is_not_there_is_not_made_by_who_reads_it() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    assert!(rollcall(home, &["pki", "init"]).output().unwrap().status.success());
    let backup = home.join("backup.db");
    for words in [
        &["server", "audit", "verify"][..],
        &["server", "backup", backup.to_str().unwrap()],
        &["server", "audit", "reconcile"],
    ] {
        let output = rollcall(home, words).output().unwrap();
        assert_eq!(
            (output.status.code(), told(&output, "code").unwrap().as_str()),
            (Some(73), "store.file"),
            "{words:?}"
        );
        assert!(!home.join("server.db").exists() && !backup.exists(), "{words:?}");
    }
}

/// The variable may be set for a whole shell: what talks to no card writes no trace, and fails for none.
#[test]
fn only_what_talks_to_cards_is_traced() {
    let home = tempfile::tempdir().unwrap();
    let trace = home.path().join("trace.ndjson");
    let run = |words: &[&str]| rollcall(home.path(), words).env("ROLLCALL_TRACE", &trace).output().unwrap();
    for words in [&["help"][..], &["completions", "bash"], &["completions", "--users"], &["users"], &["schema"]] {
        assert!(run(words).status.success() && !trace.exists(), "{words:?}");
    }
    assert_eq!(told(&run(&["scan"]), "code").unwrap(), "pki.not-initialised");
    assert!(trace.exists());
    assert!(run(&["users"]).status.success());
    assert_eq!(told(&run(&["scan"]), "code").unwrap(), "trace.exists");
}

/// What needs no key and no list of this machine needs no home, and no configuration that is sound.
#[test]
fn proofs_are_verified_and_tokens_played_without_a_home() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("config.toml");
    fs::write(&config, "output = \"xml\"\n").unwrap();
    let proof = ["proof", "verify", "nowhere", "--ca", "nowhere"];
    for (words, code) in
        [(&proof[..], "proof.unreadable"), (&["virtual-token", "--start-key-file", "nowhere"], "start-key.unreadable")]
    {
        let mut homeless = rollcall(Path::new(""), words);
        homeless.env("HOME", "").env_remove("XDG_CONFIG_HOME").env_remove("XDG_STATE_HOME");
        assert_eq!(told(&homeless.output().unwrap(), "code").unwrap(), code);
        let output = rollcall(home.path(), words).output().unwrap();
        assert_eq!(told(&output, "code").unwrap(), code);
        assert!(told(&output, "warning").unwrap().starts_with("the configuration is ignored: "));
        // One that is named has to be sound.
        let output = rollcall(home.path(), words).arg("--config").arg(&config).output().unwrap();
        assert_eq!(told(&output, "code").unwrap(), "config.bad-value");
    }
}
