//! Keeps presence up to date with each batch of events, and replays it for any time in the past.

mod replay;

pub use replay::{orphaned, rebuild, rebuild_orphans};

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use self::replay::replay;
use super::{
    Connection, DatabaseRow, ROWS_AT_ONCE, Result, Row, equipment, from_json, known_lists::known_lists, moment, parsed,
    query, unreadable, write,
};
use crate::{
    api::v1::{AHEAD_SECONDS, PresenceState, PresenceSummary, PresenceTerminal, PresentUser, SILENT_SECONDS},
    server::{
        presence::{
            EventIndex, EventPlace, KnownList, Naming, PlacedSubject, PresenceWord, Whereabouts, is_void, people,
            user_of,
        },
        store::{
            NewEvent,
            rows::{BoundColumn, BoundRows},
        },
    },
};

/// Events read at once when a store of an earlier release is migrated.
const PAGE: i64 = 500;
/// The columns bound for each person to be named.
const NAMED_COLUMNS: usize = 10;
/// Most terminals reported.
const TERMINALS: i64 = 1000;

/// The people who count now, each once, where they were last seen: for each subject the terminal that saw it last, for
/// each person the subject that was seen last. `$1` only takes up its number. There are indexes for both conditions, so
/// a page costs no more than its own rows.
const NOW: &str = "SELECT s.* FROM stays s WHERE $1 >= 0 AND s.word <> 'left'
    AND NOT EXISTS (SELECT 1 FROM stays o WHERE o.subject = s.subject AND (o.seen, o.terminal) > (s.seen, s.terminal))
    AND NOT EXISTS (SELECT 1 FROM stays p WHERE p.person = s.person AND p.word <> 'left'
        AND (p.seen, p.terminal, p.subject) > (s.seen, s.terminal, s.subject) AND NOT EXISTS (
        SELECT 1 FROM stays o WHERE o.subject = p.subject AND (o.seen, o.terminal) > (p.seen, p.terminal)))";

/// The columns of a stay.
const COLUMNS: &str =
    "terminal, subject, epoch, seq, word, seen, since, arrived, named_epoch, named_list, named_seq, person";

/// The lists of a terminal, whose row is locked until the end of this transaction: other batches of its events wait.
async fn lists_of(c: &mut Connection, terminal: &str) -> Result<Vec<KnownList>> {
    query("UPDATE terminals SET role = role WHERE name = $1").bind(terminal).execute(&mut *c).await?;
    Ok(known_lists(c, Some(terminal)).await?.remove(terminal).unwrap_or_default())
}

/// Applies events of one list that were just stored.
pub async fn take(c: &mut Connection, terminal: &str, list: &str, events: &[&NewEvent]) -> Result<()> {
    let (Some(first), Some(last_at)) = (events.first(), events.iter().map(|event| event.index.at).max()) else {
        return Ok(());
    };
    let mut lists = lists_of(c, terminal).await?;
    let newest = lists.iter().map(|list| list.epoch).max().unwrap_or_default();
    let known = lists.iter().position(|known| known.list == list);
    let at = known.unwrap_or(lists.len());
    if known.is_none() {
        let (first_seq, first_at) = (i64::MAX, first.index.at);
        lists.push(KnownList { list: list.to_owned(), epoch: newest + 1, first_seq, first_at, last_at });
    }
    let this = &mut lists[at]; // invariant: it was found there, or pushed
    let begins_earlier = first.seq < this.first_seq;
    if begins_earlier {
        (this.first_seq, this.first_at) = (first.seq, first.index.at);
    }
    this.last_at = this.last_at.max(last_at);
    let this = this.clone();
    keep_list(c, terminal, &this).await?;
    if begins_earlier && this.epoch > 1 {
        // What earlier lists reported from this number on no longer counts.
        equipment::rebuild(c, Some(terminal)).await?;
        return rebuild(c, Some(terminal)).await;
    }
    let mut said = BTreeMap::<&str, Whereabouts>::new();
    for event in events {
        let place = EventPlace { epoch: this.epoch, seq: event.seq };
        if is_void(lists.iter(), place) {
            continue;
        }
        if let Some(word) = &event.index.equipment {
            equipment::take(c, terminal, word, place, event.index.at).await?;
        }
        let Some(subject) = &event.index.subject else { continue };
        let Some(stay) = Whereabouts::of(&event.index, place, list) else { continue };
        match said.get_mut(subject.as_str()) {
            Some(known) => known.absorb(stay),
            None => drop(said.insert(subject, stay)),
        }
    }
    for (subject, stay) in said {
        absorb(c, terminal, subject, stay).await?;
    }
    Ok(())
}

