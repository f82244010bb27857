//! The terminal's store: the list, its events, and what is remembered about tokens, in one SQLite file.
//!
//! Each input is one transaction of entries, events and their numbers, so that after a kill at any moment the list
//! equals a replay of the events. Events are on disk before they are reported (`synchronous=FULL`); mere refreshes
//! (heartbeats, counters, certificates) do not wait for the disk: they survive a kill, and a power cut may lose but
//! never tear them. A watch continues while it cannot write: what happens then waits in memory.
//!
//! Several processes may use the store at once. Each caches the list in memory and reads it again, inside the
//! transaction, after another process has written. A watch holds a lock; meanwhile other processes hand over their
//! outcomes and wake it ([`TerminalStore::deliver`]), and the watch applies them exactly once
//! ([`TerminalStore::catch_up`]). Operator commands (`clear`, `deny`) are applied directly before the watch is woken,
//! since they must take effect even if the watch hangs.

mod cards;
mod delivery;
mod error;
mod file;
mod outage;
mod privacy;
mod queries;
mod rows;
#[cfg(test)]
mod tests;
mod tokens;
mod wakeup;
mod watch_lock;
mod work;

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use outage::Outage;
use work::ListTransaction;

pub use cards::{CardState, IssuedCard};
pub use delivery::Delivery;
pub use error::TerminalStoreError;
pub(in crate::terminal) use file::{take_in_log, unchanging};
pub use outage::StoreNotice;
pub use privacy::PersonalData;
pub use tokens::CertificateOf;
pub use wakeup::{Waiter, Wakeup};
pub use watch_lock::WatchLock;

use super::{Entry, Event, Input, Policy, PresenceList};

/// The open terminal store.
#[derive(Debug)]
pub struct TerminalStore {
    db: Connection,
    /// Why the file is open for reading only, as determined when it was opened.
    makeshift: Option<file::Makeshift>,
    home: PathBuf,
    path: PathBuf,
    sync: Option<Sync>,
    memory: Option<CachedList>,
    /// Whether to continue when the file cannot be written.
    resilient: bool,
    /// What is waiting to be written.
    outage: Option<Outage>,
    notices: Vec<StoreNotice>,
}

/// How long a watch waits for another writing process before it continues without writing.
const PATIENCE_OF_WATCH: Duration = Duration::from_secs(1);

/// The list as last read.
#[derive(Debug)]
struct CachedList {
    list: PresenceList,
    /// `data_version`: it changes when another process has written.
    version: i64,
    /// The number of the last event returned to the caller.
    given: u64,
}

/// Whether a transaction waits until it is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sync {
    Full,
    Lazy,
}

/// A token or user that is denied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Denial {
    /// The id of the user or of the token.
    pub id: String,
    /// Since when; `None` if an earlier release denied it.
    pub at: Option<Timestamp>,
    /// The holder's name, if known.
    pub name: Option<String>,
    /// The reason, if given.
    pub reason: Option<String>,
}

impl TerminalStore {
    /// Opens `terminal.db` in the folder `home`; creates both if missing.
    ///
    /// # Errors
    /// [`TerminalStoreError::Damaged`] or [`TerminalStoreError::Newer`] for a file that is not of this version or an
    /// older one; [`TerminalStoreError::Locked`], [`TerminalStoreError::Full`], [`TerminalStoreError::ReadOnly`] or
    /// [`TerminalStoreError::File`] when it cannot be used now.
    pub fn open(home: &Path) -> Result<Self, TerminalStoreError> {
        let path = home.join("terminal.db");
        let (db, makeshift) = file::open(home, &path)?;
        Ok(Self {
            db,
            makeshift,
            home: home.to_owned(),
            path,
            sync: None,
            memory: None,
            resilient: false,
            outage: None,
            notices: Vec::new(),
        })
    }

