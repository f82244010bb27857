//! `rollcall enroll --replace`: which token it is that was lost.

use std::{collections::BTreeSet, ops::ControlFlow};

use uuid::Uuid;

use super::{failure::enrollment, office::EnrollmentContext};
use crate::{
    api::{
        User,
        v1::{PAGE_MAX, TokenStatus},
    },
    cli::{
        confirm::{confirm, short},
        printer::Printer,
        server::{admin::all, client::connect},
    },
    config::Settings,
    failure::{ExitClass, Failure},
    terminal::enrollment::journal::JournalEntry,
    terminal::presence::store::TerminalStore,
};

/// The token that is refused from now on: the one that was named, or the only one that this user has. It is asked about
/// first, but for one that an earlier run has begun to replace.
pub fn lost(
    named: Option<Uuid>,
    user: &User,
    office: &EnrollmentContext,
    settings: &Settings,
    out: &mut Printer,
) -> Result<Uuid, Failure> {
    let begun = office.journal.all().map_err(|e| enrollment(&e, 0))?;
    let before = begun.iter().filter(|entry| entry.user == *user).find_map(|entry| entry.replaces);
    if let Some(lost) = before.filter(|lost| named.is_none_or(|named| named == *lost)) {
        return Ok(lost);
    }
    let lost = match named {
        Some(lost) => lost,
        None => only(user, &tokens(user, &begun, settings)?)?,
    };
    confirm(settings, out, &format!("this refuses the token {lost} of {} from now on", user.id), &short(lost))?;
    Ok(lost)
}

/// The tokens of a user that are let in, as far as the server or, without one, this terminal knows. One that is being
/// enrolled was never anybody's.
fn tokens(user: &User, begun: &[JournalEntry], settings: &Settings) -> Result<BTreeSet<Uuid>, Failure> {
    let mut tokens = if settings.server.url.is_some() { at_server(user, settings)? } else { here(user, settings)? };
    for entry in begun {
        tokens.remove(&entry.token_id);
    }
    Ok(tokens)
}

fn at_server(user: &User, settings: &Settings) -> Result<BTreeSet<Uuid>, Failure> {
    let server = connect(settings)?;
    let found = all(|after| server.tokens_of(&user.id, after, PAGE_MAX))?;
    Ok(found.into_iter().filter(|token| token.status != TokenStatus::Revoked).map(|token| token.token_id).collect())
}

/// A terminal without a server knows the tokens that have come here.
fn here(user: &User, settings: &Settings) -> Result<BTreeSet<Uuid>, Failure> {
    let mut tokens = BTreeSet::new();
    let Some(mut store) = TerminalStore::open_if_there(&settings.state_folder)? else { return Ok(tokens) };
    store.history(None, None, |event| {
        if let (Some(token_id), true) = (event.token_id, event.user.as_ref().is_some_and(|of| of.id == user.id)) {
            tokens.insert(token_id);
        }
        ControlFlow::Continue(())
    })?;
    for denied in store.denied()? {
        tokens.retain(|token_id| token_id.to_string() != denied);
    }
    Ok(tokens)
}

fn only(user: &User, tokens: &BTreeSet<Uuid>) -> Result<Uuid, Failure> {
    let mut all = tokens.iter();
    match (all.next(), all.next()) {
        (Some(one), None) => Ok(*one),
        (None, _) => Err(Failure::new(
            ExitClass::No,
            "enroll.nothing-to-replace",
            format!("no token of {} is known that is still let in", user.id),
        )
        .hint("name it: --replace=TOKEN_ID; or leave --replace out")),
        (Some(_), Some(_)) => {
            let listed: Vec<_> = tokens.iter().map(Uuid::to_string).collect();
            Err(Failure::new(
                ExitClass::Usage,
                "enroll.replace-ambiguous",
                format!("{} has {} tokens", user.id, tokens.len()),
            )
            .hint(format!("name the lost one: --replace=TOKEN_ID, of {}", listed.join(", "))))
        }
    }
}
