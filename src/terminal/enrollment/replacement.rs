//! Which token it is that was lost, when another one takes its place.

use std::{collections::BTreeSet, ops::ControlFlow};

use uuid::Uuid;

use super::{context::EnrollmentContext, journal::JournalEntry};
use crate::{
    api::{
        User,
        v1::{PAGE_MAX, TokenStatus},
    },
    failure::{ExitClass, Failure},
    terminal::{
        context::TerminalContext,
        presence::store::TerminalStore,
        server_access::{ServerAccess, all_pages},
        token_prefix::TokenPrefix,
    },
};

/// The token that is refused from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostToken {
    /// Its id.
    pub token_id: Uuid,
    /// Whether an earlier run has begun to replace it: then it was confirmed.
    pub is_confirmed: bool,
}

/// The ids of those who have a token already, in the order given.
///
/// # Errors
/// As [`tokens_of`].
pub fn with_tokens(users: &[&User], enrollment: &EnrollmentContext) -> Result<Vec<String>, Failure> {
    let begun: BTreeSet<_> = enrollment.journal.all()?.into_iter().map(|entry| entry.token_id).collect();
    let terminal = enrollment.terminal();
    let have: BTreeSet<String> = if let Some(server) = &terminal.server {
        let server = server.connect()?;
        let tokens = all_pages(|after| server.tokens(after, PAGE_MAX))?;
        let tokens = tokens.into_iter().filter(|token| token.status != TokenStatus::Revoked);
        tokens.filter(|token| !begun.contains(&token.token_id)).map(|token| token.user_id).collect()
    } else {
        let store = TerminalStore::open_if_there(&terminal.state_folder)?;
        let cards = store.map(|store| store.cards(None)).transpose()?.unwrap_or_default();
        let cards = cards.into_iter().filter(|card| card.state.is_usable() && !begun.contains(&card.token_id));
        cards.map(|card| card.user.id).collect()
    };
    Ok(users.iter().filter(|user| have.contains(&user.id)).map(|user| user.id.clone()).collect())
}

/// The tokens that this user has already, the card that is begun left out.
///
/// # Errors
/// The failure of the journal, the store or the server.
pub fn tokens_of(user: &User, enrollment: &EnrollmentContext) -> Result<Vec<Uuid>, Failure> {
    let begun = enrollment.journal.all()?;
    let terminal = enrollment.terminal();
    let mut found = match &terminal.server {
        Some(server) => at_server(user, server)?,
        None => registered(user, terminal)?,
    };
    for entry in begun {
        found.remove(&entry.token_id);
    }
    Ok(found.into_iter().collect())
}

impl LostToken {
    /// The token that was named, as a whole or by its first digits, or the only one that this user has.
    ///
    /// # Errors
    /// `enroll.nothing-to-replace` when no such token of the user is known, `enroll.replace-ambiguous` when there are
    /// several; the failure of the journal, the store or the server.
    pub fn find(named: Option<&TokenPrefix>, user: &User, enrollment: &EnrollmentContext) -> Result<Self, Failure> {
        let begun = enrollment.journal.all()?;
        let before = begun.iter().filter(|entry| entry.user == *user).find_map(|entry| entry.replaces);
        if let Some(token_id) = named.and_then(TokenPrefix::whole).or(before.filter(|_| named.is_none())) {
            return Ok(Self { token_id, is_confirmed: before == Some(token_id) });
        }
        let mut known = tokens(user, &begun, enrollment.terminal())?;
        if let Some(named) = named {
            known.extend(before);
            known.retain(|token_id| named.begins(*token_id));
        }
        let token_id = only(user, &known)?;
        Ok(Self { token_id, is_confirmed: before == Some(token_id) })
    }
}

/// The tokens of a user that are let in, as far as the server or, without one, this terminal knows. One that is being
/// enrolled was never anybody's.
fn tokens(user: &User, begun: &[JournalEntry], terminal: &TerminalContext) -> Result<BTreeSet<Uuid>, Failure> {
    let mut tokens = match &terminal.server {
        Some(server) => at_server(user, server)?,
        None => here(user, terminal)?,
    };
    for entry in begun {
        tokens.remove(&entry.token_id);
    }
    Ok(tokens)
}

fn at_server(user: &User, server: &ServerAccess) -> Result<BTreeSet<Uuid>, Failure> {
    let server = server.connect()?;
    let found = all_pages(|after| server.tokens_of(&user.id, after, PAGE_MAX))?;
    Ok(found.into_iter().filter(|token| token.status != TokenStatus::Revoked).map(|token| token.token_id).collect())
}

/// A terminal without a server knows the cards that were issued here, and the tokens of others that have come here.
fn here(user: &User, terminal: &TerminalContext) -> Result<BTreeSet<Uuid>, Failure> {
    let mut tokens = BTreeSet::new();
    let Some(mut store) = TerminalStore::open_if_there(&terminal.state_folder)? else { return Ok(tokens) };
    store.history(None, None, |event| {
        if let (Some(token_id), true) = (event.token_id, event.user.as_ref().is_some_and(|of| of.id == user.id)) {
            tokens.insert(token_id);
        }
        ControlFlow::Continue(())
    })?;
    for card in store.cards(None)? {
        let is_theirs = card.user.id == user.id && card.state.is_usable();
        if is_theirs {
            tokens.insert(card.token_id)
        } else {
            tokens.remove(&card.token_id)
        };
    }
    for denied in store.denied()? {
        tokens.retain(|token_id| token_id.to_string() != denied);
    }
    Ok(tokens)
}

fn registered(user: &User, terminal: &TerminalContext) -> Result<BTreeSet<Uuid>, Failure> {
    let Some(store) = TerminalStore::open_if_there(&terminal.state_folder)? else { return Ok(BTreeSet::new()) };
    let cards = store.cards(Some(&user.id))?;
    Ok(cards.into_iter().filter(|card| card.state.is_usable()).map(|card| card.token_id).collect())
}

fn only(user: &User, tokens: &BTreeSet<Uuid>) -> Result<Uuid, Failure> {
    let mut all = tokens.iter();
    match (all.next(), all.next()) {
        (Some(one), None) => Ok(*one),
        (None, _) => Err(Failure::new(
            ExitClass::No,
            "enroll.nothing-to-replace",
            format!("no such token of {} is known that is still let in", user.id),
        )
        .hint("name it: --replace=TOKEN_ID; or leave --replace out")),
        (Some(_), Some(_)) => {
            let listed: Vec<_> = tokens.iter().map(Uuid::to_string).collect();
            Err(Failure::new(
                ExitClass::Usage,
                "enroll.replace-ambiguous",
                format!("{} has {} such tokens", user.id, tokens.len()),
            )
            .hint(format!("name the lost one: --replace=TOKEN_ID, of {}", listed.join(", "))))
        }
    }
}
