//! The token's date: it has no clock, and keeps the highest notBefore that it trusts.

use crate::{
    draft::{ADMIN, Draft, LATER, NOW, READ, WRITE},
    guard::refused,
    terminal::{CardRig, Channel, apdus},
};

/// Expired one second before the date that every card here has.
const EXPIRED: (&str, &str) = ("250101000000", "261031235959");

fn channel(rig: &mut CardRig, class: u8, (from, to): (&str, &str)) -> Channel {
    let draft = Draft::new(class, rig.terminal.public(), &rig.ca).dates(from, to);
    rig.agreed_with(&draft)
}

/// The status of the first command under a certificate with these dates.
fn first(rig: &mut CardRig, class: u8, dates: (&str, &str)) -> u16 {
    let mut channel = channel(rig, class, dates);
    let status = rig.chain(&channel.command("04CA0100", &[])).sw;
    if status != 0x9000 {
        rig.assert_wiped(&mut channel, "a refused date");
        rig.assert_no_session("a refused date");
    }
    status
}

case!(EachCard, expired_certificate);
fn expired_certificate(kind: &str) {
    let mut rig = CardRig::issued(kind);
    let (before, count) = (rig.snapshot(), rig.count());
    for class in [READ, WRITE, ADMIN] {
        let status = first(&mut rig, class, EXPIRED);
        refused("expired", status, 0x6985);
        let status = first(&mut rig, class, ("261031235959", "261031235959"));
        refused("expired, of one second", status, 0x6985);
        assert_eq!(first(&mut rig, class, ("250101000000", NOW)), 0x9000, "until this second");
    }
    // The date is checked before the padding and before the command itself.
    let mut late = channel(&mut rig, ADMIN, EXPIRED);
    late.counter += 1;
    let sealed = late.encrypt(&[0; 16]);
    let data = late.finish([4, 0xDA, 1, 1], sealed);
    let status = rig.chain(&apdus([4, 0xDA, 1, 1], &data)).sw;
    refused("expired, with wrong padding", status, 0x6985);
    let mut late = channel(&mut rig, ADMIN, EXPIRED);
    let status = rig.chain(&late.command("84F0407F", &[])).sw;
    refused("expired, SET STATUS TERMINATED", status, 0x6985);
    assert_eq!(rig.snapshot(), before);
    assert_eq!(rig.count(), count + 1);
}

case!(EachCard, dates_are_not_told_before_the_first_mac);
fn dates_are_not_told_before_the_first_mac(kind: &str) {
    let mut rig = CardRig::issued(kind);
    let before = rig.snapshot();
    let own = rig.own.unwrap();
    let all = [(NOW, LATER), EXPIRED, ("000101000000", "000102000000"), ("450101000000", "490101000000")];
    let mut told = Vec::new();
    for (from, to) in all {
        let certificate = Draft::new(ADMIN, rig.terminal.public(), &rig.ca).dates(from, to).sign(&rig.ca);
        let mut seen = vec![rig.select()];
        for _ in 0..3 {
            seen.push(rig.verify_certificate(&certificate).to_be_bytes().to_vec());
        }
        let list = rig.plain("00CAFF33", &[]);
        seen.push(list.data);
        seen.push(rig.agree(0x41, &own).0.to_be_bytes().to_vec());
        // A wrong first C-MAC gets the same answer too.
        let status = rig.raw("04CA0100 08 0102030405060708 00");
        refused("a wrong MAC", status, 0x6982);
        seen.push(status.to_be_bytes().to_vec());
        told.push(seen);
    }
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:02X?}");
    assert_eq!(rig.snapshot(), before);
}

case!(EachCard, post_dated_certificate);
/// The date advances by 90 days at most, which a card may count as three months.
fn post_dated_certificate(kind: &str) {
    let mut rig = CardRig::issued(kind);
    let far = ("350101000000", LATER);
    assert_eq!(first(&mut rig, READ, far), 0x9000);
    let status = first(&mut rig, READ, ("260101000000", "270129000000"));
    refused("expired by 90 days, less a day", status, 0x6985);
    assert_eq!(first(&mut rig, READ, ("260101000000", "270202000000")), 0x9000, "not by more than three months");
    // Again, and it is another 90 days at most.
    assert_eq!(first(&mut rig, READ, far), 0x9000);
    let status = first(&mut rig, READ, ("260101000000", "270428000000"));
    refused("expired by 180 days, less two", status, 0x6985);
    assert_eq!(first(&mut rig, READ, ("260101000000", "270502000000")), 0x9000);
    // An earlier notBefore leaves the date.
    assert_eq!(first(&mut rig, READ, (NOW, LATER)), 0x9000);
    let status = first(&mut rig, READ, ("260101000000", "270428000000"));
    refused("still expired", status, 0x6985);
}

case!(EachCard, date_moves_at_the_first_mac_only);
fn date_moves_at_the_first_mac_only(kind: &str) {
    let mut rig = CardRig::issued(kind);
    let before = rig.snapshot();
    let far = ("350101000000", LATER);
    for what in ["nothing", "a wrong MAC", "power off"] {
        channel(&mut rig, READ, far);
        match what {
            "a wrong MAC" => refused(what, rig.raw("04CA0100 08 0102030405060708 00"), 0x6982),
            "power off" => {
                rig.card.reset();
                rig.select();
            }
            _ => {}
        }
        assert_eq!(first(&mut rig, READ, ("260101000000", "261102000000")), 0x9000, "{what} moved the date");
    }
    assert_eq!(rig.snapshot(), before);
}

case!(EachCard, date_is_set_back_only);
fn date_is_set_back_only(kind: &str) {
    let mut rig = CardRig::issued(kind);
    let set = |rig: &mut CardRig, class: u8, date: &str| {
        let mut channel = rig.agreed(class);
        rig.status(&mut channel, "04DA0104", date.as_bytes())
    };
    for class in [READ, WRITE] {
        let status = set(&mut rig, class, "251101000000");
        refused("who is no administrator", status, 0x6982);
    }
    for date in
        ["261101000001", "270101000000", "790101000000", "800101000000", "990101000000", "26110100000A", "------------"]
    {
        let status = set(&mut rig, ADMIN, date);
        refused(date, status, 0x6A80);
    }
    for date in ["", "2611010000", "2611010000000", "20261101000000"] {
        let status = set(&mut rig, ADMIN, date);
        refused(date, status, 0x6700);
    }
    let status = first(&mut rig, READ, EXPIRED);
    refused("before it is set back", status, 0x6985);
    let old = ("250101000000", LATER);
    let mut administrator = channel(&mut rig, ADMIN, old);
    assert_eq!(rig.status(&mut administrator, "04DA0104", b"251101000000"), 0x9000);
    assert_eq!(first(&mut rig, READ, EXPIRED), 0x9000, "after it was set back");
}
