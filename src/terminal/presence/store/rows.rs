//! Converts rows of the database: entries, slots, events. Reading accepts only what writing produces; all else is
//! damage.

use jiff::Timestamp;
use rusqlite::types::{Type, Value};
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Denial;
use crate::terminal::presence::{Change, Entry, Event, LastTap, PresenceList, ReaderSlot, RefusalCode, Stay};

type Result<T> = rusqlite::Result<T>;

/// Reads the whole list.
pub(super) fn load(db: &Connection) -> Result<PresenceList> {
    let seq: i64 = db.prepare_cached("SELECT ifnull(max(seq), 0) FROM events")?.query_row([], |row| row.get(0))?;
    let stays = all(db, "SELECT * FROM entries", stay)?;
    let slots = all(db, "SELECT * FROM slots", slot)?;
    let denied: Vec<String> = all(db, "SELECT id FROM denied", |row| row.get(0))?;
    let taps = all(db, "SELECT * FROM taps", last_tap)?;
    Ok(PresenceList::restore(seq.cast_unsigned(), stays, slots, denied, taps, flag(db, "service_lost")?))
}

pub(super) fn all<T>(db: &Connection, sql: &str, read: impl FnMut(&Row<'_>) -> Result<T>) -> Result<Vec<T>> {
    db.prepare_cached(sql)?.query_map([], read)?.collect()
}

/// Writes the changes of one input.
pub(super) fn save(db: &Connection, list: &PresenceList, changes: &[Change]) -> Result<()> {
    for change in changes {
        match change {
            Change::Event(event) => save_event(db, event)?,
            Change::Stay(token_id) => save_stay(db, *token_id, list.stay(*token_id))?,
            Change::ReaderSlot(reader) => save_slot(db, reader, list.slot(reader))?,
            Change::Denied(id) => save_denied(db, id, list.is_denied(id))?,
            Change::Tapped(token_id) => save_tap(db, *token_id, list.last_tap(*token_id))?,
            Change::Service => set_flag(db, "service_lost", list.service_lost())?,
        }
    }
    Ok(())
}

fn save_stay(db: &Connection, token_id: Uuid, stay: Option<&Stay>) -> Result<()> {
    let Some(Stay { entry, mode, closes }) = stay else {
        db.prepare_cached("DELETE FROM entries WHERE token_id = ?1")?.execute([token_id.as_bytes()])?;
        return Ok(());
    };
    let sql = "REPLACE INTO entries VALUES \
        (:token_id, :user, :reader, :since, :last_seen, :state, :source, :authenticated, :mode, :closes, :resumed)";
    db.prepare_cached(sql)?.execute(named_params! {
        ":token_id": token_id.as_bytes(),
        ":user": json(&entry.user)?,
        ":reader": entry.reader,
        ":since": entry.since.as_millisecond(),
        ":last_seen": entry.last_seen.as_millisecond(),
        ":state": word(&entry.state)?,
        ":source": word(&entry.source)?,
        ":authenticated": entry.authenticated,
        ":mode": word(mode)?,
        ":closes": closes.map(Timestamp::as_millisecond),
        ":resumed": entry.resumed,
    })?;
    Ok(())
}

fn stay(row: &Row<'_>) -> Result<Stay> {
    let entry = Entry {
        token_id: Uuid::from_bytes(row.get("token_id")?),
        user: parsed(row, "user")?,
        reader: row.get("reader")?,
        since: time(row.get("since")?)?,
        last_seen: time(row.get("last_seen")?)?,
        state: named(row, "state")?,
        source: named(row, "source")?,
        authenticated: row.get("authenticated")?,
        resumed: row.get("resumed")?,
    };
    let closes: Option<i64> = row.get("closes")?;
    Ok(Stay { entry, mode: named(row, "mode")?, closes: closes.map(time).transpose()? })
}

fn save_slot(db: &Connection, reader: &str, slot: Option<&ReaderSlot>) -> Result<()> {
    let Some(slot) = slot else { return Ok(()) };
    let held = slot.held.as_ref().map(json).transpose()?;
    // The bit pattern of the number, because the database only has signed ones.
    let insertion = slot.insertion.map(|insertion| insertion.get().cast_signed());
    db.prepare_cached("REPLACE INTO slots VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?.execute(params![
        reader,
        slot.attached,
        insertion,
        slot.unsure,
        slot.empty_at.map(Timestamp::as_millisecond),
        held,
        slot.refusal.as_ref().map(RefusalCode::as_stored),
        slot.unavailable
    ])?;
    Ok(())
}

