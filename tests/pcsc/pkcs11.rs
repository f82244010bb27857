//! The personalisation key in a PKCS#11 token: Debian's `SoftHSM2`.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use crate::{
    batch::{Desk, SILENCE, arguments},
    doctor::{brief, findings, unprivileged},
    slot::Lift,
    stack::{Run, Stack},
};

const PIN: &str = "20261123";

fn module() -> PathBuf {
    let places = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];
    places.iter().map(PathBuf::from).find(|place| place.exists()).expect("SoftHSM2: scripts/setup hsm")
}

/// Makes a token of this stack, with the key of `pki/perso.key` in it, and a file with its PIN.
fn fill(stack: &mut Stack) {
    let home = stack.home();
    fs::create_dir(home.join("tokens")).unwrap();
    let settings = format!("directories.tokendir = {}\nobjectstore.backend = file\n", home.join("tokens").display());
    fs::write(home.join("softhsm2.conf"), settings).unwrap();
    stack.set("SOFTHSM2_CONF", home.join("softhsm2.conf").to_str().unwrap());
    let util = |args: &[&str]| {
        let output = stack.command("softhsm2-util").args(args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    util(&["--init-token", "--free", "--label", "Card desk", "--so-pin", "12345678", "--pin", PIN]);
    let key = hex::decode(fs::read_to_string(home.join("pki/perso.key")).unwrap().trim()).unwrap();
    let raw = home.join("raw");
    // softhsm2-util reads a raw key as text, which ends at the first zero byte; pkcs11-tool takes all of it.
    fs::write(&raw, key).unwrap();
    let import = ["--login", "--pin", PIN, "--token-label", "Card desk", "--write-object", raw.to_str().unwrap()];
    let what = ["--type", "secrkey", "--key-type", "AES:16", "--usage-sign", "--label", "perso", "--id", "01"];
    let output = stack.command("pkcs11-tool").arg("--module").arg(module()).args(import).args(what).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    fs::write(&raw, b"twelve bytes\0cut").unwrap();
    let import = ["--import", raw.to_str().unwrap(), "--aes", "--token", "Card desk", "--pin", PIN];
    util(&[&import[..], &["--label", "cut", "--id", "02"]].concat());
    fs::remove_file(raw).unwrap();
    write_pin(stack, PIN, 0o600);
}

fn write_pin(stack: &Stack, pin: &str, mode: u32) {
    let file = stack.home().join("pin");
    fs::write(&file, format!("{pin}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
}

fn uri(stack: &Stack, object: &str) -> String {
    let (module, home) = (module(), stack.home());
    format!(
        "pkcs11:token=Card%20desk;object={object};type=secret-key?module-path={}&pin-source=file:{}",
        module.display(),
        home.join("pin").display()
    )
}

case!(EachCard, a_batch_under_a_pkcs11_key);
/// A batch whose keys come from there. A card that was begun with it is finished with the file: both derive the same.
fn a_batch_under_a_pkcs11_key(kind: &str) {
    let mut stack = Stack::start(2, "none");
    stack.rollcall(&["pki", "init"]).expect(0);
    fill(&mut stack);
    let home = stack.home();
    fs::write(home.join("config.toml"), format!("perso_key = {:?}\n", uri(&stack, "perso"))).unwrap();
    fs::rename(home.join("pki/perso.key"), home.join("elsewhere")).unwrap();
    let mut desk = Desk::new(&stack, kind, 5);
    let file = desk.rows(5);
    desk.fill();
    desk.slot(1).arm(Some(Lift { at: 12, carried_out: true }));
    let mut batch = stack.stream(&[&arguments(&file)[..], &["--timeout", "3s"]].concat());
    let mut done = 0;
    while let Some(told) = batch.next(SILENCE) {
        let at = desk.at(&told);
        match told["error"]["code"].as_str() {
            None => {
                done += 1;
                desk.change(at);
            }
            Some("card.left") => assert_eq!(at, 1, "{told}"),
            Some(other) => panic!("{other}: {told}"),
        }
    }
    assert_eq!((done, batch.ended(SILENCE).code()), (4, Some(1)));

    fs::rename(home.join("elsewhere"), home.join("pki/perso.key")).unwrap();
    fs::remove_file(home.join("config.toml")).unwrap();
    desk.put_back();
    let mut last = stack.stream(&arguments(&file));
    let told = last.next(SILENCE).expect("an object");
    assert_eq!(told["result"], "resumed", "{told}");
    assert!(last.ended(SILENCE).success());
    desk.change(1);
    assert_eq!(desk.tokens().len(), 5);
}

case!(EachCard, what_is_wrong_with_a_pkcs11_key);
/// What is wrong with the token, its key or its PIN is told before a card is touched.
fn what_is_wrong_with_a_pkcs11_key(kind: &str) {
    let mut stack = Stack::start(1, kind);
    stack.rollcall(&["pki", "init"]).expect(0);
    fill(&mut stack);
    fs::remove_file(stack.home().join("pki/perso.key")).unwrap();
    let reader = stack.readers().remove(0);
    let enroll = ["enroll", "--reader", &reader, "--id", "p1", "--name", "Ada Lovelace"];
    let fails = |stack: &mut Stack, uri: &str, status: i32, code: &str| {
        stack.set("ROLLCALL_PERSO_KEY", uri);
        let run = stack.rollcall(&enroll).expect(status);
        assert_eq!(run.code(), code);
        assert!(!run.stderr.contains(PIN), "{run:?}");
    };
    let good = uri(&stack, "perso");
    fails(&mut stack, &uri_of_another(&good, "perso", "nobody"), 78, "pki.pkcs11-not-found");
    fails(&mut stack, &uri_of_another(&good, "Card%20desk", "another"), 78, "pki.pkcs11-not-found");
    fails(&mut stack, &uri_of_another(&good, "object=perso", "object=cut"), 78, "pki.pkcs11-key");
    fails(&mut stack, &uri_of_another(&good, "libsofthsm2", "libnothing"), 69, "pki.pkcs11");
    fails(&mut stack, &format!("{good}&pin-value={PIN}"), 78, "config.bad-value");
    let (without, _) = good.split_once("&pin-source").unwrap();
    fails(&mut stack, without, 78, "pki.pkcs11-no-pin");
    write_pin(&stack, PIN, 0o640);
    fails(&mut stack, &good, 77, "pki.key-permissions");
    write_pin(&stack, "99999999", 0o600);
    fails(&mut stack, &good, 77, "pki.pkcs11-pin");
    // A service gets its PIN from the environment.
    stack.set("ROLLCALL_PKCS11_PIN", PIN);
    stack.set("ROLLCALL_PERSO_KEY", without);
    stack.rollcall(&enroll).expect(0);
    assert_eq!(stack.ndjson(0, &["scan"])[0]["user"]["id"], "p1");
}

case!(Once, a_pkcs11_key_is_found_by_any_form_of_its_uri);
/// What finds the key in whatever way it is named, what fits two, and what doctor says without a try of the PIN.
fn a_pkcs11_key_is_found_by_any_form_of_its_uri() {
    let mut stack = Stack::start(1, "none");
    stack.rollcall(&["pki", "init"]).expect(0);
    fill(&mut stack);
    let home = stack.home();
    fs::write(home.join("u.csv"), "id,name\n1,Ada\n").unwrap();
    let file = home.join("u.csv").display().to_string();
    let tail = format!("?module-path={}&pin-source=file:{}", module().display(), home.join("pin").display());
    let open = |stack: &mut Stack, path: &str| {
        stack.set("ROLLCALL_PERSO_KEY", &format!("pkcs11:{path}{tail}"));
        stack.rollcall(&["enroll", "--from", &file, "--dry-run"])
    };
    let serial = |stack: &Stack| {
        let output = stack.command("pkcs11-tool").arg("--module").arg(module()).arg("-L").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let serials = text.lines().filter_map(|line| line.trim().strip_prefix("serial num")?.split_once(": "));
        serials.map(|(_, serial)| serial.trim().to_owned()).filter(|serial| !serial.is_empty()).collect::<Vec<_>>()
    };
    let one = serial(&stack).remove(0);
    let whole = format!("model=SoftHSM%20v2;manufacturer=SoftHSM%20project;serial={one};token=Card%20desk");
    for path in
        [&whole, "token=Card%20desk", &format!("serial={one}"), "library-description=Implementation%20of%20PKCS11"]
    {
        for key in ["id=%01;object=perso;type=secret-key", "id=%01", "object=perso"] {
            open(&mut stack, &format!("{path};{key}")).expect(0);
        }
    }
    stack.set("ROLLCALL_PERSO_KEY", &format!("pkcs11:id=%01{}", tail.replace("module-path=", "x=1&module-path=")));
    stack.rollcall(&["enroll", "--from", &file, "--dry-run"]).expect(0);
    let told = open(&mut stack, "token=Card%20desk;serial=0;id=%01").expect(78);
    assert_eq!(told.code(), "pki.pkcs11-not-found");
    assert!(told.stderr.contains(&format!("has the serial number \"{one}\"; slot ")), "{told:?}");

    // Doctor never logs in: afterwards the token has counted no wrong PIN.
    write_pin(&stack, "99999999", 0o600);
    stack.set("ROLLCALL_PERSO_KEY", &format!("pkcs11:token=Card%20desk;id=%01{tail}"));
    for _ in 0..2 {
        let found = stack.rollcall(&["doctor", "-o", "json"]);
        assert!(found.stdout.contains("pkcs11") && !found.stdout.contains("pki.pkcs11"), "{found:?}");
    }
    open(&mut stack, "token=Card%20desk;id=%01").expect(77);
    assert!(stack.rollcall(&["doctor", "-o", "json"]).stdout.contains("pki.pkcs11-pin-low"));
    write_pin(&stack, PIN, 0o600);
    open(&mut stack, "token=Card%20desk;id=%01").expect(0);

    let second = ["--init-token", "--free", "--label", "Card desk", "--so-pin", "12345678", "--pin", PIN];
    assert!(stack.command("softhsm2-util").args(second).output().unwrap().status.success());
    let told = open(&mut stack, "token=Card%20desk;id=%01").expect(78);
    assert_eq!(told.code(), "pki.pkcs11-several");
    assert!(serial(&stack).iter().all(|serial| told.stderr.contains(&format!("serial={serial}"))), "{told:?}");
    assert!(stack.rollcall(&["doctor", "-o", "json"]).expect(1).stdout.contains("pki.pkcs11-several"));
    open(&mut stack, &format!("serial={one};id=%01")).expect(0);
}

case!(Once, files_of_a_pkcs11_token_that_are_closed);
/// `SoftHSM` says "general error" of them: which file it is, and who may not use it, is told before a card is touched.
fn files_of_a_pkcs11_token_that_are_closed() {
    let mut stack = Stack::start(1, "virtual");
    stack.rollcall(&["pki", "init"]).expect(0);
    fill(&mut stack);
    let home = stack.home();
    fs::remove_file(home.join("pki/perso.key")).unwrap();
    let uri = uri(&stack, "perso");
    stack.set("ROLLCALL_PERSO_KEY", &uri);
    let token = fs::read_dir(home.join("tokens")).unwrap().next().unwrap().unwrap().path();
    // Of a key whose file is closed it says nothing at all: the key is not there.
    let mut files = fs::read_dir(&token).unwrap().map(|file| file.unwrap().path());
    let key = files.find(|file| fs::read(file).unwrap().windows(5).any(|part| part == b"perso")).unwrap();
    for closed in [home.join("tokens"), token.clone(), token.join("token.object"), key, home.join("softhsm2.conf")] {
        let open = fs::metadata(&closed).unwrap().permissions();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o0)).unwrap();
        let told = format!("the user nobody may not use {}, which the PKCS#11 token needs", closed.display());
        let refused = as_nobody(&stack).expect(77);
        assert_eq!(refused.code(), "pki.pkcs11-rights", "{refused:#?}");
        let plain = refused.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(plain.contains(&told) && plain.contains(&format!("ls -ld {}", closed.display())), "{plain}");
        let found = findings(&mut unprivileged(&stack));
        assert!(brief(&found).values().any(|code| code == "pki.pkcs11-rights"), "{found:#?}");
        let one = found.iter().find(|one| one["code"] == "pki.pkcs11-rights").unwrap();
        assert!(one["what"].as_str().is_some_and(|what| what.contains(&told)), "{one}");
        fs::set_permissions(&closed, open).unwrap();
    }
    // If the folder does not exist at all, that is reported too.
    fs::rename(home.join("tokens"), home.join("away")).unwrap();
    let refused = as_nobody(&stack).expect(78);
    let plain = refused.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    let told = format!(
        "does not exist: {}, which {} names",
        home.join("tokens").display(),
        home.join("softhsm2.conf").display()
    );
    assert!(plain.contains(&told) && !plain.contains("NSS"), "{plain}");
    fs::rename(home.join("away"), home.join("tokens")).unwrap();
    // The card is as it was, and that user may use what is open.
    as_nobody(&stack).expect(0);
}

/// Root can read everything, so run as an unprivileged user.
fn as_nobody(stack: &Stack) -> Run {
    let mut command = stack.command("unshare");
    command.args(["--user", "--map-user=65534", "--map-group=65534", "timeout", "60", "rollcall"]);
    Run::of(&command.args(["enroll", "--id", "p1", "--name", "Ada Lovelace"]).output().unwrap())
}

fn uri_of_another(uri: &str, from: &str, to: &str) -> String {
    assert!(uri.contains(from));
    uri.replace(from, to)
}