async fn keep_list(c: &mut Connection, terminal: &str, list: &KnownList) -> Result<()> {
    query(
        "INSERT INTO lists (terminal, list, epoch, first_seq, first_at, last_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (terminal, list) DO UPDATE SET first_seq = excluded.first_seq, first_at = excluded.first_at,
         last_at = excluded.last_at",
    )
    .bind(terminal)
    .bind(&list.list)
    .bind(list.epoch)
    .bind(list.first_seq)
    .bind(list.first_at)
    .bind(list.last_at)
    .execute(c)
    .await?;
    Ok(())
}

async fn absorb(c: &mut Connection, terminal: &str, subject: &str, mut stay: Whereabouts) -> Result<()> {
    let row = query(AssertSqlSafe(format!("SELECT {COLUMNS} FROM stays WHERE terminal = $1 AND subject = $2")))
        .bind(terminal)
        .bind(subject)
        .fetch_optional(&mut *c)
        .await?;
    if let Some(row) = row {
        let word = PresenceWord::parse(row.try_get("word")?);
        stay.absorb(Whereabouts {
            last: EventPlace { epoch: row.try_get("epoch")?, seq: row.try_get("seq")? },
            word: word.ok_or_else(|| sqlx::Error::Decode("no word of a stay".into()))?,
            seen: row.try_get("seen")?,
            named: Naming {
                arrived: row.try_get::<i64, _>("arrived")? == 1,
                place: EventPlace { epoch: row.try_get("named_epoch")?, seq: row.try_get("named_seq")? },
                list: row.try_get("named_list")?,
                at: row.try_get("since")?,
                person: row.try_get("person")?,
            },
        });
    }
    put(c, &[(terminal, subject, stay)]).await
}

/// Writes stays, by terminal and subject, each in the place of the one that is there.
async fn put(c: &mut Connection, stays: &[(&str, &str, Whereabouts)]) -> Result<()> {
    let number = |of: fn(&Whereabouts) -> i64| BoundColumn::Int(stays.iter().map(|(.., stay)| of(stay)).collect());
    let columns = vec![
        BoundColumn::Text(stays.iter().map(|(terminal, ..)| *terminal).collect()),
        BoundColumn::Text(stays.iter().map(|(_, subject, _)| *subject).collect()),
        number(|stay| stay.last.epoch),
        number(|stay| stay.last.seq),
        BoundColumn::Text(stays.iter().map(|(.., stay)| stay.word.as_str()).collect()),
        number(|stay| stay.seen),
        number(|stay| stay.named.at),
        number(|stay| i64::from(stay.named.arrived)),
        number(|stay| stay.named.place.epoch),
        BoundColumn::Text(stays.iter().map(|(.., stay)| stay.named.list.as_str()).collect()),
        number(|stay| stay.named.place.seq),
        BoundColumn::Text(stays.iter().map(|(.., stay)| stay.named.person.as_str()).collect()),
    ];
    let statement = |rows: &str| {
        format!(
            "INSERT INTO stays ({COLUMNS}) {rows} ON CONFLICT (terminal, subject) DO UPDATE SET epoch = excluded.epoch,
             seq = excluded.seq, word = excluded.word, seen = excluded.seen, since = excluded.since,
             arrived = excluded.arrived, named_epoch = excluded.named_epoch, named_list = excluded.named_list,
             named_seq = excluded.named_seq, person = excluded.person"
        )
    };
    write(c, &[BoundRows { columns, statement }]).await
}

/// The people present at a time in the past, in the order of their keys.
pub async fn past(c: &mut Connection, at: Timestamp) -> Result<Vec<PlacedSubject>> {
    Ok(people(replay(c, None, at.as_millisecond()).await?))
}

/// The users behind people of a past time.
pub async fn name(c: &mut Connection, placed: &[PlacedSubject]) -> Result<Vec<PresentUser>> {
    let mut all = Vec::with_capacity(placed.len());
    for placed in placed.chunks(ROWS_AT_ONCE) {
        let row = |first| (first..first + NAMED_COLUMNS).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
        let rows: Vec<_> = (0..placed.len()).map(|n| format!("({})", row(1 + n * NAMED_COLUMNS))).collect();
        let statement = AssertSqlSafe(format!(
            "WITH p (n, person, subject, terminal, word, seen, since, list, seq, user_id) AS (VALUES {})
             SELECT p.person, p.subject, p.terminal, p.word, p.seen, p.since, e.body, u.id, u.name, u.fields,
             CAST(NULL AS BIGINT) AS heard FROM p
             LEFT JOIN events e ON e.terminal = p.terminal AND e.list = p.list AND e.seq = p.seq
             LEFT JOIN users u ON u.id = p.user_id ORDER BY p.n",
            rows.join(", ")
        ));
        let mut asked = query(statement);
        for (n, PlacedSubject { subject, terminal, said }) in (0_i64..).zip(placed) {
            asked = asked
                .bind(n)
                .bind(&said.named.person)
                .bind(subject)
                .bind(terminal)
                .bind(said.word.as_str())
                .bind(said.seen)
                .bind(said.named.at)
                .bind(&said.named.list)
                .bind(said.named.place.seq)
                .bind(said.named.person.strip_prefix("u:"));
        }
        for row in &asked.fetch_all(&mut *c).await? {
            all.push(person(row, None)?.1);
        }
    }
    Ok(all)
}

