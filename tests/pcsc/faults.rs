//! Services that stop, cards that do not answer, and kills.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    card::blank,
    lift::{Bench, TEST_KEY},
    objects,
    people::{PEOPLE, enrolled},
    stack::{Stack, StoppedService, Watch},
};

case!(EachDriver, service_restarts_under_watch);
fn service_restarts_under_watch(card: &str) {
    let stack = enrolled(2, 2, card);
    let mut watch = stack.watch(&[]);
    watch.event("arrived");
    watch.event("arrived");
    stack.service("stop");
    watch.event("service_lost");
    stack.service("start");
    watch.event("service_back");
    stack.card("remove", 2);
    assert_eq!(watch.event("left")["user"]["id"], "p2");
    let users = stack.ndjson(0, &["users"]);
    assert_eq!((users.len(), &users[0]["user"]["id"], &users[0]["state"]), (1, &"p1".into(), &"present".into()));
    let events = watch.end();
    for kind in ["service_lost", "service_back"] {
        assert_eq!(events.iter().filter(|e| e["event"] == kind).count(), 1, "{kind}");
    }
}

case!(Once, a_service_that_hangs_under_watch);
/// It is told as such, once and not at each reader, and nobody is refused for it.
fn a_service_that_hangs_under_watch() {
    let stack = enrolled(2, 2, "virtual");
    fs::write(stack.home().join("config.toml"), "stale_after = \"6s\"\n[limits]\nexchange = \"1s\"\n").unwrap();
    let said = stack.home().join("said");
    let mut watch = stack.stream_beside(&["watch"], fs::File::create(&said).unwrap().into());
    let twice = |watch: &mut Watch, kind: &str| [(); 2].map(|()| watch.event(kind));
    twice(&mut watch, "arrived");
    let stopped = StoppedService::stop(stack.daemon());
    for event in twice(&mut watch, "unconfirmed") {
        assert_eq!(event["reason"], "no_answer", "{event}");
    }
    let mut events = watch.end();
    // Another watch knows no reader, and waits for longer than `stale_after`.
    let mut watch = stack.watch(&[]);
    assert_eq!(watch.next(Duration::from_secs(12)), None, "nobody can say that anybody has left");
    drop(stopped);
    twice(&mut watch, "confirmed");
    events.extend(watch.end());
    assert!(events.iter().all(|event| event["event"] != "left" && event["event"] != "refused"), "{events:#?}");
    let said = fs::read_to_string(said).unwrap();
    assert_eq!(said.matches("the PC/SC service does not answer").count(), 1, "{said}");
    assert!(said.contains("(pcsc.service-hangs)") && !said.contains("the card did not answer"), "{said}");
}

case!(Once, a_service_that_goes_on_without_readers_after_a_start);
/// The monitor has nothing to tell then; nobody stays for ever at a reader that was unplugged meanwhile.
fn a_service_that_goes_on_without_readers_after_a_start() {
    let stack = enrolled(1, 1, "virtual");
    fs::write(stack.home().join("config.toml"), "stale_after = \"6s\"\n").unwrap();
    let mut watch = stack.watch(&[]);
    watch.event("arrived");
    watch.end();
    let mut bare = Stack::start(0, "none");
    bare.at_home(&stack.home());
    let stopped = StoppedService::stop(bare.daemon());
    let mut watch = bare.watch(&[]);
    // It outlasts the first listing, after which nobody leaves.
    assert_eq!(watch.event("unconfirmed")["reason"], "restart");
    assert_eq!(watch.next(Duration::from_secs(12)), None, "nobody can say that anybody has left");
    drop(stopped);
    watch.event("reader_removed");
    assert_eq!(watch.event("left")["reason"], "stale");
    watch.end();
}

case!(Once, a_service_that_stops_in_the_middle_of_a_call);
/// All commands report the same: it is neither the reader nor the card.
fn a_service_that_stops_in_the_middle_of_a_call() {
    let bench = Bench::new();
    let daemon = bench.stack.daemon();
    let (armed, stopped) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None)));
    let (is_armed, keep) = (Arc::clone(&armed), Arc::clone(&stopped));
    let stopping = move |_, honest| {
        if is_armed.swap(false, Ordering::SeqCst) {
            *keep.lock().unwrap() = Some(StoppedService::stop(daemon));
        }
        honest
    };
    let slot = bench.put_bent(blank("virtual", TEST_KEY), None, Box::new(stopping));
    bench.stack.rollcall(&["enroll", "--id", "p1", "--name", "Ada"]).expect(0);
    for args in [&["scan"][..], &["token", "verify"], &["token", "write", "--yes", "--name", "Grace"]] {
        armed.store(true, Ordering::SeqCst);
        let mut command = bench.stack.command("rollcall");
        let output = command.args(args).args(["-o", "ndjson"]).env("ROLLCALL_EXCHANGE_LIMIT", "1s").output().unwrap();
        assert!(stopped.lock().unwrap().take().is_some(), "{args:?}: the card was not asked");
        let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.code() == Some(69) && told.contains("pcsc.service-hangs"), "{args:?}: {told}");
        bench.stack.rollcall(args).expect(0);
    }
    bench.take(slot);
}