fn slot(row: &Row<'_>) -> Result<(String, ReaderSlot)> {
    let insertion: Option<i64> = row.get("insertion")?;
    let empty_at: Option<i64> = row.get("empty_at")?;
    let slot = ReaderSlot {
        attached: row.get("attached")?,
        unavailable: row.get("unavailable")?,
        insertion: insertion.map(|number| number.cast_unsigned().into()),
        unsure: row.get("unsure")?,
        empty_at: empty_at.map(time).transpose()?,
        held: parsed_if(row, "held")?,
        refusal: row.get::<_, Option<String>>("told")?.map(RefusalCode::from_stored),
    };
    Ok((row.get("reader")?, slot))
}

fn save_tap(db: &Connection, token_id: Uuid, tap: Option<&LastTap>) -> Result<()> {
    match tap {
        Some(LastTap { reader, at }) => db
            .prepare_cached("REPLACE INTO taps VALUES (?1, ?2, ?3)")?
            .execute(params![token_id.as_bytes(), reader, at.as_millisecond()])?,
        None => db.prepare_cached("DELETE FROM taps WHERE token_id = ?1")?.execute([token_id.as_bytes()])?,
    };
    Ok(())
}

fn last_tap(row: &Row<'_>) -> Result<(Uuid, LastTap)> {
    let tap = LastTap { reader: row.get("reader")?, at: time(row.get("at")?)? };
    Ok((Uuid::from_bytes(row.get("token_id")?), tap))
}

fn save_denied(db: &Connection, id: &str, denied: bool) -> Result<()> {
    let sql = if denied { "INSERT OR IGNORE INTO denied (id) VALUES (?1)" } else { "DELETE FROM denied WHERE id = ?1" };
    db.prepare_cached(sql)?.execute([id])?;
    Ok(())
}

/// Adds time, name and reason to a denial.
pub(super) fn describe_denial(db: &Connection, denial: &Denial) -> Result<()> {
    let sql =
        "UPDATE denied SET at = ifnull(at, ?2), name = ifnull(?3, name), reason = ifnull(?4, reason) WHERE id = ?1";
    let Denial { id, at, name, reason } = denial;
    db.prepare_cached(sql)?.execute(params![id, at.map(Timestamp::as_millisecond), name, reason]).map(drop)
}

/// The denials, by id.
pub(super) fn denials(db: &Connection) -> Result<Vec<Denial>> {
    all(db, "SELECT * FROM denied ORDER BY id", |row| {
        let at: Option<i64> = row.get("at")?;
        let at = at.map(time).transpose()?;
        Ok(Denial { id: row.get("id")?, at, name: row.get("name")?, reason: row.get("reason")? })
    })
}

/// The last name seen with this user or token id, or else the one in the register.
pub(super) fn last_name(db: &Connection, id: &str) -> Result<Option<String>> {
    let token_id = Uuid::try_parse(id).ok().map(Uuid::into_bytes);
    let told = "SELECT user ->> 'name' FROM events \
        WHERE user ->> 'id' = ?1 OR token_id = ?2 AND user IS NOT NULL ORDER BY seq DESC LIMIT 1";
    let registered =
        "SELECT user ->> 'name' FROM cards WHERE user_id = ?1 OR token_id = ?2 ORDER BY changed DESC LIMIT 1";
    for sql in [told, registered] {
        let name = db.prepare_cached(sql)?.query_row(params![id, token_id], |row| row.get(0)).optional()?;
        if name.is_some() {
            return Ok(name);
        }
    }
    Ok(None)
}

