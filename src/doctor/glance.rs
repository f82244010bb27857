//! The quick check for `status`: one finding for each area, within two seconds, without touching a card, trying a PIN or
//! changing any stored data.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};

use super::{
    Finding, Probe, ProbeContext, ProbeReport, Verdict, examine_all, keys, readers::same_names, server, state,
};
use crate::{
    api::problem::ProblemCode,
    failure::{Failure, Remedy, number_of},
    pki::PkiDir,
    reader::{ReaderError, ReaderState, Slot, pcsc::list_within, reachable},
    server_client::{RequestLimits, ServerClient, ServerError},
    terminal::{
        lookups::Cache,
        presence::{EntryState, TerminalStore},
        readers::no_reader,
    },
};

/// Time limit for everything.
const LIMIT: Duration = Duration::from_secs(2);
/// Time limit for one step, so that the step itself reports that there was no answer.
const PATIENCE: Duration = Duration::from_millis(1400);
const _: () = assert!(server::SLOW.as_millis() + PATIENCE.as_millis() < LIMIT.as_millis());
/// A watch sends events within seconds, and tries again within a minute; a scan sends them at its end.
const UNSENT: SignedDuration = SignedDuration::from_mins(5);
/// So many events are counted; beyond that it says "or more".
const COUNTED: usize = 1000;