    /// Opens the store only if it exists: a command that only reads must not create anything.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_if_there(home: &Path) -> Result<Option<Self>, TerminalStoreError> {
        if file::is_there(&home.join("terminal.db"))? { Self::open(home).map(Some) } else { Ok(None) }
    }

    /// Opens the store only if it exists, and brings it up to date as [`TerminalStore::settle`] does.
    ///
    /// # Errors
    /// As [`Self::open`] and [`Self::settle`].
    pub fn open_settled(home: &Path, now: Timestamp, policy: &dyn Policy) -> Result<Option<Self>, TerminalStoreError> {
        let store = Self::open_if_there(home)?;
        store.map(|mut store| store.settle(now, policy).map(|()| store)).transpose()
    }

    /// Applies one input, and returns all events since the last call, including those of other processes, in order.
    ///
    /// # Errors
    /// [`TerminalStoreError::Locked`], [`TerminalStoreError::Full`], [`TerminalStoreError::ReadOnly`] or
    /// [`TerminalStoreError::File`] when it cannot be written at the moment; [`TerminalStoreError::Damaged`]. The input
    /// is not applied then. The store of a watch continues instead, and reports through [`Self::notices`].
    pub fn apply(
        &mut self,
        input: &Input,
        now: Timestamp,
        policy: &dyn Policy,
    ) -> Result<Vec<Event>, TerminalStoreError> {
        let mut events = self.recovered(policy);
        if let Some(events) = &mut events {
            match self.apply_stored(input, now, policy) {
                Ok(()) => {
                    events.extend(self.news()?);
                    return Ok(std::mem::take(events));
                }
                Err(error) => self.endure(error)?,
            }
        }
        let mut events = events.unwrap_or_default();
        events.extend(self.apply_in_memory(input, now, policy));
        Ok(events)
    }

    fn apply_stored(&mut self, input: &Input, now: Timestamp, policy: &dyn Policy) -> Result<(), TerminalStoreError> {
        if input.is_routine() {
            let done = self.transact(Sync::Lazy, |work| {
                work.apply(input, now, policy)?;
                Ok(if work.told { None } else { Some(()) })
            })?;
            if done.is_some() {
                return Ok(());
            }
        }
        self.transact(Sync::Full, |work| work.apply(input, now, policy).map(Some)).map(drop)
    }

    /// Applies an operator's command directly, and wakes the watch, which then reads the result.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn order(
        &mut self,
        input: &Input,
        now: Timestamp,
        policy: &dyn Policy,
    ) -> Result<Vec<Event>, TerminalStoreError> {
        let events = self.apply(input, now, policy)?;
        wakeup::call(&self.home);
        Ok(events)
    }

    /// Brings the list up to date before it is shown, when no watch does: applies what was handed over to a watch that
    /// is gone, marks what a crashed watch left behind as unconfirmed, and lets time pass.
    ///
    /// If the store cannot be written at the moment, it stays unchanged.
    ///
    /// # Errors
    /// [`TerminalStoreError::Damaged`] or [`TerminalStoreError::File`].
    pub fn settle(&mut self, now: Timestamp, policy: &dyn Policy) -> Result<(), TerminalStoreError> {
        match self.try_settle(now, policy) {
            Err(
                TerminalStoreError::Locked { .. }
                | TerminalStoreError::ReadOnly { .. }
                | TerminalStoreError::Denied { .. }
                | TerminalStoreError::Full { .. },
            ) => Ok(()),
            other => other,
        }
    }

    fn try_settle(&mut self, now: Timestamp, policy: &dyn Policy) -> Result<(), TerminalStoreError> {
        if !self.needs_settling(now)? {
            return Ok(());
        }
        let home = self.home.clone();
        self.transact(Sync::Full, |work| {
            if watch_lock::is_running(&home)? {
                return Ok(None);
            }
            work.recover(now, policy)?;
            work.apply(&Input::Tick, now, policy).map(Some)
        })?;
        Ok(())
    }

    fn needs_settling(&mut self, now: Timestamp) -> Result<bool, TerminalStoreError> {
        let left_behind = self.query(|db| {
            Ok(rows::flag(db, "watching")?
                || db.prepare_cached("SELECT EXISTS (SELECT 1 FROM handover)")?.query_row([], |row| row.get(0))?)
        })?;
        Ok(left_behind || self.list()?.next_deadline().is_some_and(|deadline| deadline <= now))
    }

    /// Called by the watch when woken, and on its slow tick: applies what was handed over, and returns all events since
    /// the last call, including those of other processes, in order.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn catch_up(&mut self, now: Timestamp, policy: &dyn Policy) -> Result<Vec<Event>, TerminalStoreError> {
        let Some(mut events) = self.recovered(policy) else { return Ok(Vec::new()) };
        match self.transact(Sync::Full, |work| work.drain(now, policy).map(Some)) {
            Ok(_) => events.extend(self.news()?),
            Err(error) => self.endure(error)?,
        }
        Ok(events)
    }

    /// The next time at which an entry ends by itself: apply a [`Input::Tick`] then.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn next_deadline(&mut self) -> Result<Option<Timestamp>, TerminalStoreError> {
        Ok(self.list()?.next_deadline())
    }

    /// Checks that the file is intact and writable, without changing it.
    ///
    /// # Errors
    /// [`TerminalStoreError::Damaged`] when it is not intact; [`TerminalStoreError::Locked`],
    /// [`TerminalStoreError::Full`], [`TerminalStoreError::ReadOnly`] or [`TerminalStoreError::File`] when it cannot be
    /// written now.
    pub fn check(&self) -> Result<(), TerminalStoreError> {
        if let Some(why) = self.makeshift {
            return Err(why.error(&self.path));
        }
        self.query(|db| {
            begin(db, TransactionBehavior::Immediate)?.rollback()?;
            db.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
        })
        .and_then(|word| if word == "ok" { Ok(()) } else { Err(TerminalStoreError::damaged(&self.path, &word)) })
    }

    /// The entries, longest stay first.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn entries(&mut self) -> Result<Vec<Entry>, TerminalStoreError> {
        let mut entries: Vec<_> = self.list()?.entries().cloned().collect();
        entries.sort_by_key(|entry| entry.since);
        Ok(entries)
    }

    /// Denies an id, and stores the details given; a missing name is taken from the last event or the register.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn deny(
        &mut self,
        denial: &Denial,
        now: Timestamp,
        policy: &dyn Policy,
    ) -> Result<Vec<Event>, TerminalStoreError> {
        self.transact(Sync::Full, |work| {
            let name = match denial.name.clone() {
                Some(name) => Some(name),
                None => work.wrap(rows::last_name(work.db, &denial.id))?.filter(|name| !name.is_empty()),
            };
            work.apply(&Input::Deny { id: denial.id.clone() }, now, policy)?;
            work.wrap(rows::describe_denial(work.db, &Denial { name, at: Some(now), ..denial.clone() }))?;
            Ok(Some(()))
        })?;
        wakeup::call(&self.home);
        self.news()
    }

    /// The current list.
    ///
    /// # Errors
    /// [`TerminalStoreError::Damaged`], [`TerminalStoreError::Locked`] or [`TerminalStoreError::File`] when it cannot
    /// be read.
    pub fn list(&mut self) -> Result<&PresenceList, TerminalStoreError> {
        if self.outage.is_none()
            && let Err(error) = self.reread()
        {
            self.endure(error)?;
        }
        let memory = self.memory.as_ref().ok_or_else(|| TerminalStoreError::damaged(&self.path, &"it was not read"))?;
        Ok(&memory.list)
    }

    fn reread(&mut self) -> Result<(), TerminalStoreError> {
        let path = self.path.as_path();
        let wrap = |error: rusqlite::Error| TerminalStoreError::database(path, &error);
        let tx = begin(&self.db, TransactionBehavior::Deferred).map_err(wrap)?;
        refresh(&tx, &mut self.memory).map(drop).map_err(wrap)
    }

    /// Runs one transaction, which is rolled back when the closure returns `None`.
    fn transact<T>(
        &mut self,
        sync: Sync,
        run: impl FnOnce(&mut ListTransaction<'_>) -> Result<Option<T>, TerminalStoreError>,
    ) -> Result<Option<T>, TerminalStoreError> {
        if let Some(why) = self.makeshift {
            return Err(why.error(&self.path));
        }
        self.synchronise(sync)?;
        let path = self.path.as_path();
        let wrap = |error: rusqlite::Error| TerminalStoreError::database(path, &error);
        let tx = begin(&self.db, TransactionBehavior::Immediate).map_err(wrap)?;
        let memory = refresh(&tx, &mut self.memory).map_err(wrap)?;
        let mut work = ListTransaction::new(&tx, path, memory.list.clone());
        let Some(value) = run(&mut work)? else { return Ok(None) };
        let ListTransaction { list, forgotten, .. } = work;
        match tx.commit() {
            Ok(()) => memory.list = list,
            Err(error) => {
                memory.version = NEVER_READ;
                return Err(wrap(error));
            }
        }
        self.notices.extend(forgotten.then_some(StoreNotice::Forgotten));
        Ok(Some(value))
    }

    /// The events not yet returned to the caller.
    fn news(&mut self) -> Result<Vec<Event>, TerminalStoreError> {
        let wrap = |error: rusqlite::Error| TerminalStoreError::database(&self.path, &error);
        let Some(memory) = self.memory.as_mut().filter(|memory| memory.given < memory.list.seq()) else {
            return Ok(Vec::new());
        };
        let read = || {
            let sql = "SELECT * FROM events WHERE seq > ?1 AND seq <= ?2 ORDER BY seq";
            let range = params![memory.given.cast_signed(), memory.list.seq().cast_signed()];
            self.db.prepare_cached(sql)?.query_map(range, rows::event)?.collect::<rusqlite::Result<Vec<_>>>()
        };
        let events = read().map_err(wrap)?;
        memory.given = memory.list.seq();
        Ok(events)
    }

    fn synchronise(&mut self, sync: Sync) -> Result<(), TerminalStoreError> {
        if self.sync != Some(sync) {
            let word = if sync == Sync::Full { "FULL" } else { "NORMAL" };
            self.query(|db| db.pragma_update(None, "synchronous", word))?;
            self.sync = Some(sync);
        }
        Ok(())
    }

    fn query<T>(&self, run: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, TerminalStoreError> {
        run(&self.db).map_err(|error| self.wrap(&error))
    }

    fn wrap(&self, error: &rusqlite::Error) -> TerminalStoreError {
        match (self.makeshift, TerminalStoreError::database(&self.path, error)) {
            (Some(why), TerminalStoreError::ReadOnly { .. }) => why.error(&self.path),
            (_, error) => error,
        }
    }

    /// Reopens a file that was open for reading only; its state stays if it still cannot be opened for writing.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn reopen(&mut self) -> Result<(), TerminalStoreError> {
        if self.makeshift.is_none() {
            return Ok(());
        }
        let (db, makeshift) = file::open(&self.home, &self.path)?;
        if self.resilient {
            db.busy_timeout(PATIENCE_OF_WATCH).map_err(|error| self.wrap(&error))?;
        }
        (self.db, self.makeshift, self.sync) = (db, makeshift, None);
        makeshift.map_or(Ok(()), |why| Err(why.error(&self.path)))
    }
}

/// A `data_version` that SQLite never returns.
const NEVER_READ: i64 = -1;

fn begin(db: &Connection, behavior: TransactionBehavior) -> rusqlite::Result<Transaction<'_>> {
    Transaction::new_unchecked(db, behavior)
}

/// The list as this transaction sees it, read again if another process has written.
fn refresh<'a>(tx: &Connection, memory: &'a mut Option<CachedList>) -> rusqlite::Result<&'a mut CachedList> {
    let version = data_version(tx)?;
    match memory {
        Some(known) if known.version == version => {}
        Some(known) => {
            known.list = rows::load(tx)?;
            known.version = version;
        }
        None => {
            let list = rows::load(tx)?;
            *memory = Some(CachedList { version, given: list.seq(), list });
        }
    }
    memory.as_mut().ok_or(rusqlite::Error::QueryReturnedNoRows)
}

/// Changes when another process has written.
fn data_version(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

/// The first whole millisecond not before this time.
fn ceil_ms(time: Timestamp) -> i64 {
    let ms = time.as_millisecond();
    if Timestamp::from_millisecond(ms).is_ok_and(|floor| floor < time) { ms + 1 } else { ms }
}
