//! How this terminal reaches its server, with retries while the server is busy.

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

/// The pause before a busy server is tried again, and the number of tries.
const PAUSE: Duration = Duration::from_secs(1);
const TRIES: usize = 30;
/// The number of tries for mere display: somebody is waiting, and can try again.
const LOOKS: usize = 4;

/// The address of the server, and the credentials of this terminal. Nothing is connected yet.
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
        let limits = RequestLimits::within(self.timeout);
        Ok(ServerClient::connect(&self.url, &tls.key, &tls.certificate, &tls.trusted(), limits)?)
    }
}

/// Retries for up to half a minute while the server is busy: for work that is worth waiting for.
///
/// # Errors
/// The error of `ask`: [`ServerError::Busy`] after the last try, any other error at once.
pub fn patiently<T>(ask: impl FnMut() -> Result<T, ServerError>) -> Result<T, ServerError> {
    again(TRIES, ask)
}

/// The same for some seconds: for mere display.
///
/// # Errors
/// As [`patiently`].
pub fn briefly<T>(ask: impl FnMut() -> Result<T, ServerError>) -> Result<T, ServerError> {
    again(LOOKS, ask)
}

fn again<T>(tries: usize, mut ask: impl FnMut() -> Result<T, ServerError>) -> Result<T, ServerError> {
    for _ in 0..tries {
        match ask() {
            Err(ServerError::Busy(..)) => thread::sleep(PAUSE), // the server asked for it: Retry-After
            done => return done,
        }
    }
    ask()
}

/// The server's record of a user; `None` if it has none.
///
/// # Errors
/// When it cannot be reached, or refuses.
pub fn known_user(server: &ServerClient, id: &str) -> Result<Option<User>, Failure> {
    match patiently(|| server.user(id)) {
        Ok(user) => Ok(Some(user)),
        Err(error) if error.problem().and_then(Problem::known_code) == Some(ProblemCode::UserUnknown) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Up to this many ids are queried one by one; for more, all users are fetched.
const FEW: usize = 64;

/// The server's records of these users, for an administrator.
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

/// All pages of a list, for work that needs it.
///
/// # Errors
/// The error of `page`, retried as in [`patiently`].
pub fn all_pages<T>(page: impl Fn(Option<&str>) -> Result<Page<T>, ServerError>) -> Result<Vec<T>, ServerError> {
    pages(TRIES, page)
}

/// All pages of a list, for display.
///
/// # Errors
/// The error of `page`, retried as in [`briefly`].
pub fn shown_pages<T>(page: impl Fn(Option<&str>) -> Result<Page<T>, ServerError>) -> Result<Vec<T>, ServerError> {
    pages(LOOKS, page)
}

fn pages<T>(tries: usize, page: impl Fn(Option<&str>) -> Result<Page<T>, ServerError>) -> Result<Vec<T>, ServerError> {
    let (mut items, mut after) = (Vec::new(), None::<String>);
    loop {
        let found = again(tries, || page(after.as_deref()))?;
        items.extend(found.items);
        // A next page that is not after this one would loop forever.
        let next = found.next.filter(|next| after.as_ref().is_none_or(|after| next > after));
        match next {
            Some(next) => after = Some(next),
            None => return Ok(items),
        }
    }
}

/// The result of an import, in numbers of users.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportedUsers {
    /// New at the server.
    pub created: u64,
    /// Known there with other information.
    pub changed: u64,
    /// Known there, and unchanged.
    pub unchanged: u64,
}

/// Imports users in batches, each of which the server applies completely or not at all. Importing the same users again
/// changes nothing, so an interrupted import is completed by repeating it. `progress` gets the number done before each
/// batch.
///
/// # Errors
/// The server's error for a batch; the previous batches are imported then.
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
