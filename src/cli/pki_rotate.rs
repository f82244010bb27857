//! `rollcall pki rotate-ca`: replaces the local CA, also in the store of a local server.

use jiff::Timestamp;

use super::{confirm::confirm, printer::Printer, server::LocalStore};
use crate::{
    config::Settings,
    crypto::random::SystemRandom,
    failure::{ExitClass, Failure, number_of},
    pki::{ClockCheck, IssueReport, PkiDir, PkiError, server_names},
};

/// Begins or finishes a rotation. Either may be killed at any point: the next run continues.
///
/// # Errors
/// `pki.rotation-server` for a store that this program cannot open; that of the store, of [`confirm`], and `pki.…`.
pub fn run(
    finish: bool,
    settings: &Settings,
    home: &PkiDir,
    out: &mut Printer,
) -> Result<Option<IssueReport>, Failure> {
    let store = LocalStore::find(settings)?;
    if settings.server.url.is_some() && store.is_none() && home.has_ca_key() {
        let what = "the server is elsewhere, with the same CA: a rotation here would leave the server behind";
        return Err(Failure::new(ExitClass::Refused, "pki.rotation-server", what)
            .hint("run it where the server and its store are: rollcall pki rotate-ca"));
    }
    if finish {
        return end(settings, home, store.as_ref(), out).map(|()| None);
    }
    if home.previous()?.is_some() {
        // A killed run may not have updated the store.
        store.map_or(Ok(()), |store| store.recertify(home, ClockCheck::skipped_if(settings.yes), out))?;
        return Err(PkiError::RotationUnderWay.into());
    }
    store.as_ref().map_or(Ok(()), |store| store.check(home))?;
    confirm(settings, out, "this makes a new CA: every token has to be moved to it", "rotate")?;
    let report = home.begin_rotation(
        &server_names(),
        ClockCheck::skipped_if(settings.yes),
        Timestamp::now(),
        &mut SystemRandom,
    )?;
    store.as_ref().map_or(Ok(()), |store| store.recertify(home, ClockCheck::skipped_if(settings.yes), out))?;
    out.note("both CAs are trusted now; move the tokens: rollcall token rotate --all");
    if store.is_some() {
        out.note(
            "terminals learn of the new CA when they are renewed; to renew one at once, run there: rollcall pki renew",
        );
    }
    Ok(Some(report))
}

fn end(settings: &Settings, home: &PkiDir, store: Option<&LocalStore>, out: &mut Printer) -> Result<(), Failure> {
    let left = home.rotation()?.left.len();
    let others = if store.is_some() { ", and every terminal that was not renewed" } else { "" };
    let what = format!("not moved, and refused from now on: {}{others}", number_of(left, "token"));
    confirm(settings, out, &what, "finish")?;
    // Includes tokens that were registered before the server knew the new CA.
    store.map_or(Ok(()), |store| store.recertify(home, ClockCheck::skipped_if(settings.yes), out))?;
    Ok(home.finish_rotation()?)
}
