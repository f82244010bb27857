//! Reports the health of a server on this machine: its store, and its terminals.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::run::{authorities, store};
use crate::{
    api::v1::{PresenceSummary, RegisteredTerminal, SILENT_SECONDS},
    cli::views::span,
    config::Settings,
    doctor::{Finding, HomeProbe, Verdict},
    failure::{Failure, Remedy, number_of},
    pki::PkiDir,
    server::{self, RunError, ServerStore, ServerStoreError, StoreUrl, store::MissingRecord},
    server_client::{RequestLimits, ServerClient},
};

/// Terminals renew certificates of seven days when three days are left, and longer ones earlier; this is late.
const LATE: SignedDuration = SignedDuration::from_hours(2 * 24);
/// How many names are listed.
const NAMES: usize = 5;
/// How many terminals are checked.
const TERMINALS: u32 = 1000;
/// How long the local server may take to say which terminals have asked it recently.
const PATIENCE: Duration = Duration::from_secs(1);

/// Checks the configured store, if it exists and has its CA here.
pub fn home_probe(settings: &Settings) -> Option<HomeProbe> {
    let is_missing = matches!(store(settings), Ok(StoreUrl::Sqlite(file)) if !file.exists());
    if is_missing || authorities(settings).is_err() {
        return None;
    }
    let settings = settings.clone();
    Some(Box::new(move || examine(&settings, Timestamp::now())))
}

/// What was read from the store.
struct StoreReport {
    terminals: Vec<RegisteredTerminal>,
    summary: PresenceSummary,
    /// Records that terminals know of, but the log lacks.
    missing: Vec<MissingRecord>,
}

fn examine(settings: &Settings, now: Timestamp) -> Vec<(&'static str, Finding)> {
    let mut found = match read(settings, now) {
        Ok(StoreReport { terminals, summary, missing }) => vec![
            ("store", rolled_back(&missing).unwrap_or_else(|| counted(&summary))),
            ("terminals", silent(&summary, &terminals, now)),
            ("certificates", ending(&terminals, now)),
        ],
        Err(failure) => return vec![("store", failure.into())],
    };
    if let Err(failure) = takes_changes(settings) {
        found.insert(0, ("store", failure.into()));
    }
    found
}

fn counted(summary: &PresenceSummary) -> Finding {
    let message = format!("the server's store answers: {} counted as here", summary.present);
    Finding::good(message).fact("present", summary.present).fact("unconfirmed", summary.unconfirmed)
}

fn rolled_back(missing: &[MissingRecord]) -> Option<Finding> {
    let MissingRecord { terminal, head, .. } = missing.first()?;
    let more = if missing.len() > 1 { format!(" (and {} more)", missing.len() - 1) } else { String::new() };
    let message = format!(
        "the terminal {terminal}{more} has seen record {} of the audit log, and this log does not have it: the store was \
         restored from a backup, or its end was cut off",
        head.seq
    );
    let remedy =
        Remedy::with("check, and bring back what the terminals still refuse", "rollcall server audit reconcile");
    let terminals: Vec<_> = missing.iter().map(|one| one.terminal.clone()).collect();
    Some(Finding::fault("server.rolled-back", message, remedy).fact("terminals", terminals))
}

/// Only reads: a store of an earlier release is not converted. The probe limits the time.
fn read(settings: &Settings, now: Timestamp) -> Result<StoreReport, Failure> {
    let url = store(settings)?;
    let asked = async {
        let store = ServerStore::inspect(&url).await?;
        let report = StoreReport {
            terminals: store.terminals("", TERMINALS).await?,
            summary: store.presence_summary(now).await?,
            missing: store.missing_records().await?,
        };
        store.close().await;
        Ok::<_, ServerStoreError>(report)
    };
    let mut report = server::block_on(asked)?.map_err(RunError::Store)?;
    if let Ok(own) = PkiDir::new(settings.pki_folder()).load_terminal_tls(now) {
        renewed_here(&mut report.terminals, own.certificate.subject(), own.certificate.not_after());
    }
    if silent(&report.summary, &report.terminals, now).verdict != Verdict::Good {
        hear(settings, now, &mut report.summary);
    }
    Ok(report)
}

