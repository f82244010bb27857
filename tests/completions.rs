//! Tab completion in real shells: bash with its line editor, reading keys from a pipe; zsh in its own terminal; fish.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

#[path = "common/program.rs"]
mod program;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const ROLLCALL: &str = env!("CARGO_BIN_EXE_rollcall");

/// Aliases that a shell would split.
const CONFIG: &str = "[alias]\n\"north door\" = \"*PICC*\"\n\"desk (2) [left]\" = \"*ICC*\"\n";
/// Names with every sign that means something to a shell, and the letters that they alone begin with.
const SIGNS: [(&str, &str); 9] = [
    ("aq", "aq it's \"one\""),
    ("bb", "bb [PICC] (x) {1,2}"),
    ("cd", "cd $HOME `id` $(id)"),
    ("ds", "ds back\\slash\\\\"),
    ("eg", "eg *? ~ ! # %"),
    ("fo", "fo a;b|c&d<e>'f'"),
    ("gc", "gc one:two:three"),
    ("he", "he x=y, z^"),
    ("iu", "iu Süd – 日本"),
];

/// A folder with a configuration, the script of bash, and a program `rollcall` that runs ours and prints no more than
/// the arguments that the shell gave to it, when it is not asked for completions.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("config.toml"), CONFIG).unwrap();
    let script = program::rollcall(home.path(), &["completions", "bash"]).output().unwrap();
    assert!(script.status.success());
    fs::write(home.path().join("script"), script.stdout).unwrap();
    let stand_in = home.path().join("rollcall");
    let text = format!(
        "#!/bin/sh\ncase \"$1 $2\" in 'completions --'*) exec '{ROLLCALL}' \"$@\";; esac\n\
         for word; do printf '<%s>' \"$word\"; done; echo\n"
    );
    fs::write(&stand_in, text).unwrap();
    fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755)).unwrap();
    home
}

/// What the program is called with, when this is typed into a shell; `\t` is Tab.
fn typed(home: &Path, keys: &str) -> String {
    let mut shell = Command::new("bash")
        .args(["--norc", "--noprofile", "-i"])
        .env("PATH", format!("{}:/usr/bin:/bin", home.display()))
        .env("ROLLCALL_HOME", home)
        .env("PCSCLITE_CSOCK_NAME", home.join("nobody.listens"))
        .env("TERM", "dumb")
        .env_remove("ROLLCALL_CONFIG")
        .current_dir(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = shell.stdin.take().unwrap();
    write!(stdin, "source ./script\n{keys}\nexit\n").unwrap();
    drop(stdin);
    let Output { stdout, stderr, .. } = shell.wait_with_output().unwrap();
    let said = String::from_utf8(stdout).unwrap();
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with('<'), "{said}\n{}", String::from_utf8_lossy(&stderr));
    last.to_owned()
}

#[test]
fn bash_completes_commands_options_and_values() {
    let home = home();
    assert_eq!(typed(home.path(), "rollcall rea\t"), "<readers>");
    assert_eq!(typed(home.path(), "rollcall users hist\t--si\t8h"), "<users><history><--since><8h>");
    assert_eq!(typed(home.path(), "rollcall scan --output nd\t"), "<scan><--output><ndjson>");
    assert_eq!(typed(home.path(), "rollcall enroll --from scr\t"), "<enroll><--from><script>");
    // For values with any number of forms, the usual ones are offered.
    for (keys, expected) in [
        ("help us\t", "<help><users>"),
        ("help opt\t", "<help><options>"),
        ("help token inf\t", "<help><token><info>"),
        ("help server terminal rev\t", "<help><server><terminal><revoke>"),
        ("schema rea\t", "<schema><reader>"),
        ("watch --presence to\t", "<watch><--presence><toggle>"),
        ("watch --presence un\t", "<watch><--presence><until:8h>"),
        ("users history --since yes\t", "<users><history><--since><yesterday>"),
        ("server events --until to\t", "<server><events><--until><today>"),
    ] {
        assert_eq!(typed(home.path(), &format!("rollcall {keys}")), expected, "{keys}");
    }
}

/// A set of private tokens whose key is here, and a link to the board.
const SET: &str = "a1b2c3d4e5f60718";
const LINK: &str = "4ac20115";

fn keep_set_and_link(home: &Path) {
    fs::create_dir_all(home.join("pki/sets")).unwrap();
    fs::write(home.join("pki/sets").join(format!("{SET}.crt")), "").unwrap();
    let (made, ends) = ("2026-11-30T00:00:00Z", "9000-01-01T00:00:00Z");
    let link = format!(
        r#"{{"links":[{{"id":"{LINK}","label":null,"made":"{made}","open_until":"{ends}","ends":"{ends}","token":null,"cookie":null}}]}}"#
    );
    fs::write(home.join("board-links.json"), link).unwrap();
}

