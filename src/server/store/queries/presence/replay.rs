//! Computes presence from the stored events: for a past time, and again where some of them were deleted.

use std::collections::{BTreeMap, btree_map::Entry};

use sqlx::AssertSqlSafe;

use super::{
    super::{Connection, DatabaseRow, Result, Row, SKIP_HELD, known_lists::known_lists, query},
    lists_of, put,
};
use crate::server::presence::{EventIndex, EventPlace, KnownList, PresenceWord, Whereabouts, is_void};

/// Events read at once.
const REPLAYED: i64 = 5000;
/// Stays computed again in one transaction: batches of their terminal wait meanwhile.
const REBUILT: i64 = 64;

/// The columns of an event that a replay reads.
const EVENT: &str = "terminal, list, seq, at, user_id, subject, word, sighting";
/// Whether the event that names the person of a stay was deleted.
const IS_ORPHAN: &str = "NOT EXISTS (SELECT 1 FROM events e
    WHERE e.terminal = s.terminal AND e.list = s.named_list AND e.seq = s.named_seq)";

/// The stays according to the events up to a time, of one terminal or of all.
pub(super) async fn replay(
    c: &mut Connection,
    terminal: Option<&str>,
    until: i64,
) -> Result<BTreeMap<(String, String), Whereabouts>> {
    let lists = known_lists(c, terminal).await?;
    let (mut all, mut after) = (BTreeMap::new(), (terminal.unwrap_or_default().to_owned(), String::new(), i64::MIN));
    loop {
        let only = if terminal.is_some() { "terminal = $1 AND " } else { "" };
        let page = query(AssertSqlSafe(format!(
            "SELECT {EVENT} FROM events WHERE {only}word IS NOT NULL
             AND at <= $4 AND (terminal, list, seq) > ($1, $2, $3) ORDER BY terminal, list, seq LIMIT $5"
        )))
        .bind(&after.0)
        .bind(&after.1)
        .bind(after.2)
        .bind(until)
        .bind(REPLAYED)
        .fetch_all(&mut *c)
        .await?;
        let Some(end) = page.last() else { break };
        after = (end.try_get("terminal")?, end.try_get("list")?, end.try_get("seq")?);
        for row in &page {
            let terminal: String = row.try_get("terminal")?;
            let lists = lists.get(&terminal).map(Vec::as_slice).unwrap_or_default();
            let Some((subject, said)) = said_by(row, lists, until)? else { continue };
            match all.entry((subject, terminal)) {
                Entry::Vacant(none) => drop(none.insert(said)),
                Entry::Occupied(mut known) => known.get_mut().absorb(said),
            }
        }
    }
    Ok(all)
}

/// What an event says of its subject; `None` if it does not count, given the lists of its terminal that had begun by
/// this time.
fn said_by(row: &DatabaseRow, lists: &[KnownList], until: i64) -> Result<Option<(String, Whereabouts)>> {
    let of: &str = row.try_get("list")?;
    let Some(known) = lists.iter().find(|known| known.list == of) else { return Ok(None) };
    let place = EventPlace { epoch: known.epoch, seq: row.try_get("seq")? };
    let begun = |later: &&KnownList| later.first_at <= until;
    if is_void(lists.iter().filter(begun), place) {
        return Ok(None);
    }
    let index = EventIndex {
        at: row.try_get("at")?,
        user_id: row.try_get("user_id")?,
        subject: row.try_get("subject")?,
        word: row.try_get::<Option<&str>, _>("word")?.and_then(PresenceWord::parse),
        sighting: row.try_get::<i64, _>("sighting")? == 1,
        equipment: None,
    };
    let said = Whereabouts::of(&index, place, of);
    Ok(index.subject.zip(said))
}

/// Computes the stays again, of one terminal or of all.
pub async fn rebuild(c: &mut Connection, terminal: Option<&str>) -> Result<()> {
    let said = replay(c, terminal, i64::MAX).await?;
    let only = if terminal.is_some() { "" } else { " OR 1 = 1" };
    let cleared = query(AssertSqlSafe(format!("DELETE FROM stays WHERE terminal = $1{only}")));
    cleared.bind(terminal.unwrap_or_default()).execute(&mut *c).await?;
    let stays: Vec<_> =
        said.iter().map(|((subject, terminal), said)| (terminal.as_str(), subject.as_str(), said.clone())).collect();
    put(c, &stays).await
}

/// The terminals of stays whose naming event was deleted.
pub async fn orphaned(c: &mut Connection) -> Result<Vec<String>> {
    let all = AssertSqlSafe(format!("SELECT DISTINCT s.terminal FROM stays s WHERE {IS_ORPHAN} ORDER BY s.terminal"));
    query(all).fetch_all(c).await?.iter().map(|row| row.try_get(0)).collect()
}

/// Computes again, from the events that are left, a limited number of these stays of a terminal, after this subject.
/// Returns the last subject of them; `None` if none is left.
pub async fn rebuild_orphans(c: &mut Connection, terminal: &str, after: &str) -> Result<Option<String>> {
    // First of all, as a batch of events does: without it, one that is under way could be overwritten.
    let lists = lists_of(c, terminal).await?;
    // A stay that is skipped belongs to somebody who is being forgotten.
    let part = AssertSqlSafe(format!(
        "SELECT s.subject FROM stays s WHERE s.terminal = $1 AND s.subject > $2 AND {IS_ORPHAN}
         ORDER BY s.subject LIMIT $3{SKIP_HELD}"
    ));
    let part = query(part).bind(terminal).bind(after).bind(REBUILT).fetch_all(&mut *c).await?;
    let mut subjects = part.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>>>()?;
    let mut stays = Vec::with_capacity(subjects.len());
    for subject in &subjects {
        let events = format!("SELECT {EVENT} FROM events WHERE subject = $1 AND terminal = $2 AND word IS NOT NULL");
        let events = query(AssertSqlSafe(events)).bind(subject).bind(terminal).fetch_all(&mut *c).await?;
        let mut stay: Option<Whereabouts> = None;
        for row in &events {
            let Some((_, said)) = said_by(row, &lists, i64::MAX)? else { continue };
            match &mut stay {
                Some(known) => known.absorb(said),
                None => stay = Some(said),
            }
        }
        if let Some(stay) = stay {
            stays.push((terminal, subject.as_str(), stay));
        } else {
            let gone = query("DELETE FROM stays WHERE terminal = $1 AND subject = $2");
            gone.bind(terminal).bind(subject).execute(&mut *c).await?;
        }
    }
    put(c, &stays).await?;
    Ok(subjects.pop())
}
