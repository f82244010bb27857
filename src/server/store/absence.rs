//! Whether a store is available: what a failure means for that, and a message when an outage begins and when it ends.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long a store may be busy before it counts as unavailable.
const BUSY: Duration = Duration::from_secs(10);

/// Why a store is unavailable at the moment. Damage, or an error in a statement, is none of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// It cannot be reached.
    Unreachable,
    /// Its file cannot be opened.
    Unopened,
    /// It takes no changes.
    ReadOnly,
    /// There is no room left.
    Full,
    /// Its disk fails.
    Disk,
    /// It is being stopped or started.
    Stopped,
    /// Others hold its locks.
    Busy,
    /// It takes no more connections.
    Crowded,
    /// It refuses this server's login.
    Login,
    /// There is no database of that name there.
    NoDatabase,
    /// There is no TLS connection as its address requires: it offers none, its certificate is not accepted, or ours
    /// cannot be read.
    Tls,
    /// A pooler in front of it does not support what is needed.
    Pooler,
    /// Its file was removed, or replaced by another one.
    Replaced,
}

impl Absence {
    /// A description for clients: nothing about how the store is reached.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Unreachable => "it cannot be reached",
            Self::Unopened => "its file cannot be opened",
            Self::ReadOnly => "it is read-only",
            Self::Full => "its disk is full",
            Self::Disk => "its disk fails",
            Self::Stopped => "it is being stopped or started",
            Self::Busy => "it is busy",
            Self::Crowded => "it accepts no more connections",
            Self::Login => "it refuses this server's login",
            Self::NoDatabase => "it has no database of that name",
            Self::Tls => "there is no TLS connection as its address requires",
            Self::Pooler => "the pooler in front of it refuses transactions or parameters",
            Self::Replaced => "its file was removed or replaced while the server ran",
        }
    }

    /// Whether it can pass without a change of the configuration.
    pub const fn passes(self) -> bool {
        !matches!(self, Self::Unopened | Self::Login | Self::NoDatabase | Self::Tls | Self::Pooler)
    }

    /// The meaning of a SQLSTATE of PostgreSQL (its documentation, appendix A) or of a result code of SQLite.
    pub fn of_code(code: &str) -> Option<Self> {
        if code.len() == 5 {
            return match code {
                "25006" => Some(Self::ReadOnly),
                "53100" => Some(Self::Full),
                "53300" => Some(Self::Crowded),
                // A lock or a statement took too long, or was cancelled.
                "55P03" | "57014" => Some(Self::Busy),
                "58030" => Some(Self::Disk),
                _ => match &code[..2] {
                    "08" => Some(Self::Unreachable),
                    "28" => Some(Self::Login),
                    "3D" => Some(Self::NoDatabase),
                    "40" | "53" => Some(Self::Busy),
                    "57" => Some(Self::Stopped),
                    _ => None,
                },
            };
        }
        let code = code.parse::<u32>().ok()?;
        // SQLite: the low byte is the primary code.
        match code & 0xFF {
            // The file shared by its processes cannot grow for lack of space.
            10 if code == 4874 => Some(Self::Full),
            5 | 6 => Some(Self::Busy),
            8 => Some(Self::ReadOnly),
            10 => Some(Self::Disk),
            13 => Some(Self::Full),
            14 => Some(Self::Unopened),
            _ => None,
        }
    }

    /// The meaning of an error of the database driver.
    pub fn of(error: &sqlx::Error) -> Option<Self> {
        match error {
            sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => Some(Self::Full),
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::BeginFailed
            | sqlx::Error::WorkerCrashed => Some(Self::Unreachable),
            sqlx::Error::Tls(_) => Some(Self::Tls),
            sqlx::Error::Database(error) if is_poolers(error.message()) => Some(Self::Pooler),
            sqlx::Error::Database(error) => Self::of_answer(&error.code()?, error.message()),
            _ => None,
        }
    }

    /// The meaning of an error that the database, or a pooler in front of it, answers.
    fn of_answer(code: &str, message: &str) -> Option<Self> {
        if code.starts_with("08") { Self::of_relayed(message).or(Self::of_code(code)) } else { Self::of_code(code) }
    }

    /// The meaning of a message of a pooler, or of one that it passes on.
    fn of_relayed(message: &str) -> Option<Self> {
        let (_, meant) = RELAYED.iter().find(|(parts, _)| parts.iter().all(|part| message.contains(part)))?;
        Some(*meant)
    }
}