#[test]
fn bash_completes_sets_and_links_that_are_known() {
    let home = home();
    let home = home.path();
    keep_set_and_link(home);
    for (keys, expected) in [
        ("enroll --id 7 --set a1\t", format!("<enroll><--id><7><--set><{SET}>")),
        ("token rotate --set=a1\t", format!("<token><rotate><--set={SET}>")),
        ("pki rotate-set a1\t", format!("<pki><rotate-set><{SET}>")),
        ("board revoke 4a\t", format!("<board><revoke><{LINK}>")),
    ] {
        assert_eq!(typed(home, &format!("rollcall {keys}")), expected, "{keys}");
    }
}

/// A token, and users whose ids a shell would take apart, known here by being denied.
const TOKEN: &str = "af170d30-e5de-4436-90b0-806845c0c32c";
const USERS: [(&str, &str); 3] = [("aq", "aq (7)"), ("bx", "bx o'neill"), ("gr", "grace")];

fn know(home: &Path) {
    for id in USERS.map(|(_, id)| id).into_iter().chain([TOKEN]) {
        let output = program::rollcall(home, &["users", "deny", id, "--yes"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn bash_completes_users_and_tokens_that_are_known() {
    let home = home();
    let home = home.path();
    know(home);
    for (begin, id) in USERS {
        assert_eq!(typed(home, &format!("rollcall users show {begin}\t")), format!("<users><show><{id}>"));
    }
    for (keys, expected) in [
        ("token list --user gr\t", "<token><list><--user><grace>".to_owned()),
        ("token list --user=gr\t", "<token><list><--user=grace>".to_owned()),
        ("server user forget 'aq\t", "<server><user><forget><aq (7)>".to_owned()),
        ("server token show af1\t", format!("<server><token><show><{TOKEN}>")),
        ("enroll --replace=af1\t", format!("<enroll><--replace={TOKEN}>")),
        // The options of the command, and its fixed values, are offered as before.
        ("users deny --reas\t", "<users><deny><--reason>".to_owned()),
        ("server token status x lo\t", "<server><token><status><x><lost>".to_owned()),
    ] {
        assert_eq!(typed(home, &format!("rollcall {keys}")), expected, "{keys}");
    }
}

#[test]
fn bash_completes_readers_and_quotes_them() {
    let home = home();
    let home = home.path();
    assert_eq!(typed(home, "rollcall readers --reader nor\t"), "<readers><--reader><north door>");
    assert_eq!(typed(home, "rollcall --reader 'nor\t readers"), "<--reader><north door><readers>");
    assert_eq!(typed(home, "rollcall --reader \"desk (\t scan"), "<--reader><desk (2) [left]><scan>");
    assert_eq!(typed(home, "rollcall scan --reader desk\\ \t"), "<scan><--reader><desk (2) [left]>");
    assert_eq!(typed(home, "rollcall scan --reader=nor\t"), "<scan><--reader=north door>");
    // File names are not offered in place of readers that do not exist.
    assert_eq!(typed(home, "rollcall scan --reader scr\t"), "<scan><--reader><scr>");
}

/// A configuration with [`SIGNS`] as aliases.
fn signs(home: &Path) {
    let quoted = |name: &str| name.replace('\\', "\\\\").replace('"', "\\\"");
    let aliases: Vec<_> = SIGNS.iter().map(|(_, name)| format!("\"{}\" = \"x\"\n", quoted(name))).collect();
    fs::write(home.join("config.toml"), format!("[alias]\n{}", aliases.concat())).unwrap();
}

#[test]
fn bash_quotes_every_sign() {
    let home = home();
    let home = home.path();
    signs(home);
    for (begin, name) in SIGNS {
        let expected = format!("<scan><--reader><{name}>");
        // With nothing, and with either quote open.
        for quote in ["", "'", "\""] {
            assert_eq!(typed(home, &format!("rollcall scan --reader {quote}{begin}\t")), expected, "{quote}");
        }
    }
    // What was typed is quoted already, up to the middle of the name.
    for (keys, name) in [
        ("aq\\ it\\'s\\ \t", SIGNS[0].1),
        ("'aq it'\\''s \t", SIGNS[0].1),
        ("\"ds back\\\\sl\t", SIGNS[3].1),
        ("cd\\ \\$HO\t", SIGNS[2].1),
        ("gc\\ one:tw\t", SIGNS[6].1),
        ("gc\\ one:\t", SIGNS[6].1),
        ("'gc one:two:t\t", SIGNS[6].1),
    ] {
        assert_eq!(
            typed(home, &format!("rollcall scan --reader {keys}")),
            format!("<scan><--reader><{name}>"),
            "{keys}"
        );
    }
    assert_eq!(typed(home, "rollcall scan --reader=aq\t"), format!("<scan><--reader={}>", SIGNS[0].1));
}

/// Whether this shell is here. CI has them all, and there a missing one fails the test (`ROLLCALL_TEST_SHELLS=all`).
fn is_here(shell: &str) -> bool {
    let is_here = Command::new(shell).arg("--version").stdout(Stdio::null()).status().is_ok();
    let must_be = std::env::var_os("ROLLCALL_TEST_SHELLS").is_some_and(|which| which == "all");
    assert!(is_here || !must_be, "{shell} is missing: scripts/setup lint installs it");
    if !is_here {
        // Not captured, so that a run without it does not look like one with it.
        let _ = writeln!(std::io::stderr(), "not tested: {shell} is missing; scripts/setup lint installs it");
    }
    is_here
}

/// What the beginning of a value becomes, in zsh and fish.
const ASKED_OR_FIXED: [(&str, &str); 8] = [
    ("help us", "<help><users>"),
    ("help token inf", "<help><token><info>"),
    ("schema rea", "<schema><reader>"),
    ("watch --presence un", "<watch><--presence><until:8h>"),
    ("users history --since yes", "<users><history><--since><yesterday>"),
    ("enroll --id 7 --set a1", "<enroll><--id><7><--set><a1b2c3d4e5f60718>"),
    ("pki rotate-set a1", "<pki><rotate-set><a1b2c3d4e5f60718>"),
    ("board revoke 4a", "<board><revoke><4ac20115>"),
];

/// What zsh makes of Tab, in a terminal of its own making.
#[test]
fn zsh_quotes_every_sign() {
    const SCRIPT: &str = r#"
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "PS1=; fpath=($PWD/functions \$fpath); autoload -Uz compinit && compinit -D -u; bindkey '^I' complete-word
rollcall() { printf '<%s>' \"\$@\"; echo }; echo READY\$((1+1))"
zpty -r z out '*READY2*'
for words in "$@"; do
    zpty -w -n z "rollcall $words"$'\t'"; echo END\$((1+1))"$'\n'
    zpty -r z out '*END2*'
    print -r -- $out
done
"#;
    if !is_here("zsh") {
        return;
    }
    let home = home();
    let home = home.path();
    signs(home);
    know(home);
    keep_set_and_link(home);
    let script = program::rollcall(home, &["completions", "zsh"]).output().unwrap();
    fs::create_dir(home.join("functions")).unwrap();
    fs::write(home.join("functions/_rollcall"), script.stdout).unwrap();
    let output = Command::new("timeout")
        .args(["60", "zsh", "-f", "-c", SCRIPT, "zsh"])
        .args(SIGNS.iter().map(|(begin, _)| format!("scan --reader {begin}")))
        .args(["users show bx", "token list --user gr", "server token show af1"])
        .args(ASKED_OR_FIXED.map(|(words, _)| words))
        .env("PATH", format!("{}:/usr/bin:/bin", home.display()))
        .env("ROLLCALL_HOME", home)
        .env("PCSCLITE_CSOCK_NAME", home.join("nobody.listens"))
        .env("TERM", "dumb")
        .env("LC_ALL", "C.UTF-8")
        .current_dir(home)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let told: Vec<_> = said.lines().map(str::trim_end).filter(|line| line.starts_with('<')).collect();
    let mut expected: Vec<_> = SIGNS.iter().map(|(_, name)| format!("<scan><--reader><{name}>")).collect();
    expected.push("<users><show><bx o'neill>".into());
    expected.push("<token><list><--user><grace>".into());
    expected.push(format!("<server><token><show><{TOKEN}>"));
    expected.extend(ASKED_OR_FIXED.map(|(_, words)| words.to_owned()));
    assert_eq!(told, expected, "{said}{}", String::from_utf8_lossy(&output.stderr));
}

/// What fish offers, and what it makes of it on the line.
#[test]
fn fish_quotes_every_sign() {
    if !is_here("fish") {
        return;
    }
    let home = home();
    let home = home.path();
    signs(home);
    let script = program::rollcall(home, &["completions", "fish"]).output().unwrap();
    fs::write(home.join("script.fish"), script.stdout).unwrap();
    know(home);
    let readers = SIGNS.map(|(begin, name)| (format!("scan --reader {begin}"), format!("<scan><--reader><{name}>")));
    let others = [
        ("users show bx".to_owned(), "<users><show><bx o'neill>".to_owned()),
        ("token list --user gr".to_owned(), "<token><list><--user><grace>".to_owned()),
        ("server token show af1".to_owned(), format!("<server><token><show><{TOKEN}>")),
    ];
    keep_set_and_link(home);
    let fixed = ASKED_OR_FIXED.map(|(words, expected)| (words.to_owned(), expected.to_owned()));
    for (words, expected) in readers.into_iter().chain(others).chain(fixed) {
        let (before, _) = words.rsplit_once(' ').unwrap();
        // `--escape` gives what Tab would put on the line, which is then read as a line.
        let line = format!(
            "source script.fish; set offered (complete --escape -C 'rollcall {words}' | string split -f1 \\t); \
             eval rollcall {before} $offered"
        );
        let output = Command::new("fish")
            .args(["--no-config", "-c", &line])
            .env("PATH", format!("{}:/usr/bin:/bin", home.display()))
            .env("ROLLCALL_HOME", home)
            .env("HOME", home)
            .env("LC_ALL", "C.UTF-8")
            .env("PCSCLITE_CSOCK_NAME", home.join("nobody.listens"))
            .current_dir(home)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said.trim_end(), expected, "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// What fish offers after the typed text, without the descriptions.
fn offered_by_fish(home: &Path, words: &str) -> Vec<String> {
    let line = format!("source script.fish; complete -C 'rollcall {words}' | string split -f1 \\t");
    let output = Command::new("fish")
        .args(["--no-config", "-c", &line])
        .env("PATH", format!("{}:/usr/bin:/bin", home.display()))
        .env("ROLLCALL_HOME", home)
        .env("HOME", home)
        .current_dir(home)
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn fish_completes_commands_of_three_words() {
    if !is_here("fish") {
        return;
    }
    let home = home();
    let home = home.path();
    let script = program::rollcall(home, &["completions", "fish"]).output().unwrap();
    fs::write(home.join("script.fish"), script.stdout).unwrap();
    for (words, expected) in [
        ("server te", &["terminal"][..]),
        ("server terminal ", &["add", "list", "revoke"]),
        ("server terminal add door --ro", &["--role"]),
        ("server terminal add door --role ", &["admin", "enroll", "read"]),
        ("server terminal add door --ou", &["--output", "--out"]),
        ("server terminal revoke door --ro", &[]),
        ("server user add --fie", &["--field"]),
        ("server audit verify --fe", &["--feed"]),
        ("server audit reconcile --fe", &[]),
        ("server token status x ", &["active", "lost", "revoked", "suspended"]),
        ("server token status x lost --reas", &["--reason"]),
        ("server user import scr", &["script", "script.fish"]),
        ("pki issue server --na", &["--name"]),
        ("pki issue terminal door --na", &[]),
        ("completions fi", &["fish"]),
        ("help proof ", &["verify"]),
    ] {
        let mut offered = offered_by_fish(home, words);
        let mut expected = expected.to_vec();
        offered.sort();
        expected.sort_unstable();
        assert_eq!(offered, expected, "{words}");
    }
}

#[test]
fn the_scripts_of_other_shells_are_read_without_complaint() {
    for (shell, flags) in [("bash", ["--norc", "-n"]), ("zsh", ["-f", "-n"]), ("fish", ["--no-config", "-n"])] {
        if !is_here(shell) {
            continue;
        }
        let home = tempfile::tempdir().unwrap();
        let script = program::rollcall(home.path(), &["completions", shell]).output().unwrap();
        fs::write(home.path().join("script"), script.stdout).unwrap();
        let read = Command::new(shell).args(flags).arg(home.path().join("script")).output().unwrap();
        assert!(read.status.success() && read.stderr.is_empty(), "{shell}: {}", String::from_utf8_lossy(&read.stderr));
    }
}

/// What the scripts ask for is asked at a prompt that somebody is writing at.
#[test]
fn the_names_of_readers_are_asked_for_in_silence() {
    let home = tempfile::tempdir().unwrap();
    let ask = |variables: &[(&str, &str)]| {
        let mut command = program::rollcall(home.path(), &["completions", "--readers"]);
        command.envs(variables.iter().copied()).output().unwrap()
    };
    let silent = |output: &Output| output.status.success() && output.stderr.is_empty();
    let output = ask(&[]);
    assert!(silent(&output) && output.stdout.is_empty(), "{output:?}");
    // Verbose mode and an output format in the environment change nothing.
    fs::write(home.path().join("config.toml"), CONFIG).unwrap();
    let output = ask(&[("ROLLCALL_OUTPUT", "json"), ("ROLLCALL_VERBOSE", "1")]);
    assert!(silent(&output), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "desk (2) [left]\nnorth door\n");
    // No users or tokens are known yet, and asking creates no file.
    for what in ["--users", "--tokens"] {
        let output = program::rollcall(home.path(), &["completions", what]).output().unwrap();
        assert!(silent(&output) && output.stdout.is_empty(), "{output:?}");
    }
    // A broken configuration is reported by the next command, not by completion.
    fs::write(home.path().join("config.toml"), "alias = 1\n").unwrap();
    let output = ask(&[]);
    assert!(silent(&output) && output.stdout.is_empty(), "{output:?}");
    assert!(fs::read_dir(home.path()).unwrap().all(|entry| entry.unwrap().file_name() == "config.toml"));
}
