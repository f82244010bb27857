//! The server of this terminal: where it is, and how it is asked for what is worth waiting for.

use std::{collections::HashMap, thread, time::Duration};

use jiff::Timestamp;

use crate::{
    api::{
        User,
        problem::ProblemCode,
        v1::{PAGE_MAX, Page, Problem, USERS_MAX},
    },
    failure::Failure,
    pki::PkiDir,
    server_client::{RequestLimits, ServerClient, ServerError},
};

/// The time to wait before a busy server is asked once more, and how often.
const PAUSE: Duration = Duration::from_secs(1);
const TRIES: usize = 30;
/// How often for what is only looked at: somebody waits for it, and may look again.
const LOOKS: usize = 4;

/// Where the server is, and with what this terminal comes to it. Nothing is connected yet.
#[derive(Debug, Clone)]
pub struct ServerAccess {
    /// `https://host:port`
    pub url: String,
    /// The time limit of one request.
    pub timeout: Duration,
    /// The folder of this terminal's keys and certificates.
    pub pki: PkiDir,
}

impl ServerAccess {
    /// Connects with this terminal's certificate.
    ///
    /// # Errors
    /// As [`PkiDir::load_terminal_tls`](crate::pki::PkiDir::load_terminal_tls) and [`ServerClient::connect`].
    pub fn connect(&self) -> Result<ServerClient, Failure> {
        let tls = self.pki.load_terminal_tls(Timestamp::now())?;
        let limits = RequestLimits { request: self.timeout, ..RequestLimits::default() };
        Ok(ServerClient::connect(&self.url, &tls.key, &tls.certificate, &tls.trusted(), limits)?)
    }
}

/// Asks until the server is not busy any more, for half a minute at most: for work that is worth waiting for.
///
/// # Errors
/// What `ask` answers: [`ServerError::Busy`] after the last try, any other error at once.
pub fn patiently<T>(ask: impl FnMut() -> Result<T, ServerError>) -> Result<T, ServerError> {
    again(TRIES, ask)
}

/// The same for some seconds: for what is only looked at.
///
/// # Errors
/// As [`patiently`].
pub fn briefly<T>(ask: impl FnMut() -> Result<T, ServerError>) -> Result<T, ServerError> {
    again(LOOKS, ask)
}

fn again<T>(tries: usize, mut ask: impl FnMut() -> Result<T, ServerError>) -> Result<T, ServerError> {
    for _ in 0..tries {
        match ask() {
            Err(ServerError::Busy(_)) => thread::sleep(PAUSE), // it asked for that: Retry-After
            done => return done,
        }
    }
    ask()
}

/// What the server knows of a user; nothing where it does not know it.
///
/// # Errors
/// When it cannot be asked, or refuses to say.
pub fn known_user(server: &ServerClient, id: &str) -> Result<Option<User>, Failure> {
    match patiently(|| server.user(id)) {
        Ok(user) => Ok(Some(user)),
        Err(error) if error.problem().and_then(Problem::known_code) == Some(ProblemCode::UserUnknown) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Ids that are asked for one by one; for more, all users are.
const FEW: usize = 64;

/// What the server knows of these users, for an administrator.
///
/// # Errors
/// As [`known_user`].
pub fn known_users(server: &ServerClient, ids: &[&str]) -> Result<HashMap<String, User>, Failure> {
    let users = if ids.len() <= FEW {
        ids.iter().filter_map(|id| known_user(server, id).transpose()).collect::<Result<Vec<_>, _>>()?
    } else {
        all_pages(|after| server.users(after, PAGE_MAX))?
    };
    Ok(users.into_iter().map(|user| (user.id.clone(), user)).collect())
}

/// All pages of a list that some work needs.
///
/// # Errors
/// What `page` answers, as [`patiently`] gives it.
pub fn all_pages<T>(page: impl Fn(Option<&str>) -> Result<Page<T>, ServerError>) -> Result<Vec<T>, ServerError> {
    pages(TRIES, page)
}

/// All pages of a list that is only looked at.
///
/// # Errors
/// What `page` answers, as [`briefly`] gives it.
pub fn shown_pages<T>(page: impl Fn(Option<&str>) -> Result<Page<T>, ServerError>) -> Result<Vec<T>, ServerError> {
    pages(LOOKS, page)
}

fn pages<T>(tries: usize, page: impl Fn(Option<&str>) -> Result<Page<T>, ServerError>) -> Result<Vec<T>, ServerError> {
    let (mut items, mut after) = (Vec::new(), None::<String>);
    loop {
        let found = again(tries, || page(after.as_deref()))?;
        items.extend(found.items);
        // A next page that does not come after this one would go on for ever.
        let next = found.next.filter(|next| after.as_ref().is_none_or(|after| next > after));
        match next {
            Some(next) => after = Some(next),
            None => return Ok(items),
        }
    }
}

/// What an import did, in users.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportedUsers {
    /// New at the server.
    pub created: u64,
    /// Known there, with other information.
    pub changed: u64,
    /// Known there as they are.
    pub unchanged: u64,
}

/// Imports users in batches, each of which the server takes whole or not at all; the same users once more change nothing,
/// so an import that was interrupted is finished by repeating it. `progress` hears how many are done, before each batch.
///
/// # Errors
/// What the server says to a batch; those before it are imported then.
pub fn import_users(
    server: &ServerClient,
    users: &[User],
    progress: &mut dyn FnMut(u64),
) -> Result<ImportedUsers, ServerError> {
    let mut done = ImportedUsers::default();
    for batch in users.chunks(USERS_MAX) {
        progress(done.created + done.changed + done.unchanged);
        let taken = patiently(|| server.import_users(batch.to_vec()))?;
        done.created += u64::from(taken.created);
        done.changed += u64::from(taken.changed);
        done.unchanged += u64::from(taken.unchanged);
    }
    Ok(done)
}