/// Checks the server on this machine: areas, and their findings.
pub type HomeProbe = Box<dyn FnOnce() -> Vec<(&'static str, Finding)> + Send>;

/// The areas in order, each with its worst finding.
pub fn glance(context: ProbeContext, home: Option<HomeProbe>) -> Vec<Finding> {
    // A machine with a server that has never read a card needs no reader.
    let needs_readers = home.is_none() || context.settings.state_folder.join("terminal.db").exists();
    let has_store = home.is_some();
    let mut roots = vec![
        probe("readers", || ReaderError::ServiceHangs.failure().into(), move |report| readers(report, needs_readers)),
        probe("keys", keys::silent, identity),
        probe("list", state::silent, list),
        probe("watch", state::silent, watch),
        probe("server", server::silent, move |report| ask(report, has_store)),
    ];
    if let Some(look) = home {
        let work = move |report: &ProbeReport| {
            for (area, finding) in look() {
                report.found_below(area, finding);
            }
        };
        roots.push(probe("store", slow_store, work));
    }
    areas(examine_all(context, roots, |_| ()).into_iter().map(|(_, finding)| finding))
}

fn probe(name: &'static str, silent: fn() -> Finding, work: impl FnOnce(&ProbeReport) + Send + 'static) -> Probe {
    Probe { name, subject: None, limit: LIMIT, silent, work: Box::new(work) }
}

/// Only the store of the local server: `status` reports on the rest.
pub fn store_probe(look: HomeProbe) -> Probe {
    probe("store", slow_store, |report| {
        look().into_iter().filter(|(area, _)| *area == "store").for_each(|(_, found)| report.found(found));
    })
}

/// The server's store did not answer.
fn slow_store() -> Finding {
    let remedy = "see whether its disk or its database answers".into();
    let message = "the server's store does not answer within 2 s".to_owned();
    Finding { remedy: Some(remedy), ..Finding::of(Verdict::Fault, None, message) }
}

impl Finding {
    /// It works but should be corrected, and has no code.
    pub fn look(message: impl Into<String>, remedy: Remedy) -> Self {
        Self { remedy: Some(remedy), ..Self::of(Verdict::Warning, None, message.into()) }
    }
}

/// One finding for each area: the worst, with the number of the others.
fn areas(all: impl Iterator<Item = Finding>) -> Vec<Finding> {
    let mut areas: Vec<(Finding, usize)> = Vec::new();
    for finding in all {
        let is_trouble = finding.verdict >= Verdict::Warning;
        match areas.iter_mut().find(|(one, _)| one.probe == finding.probe) {
            None => areas.push((finding, usize::from(is_trouble))),
            Some((worst, troubles)) => {
                *troubles += usize::from(is_trouble);
                if finding.verdict > worst.verdict {
                    *worst = finding;
                }
            }
        }
    }
    let told = |(mut one, troubles): (Finding, usize)| {
        if troubles > 1 {
            one.message = format!("{}; and {} more", one.message, troubles - 1);
        }
        one
    };
    areas.into_iter().map(told).collect()
}

/// The connected readers, as the service describes them, without connecting to any.
fn readers(report: &ProbeReport, are_needed: bool) {
    let failure = match list_within(PATIENCE) {
        Ok(all) if all.is_empty() => no_reader(),
        Ok(all) => {
            match report.context.settings.readers.pick(&all) {
                Ok(meant) => looked_at(meant).into_iter().for_each(|found| report.found(found)),
                Err(failure) => report.found(Failure::from(failure).into()),
            }
            return;
        }
        Err(error) => error.failure(),
    };
    let found = if are_needed { failure.into() } else { Finding::skipped(format!("{failure}; a server needs none")) };
    report.found(found);
}

/// The count, and a fault for each name that several readers have. A fault replaces the count in the line of the area,
/// so it has the same facts.
fn looked_at(meant: Vec<&ReaderState>) -> Vec<Finding> {
    let names: Vec<_> = meant.iter().map(|reader| reader.name.as_str()).collect();
    let same = same_names(&names);
    let count = counted(&reachable(meant));
    let facts = count.facts.clone();
    let fault = |one: Finding| {
        let message = one.subject.iter().fold(one.message.clone(), |message, name| format!("{name}: {message}"));
        Finding { message, facts: facts.clone(), ..one }
    };
    let faults: Vec<_> = same.into_iter().map(fault).collect();
    std::iter::once(count).chain(faults).collect()
}

fn counted(readers: &[&ReaderState]) -> Finding {
    let names = |is_meant: &dyn Fn(&ReaderState) -> bool| -> Vec<String> {
        readers.iter().filter(|reader| is_meant(reader)).map(|reader| reader.name.clone()).collect()
    };
    let cards = names(&|reader| reader.slot.is_occupied() && reader.slot != Slot::Mute);
    let dumb = names(&|reader| reader.exclusive || reader.slot == Slot::Unavailable);
    // It may lie there permanently, or be late: not a fault.
    let mute = names(&|reader| reader.slot == Slot::Mute);
    let silent =
        if mute.is_empty() { String::new() } else { format!(", {} with something that does not answer", mute.len()) };
    let count = format!("{}, {} with a card{silent}", number_of(readers.len(), "reader"), cards.len());
    let found = if dumb.is_empty() {
        Finding::good(count)
    } else {
        Finding::look(format!("{count}; cannot be asked: {}", dumb.join(", ")), Remedy::run("rollcall doctor"))
    };
    let found = found.fact("readers", readers.len()).fact("with_card", cards);
    found.fact("cannot_be_asked", dumb).fact("mute", mute)
}

/// Keys and certificates in files, and the file with the PIN of a PKCS#11 token, which is not accessed itself.
fn identity(report: &ProbeReport) {
    let examined = keys::examine(&report.context).map(|(items, mut troubles)| {
        troubles.extend(keys::without_pin(&report.context));
        (items, troubles)
    });
    match examined {
        Ok((items, troubles)) if troubles.is_empty() => {
            let count = items.len();
            let end = items.iter().filter_map(keys::end).min();
            report.found(match end {
                Some(end) => Finding::good(format!("{count} keys and certificates, the first expires at {end}"))
                    .fact("ends", end.to_string()),
                None => Finding::good(format!("{count} keys and certificates")),
            });
        }
        Ok((_, troubles)) => {
            for found in troubles {
                report.found(found);
            }
        }
        Err(failure) => report.found(failure.into()),
    }
}

/// The list, the free space, and whether its folder appears writable.
fn list(report: &ProbeReport) {
    let folder = &report.context.settings.state_folder;
    report.found(state::obstacle(folder).unwrap_or_else(|| here(folder)));
}

fn here(folder: &Path) -> Finding {
    let store = TerminalStore::open_if_there(folder);
    let entries = match store.and_then(|store| store.map(|mut store| store.entries()).transpose()) {
        Ok(Some(entries)) => entries,
        Ok(None) => return Finding::good("no token was read here yet").fact("present", 0).fact("unconfirmed", 0),
        Err(error) => return state::held(folder, error),
    };
    let doubtful = entries.iter().filter(|entry| entry.state == EntryState::Unconfirmed).count();
    let doubt = if doubtful == 0 { String::new() } else { format!(", {doubtful} of them unconfirmed") };
    let count = format!("{} here{doubt}", entries.len());
    let found = if doubtful == 0 {
        Finding::good(count)
    } else {
        let remedy = if TerminalStore::is_watched(folder) {
            Remedy::with("see why their cards cannot be asked", "rollcall doctor")
        } else {
            Remedy::with("no watch is running that checks their cards: start one", "rollcall watch")
        };
        Finding::look(count, remedy)
    };
    found.fact("present", entries.len() - doubtful).fact("unconfirmed", doubtful)
}

fn watch(report: &ProbeReport) {
    let folder = &report.context.settings.state_folder;
    let store = TerminalStore::open_if_there(folder);
    let abandoned = store.and_then(|store| store.map_or(Ok(false), |store| store.is_abandoned()));
    let runs = TerminalStore::is_watched(folder);
    let found = match abandoned {
        Ok(true) => Finding::look(
            "a watch ended unexpectedly, and none is running: who is here is uncertain",
            Remedy::run("rollcall watch"),
        ),
        // Faults of the store are reported in its own area.
        _ if runs => Finding::good("a watch is running"),
        _ => Finding::good("no watch is running"),
    };
    report.found(found.fact("runs", runs));
}

/// Requests that cost the server next to nothing, and the events it has not received. `has_store` says that the store of
/// the server here is an area of its own.
fn ask(report: &ProbeReport, has_store: bool) {
    let settings = &report.context.settings;
    let Some(url) = &settings.server.url else {
        report.found(Finding::skipped("no server is configured"));
        return;
    };
    let clock = report.context.clock;
    let found = match PkiDir::new(settings.pki_folder()).load_terminal_tls(clock()) {
        // Faults of the certificate are reported in the area of the keys.
        Err(_) => {
            Finding::look("without this terminal's certificate it cannot be asked", Remedy::run("rollcall pki list"))
        }
        Ok(tls) => {
            let limits = RequestLimits { connect: PATIENCE, request: PATIENCE };
            match ServerClient::connect(url, &tls.key, &tls.certificate, &tls.trusted(), limits) {
                Ok(server) => answer(&server, &settings.state_folder, clock, has_store),
                Err(error) => Failure::from(error).into(),
            }
        }
    };
    report.found(Finding { subject: Some(url.clone()), ..found });
}

fn answer(server: &ServerClient, folder: &Path, clock: fn() -> Timestamp, has_store: bool) -> Finding {
    let began = Instant::now();
    let health = server.health();
    let took = began.elapsed();
    // A slow server is reported as slow; a second request might exceed the limit.
    let checked = health.and_then(|health| {
        if took <= server::SLOW {
            server::check_log(folder, server)?;
        }
        Ok(health)
    });
    let found = match checked {
        Ok(health) => server::answered(&health, took, clock()),
        Err(error) => failed(error, has_store),
    };
    match unsent(folder, server) {
        Ok(waiting) => with_unsent(found, waiting, clock()),
        Err(failure) if found.verdict < Verdict::Fault => failure.into(),
        Err(_) => found,
    }
}

/// The finding for a request that failed. Where the store is away, other commands say to run `status` at the server.
fn failed(error: ServerError, has_store: bool) -> Finding {
    let is_store = matches!(error, ServerError::Busy(_, Some(ProblemCode::ServerStore)));
    let found = Finding::from(Failure::from(error));
    if !(has_store && is_store) {
        return found;
    }
    let here = "try again in a moment; if the store stays away, see the log of the server, and what `store` says here";
    Finding { remedy: Some(here.into()), ..found }
}

fn with_unsent(mut found: Finding, waiting: Option<(usize, Timestamp)>, now: Timestamp) -> Finding {
    let Some((count, oldest)) = waiting else { return found.fact("unsent", 0) };
    let or_more = if count == COUNTED { " or more" } else { "" };
    let events = if count == 1 { "event" } else { "events" };
    found.message = format!("{}; {count}{or_more} {events} not yet sent", found.message);
    if now.duration_since(oldest) > UNSENT && found.verdict < Verdict::Warning {
        found.verdict = Verdict::Warning;
        found.remedy = Some(Remedy::with("a running watch sends them; without one, this does", "rollcall scan"));
    }
    found.fact("unsent", count)
}

/// How many events the server has not received, and when the first of them happened.
fn unsent(folder: &Path, server: &ServerClient) -> Result<Option<(usize, Timestamp)>, Failure> {
    let Some(store) = TerminalStore::open_if_there(folder)? else { return Ok(None) };
    // A check must create nothing.
    let sent = if folder.join("directory.db").exists() {
        Cache::open(folder, server.trusted())?.uploaded(store.list_id()?)?
    } else {
        0
    };
    let waiting = store.events_after(sent, COUNTED)?;
    Ok(waiting.first().map(|first| (waiting.len(), first.at)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::ReaderState;

    fn reader(name: &str, slot: Slot, exclusive: bool) -> ReaderState {
        ReaderState { name: name.to_owned(), slot, exclusive, in_use: false, insertion: 0.into() }
    }

    #[test]
    fn an_area_has_its_worst_finding_and_the_number_of_the_others() {
        let of = |probe, finding: Finding| Finding { probe, ..finding };
        let all = [
            of("keys", Finding::warning("pki.expiring", "a ends soon", "x")),
            of("list", Finding::good("1 here")),
            of("keys", Finding::fault("pki.expired", "b ended", "x")),
            of("keys", Finding::warning("pki.expiring", "c ends soon", "x")),
            of("server", Finding::skipped("none")),
        ];
        let told: Vec<_> =
            areas(all.into_iter()).into_iter().map(|one| (one.probe, one.verdict, one.message)).collect();
        assert_eq!(
            told,
            [
                ("keys", Verdict::Fault, "b ended; and 2 more".to_owned()),
                ("list", Verdict::Good, "1 here".to_owned()),
                ("server", Verdict::Skipped, "none".to_owned()),
            ]
        );
    }

    #[test]
    fn readers_that_cannot_be_asked_are_named() {
        let well = [reader("A", Slot::Empty, false), reader("B", Slot::Card(vec![0x3B, 0]), false)];
        let found = counted(&well.iter().collect::<Vec<_>>());
        assert_eq!((found.verdict, found.message.as_str()), (Verdict::Good, "2 readers, 1 with a card"));
        let ill = [
            reader("A", Slot::Mute, false),
            reader("B", Slot::Card(vec![0x3B, 0]), true),
            reader("C", Slot::Unavailable, false),
        ];
        let found = counted(&ill.iter().collect::<Vec<_>>());
        assert_eq!(found.verdict, Verdict::Warning);
        assert_eq!(
            found.message,
            "3 readers, 1 with a card, 1 with something that does not answer; cannot be asked: B, C"
        );
        let found = counted(&[&ill[0]]);
        assert_eq!(
            (found.verdict, found.message.as_str()),
            (Verdict::Good, "1 reader, 0 with a card, 1 with something that does not answer")
        );
    }

    #[test]
    fn who_runs_the_status_at_the_server_is_not_sent_there() {
        let told = |code, has_store| failed(ServerError::Busy("why".to_owned(), Some(code)), has_store).remedy.unwrap();
        let here = told(ProblemCode::ServerStore, true);
        assert!(here.command.is_none() && here.contains("what `store` says here"), "{here}");
        let there = told(ProblemCode::ServerStore, false);
        assert!(there.ends_with("run on its machine: rollcall status"), "{there}");
        assert_eq!(told(ProblemCode::ServerRate, true).text, "try again in a moment");
    }

    #[test]
    fn readers_of_one_name_are_a_fault() {
        let line = |names: &[&str]| {
            let all: Vec<_> = names.iter().map(|name| reader(name, Slot::Card(vec![0x3B, 0]), false)).collect();
            let found = looked_at(all.iter().collect());
            areas(found.into_iter().map(|one| Finding { probe: "readers", ..one })).remove(0)
        };
        let well = line(&["A", "B"]);
        assert_eq!((well.verdict, well.code, well.message.as_str()), (Verdict::Good, None, "2 readers, 2 with a card"));
        let ill = line(&["A", "B", "A", "B", "C"]);
        assert_eq!((ill.verdict, ill.code), (Verdict::Fault, Some("reader.same-name")));
        let told = "A: 2 readers have this name, and only the first of them can be reached; and 1 more";
        assert_eq!((ill.message.as_str(), &ill.facts["readers"]), (told, &3.into()));
        assert!(ill.remedy.unwrap().contains("FRIENDLYNAME"));
    }

    #[test]
    fn events_that_wait_too_long_are_worth_a_look() {
        let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        let told = |age: i64, count| {
            let waiting = Some((count, now - SignedDuration::from_secs(age)));
            let found = with_unsent(Finding::good("it answers"), waiting, now);
            (found.verdict, found.message)
        };
        assert_eq!(told(300, 1), (Verdict::Good, "it answers; 1 event not yet sent".to_owned()));
        assert_eq!(told(301, 1000), (Verdict::Warning, "it answers; 1000 or more events not yet sent".to_owned()));
        let away = with_unsent(Finding::fault("server.unreachable", "away", "x"), Some((2, now)), now);
        assert_eq!((away.verdict, away.message.as_str()), (Verdict::Fault, "away; 2 events not yet sent"));
        assert_eq!(with_unsent(Finding::good("it answers"), None, now).facts["unsent"], 0);
    }
}