case!(EachCard, a_mute_card_delays_nobody);
fn a_mute_card_delays_nobody(card: &str) {
    let stack = enrolled(8, 3, card);
    stack.card("mute", 2);
    let run = stack.rollcall(&["--output", "ndjson", "scan"]).expect(1);
    let objects = run.objects();
    assert_eq!(objects.len(), 8);
    let (last, others) = objects.split_last().expect("eight");
    assert_eq!(last["error"]["code"], "reader.hung");
    assert_eq!(last["reader"], stack.readers()[1].as_str());
    let ids: BTreeSet<_> = others.iter().filter_map(|o| o["user"]["id"].as_str()).collect();
    assert_eq!(ids, BTreeSet::from(["p1", "p3"]));
    stack.card("unmute", 2);
}

case!(EachCard, a_scan_that_waits_asks_again_who_did_not_answer);
/// The card stays: the failure is reported once, and the card is read as soon as it answers.
fn a_scan_that_waits_asks_again_who_did_not_answer(card: &str) {
    let stack = enrolled(2, 2, card);
    stack.card("mute", 2);
    let mut command = stack.command("rollcall");
    let args = ["--output", "ndjson", "scan", "--source", "card", "--count", "2", "--timeout", "90s"];
    let mut run = command.args(args).env("ROLLCALL_EXCHANGE_LIMIT", "1s").stdout(Stdio::piped()).spawn().unwrap();
    let mut told =
        BufReader::new(run.stdout.take().unwrap()).lines().map(|line| objects::lines(&line.unwrap()).remove(0));
    assert_eq!(told.next().unwrap()["user"]["id"], "p1");
    assert_eq!(told.next().unwrap()["error"]["code"], "reader.hung");
    stack.card("unmute", 2);
    assert_eq!(told.map(|one| one["user"]["id"].clone()).collect::<Vec<_>>(), ["p2"]);
    assert_eq!(run.wait().unwrap().code(), Some(0));
}

case!(EachCard, enrollment_killed_at_random);
/// Kills an enrollment at ten moments spread over its time, each time with a fresh card; the next run finishes it.
fn enrollment_killed_at_random(card: &str) {
    let stack = Stack::start(2, card);
    stack.rollcall(&["pki", "init"]).expect(0);
    let reader = stack.readers().remove(0);
    let args =
        ["--output", "ndjson", "enroll", "--second-card", "--reader", &reader, "--id", "p1", "--name", "Ada Lovelace"];
    let mut resumed = 0;
    for n in 0..10 {
        stack.card("new", 1);
        let mut run = stack
            .command("rollcall")
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        std::thread::sleep(Duration::from_millis(10 + 17 * n));
        let _ = run.kill();
        let _ = run.wait();
        let next = stack.rollcall(&args);
        match next.status {
            0 => resumed += usize::from(next.objects()[0]["result"] == "resumed"),
            // The killed run had already finished.
            1 => assert_eq!(next.code(), "enroll.already-issued"),
            other => panic!("{other}: {next:#?}"),
        }
        assert_eq!(stack.ndjson(0, &["scan", "--reader", &reader])[0]["user"]["id"], "p1");
    }
    assert!(resumed > 0, "no kill hit the middle of an enrollment");
    let left = fs::read_dir(stack.home().join("enrollments")).expect("a folder").count();
    assert!(left <= 10, "{left}");
}

case!(Once, watch_killed_200_times);
/// The list equals a replay of the events, whenever a watch is killed.
fn watch_killed_200_times() {
    let stack = enrolled(2, 2, "virtual");
    for n in 0..200_usize {
        let watch = stack.watch(&[]);
        if n % 8 == 0 {
            stack.card(if n % 16 == 0 { "remove" } else { "insert" }, 1 + (n / 16) % 2);
        }
        std::thread::sleep(Duration::from_millis((n as u64 * 37) % 120));
        drop(watch);
        if n % 10 == 9 {
            compare(&stack);
        }
    }
    compare(&stack);
}

/// `users` must show exactly what the events say, and the numbers of the events have no gap.
fn compare(stack: &Stack) {
    let mut replayed = BTreeSet::new();
    let history = stack.ndjson(0, &["users", "history"]);
    for (n, event) in history.iter().enumerate() {
        assert_eq!(event["seq"], n as u64 + 1);
        let id = event["token_id"].as_str().unwrap_or("").to_owned();
        match event["event"].as_str() {
            Some("arrived") => assert!(replayed.insert(id), "arrived twice: {event}"),
            Some("left") => assert!(replayed.remove(&id), "left without having arrived: {event}"),
            _ => {}
        }
    }
    let listed: BTreeSet<_> =
        stack.ndjson(0, &["users"]).iter().filter_map(|e| e["token_id"].as_str().map(str::to_owned)).collect();
    assert_eq!(listed, replayed);
    assert!(listed.len() <= PEOPLE.len());
}