fn save_event(db: &Connection, event: &Event) -> Result<()> {
    let sql = "INSERT INTO events VALUES \
        (:seq, :at, :event, :reader, :token_id, :user, :source, :authenticated, :reason, :error, :by, :note, :resumed)";
    db.prepare_cached(sql)?.execute(named_params! {
        ":seq": event.seq.cast_signed(),
        ":at": event.at.as_millisecond(),
        ":event": word(&event.event)?,
        ":reader": event.reader,
        ":token_id": event.token_id.as_ref().map(Uuid::as_bytes),
        ":user": event.user.as_ref().map(json).transpose()?,
        ":source": event.source.as_ref().map(word).transpose()?,
        ":authenticated": event.authenticated,
        ":reason": event.reason.as_ref().map(word).transpose()?,
        ":error": event.error.as_ref().map(json).transpose()?,
        ":by": event.by,
        ":note": event.note,
        ":resumed": event.resumed,
    })?;
    Ok(())
}

/// Reads a row of the table `events`.
pub(super) fn event(row: &Row<'_>) -> Result<Event> {
    let token_id: Option<[u8; 16]> = row.get("token_id")?;
    Ok(Event {
        seq: row.get::<_, i64>("seq")?.cast_unsigned(),
        at: time(row.get("at")?)?,
        event: named(row, "event")?,
        reader: row.get("reader")?,
        token_id: token_id.map(Uuid::from_bytes),
        user: parsed_if(row, "user")?,
        source: named_if(row, "source")?,
        authenticated: row.get("authenticated")?,
        resumed: row.get("resumed")?,
        reason: named_if(row, "reason")?,
        error: parsed_if(row, "error")?,
        by: row.get("by")?,
        note: row.get("note")?,
    })
}

/// Reads a flag; false until it is set.
pub(super) fn flag(db: &Connection, name: &str) -> Result<bool> {
    db.prepare_cached("SELECT ifnull((SELECT value FROM flags WHERE name = ?1), 0)")?
        .query_row([name], |row| row.get(0))
}

/// Sets a flag.
pub(super) fn set_flag(db: &Connection, name: &str, value: bool) -> Result<()> {
    db.prepare_cached("REPLACE INTO flags VALUES (?1, ?2)")?.execute(params![name, value])?;
    Ok(())
}

/// A value as JSON text.
pub(super) fn json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// The JSON word for a value.
fn word<T: Serialize>(value: &T) -> Result<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        Ok(other) => json(&other),
        Err(error) => Err(rusqlite::Error::ToSqlConversionFailure(Box::new(error))),
    }
}

/// A value stored as JSON text.
pub(super) fn parsed<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(unreadable)
}

fn parsed_if<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<Option<T>> {
    if row.get::<_, Value>(column)? == Value::Null { Ok(None) } else { parsed(row, column).map(Some) }
}

fn named<T: for<'a> Deserialize<'a>>(row: &Row<'_>, column: &str) -> Result<T> {
    let word: String = row.get(column)?;
    T::deserialize(word.as_str().into_deserializer()).map_err(|error: serde::de::value::Error| unreadable(error))
}

fn named_if<T: for<'a> Deserialize<'a>>(row: &Row<'_>, column: &str) -> Result<Option<T>> {
    if row.get::<_, Value>(column)? == Value::Null { Ok(None) } else { named(row, column).map(Some) }
}

/// A time from milliseconds.
pub(super) fn time(ms: i64) -> Result<Timestamp> {
    Timestamp::from_millisecond(ms).map_err(unreadable)
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error))
}