/// What messages of `PgBouncer` (up to 1.24), and of PostgreSQL if it passes them on, contain: both come with the code
/// of a failed connection. What PostgreSQL says in another language than English is not found here.
const RELAYED: [(&[&str], Absence); 14] = [
    (&["no more connections allowed"], Absence::Crowded),
    (&["client connections exceeded"], Absence::Crowded),
    (&["too many clients already"], Absence::Crowded),
    (&["too many connections for"], Absence::Crowded),
    (&["remaining connection slots"], Absence::Crowded),
    (&["authentication failed"], Absence::Login),
    (&["no such user"], Absence::Login),
    (&["login rejected"], Absence::Login),
    (&["no pg_hba.conf entry"], Absence::Login),
    (&["is not permitted to log in"], Absence::Login),
    (&["role \"", "does not exist"], Absence::Login),
    (&["no such database"], Absence::NoDatabase),
    (&["database \"", "does not exist"], Absence::NoDatabase),
    (&["the database system is"], Absence::Stopped),
];

/// Whether this is an error of `PgBouncer`: for a transaction in statement pooling mode, or for a parameter that it
/// cannot keep for a session. Its code is that of a failed connection.
fn is_poolers(message: &str) -> bool {
    message.contains("statement pooling mode") || message.contains("unsupported startup parameter")
}

/// Receives the messages that a store is unavailable, or back.
pub type Listener = Box<dyn Fn(&str) + Send + Sync>;

/// Reports once that a store is unavailable, and once that it is back.
#[derive(Default)]
pub struct Availability(Mutex<State>);

#[derive(Default)]
struct State {
    away: bool,
    /// Since when it has been merely busy.
    busy: Option<Instant>,
    listener: Option<Listener>,
}

impl std::fmt::Debug for Availability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Availability")
    }
}

