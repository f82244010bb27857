//! Plants secrets of every kind, and searches for them in all that `rollcall doctor` and related commands print and
//! write.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::Stdio,
};

use crate::stack::Stack;

const PIN: &str = "canary-pin-51820736";
const PASSWORD: &str = "canary-password-90417";
const VARIABLE: &str = "canary-variable-22871";

/// The secrets of the files of keys: whole lines of PEM, and keys in hex.
fn secrets(folder: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let keys = files.filter(|path| path.extension().is_some_and(|extension| extension == "key"));
    let lines = keys.flat_map(|path| fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>());
    lines.filter(|line| !line.starts_with("-----") && line.len() >= 16).collect()
}

case!(Once, no_secret_gets_out);
fn no_secret_gets_out() {
    let mut stack = Stack::start(1, "virtual");
    stack.rollcall(&["pki", "init"]).expect(0);
    stack.rollcall(&["enroll", "--id", "p1", "--name", "Ada"]).expect(0);
    let home = stack.home();
    stack.set("ROLLCALL_PKCS11_PIN", PIN);
    stack.set("SOME_TOKEN", VARIABLE);
    let config = format!(
        "perso_key = \"pkcs11:token=a;object=b?module-path=/nowhere.so\"\n[server]\nstore = \"postgres://u:{PASSWORD}@localhost/d\"\n"
    );
    fs::write(home.join("config.toml"), config).unwrap();

    let mut secrets = secrets(&home.join("pki"));
    assert!(secrets.len() > 8, "{secrets:?}");
    // The same bytes in other encodings.
    let upper: Vec<_> = secrets.iter().map(|line| line.to_uppercase()).collect();
    secrets.extend(upper);
    secrets.extend([PIN, PASSWORD, VARIABLE].map(str::to_owned));
    let harmless = |what: &str, bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let found: Vec<_> = secrets.iter().filter(|secret| text.contains(*secret)).collect();
        assert!(found.is_empty(), "{what} tells {found:?}");
    };

    let mut bundles = 0;
    for output in ["text", "json", "ndjson", "csv"] {
        for verbose in [&[][..], &["--verbose"]] {
            bundles += 1;
            let bundle = home.join(format!("bundle-{bundles}.tar"));
            let commands: [&[&str]; 6] = [
                &["doctor", "--bundle", bundle.to_str().unwrap()],
                &["readers"],
                &["scan"],
                &["token", "info"],
                &["token", "verify"],
                &["pki", "list"],
            ];
            for command in commands {
                let run = stack.rollcall(&[verbose, &["--output", output], command].concat());
                harmless(&command.concat(), run.stdout.as_bytes());
                harmless(&command.concat(), run.stderr.as_bytes());
            }
            harmless("the bundle", &fs::read(&bundle).unwrap());
        }
    }
    // Error messages do not quote secrets either.
    for command in [&["enroll", "--id", "p2", "--name", "Grace"][..], &["server", "init"]] {
        let run = stack.rollcall(command);
        assert_ne!(run.status, 0, "{run:?}");
        harmless(&command.concat(), run.stderr.as_bytes());
    }
    // It waits for its store, and says why.
    let mut command = stack.command("rollcall");
    command.args(["server", "run", "--listen", "127.0.0.1:0"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let (mut server, mut said) = (command.spawn().unwrap(), String::new());
    BufReader::new(server.stderr.take().unwrap()).read_line(&mut said).unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(!said.is_empty());
    harmless("server run", said.as_bytes());
    contents(&home.join("bundle-1.tar"));
    assert_eq!(
        stack.rollcall(&["doctor", "--bundle", home.join("bundle-1.tar").to_str().unwrap()]).expect(73).code(),
        "bundle.file"
    );
}

/// What stands in the archive.
fn contents(bundle: &Path) {
    let mut archive = tar::Archive::new(fs::File::open(bundle).unwrap());
    let mut names = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        if name.ends_with("findings.json") {
            let found: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
            assert!(found.iter().any(|one| one["probe"] == "reader"), "{text}");
        }
        assert!(!text.is_empty(), "{name}");
        names.push(name);
    }
    assert_eq!(
        names,
        ["findings.json", "about.txt", "settings.txt", "files.txt"].map(|name| format!("rollcall-doctor/{name}"))
    );
}