/// Extracts the columns of events stored by an earlier release, and computes presence from them.
pub async fn index(c: &mut Connection) -> Result<()> {
    loop {
        let page = query("SELECT terminal, list, seq, received, body FROM events WHERE at IS NULL LIMIT $1")
            .bind(PAGE)
            .fetch_all(&mut *c)
            .await?;
        if page.is_empty() {
            break;
        }
        for row in &page {
            let body: Value = serde_json::from_str(row.try_get("body")?).unwrap_or_default();
            let index = EventIndex::of(&body, moment(row.try_get("received")?)?);
            query(
                "UPDATE events SET at = $1, user_id = $2, subject = $3, word = $4, sighting = $5
                 WHERE terminal = $6 AND list = $7 AND seq = $8",
            )
            .bind(index.at)
            .bind(index.user_id)
            .bind(index.subject)
            .bind(index.word.map(PresenceWord::as_str))
            .bind(i64::from(index.sighting))
            .bind(row.try_get::<&str, _>("terminal")?)
            .bind(row.try_get::<&str, _>("list")?)
            .bind(row.try_get::<i64, _>("seq")?)
            .execute(&mut *c)
            .await?;
        }
    }
    query(
        "INSERT INTO lists (terminal, list, epoch, first_seq, first_at, last_at)
         SELECT l.terminal, l.list, row_number() OVER (PARTITION BY l.terminal ORDER BY l.came, l.list), l.first_seq, e.at,
         l.last_at FROM (SELECT terminal, list, min(seq) AS first_seq, min(received) AS came, max(at) AS last_at
         FROM events GROUP BY terminal, list) l
         JOIN events e ON e.terminal = l.terminal AND e.list = l.list AND e.seq = l.first_seq",
    )
    .execute(&mut *c)
    .await?;
    rebuild(c, None).await
}

/// People after a key, in the order of their keys, each with its key.
pub async fn page(c: &mut Connection, now: Timestamp, after: &str, limit: u32) -> Result<Vec<(String, PresentUser)>> {
    let found = query(AssertSqlSafe(people_where("h.person > $2 ORDER BY h.person LIMIT $3")))
        .bind(now.as_millisecond())
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(c)
        .await?;
    found.iter().map(|row| person(row, Some(now))).collect()
}

/// Which of these people are present, with their keys.
pub async fn of(c: &mut Connection, now: Timestamp, people: &[String]) -> Result<Vec<(String, PresentUser)>> {
    let statement = people_where("h.person = $2");
    let mut here = Vec::new();
    for key in people {
        let found = query(AssertSqlSafe(statement.clone())).bind(now.as_millisecond()).bind(key);
        if let Some(row) = found.fetch_optional(&mut *c).await? {
            here.push(person(&row, Some(now))?);
        }
    }
    Ok(here)
}

fn people_where(condition: &str) -> String {
    format!(
        "SELECT h.person, h.subject, h.terminal, h.word, h.seen, h.since, e.body, u.id, u.name, u.fields, t.heard
         FROM ({NOW}) h LEFT JOIN events e ON e.terminal = h.terminal AND e.list = h.named_list AND e.seq = h.named_seq
         LEFT JOIN users u ON u.id = substr(h.person, 3) AND substr(h.person, 1, 2) = 'u:' LEFT JOIN terminals t ON t.name = h.terminal
         WHERE {condition}"
    )
}