/// The server stores a terminal's last request some seconds later. So the server itself is asked before a terminal is
/// called silent; if it answers at all, it has heard from this one.
fn hear(settings: &Settings, now: Timestamp, summary: &mut PresenceSummary) {
    let Some(url) = &settings.server.url else { return };
    let Ok(own) = PkiDir::new(settings.pki_folder()).load_terminal_tls(now) else { return };
    let limits = RequestLimits { connect: PATIENCE, request: PATIENCE };
    let asked = ServerClient::connect(url, &own.key, &own.certificate, &own.trusted(), limits)
        .and_then(|server| server.presence(None, None, 1));
    let heard = match asked {
        Ok(said) => said.summary.map(|summary| summary.terminals).unwrap_or_default(),
        // It refuses terminals that are not administrators, but has heard from them.
        Err(error) if error.problem().is_some() => Vec::new(),
        Err(_) => return,
    };
    for one in &mut summary.terminals {
        let is_own = one.name == own.certificate.subject();
        if is_own || heard.iter().any(|other| other.name == one.name && other.silent == Some(false)) {
            one.silent = Some(false);
        }
    }
}

/// Whether the store accepts changes, as the server checks it.
fn takes_changes(settings: &Settings) -> Result<(), Failure> {
    let url = store(settings)?;
    Ok(server::block_on(ServerStore::check_ready(&url))?.map_err(RunError::Store)?)
}

/// Applies a certificate that was renewed here: the server learns of it only at the terminal's next request.
fn renewed_here(terminals: &mut [RegisteredTerminal], name: &str, until: Timestamp) {
    if let Some(own) = terminals.iter_mut().find(|one| one.name == name && !one.revoked) {
        own.certificate_until = own.certificate_until.max(Some(until));
    }
}

/// Terminals that have stopped asking. A new one may not have a stored request yet.
fn silent(summary: &PresenceSummary, terminals: &[RegisteredTerminal], now: Timestamp) -> Finding {
    let age = SignedDuration::from_secs(SILENT_SECONDS);
    let is_new = |name: &str| terminals.iter().any(|one| one.name == name && now.duration_since(one.added) <= age);
    let heard: Vec<_> = summary.terminals.iter().filter(|one| !one.revoked).collect();
    let silent = heard.iter().filter(|one| one.silent == Some(true) && !(one.last_word.is_none() && is_new(&one.name)));
    let named: Vec<_> = silent
        .map(|one| match one.last_word {
            Some(last) => format!("{} for {}", one.name, span(last, now)),
            None => one.name.clone(),
        })
        .collect();
    if named.is_empty() {
        return Finding::good("no terminal that sent events is silent").fact("heard", heard.len()).fact("silent", 0);
    }
    let message = format!("{} of {} silent: {}", named.len(), number_of(heard.len(), "terminal"), some(&named));
    let remedy = Remedy::with("see whether they run, and revoke those that are gone", "rollcall server terminal list");
    Finding::look(message, remedy).fact("heard", heard.len()).fact("silent", named.len())
}

fn ending(terminals: &[RegisteredTerminal], now: Timestamp) -> Finding {
    let known: Vec<_> = terminals
        .iter()
        .filter(|one| !one.revoked)
        .filter_map(|one| Some((one.name.as_str(), one.certificate_until?)))
        .collect();
    let late: Vec<_> = known
        .iter()
        .filter(|(_, end)| end.duration_since(now) < LATE)
        .map(|(name, end)| if *end <= now { format!("{name} ended") } else { format!("{name} in {}", span(now, *end)) })
        .collect();
    if late.is_empty() {
        let first = known.iter().map(|(_, end)| *end).min();
        let message = first.map_or_else(
            || "no terminal has shown its certificate yet".to_owned(),
            |end| format!("{} of terminals, the first expires at {end:.0}", known.len()),
        );
        return Finding::good(message).fact("certificates", known.len()).fact("late", 0);
    }
    let message = format!("{} of {} certificates of terminals expire soon: {}", late.len(), known.len(), some(&late));
    let remedy = Remedy::with("renew them there, or give new bundles", "rollcall pki renew");
    Finding::look(message, remedy).fact("certificates", known.len()).fact("late", late.len())
}