impl Availability {
    /// Sets who receives the messages from now on.
    pub fn listen(&self, listener: Listener) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).listener = Some(listener);
    }

    /// Whether it is unavailable.
    pub fn is_away(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).away
    }

    /// Whether it is unavailable, or might be because it was busy last.
    pub fn may_be_away(&self) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.away || state.busy.is_some()
    }

    /// Notes a failure; `absence` is `None` if the store is not the reason.
    pub fn failed(&self, absence: Option<Absence>, error: &dyn std::fmt::Display) {
        self.failed_at(Instant::now(), absence, error);
    }

    fn failed_at(&self, now: Instant, absence: Option<Absence>, error: &dyn std::fmt::Display) {
        let Some(absence) = absence else { return };
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Being too slow once does not make the store unavailable.
        let is_brief = matches!(absence, Absence::Busy | Absence::Crowded)
            && now.saturating_duration_since(*state.busy.get_or_insert(now)) < BUSY;
        if is_brief || std::mem::replace(&mut state.away, true) {
            return;
        }
        if let Some(listener) = &state.listener {
            listener(&format!("the store is unavailable: {}; {error}", absence.words()));
        }
    }

    /// A change was made.
    pub fn worked(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.busy = None;
        let was_away = std::mem::take(&mut state.away);
        if let Some(listener) = state.listener.as_ref().filter(|_| was_away) {
            listener("the store is back");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, mpsc};

    #[test]
    fn codes_are_told_apart() {
        for (code, absence) in [
            ("25006", Some(Absence::ReadOnly)),
            ("53100", Some(Absence::Full)),
            ("53300", Some(Absence::Crowded)),
            ("53200", Some(Absence::Busy)),
            ("40P01", Some(Absence::Busy)),
            ("57P01", Some(Absence::Stopped)),
            ("57014", Some(Absence::Busy)),
            ("08006", Some(Absence::Unreachable)),
            ("58030", Some(Absence::Disk)),
            ("28000", Some(Absence::Login)),
            ("28P01", Some(Absence::Login)),
            ("3D000", Some(Absence::NoDatabase)),
            ("42P01", None),
            ("23505", None),
            ("5", Some(Absence::Busy)),
            ("517", Some(Absence::Busy)),
            ("8", Some(Absence::ReadOnly)),
            ("1032", Some(Absence::ReadOnly)),
            ("13", Some(Absence::Full)),
            ("266", Some(Absence::Disk)),
            ("4874", Some(Absence::Full)),
            ("14", Some(Absence::Unopened)),
            ("11", None),
            ("787", None),
            ("", None),
        ] {
            assert_eq!(Absence::of_code(code), absence, "{code}");
        }
    }

    #[test]
    fn a_refusal_of_a_pooler_is_no_absence_of_the_database() {
        assert!(is_poolers("transaction blocks not allowed in statement pooling mode"));
        assert!(is_poolers("unsupported startup parameter: extra_float_digits"));
        assert!(!is_poolers("the database system is starting up"));
        assert_eq!(Absence::of(&sqlx::Error::Tls("server does not support TLS".into())), Some(Absence::Tls));
    }

    /// The messages as `PgBouncer` sends them, with its one code.
    #[test]
    fn what_a_pooler_passes_on_is_told_apart() {
        for (message, absence) in [
            ("no such database: people", Absence::NoDatabase),
            ("database \"people\" does not exist", Absence::NoDatabase),
            ("server login has been failing, cached error: database \"people\" does not exist", Absence::NoDatabase),
            ("\"trust\" authentication failed", Absence::Login),
            ("password authentication failed", Absence::Login),
            ("SASL authentication failed", Absence::Login),
            ("certificate authentication failed", Absence::Login),
            ("unix socket login rejected", Absence::Login),
            ("no such user", Absence::Login),
            ("no such user: store", Absence::Login),
            ("password authentication failed for user \"store\"", Absence::Login),
            ("role \"store\" does not exist", Absence::Login),
            ("role \"store\" is not permitted to log in", Absence::Login),
            ("no pg_hba.conf entry for host \"::1\", user \"store\", database \"people\"", Absence::Login),
            ("no more connections allowed (max_client_conn)", Absence::Crowded),
            ("client connections exceeded (max_db_client_connections)", Absence::Crowded),
            ("sorry, too many clients already", Absence::Crowded),
            ("remaining connection slots are reserved for roles with the SUPERUSER attribute", Absence::Crowded),
            ("too many connections for role \"store\"", Absence::Crowded),
            ("too many connections for database \"people\"", Absence::Crowded),
            ("the database system is starting up", Absence::Stopped),
            ("server login has been failing, try again later (server_login_retry)", Absence::Unreachable),
            ("client_login_timeout (server down)", Absence::Unreachable),
            ("query_wait_timeout", Absence::Unreachable),
            ("database \"people\" is disabled", Absence::Unreachable),
            ("", Absence::Unreachable),
        ] {
            assert_eq!(Absence::of_answer("08P01", message), Some(absence), "{message}");
        }
        // The words count only with that code: a database that answers itself has better ones.
        assert_eq!(Absence::of_answer("42P01", "relation of database \"people\" does not exist"), None);
        assert_eq!(Absence::of_answer("57P03", "no such user"), Some(Absence::Stopped));
    }

    #[test]
    fn an_absence_is_told_once_and_its_end_once() {
        let (tell, told) = mpsc::channel();
        let store = Arc::new(Availability::default());
        store.worked();
        store.listen(Box::new(move |text| drop(tell.send(text.to_owned()))));
        store.failed(None, &"damaged");
        let start = Instant::now();
        let busy = |seconds, absence| store.failed_at(start + Duration::from_secs(seconds), Some(absence), &"locked");
        busy(0, Absence::Busy);
        busy(9, Absence::Crowded);
        assert!(!store.is_away() && store.may_be_away());
        store.worked();
        assert!(!store.may_be_away());
        for (seconds, is_away) in [(10, false), (19, false), (20, true), (21, true)] {
            busy(seconds, Absence::Busy);
            assert_eq!(store.is_away(), is_away, "{seconds}");
        }
        store.worked();
        for _ in 0..3 {
            store.failed(Some(Absence::Unreachable), &"no answer");
        }
        assert!(store.is_away());
        for _ in 0..3 {
            store.worked();
        }
        store.failed(Some(Absence::Unreachable), &"no answer");
        let told: Vec<_> = told.try_iter().collect();
        assert_eq!(told.len(), 5, "{told:?}");
        assert_eq!(told[0], "the store is unavailable: it is busy; locked");
        assert!(told[2].starts_with("the store is unavailable: it cannot be reached; ") && told[2] == told[4]);
        assert_eq!((told[1].as_str(), told[3].as_str()), ("the store is back", "the store is back"));
    }
}
