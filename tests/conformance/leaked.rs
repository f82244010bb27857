//! Private mode: what a stranger sees, and what a leaked set key gives an attacker.

use rollcall::{channel::scp11, crypto::ec::Point};

use crate::{
    draft::{ADMIN, Draft, READ, WRITE, from_hex},
    guard::refused,
    table::{ROWS, valid},
    terminal::{CardRig, Channel, KVN_OWN, new_key},
};

/// Key agreement by who holds the set's private key and only the certificate of the terminal: ECDH of the two static
/// keys can be computed from either side.
fn thief(rig: &mut CardRig, certificate: &[u8], terminal: &Point, kvn: u8) -> Channel {
    rig.select();
    assert_eq!(rig.verify_certificate(certificate), 0x9000);
    let ephemeral = new_key();
    let request = scp11::request(ephemeral.public());
    let answer = rig.plain(&format!("8082{kvn:02X}11"), &request);
    assert_eq!(answer.sw, 0x9000);
    let point = Point::parse(&answer.data[3..68]).unwrap();
    let derived = scp11::derive(&ephemeral.agree(&point).unwrap(), &rig.set.agree(terminal).unwrap()).unwrap();
    let chain = derived.receipt(&request, &answer.data[..68]).unwrap();
    Channel { keys: derived.keys, chain, counter: 0 }
}

/// A set and a terminal certificate whose private key the attacker does not have.
fn sniffed(kind: &str) -> (CardRig, Vec<u8>, Point) {
    let mut rig = CardRig::private(kind);
    let victim = *rig.terminal.public();
    let certificate = Draft::new(ADMIN, &victim, &rig.ca).sign(&rig.ca);
    rig.terminal = new_key();
    (rig, certificate, victim)
}

case!(EachCard, leaked_set_key_reads_and_no_more);
fn leaked_set_key_reads_and_no_more(kind: &str) {
    let (mut rig, certificate, victim) = sniffed(kind);
    let before = rig.snapshot();
    let mut channel = thief(&mut rig, &certificate, &victim, 1);
    // The documented consequence: id and record can be read.
    assert_eq!(rig.accept(&mut channel, "04CA0101", &[]), crate::terminal::RECORD);
    for row in ROWS.iter().filter(|row| !row.roles.contains('R')) {
        for data in [valid(&rig, row.header, &channel), from_hex("EE"), Vec::new()] {
            let status = rig.status(&mut channel, row.header, &data);
            refused(&format!("{} {}", row.header, hex::encode(&data)), status, 0x6982);
        }
    }
    assert_eq!(rig.status(&mut channel, "04CA0100", &[]), 0x9000, "the session stays");
    assert_eq!(rig.snapshot(), before);
}

case!(EachCard, leaked_set_key_is_not_the_own_key);
fn leaked_set_key_is_not_the_own_key(kind: &str) {
    let (mut rig, certificate, victim) = sniffed(kind);
    let before = rig.snapshot();
    for kvn in [KVN_OWN, 2, 3, 0x77] {
        let mut channel = thief(&mut rig, &certificate, &victim, kvn);
        let status = rig.chain(&channel.command("84F0407F", &[])).sw;
        refused(&format!("under KVN {kvn:02X}"), status, 0x6982);
        rig.assert_no_session("another key");
    }
    // Nor is a terminal certificate of its own making, or one of the set's.
    let set = rig.set_certificate.clone();
    let status = rig.verify_certificate(&set);
    refused("the set's certificate for a terminal's", status, 0x6A80);
    let forged = Draft::new(ADMIN, rig.set.public(), &rig.ca).sign(&rig.set);
    let status = rig.verify_certificate(&forged);
    refused("signed with the set key", status, 0x6A80);
    assert_eq!(rig.snapshot(), before);
}

case!(EachCard, set_key_channel_is_read_for_every_role);
/// Honest terminals of every role, under the set key.
fn set_key_channel_is_read_for_every_role(kind: &str) {
    let mut rig = CardRig::private(kind);
    let before = rig.snapshot();
    for class in [READ, WRITE, ADMIN] {
        let mut channel = rig.under_set_key(class);
        for row in ROWS.iter().filter(|row| !row.roles.contains('R')) {
            let data = valid(&rig, row.header, &channel);
            let status = rig.status(&mut channel, row.header, &data);
            refused(row.header, status, 0x6982);
        }
        assert_eq!(rig.status(&mut channel, "04CA0101", &[]), 0x9000);
    }
    assert_eq!(rig.snapshot(), before);
    let mut own = rig.agreed(WRITE);
    assert_eq!(rig.status(&mut own, "04DA0101", &crate::terminal::RECORD), 0x9000, "under the own key it writes");
}

case!(EachCard, private_token_shows_its_set_only);
fn private_token_shows_its_set_only(kind: &str) {
    let mut rig = CardRig::private(kind);
    let select = hex::encode(rig.select());
    assert!(!select.contains(&hex::encode(rig.id)), "the token id");
    assert!(!select.contains(&hex::encode(&rig.id[..8])));
    let set = hex::encode(&rollcall::crypto::sha256(&[&rig.set_certificate])[..8]);
    assert!(select.contains(&format!("8408{set}")), "the set id");
    for (what, kvn) in [("the own certificate", 0x41), ("none", 2), ("none", 0x42), ("none", 0)] {
        for cla in ["00", "80"] {
            let answer = rig.plain(&format!("{cla}CABF21"), &[0xA6, 4, 0x83, 2, 0x11, kvn]);
            refused(what, answer.sw, 0x6A88);
            assert!(answer.data.is_empty());
        }
    }
    let answer = rig.plain("00CABF21", &[0xA6, 4, 0x83, 2, 0x11, 1]);
    assert_eq!((answer.sw, answer.data), (0x9000, rig.set_certificate.clone()));
    for tag in ["0101", "0100", "7F21", "0102", "0103", "0104"] {
        let status = rig.plain(&format!("00CA{tag}"), &[]).sw;
        refused(tag, status, if tag.starts_with("010") && tag > "0101" { 0x6A80 } else { 0x6982 });
    }
}

case!(EachCard, private_token_shows_no_state);
fn private_token_shows_no_state(kind: &str) {
    let mut rig = CardRig::private(kind);
    let issued = rig.select();
    rig.set_status(0x9F);
    assert_eq!(rig.select(), issued, "blocked, and nobody sees it");
    let mut channel = rig.under_set_key(READ);
    let status = rig.status(&mut channel, "04CA0100", &[]);
    refused("a reader of the blocked token", status, 0x6985);
    rig.set_status(0x1F);
    assert_eq!(rig.select(), issued);
}
