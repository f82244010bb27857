//! `rollcall apdu` and `readers` compared with widely used tools: they report the same about the same card.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{people::enrolled, stack::Stack};

const SELECT: &str = "00A404000AF0524F4C4C43414C4C0100";

/// The digits of the lines of a dump, and of what stands behind them nothing.
fn output(command: &mut Command, input: &str) -> String {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("typed");
    let told = child.wait_with_output().expect("it ends");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    String::from_utf8_lossy(&told.stdout).into_owned()
}

fn answers(stack: &Stack, commands: &[&str]) -> Vec<String> {
    let told = stack.ndjson(0, &[&["apdu"], commands].concat());
    let text = |value: &Value| value.as_str().expect("digits").to_owned();
    told.iter().map(|one| text(&one["data"]) + &text(&one["status"])).collect()
}

/// `Received (SW1=0x90, SW2=0x00):`, and the bytes of the answer below it, sixteen in a line with their characters
/// behind.
fn by_opensc(stack: &Stack, reader: usize, commands: &[&str]) -> Vec<String> {
    let mut command = stack.command("opensc-tool");
    command.args(["--reader", &reader.to_string()]);
    for apdu in commands {
        command.args(["-s", apdu]);
    }
    let text = output(&mut command, "");
    let mut found = Vec::new();
    for part in text.split("Received (SW1=0x").skip(1) {
        let (status, rest) = part.split_once(')').expect("a status");
        let status = status.replace(", SW2=0x", "");
        let dump = rest.split("Sending").next().unwrap_or_default().lines().skip(1);
        let digits: String = dump
            .flat_map(|line| line.get(..48.min(line.len())).unwrap_or_default().chars().filter(|c| *c != ' '))
            .collect();
        found.push(digits + &status);
    }
    found
}

/// `< 6F 34 … 90 00 : Normal processing.`
fn by_scriptor(stack: &Stack, reader: &str, commands: &[&str]) -> Vec<String> {
    let text = output(stack.command("scriptor").args(["-r", reader]), &(commands.join("\n") + "\n"));
    let mut found = Vec::new();
    for answer in text.split("\n< ").skip(1) {
        let digits = answer.split(" : ").next().unwrap_or_default();
        found.push(digits.chars().filter(char::is_ascii_hexdigit).collect());
    }
    found
}

case!(EachCard, apdu_as_others_see_it);
fn apdu_as_others_see_it(kind: &str) {
    let stack = enrolled(1, 1, kind);
    let reader = stack.readers().remove(0);
    let commands =
        [SELECT, "00CAFF3300", "00EE0000", "00CA008318A61642140000000000000000000000000000000000000000", "FFCA000000"];
    let ours = answers(&stack, &commands);
    assert_eq!((ours.len(), &ours[2][..]), (5, "6D00"), "{ours:?}");
    assert_eq!(by_opensc(&stack, 0, &commands), ours);
    assert_eq!(by_scriptor(&stack, &reader, &commands), ours);

    let listed = &stack.ndjson(0, &["readers"])[0];
    let atr: String =
        output(stack.command("opensc-tool").arg("--atr"), "").chars().filter(char::is_ascii_hexdigit).collect();
    assert_eq!(listed["atr"], atr.to_uppercase());
    let scanned = output(stack.command("timeout").args(["20", "pcsc_scan", "-r"]), "");
    assert!(scanned.contains(&reader), "{scanned}");

    scripts(&stack);
    inside_a_channel(&stack);
}

/// Expectations, variables, and what is no script.
fn scripts(stack: &Stack) {
    let file = stack.home().join("a.apdu");
    let script = |status: i32, text: &str| {
        fs::write(&file, text).expect("a file");
        stack.rollcall(&["--output", "ndjson", "apdu", "--script", file.to_str().expect("a name")]).expect(status)
    };
    let text = "# the applet\nset AID F0524F4C4C43414C4C01\n00A40400 0A $AID 00 = 9000 > FCI\n00EE0000 = 6Dxx, 6E00\n";
    let told = script(0, text).objects();
    assert_eq!(
        (told.len(), &told[0]["as_expected"], &told[1]["expected"]),
        (2, &json!(true), &json!(["6DXX", "6E00"]))
    );
    assert_eq!((&told[0]["tlv"][0]["tag"], &told[0]["tlv"][1]["depth"]), (&json!("6F"), &json!(1)));
    // The script stops at the first unexpected answer.
    let told = script(1, "00EE0000 = 9000\n00EE0000\n").objects();
    assert_eq!((told.len(), &told[0]["as_expected"], &told[0]["status"]), (1, &json!(false), &json!("6D00")));
    for wrong in ["00A4 zz", "00A40400 = 9", "00A40400 $NONE 00", "00", "set 1-2 00"] {
        assert_eq!(script(65, wrong).code(), "apdu.syntax", "{wrong}");
    }
    assert_eq!(stack.rollcall(&["apdu", "--script", "/nowhere"]).expect(73).code(), "apdu.script");
}

/// The card reads to it and lets it change nothing.
fn inside_a_channel(stack: &Stack) {
    let told = stack
        .ndjson(0, &["apdu", "--secure", "00CA010100=9000", "00CA7F2100=9000", "80F04080=6982", "84E200000101=6982"]);
    assert!(told.iter().all(|one| one["secure"] == true && one["as_expected"] == true), "{told:#?}");
    let record = told[0]["data"].as_str().expect("a record");
    assert!(record.contains(&hex::encode_upper("Ada Lovelace")) || record.len() > 20, "{record}");
    assert_eq!(stack.ndjson(0, &["token", "info"])[0]["state"], "issued");
    assert_eq!(stack.rollcall(&["apdu", "--secure", "00"]).expect(65).code(), "apdu.syntax");
}