fn some(names: &[String]) -> String {
    let said = names.iter().take(NAMES).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > NAMES { format!("{said} and {} more", names.len() - NAMES) } else { said }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::v1::{PresenceTerminal, Role};

    fn now() -> Timestamp {
        "2026-11-29T12:00:00Z".parse().unwrap()
    }

    fn registered(name: &str, added: Timestamp, hours: i64, revoked: bool) -> RegisteredTerminal {
        let certificate_until = Some(now() + SignedDuration::from_hours(hours));
        RegisteredTerminal { name: name.into(), role: Role::Read, revoked, added, last_seen: None, certificate_until }
    }

    #[test]
    fn silent_terminals_are_named_unless_they_were_revoked() {
        let terminal = |name: &str, minutes: i64, revoked| PresenceTerminal {
            name: name.into(),
            last_word: Some(now() - SignedDuration::from_mins(minutes)),
            last_event: None,
            silent: Some(minutes > 5),
            revoked,
            present: 1,
            faults: Vec::new(),
        };
        let told = |terminals: Vec<PresenceTerminal>| {
            let known = [registered("new", now() - SignedDuration::from_mins(5), 100, false)];
            let found = silent(&PresenceSummary { present: 2, unconfirmed: 0, terminals }, &known, now());
            (found.verdict, found.message)
        };
        let well = vec![terminal("door", 1, false), terminal("gone", 600, true)];
        assert_eq!(told(well.clone()), (Verdict::Good, "no terminal that sent events is silent".to_owned()));
        let unheard = |name: &str| PresenceTerminal { last_word: None, silent: Some(true), ..terminal(name, 0, false) };
        assert_eq!(told(vec![unheard("new")]).0, Verdict::Good);
        assert_eq!(told(vec![unheard("old")]), (Verdict::Warning, "1 of 1 terminal silent: old".to_owned()));
        let ill = [well, vec![terminal("gate", 90, false)]].concat();
        assert_eq!(told(ill), (Verdict::Warning, "1 of 2 terminals silent: gate for 1h 30m".to_owned()));
    }

    #[test]
    fn a_certificate_that_was_renewed_here_has_not_ended() {
        let mut all = [registered("desk", now(), -1, false), registered("door", now(), -1, false)];
        let later = now() + SignedDuration::from_hours(100);
        renewed_here(&mut all, "desk", later);
        assert_eq!(ending(&all, now()).message, "1 of 2 certificates of terminals expire soon: door ended");
        renewed_here(&mut all, "desk", now());
        assert_eq!(all[0].certificate_until, Some(later));
    }

    #[test]
    fn certificates_that_end_soon_are_named_five_at_most() {
        let terminal = |number: i64, hours: i64, revoked| registered(&format!("t{number}"), now(), hours, revoked);
        let well = ending(&[terminal(1, 48, false), terminal(2, 1, true)], now());
        assert_eq!(
            (well.verdict, well.message.as_str()),
            (Verdict::Good, "1 of terminals, the first expires at 2026-12-01T12:00:00Z")
        );
        let late = ending(&[terminal(1, 47, false), terminal(2, -1, false), terminal(3, 800, false)], now());
        assert_eq!(late.verdict, Verdict::Warning);
        assert_eq!(late.message, "2 of 3 certificates of terminals expire soon: t1 in 1d 23h, t2 ended");
        let many: Vec<_> = (0..7).map(|number| terminal(number, -1, false)).collect();
        assert!(ending(&many, now()).message.ends_with("t4 ended and 2 more"));
    }
}
