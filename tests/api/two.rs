//! Two server processes on one `PostgreSQL`, under load; one of them is killed.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use rollcall::{
    api::v1::{EventBatch, Freshness, Role},
    server_client::{ServerClient, ServerError},
};
use serde_json::json;
use uuid::Uuid;

use super::{
    Kind, Site,
    site::Terminal,
    token::{Token, nonces},
};

const TERMINALS: u32 = 4;
const ROUNDS: u32 = 60;

/// How often proofs were accepted.
#[derive(Default)]
struct Tally {
    taken: AtomicU32,
    refused: AtomicU32,
    unanswered: AtomicU32,
}

case!(Postgres, two_servers_under_load_and_one_is_killed);
fn two_servers_under_load_and_one_is_killed(kind: &Kind) {
    let site = Site::new(kind);
    let (one, mut two) = (site.start(), site.start());
    let ports = [one.port, two.port];
    let terminals: Vec<_> =
        (0..TERMINALS).map(|n| site.terminal(ports[(n % 2) as usize], &format!("door{n}"), Role::Read)).collect();
    let tokens: Vec<_> =
        (0..TERMINALS).map(|n| Token::registered(&site.admin.client(ports[0]), &n.to_string()).0).collect();
    let (tally, progress) = (Tally::default(), AtomicU32::new(0));
    thread::scope(|scope| {
        for (terminal, token) in terminals.iter().zip(&tokens) {
            let (tally, progress) = (&tally, &progress);
            scope.spawn(move || tap(terminal, token, ports, tally, progress));
        }
        scope.spawn(|| {
            // Halfway: after half of all rounds.
            while progress.load(Ordering::SeqCst) < TERMINALS * ROUNDS / 2 {
                thread::yield_now();
            }
            two.kill();
        });
    });
    let (taken, refused, unanswered) =
        (tally.taken.into_inner(), tally.refused.into_inner(), tally.unanswered.into_inner());
    println!("{taken} proofs taken, {refused} refused as replayed, {unanswered} unanswered, one server killed");
    // Each nonce was shown to both servers at once: none was taken twice, and of those that one answer was seen of,
    // none was lost. (The store is the judge of those whose answer died with the server.)
    let used = site.sql("UPDATE nonces SET used = used WHERE used IS NOT NULL");
    assert_eq!(used, u64::from(TERMINALS * ROUNDS));
    assert_eq!(site.sql("UPDATE proofs SET at = at"), u64::from(TERMINALS * ROUNDS));
    assert!(taken <= TERMINALS * ROUNDS && taken + unanswered >= TERMINALS * ROUNDS, "{taken} {unanswered}");
    assert_eq!(site.sql("UPDATE events SET seq = seq"), u64::from(TERMINALS * ROUNDS * 5));
    assert_eq!(site.verify(&[])["whole"], true);
}

case!(Postgres, a_revocation_holds_at_the_other_server_within_a_second);
fn a_revocation_holds_at_the_other_server_within_a_second(kind: &Kind) {
    let site = Site::new(kind);
    let servers = [site.start(), site.start()];
    let door = site.terminal(servers[0].port, "door", Role::Read);
    let mut open = servers.each_ref().map(|server| door.raw(server.port));
    for connection in &mut open {
        assert_eq!(connection.ask("GET", "/v1/health", None).unwrap().status, 200);
    }
    let admin = site.admin.client(servers[0].port);
    admin.revoke_terminal("door").unwrap();
    let revoked = Instant::now();
    let [here, there] = &mut open;
    assert_eq!(here.ask("GET", "/v1/health", None).unwrap().code(), "terminal.revoked");
    loop {
        let asked = revoked.elapsed();
        let answer = there.ask("GET", "/v1/health", None).unwrap();
        if answer.status != 200 {
            assert_eq!(answer.code(), "terminal.revoked");
            break;
        }
        assert!(asked < Duration::from_secs(1), "still let in after {asked:?}");
    }
}

/// Two proofs over one nonce go to the servers at the same time, one to each, and a batch of events to one, or after
/// that to the other.
fn tap(terminal: &Terminal, token: &Token, ports: [u16; 2], tally: &Tally, progress: &AtomicU32) {
    let servers = ports.map(|port| terminal.client(port));
    let nonces: Vec<_> = (0..ROUNDS / 30).flat_map(|_| nonces(&servers[0], 30)).collect();
    for (round, nonce) in (0..ROUNDS).zip(nonces) {
        // Two different ones, because the same one would be rejected by its counter too.
        let asks = [1, 2].map(|one| token.ask(terminal, nonce, 2 * round + one));
        let taken: Vec<_> = thread::scope(|scope| {
            let both = [0, 1].map(|at| {
                let (server, ask) = (&servers[at], &asks[at]);
                scope.spawn(move || server.lookup(ask))
            });
            both.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let mut accepted = 0;
        for answer in taken {
            match answer {
                Ok(found) => {
                    assert_eq!(found.proof, Some(Freshness::Fresh));
                    accepted += 1;
                }
                Err(ServerError::Problem(problem)) => {
                    assert_eq!(problem.code, "proof.replayed", "{problem:?}");
                    tally.refused.fetch_add(1, Ordering::SeqCst);
                }
                Err(error) => {
                    assert!(error.is_absence() || matches!(error, ServerError::Protocol(_)), "{error}");
                    tally.unanswered.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
        assert!(accepted <= 1, "a nonce was taken twice");
        tally.taken.fetch_add(accepted, Ordering::SeqCst);
        events(&servers, round);
        progress.fetch_add(1, Ordering::SeqCst);
    }
}

fn events(servers: &[ServerClient; 2], round: u32) {
    let first = i64::from(round) * 5 + 1;
    let events = (first..first + 5).map(|seq| json!({ "schema": "rollcall.event/1", "seq": seq })).collect();
    let batch = EventBatch { list: Uuid::from_u128(1), events };
    let turn = (round % 2) as usize;
    // Even if the first server has stored it and could not answer.
    if servers[turn].events(&batch).is_err() {
        servers[0].events(&batch).unwrap();
    }
}
