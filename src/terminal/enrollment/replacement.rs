//! Determines which token was lost when a new one replaces it, and who already has a token.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use uuid::Uuid;

use super::{batch::difference::id_as_number, context::EnrollmentContext, journal::JournalEntry};
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

/// The token that is replaced, and refused from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostToken {
    /// Its id.
    pub token_id: Uuid,
    /// Whether an earlier run started to replace it: then it was confirmed.
    pub is_confirmed: bool,
}

/// A user who already has a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenHolder {
    /// The id of the user.
    pub id: String,
    /// The id under which the token is registered if it differs: perhaps the same id as a spreadsheet writes it.
    pub other_id: Option<String>,
}

impl std::fmt::Display for TokenHolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.other_id {
            Some(other) => write!(f, "{} (perhaps {other})", self.id),
            None => f.write_str(&self.id),
        }
    }
}

/// The users who already have a token, in the given order. No user is matched with an id for which `told_apart` is
/// true.
///
/// # Errors
/// As [`tokens_of`].
pub fn with_tokens(
    users: &[&User],
    told_apart: impl Fn(&str) -> bool,
    enrollment: &EnrollmentContext,
) -> Result<Vec<TokenHolder>, Failure> {
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
    Ok(holders(users, told_apart, &have))
}

fn holders(users: &[&User], told_apart: impl Fn(&str) -> bool, have: &BTreeSet<String>) -> Vec<TokenHolder> {
    let alike: BTreeMap<_, _> = have.iter().filter(|id| !told_apart(id)).map(|id| (id_as_number(id), id)).collect();
    let holder = |user: &&User| {
        let id = user.id.clone();
        if have.contains(&id) {
            return Some(TokenHolder { id, other_id: None });
        }
        let other_id = alike.get(&id_as_number(&id)).map(|other| (*other).clone());
        other_id.is_some().then_some(TokenHolder { id, other_id })
    };
    users.iter().filter_map(holder).collect()
}

/// The tokens that this user already has, except the one being enrolled.
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
    /// The token named, by its full id or its first digits, or else the only one that this user has.
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

/// The admitted tokens of a user, as far as the server or, without one, this terminal knows. A token still being
/// enrolled does not count.
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

/// A terminal without a server knows the cards issued here, and other tokens that have been tapped here.
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
            format!("no token of {} is known that is still let in", user.id),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_as_a_spreadsheet_writes_it_may_be_somebody_who_has_a_card() {
        let user = |id: &str| User { id: id.to_owned(), ..User::default() };
        let users = ["7", "8", "A9", "10"].map(user);
        let have = ["007", "8", "08", "a9"].map(str::to_owned).into();
        let told = |apart: &[&str]| {
            let found = holders(&users.iter().collect::<Vec<_>>(), |id| apart.contains(&id), &have);
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(told(&[]), ["7 (perhaps 007)", "8", "A9 (perhaps a9)"]);
        assert_eq!(told(&["007", "8"]), ["8", "A9 (perhaps a9)"], "the file has both");
    }
}
