//! Checks this terminal's keys and certificates: present, private, matching, not expired.

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use serde_json::Map;

use super::{Finding, Probe, ProbeContext, ProbeReport, hsm};
use crate::{
    failure::{Failure, Remedy},
    pki::{Age, CertificatePlace, Content, Facts, InventoryItem, MissingFile, MissingUse, PkiDir, pkcs11},
    terminal::evictions::{EvictionNote, evicted as evicted_keys},
};

pub fn probe() -> Probe {
    Probe { name: "keys", subject: None, limit: Duration::from_secs(5), silent, work: Box::new(inspect) }
}

/// The disk of the keys does not answer.
pub fn silent() -> Finding {
    Finding::fault("pki.slow", "the keys cannot be read in time", Remedy::with("see whether their disk answers", "df"))
}

fn inspect(report: &ProbeReport) {
    if let Some(uri) = &report.context.settings.perso_key {
        report.begin(hsm::probe(uri.clone()));
    }
    match examine(&report.context) {
        Ok((items, troubles)) => {
            if troubles.is_empty() {
                report.found(Finding::good(format!("{} keys and certificates, none expires soon", items.len())));
            }
            let ends = ends(&items);
            for found in troubles {
                report.found(found.fact("ends", ends.clone()));
            }
        }
        Err(failure) => report.found(failure.into()),
    }
}

/// The keys and certificates, and the findings on them.
pub fn examine(context: &ProbeContext) -> Result<(Vec<InventoryItem>, Vec<Finding>), Failure> {
    let home = PkiDir::new(context.settings.pki_folder());
    let now = (context.clock)();
    let items = home.load_authority().and_then(|_| home.inventory())?;
    let settings = &context.settings;
    let has_server = settings.server.url.is_some();
    let missing = home.missing(has_server, settings.perso_key.is_some())?;
    let evicted = evicted(&settings.state_folder, now);
    let place = CertificatePlace { has_ca_key: home.has_ca_key(), has_server };
    let found = items.iter().filter_map(|item| trouble(item, place, now));
    let troubles = found.chain(missing.iter().map(gone)).chain(evicted).collect();
    Ok((items, troubles))
}

/// A finding if the tokens have shown that a copy of the keys is in use elsewhere.
fn evicted(state_folder: &Path, now: Timestamp) -> Option<Finding> {
    let seen = EvictionNote::of(state_folder).recall(now)?;
    let Failure { message, hint, .. } = evicted_keys();
    Some(Finding::warning("resume.evicted", format!("{message} (seen at {seen})"), hint?))
}

/// A finding if the personalisation key cannot be used for want of its PIN. Only enrolling needs that key. For `doctor`
/// the probe of its token reports it.
pub fn without_pin(context: &ProbeContext) -> Option<Finding> {
    let error = pkcs11::check_pin_file(context.settings.perso_key.as_ref()?).err()?;
    let Failure { code, message, hint, .. } = error.to_failure();
    Some(Finding::warning(code, message, hint?))
}

/// When a certificate expires.
pub fn end(item: &InventoryItem) -> Option<Timestamp> {
    match &item.content {
        Content::Certificate(Ok(facts)) => Some(facts.not_after),
        _ => None,
    }
}

/// What is wrong with one file.
fn trouble(item: &InventoryItem, place: CertificatePlace, now: Timestamp) -> Option<Finding> {
    let mut found = match &item.content {
        Content::PrivateKey(Ok(())) | Content::SecretKey(Ok(())) => return None,
        Content::PrivateKey(Err(error)) | Content::SecretKey(Err(error)) | Content::Certificate(Err(error)) => {
            error.to_failure().into()
        }
        Content::Certificate(Ok(facts)) => aged(&item.file, facts, place, now)?,
    };
    found.subject = Some(item.file.clone());
    Some(found)
}

/// A missing file.
fn gone(missing: &MissingFile) -> Finding {
    let (is_fault, what) = match missing.stops {
        MissingUse::Taps => (true, "no card can be authenticated"),
        MissingUse::Server => (true, "the server cannot be asked"),
        MissingUse::Enrolling => (false, "no card can be enrolled here"),
        MissingUse::Issuing => (false, "no certificate can be issued or renewed here"),
        MissingUse::Serving => (false, "no server can start here, and no certificate can be renewed"),
    };
    let message = format!("{} is missing: {what}", missing.file);
    // The same failure as in other commands.
    let Failure { code, hint, .. } = missing.error.to_failure();
    let remedy = hint.unwrap_or_else(|| "put it back from a backup".into());
    let found = if is_fault { Finding::fault(code, message, remedy) } else { Finding::warning(code, message, remedy) };
    Finding { subject: Some(missing.file.to_owned()), ..found }
}

fn aged(file: &str, facts: &Facts, place: CertificatePlace, now: Timestamp) -> Option<Finding> {
    let (begin, end) = (facts.not_before, facts.not_after);
    let remedy = |has_ended| place.renewal(facts.class, has_ended);
    match facts.age(now) {
        Age::Valid => None,
        Age::Expiring => Some(Finding::warning("pki.expiring", format!("{file} expires at {end}"), remedy(false))),
        Age::Expired => Some(Finding::fault("pki.expired", format!("{file} expired at {end}"), remedy(true))),
        Age::NotYetValid => Some(Finding::fault(
            "pki.clock",
            format!("{file} is valid only from {begin}, which is later than the clock says"),
            Remedy::run("sudo timedatectl set-ntp true"),
        )),
    }
}

fn ends(items: &[InventoryItem]) -> Map<String, serde_json::Value> {
    items.iter().filter_map(|item| Some((item.file.clone(), end(item)?.to_string().into()))).collect()
}
