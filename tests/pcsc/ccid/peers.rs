//! Another program that uses the card at the same time, with a protocol of its own choice.

use crate::{
    client::{end, hold},
    doctor::{doctor, findings},
    people::enrolled,
};

case!(EachLevel, a_card_that_another_program_has_in_its_protocol);
/// The card offers both protocols, and whoever came first has chosen one: the others use that, or say why they cannot.
fn a_card_that_another_program_has_in_its_protocol() {
    let stack = enrolled(1, 1, "virtual");
    let reader = stack.readers().remove(0);
    for (protocol, number) in [("t0", 0), ("t1", 1)] {
        // Its own answer to reset, which offers both. No connection has chosen one yet.
        stack.card("remove", 1);
        stack.reader(1, "atr=");
        stack.card("insert", 1);
        let peer = hold(&stack, &reader, &format!("share-{protocol}"));
        assert_eq!(stack.stat(1, "protocol"), number, "{protocol}");
        assert_eq!(stack.ndjson(0, &["scan"])[0]["user"]["id"], "p1", "{protocol}");
        stack.rollcall(&["users", "clear", "--yes"]).expect(0);
        let mut watch = stack.watch(&[]);
        assert_eq!(watch.event("arrived")["user"]["id"], "p1", "{protocol}");
        assert!(watch.end().iter().all(|event| event["event"] != "refused"), "{protocol}");
        assert_eq!(stack.stat(1, "protocol"), number, "{protocol}: the other program has what it chose");
        assert!(end(peer).success(), "{protocol}");
    }
    // A connection in RAW mode, which sends no APDUs, excludes all others: the program is named.
    let peer = hold(&stack, &reader, "share-raw");
    assert_eq!(stack.ndjson(75, &["scan"])[0]["error"]["code"], "reader.busy");
    let found = findings(&mut doctor(&stack, "rollcall"));
    let one = found.iter().find(|one| one["code"] == "reader.busy").expect("it is held");
    let candidates = one["facts"]["candidates"].as_array().expect("a list");
    assert!(candidates.iter().any(|process| process["pid"] == peer.id()), "{one}");
    stack.rollcall(&["users", "clear", "--yes"]).expect(0);
    let mut watch = stack.watch(&[]);
    assert!(end(peer).success());
    assert_eq!(watch.event("arrived")["user"]["id"], "p1", "what it had chosen is over");
    watch.end();
    stack.rollcall(&["scan"]).expect(0);
}