fn person(row: &DatabaseRow, now: Option<Timestamp>) -> Result<(String, PresentUser)> {
    let body = row.try_get::<Option<&str>, _>("body")?.map(serde_json::from_str::<Value>).transpose();
    let body = body.map_err(unreadable)?.unwrap_or_default();
    // The server's own data of the user is newer than what the card said; the event may be deleted, too.
    let user = match row.try_get::<Option<String>, _>("id")? {
        Some(id) => {
            Some(crate::api::User { id, name: row.try_get("name")?, fields: from_json(row.try_get("fields")?)? })
        }
        None => user_of(&body),
    };
    let heard = row.try_get::<Option<i64>, _>("heard")?.map(moment).transpose()?;
    let state = match row.try_get("word")? {
        "doubted" => PresenceState::Unconfirmed,
        _ => PresenceState::Present,
    };
    let subject: &str = row.try_get("subject")?;
    let (since, seen): (i64, i64) = (row.try_get("since")?, row.try_get("seen")?);
    let one = PresentUser {
        user,
        token_id: if subject.starts_with("user:") { None } else { Some(parsed(subject)?) },
        terminal: row.try_get("terminal")?,
        reader: body["reader"].as_str().map(str::to_owned),
        since: moment(since)?,
        last_seen: moment(seen.max(since))?,
        state,
        silent: now.map(|now| is_silent(heard, now)),
        authenticated: body["authenticated"].as_bool(),
        by: body["by"].as_str().map(str::to_owned),
    };
    Ok((row.try_get("person")?, one))
}

fn is_silent(heard: Option<Timestamp>, now: Timestamp) -> bool {
    credible(heard, now).is_none_or(|heard| now.duration_since(heard).as_secs() > SILENT_SECONDS)
}

/// A time in the future was noted before the clock was set back.
fn credible(heard: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    heard.filter(|heard| heard.duration_since(now).as_secs() <= AHEAD_SECONDS)
}

/// The summary of all people present.
pub async fn summary(c: &mut Connection, now: Timestamp) -> Result<PresenceSummary> {
    let statement =
        format!("SELECT terminal, word, CAST(count(*) AS BIGINT) AS people FROM ({NOW}) h GROUP BY terminal, word");
    let found = query(AssertSqlSafe(statement)).bind(now.as_millisecond()).fetch_all(&mut *c).await?;
    let mut counted = Vec::with_capacity(found.len());
    for row in &found {
        let doubted = row.try_get::<&str, _>("word")? == "doubted";
        counted.push((row.try_get("terminal")?, doubted, row.try_get::<i64, _>("people")?.unsigned_abs()));
    }
    counts(c, counted, now, true).await
}

/// The summary of the people of a past time.
pub async fn past_summary(c: &mut Connection, people: &[PlacedSubject], at: Timestamp) -> Result<PresenceSummary> {
    let doubted = |placed: &PlacedSubject| placed.said.word == PresenceWord::Doubted;
    let counted = people.iter().map(|placed| (placed.terminal.clone(), doubted(placed), 1)).collect();
    counts(c, counted, at, false).await
}

/// Sums up people by terminal and doubt, and adds the state of the terminals at that time.
async fn counts(
    c: &mut Connection,
    counted: Vec<(String, bool, u64)>,
    moment_asked: Timestamp,
    is_now: bool,
) -> Result<PresenceSummary> {
    let (mut present, mut unconfirmed, mut at) = (0, 0, BTreeMap::<String, u64>::new());
    for (terminal, doubted, people) in counted {
        present += people;
        unconfirmed += if doubted { people } else { 0 };
        *at.entry(terminal).or_default() += people;
    }
    let mut faults = if is_now { equipment::faults(c, moment_asked).await? } else { BTreeMap::new() };
    let found = query(
        "SELECT t.name, t.heard, t.revoked, l.last_at FROM terminals t JOIN (SELECT terminal, max(last_at) AS last_at
         FROM lists WHERE first_at <= $1 GROUP BY terminal) l ON l.terminal = t.name ORDER BY t.name LIMIT $2",
    )
    .bind(moment_asked.as_millisecond())
    .bind(TERMINALS)
    .fetch_all(c)
    .await?;
    let mut terminals = Vec::with_capacity(found.len());
    for row in &found {
        let name: String = row.try_get("name")?;
        let heard = row.try_get::<Option<i64>, _>("heard")?.map(moment).transpose()?;
        terminals.push(PresenceTerminal {
            present: at.get(&name).copied().unwrap_or_default(),
            faults: faults.remove(&name).unwrap_or_default(),
            name,
            last_word: credible(heard, moment_asked).filter(|_| is_now),
            last_event: if is_now { Some(moment(row.try_get("last_at")?)?) } else { None },
            silent: is_now.then(|| is_silent(heard, moment_asked)),
            revoked: row.try_get::<Option<i64>, _>("revoked")?.is_some(),
        });
    }
    Ok(PresenceSummary { present, unconfirmed, terminals })
}

#[cfg(test)]
mod tests;
