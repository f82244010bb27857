//! Checks the server in the order of a request: name, port, TLS, our certificate, its clock, its speed.

use std::{
    io,
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use jiff::SignedDuration;

use super::{Finding, Probe, ProbeReport, Verdict};
use crate::{
    api::v1::Health,
    failure::{Failure, Remedy},
    pki::PkiDir,
    server_client::{RequestLimits, ServerClient, ServerError, ServerUrl},
    terminal::lookups::Cache,
};

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// A request on an open connection takes a few ms; this delay would be noticeable at a tap.
pub const SLOW: Duration = Duration::from_millis(500);
/// Proofs and certificates tolerate five minutes.
const SKEW: SignedDuration = SignedDuration::from_mins(2);

pub fn probe() -> Probe {
    Probe { name: "server", subject: None, limit: PATIENCE * 4, silent, work: Box::new(inspect) }
}

/// It did not answer.
pub fn silent() -> Finding {
    Finding::fault("server.slow", "the server did not answer in time", "check its load, and the network")
}

fn inspect(report: &ProbeReport) {
    let Some(url) = &report.context.settings.server.url else {
        report.found(Finding::skipped("no server is configured"));
        return;
    };
    let reached = reach(url);
    // A name with a dead address deserves a warning, but the server is asked anyway.
    let asks = reached.as_ref().is_none_or(|found| found.verdict == Verdict::Warning);
    for mut found in reached.into_iter().chain(asks.then(|| ask(report, url))) {
        found.subject = Some(url.clone());
        report.found(found);
    }
}

/// Checks name and port first, because TLS errors are less exact.
fn reach(url: &str) -> Option<Finding> {
    let url: ServerUrl = match url.parse() {
        Ok(url) => url,
        Err(error) => return Some(Finding::fault("server.url", format!("{url}: {error}"), "check url in [server]")),
    };
    let host = url.host();
    let addresses: Vec<SocketAddr> = match (host, url.port()).to_socket_addrs() {
        Ok(found) => found.collect(),
        Err(error) => {
            return Some(Finding::fault(
                "server.name",
                format!("the name {host} has no address: {error}"),
                Remedy::run(format!("getent hosts {host}")).and("then check url in [server]"),
            ));
        }
    };
    tried(host, &addresses)
}

/// What is wrong with the addresses of this name.
fn tried(host: &str, addresses: &[SocketAddr]) -> Option<Finding> {
    let mut dead = knock(addresses);
    if dead.len() < addresses.len() {
        // A refused connection costs no time, and is not a fault: a server listens at one address of a machine.
        dead.retain(|(_, error)| error.kind() != io::ErrorKind::ConnectionRefused);
        let dead: Vec<_> = dead.iter().map(|(address, error)| format!("{address} ({error})")).collect();
        return (!dead.is_empty()).then(|| {
            Finding::warning(
                "server.address-dead",
                format!("the name {host} has addresses at which nobody answers: {}", dead.join(", ")),
                Remedy::with(
                    "remove them from the name, or let the server listen there",
                    format!("getent ahosts {host}"),
                ),
            )
        });
    }
    let (address, error) = dead.pop()?;
    Some(match error.kind() {
        io::ErrorKind::ConnectionRefused => Finding::fault(
            "server.port-closed",
            format!("{host} answers, but nothing listens at {address}"),
            Remedy::with("on the server", "rollcall server run"),
        ),
        _ => Finding::fault(
            "server.unreachable",
            format!("{address} cannot be reached: {error}"),
            Remedy::run(format!("ping {host}")),
        ),
    })
}

/// The addresses that do not accept a connection; all are tried at once.
fn knock(addresses: &[SocketAddr]) -> Vec<(SocketAddr, io::Error)> {
    thread::scope(|scope| {
        let tries = addresses.iter().map(|address| {
            let knock = move || TcpStream::connect_timeout(address, PATIENCE).err();
            (*address, thread::Builder::new().spawn_scoped(scope, knock))
        });
        let tries: Vec<_> = tries.collect();
        let ended = tries.into_iter().map(|(address, thread)| match thread {
            Ok(thread) => (address, thread.join().unwrap_or(None)),
            // Without a thread it is tried here.
            Err(_) => (address, TcpStream::connect_timeout(&address, PATIENCE).err()),
        });
        ended.filter_map(|(address, error)| Some((address, error?))).collect()
    })
}

/// Checks TLS, our certificate, and a request that costs the server nothing.
fn ask(report: &ProbeReport, url: &str) -> Finding {
    let now = (report.context.clock)();
    let home = PkiDir::new(report.context.settings.pki_folder());
    // Faults of the certificate are reported by the probe of the keys.
    let Ok(tls) = home.load_terminal_tls(now) else {
        return Finding::skipped("it listens; without this terminal's certificate it cannot be asked");
    };
    let limits = RequestLimits { connect: PATIENCE, request: PATIENCE };
    let server = match ServerClient::connect(url, &tls.key, &tls.certificate, &tls.trusted(), limits) {
        Ok(server) => server,
        Err(error) => return Failure::from(error).into(),
    };
    let mut health = server.health();
    // The second request finds the connection open.
    let began = Instant::now();
    if health.is_ok() {
        health = server.health();
    }
    let took = began.elapsed();
    let checked = health.and_then(|health| {
        check_log(&report.context.settings.state_folder, &server)?;
        Ok(health)
    });
    match checked {
        Ok(health) => answered(&health, took, (report.context.clock)()),
        Err(error) => Failure::from(error).into(),
    }
}

/// Whether the server still has the audit log record that it last announced to this terminal.
///
/// # Errors
/// [`ServerError::RolledBack`] if it does not; those of the server and of the local cache.
pub fn check_log(state: &Path, server: &ServerClient) -> Result<(), ServerError> {
    if !state.join("directory.db").exists() {
        return Ok(());
    }
    let cache = Cache::open(state, server.trusted())?;
    let mark = cache.mark()?;
    match server.revocations(mark.version, &mark.audit) {
        Ok(feed) => cache.check_log(&mark, &feed.jws),
        // A server of an earlier release does not have this request.
        Err(ServerError::Problem(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Judges both clocks and the response time by the server's answer.
pub fn answered(health: &Health, took: Duration, now: jiff::Timestamp) -> Finding {
    let ahead = health.at.duration_since(now);
    let found = if ahead.abs() > SKEW {
        let (direction, by) = if ahead.is_positive() { ("behind", ahead) } else { ("ahead of", -ahead) };
        Finding::fault(
            "clock.skew",
            format!("this clock is {:#} {direction} the server's", SignedDuration::from_secs(by.as_secs())),
            Remedy::run("sudo timedatectl set-ntp true"),
        )
    } else if took > SLOW {
        Finding::warning(
            "server.slow",
            format!("the server took {} ms to answer", took.as_millis()),
            "check its load, and the network",
        )
    } else {
        Finding::good(format!("it knows this terminal as {}", health.terminal))
    };
    found
        .fact("version", health.version.clone())
        .fact("role", serde_json::to_value(health.role).unwrap_or_default())
        .fact("clock_ahead_ms", i64::try_from(ahead.as_millis()).unwrap_or(i64::MAX))
        .fact("request_ms", u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn an_address_at_which_nobody_answers_is_named_beside_one_that_does() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let answers = listener.local_addr().unwrap();
        let refuses = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        // No system connects to it.
        let dead = SocketAddr::from(([255, 255, 255, 255], answers.port()));
        let code = |addresses: &[SocketAddr]| tried("desk.example", addresses).and_then(|found| found.code);
        assert_eq!(code(&[answers]), None);
        assert_eq!(code(&[refuses, answers]), None, "nobody waits for one that refuses");
        assert_eq!(code(&[refuses]), Some("server.port-closed"));
        assert_eq!(code(&[dead]), Some("server.unreachable"));
        let found = tried("desk.example", &[dead, refuses, answers]).unwrap();
        assert_eq!((found.code, found.verdict), (Some("server.address-dead"), Verdict::Warning));
        assert!(found.message.contains("255.255.255.255") && !found.message.contains("127.0.0.1"), "{}", found.message);
    }
}
