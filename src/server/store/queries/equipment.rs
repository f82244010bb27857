//! Keeps track of which readers and card services of terminals are out of order, with each batch of events.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use super::{Connection, Result, Row, known_lists::known_lists, moment, query};
use crate::{
    api::v1::{EquipmentFault, EquipmentFaultKind, UNPLUGGED_SECONDS},
    server::{
        equipment::EquipmentWord,
        presence::{EventPlace, is_void},
    },
};

/// Events read at once in a rebuild.
const PAGE: i64 = 2000;
/// Most faults reported.
const FAULTS: i64 = 1000;

/// Applies the equipment state of one event.
pub async fn take(c: &mut Connection, terminal: &str, word: &EquipmentWord, place: EventPlace, at: i64) -> Result<()> {
    query(
        "INSERT INTO equipment (terminal, reader, epoch, seq, fault, since) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (terminal, reader) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq, fault = excluded.fault,
         since = excluded.since WHERE (excluded.epoch, excluded.seq) > (equipment.epoch, equipment.seq)",
    )
    .bind(terminal)
    .bind(&word.reader)
    .bind(place.epoch)
    .bind(place.seq)
    .bind(word.fault.map(EquipmentFaultKind::as_str))
    .bind(at)
    .execute(c)
    .await?;
    Ok(())
}

/// Computes it again from the stored events, of one terminal or of all.
pub async fn rebuild(c: &mut Connection, terminal: Option<&str>) -> Result<()> {
    let only = if terminal.is_some() { "terminal = $1" } else { "terminal >= $1" };
    let from = terminal.unwrap_or_default();
    query(AssertSqlSafe(format!("DELETE FROM equipment WHERE {only}"))).bind(from).execute(&mut *c).await?;
    let lists = known_lists(c, terminal).await?;
    let mut after = (from.to_owned(), String::new(), i64::MIN);
    loop {
        // The other events are about people.
        let page = query(AssertSqlSafe(format!(
            "SELECT terminal, list, seq, at, body FROM events WHERE {only} AND word IS NULL
             AND (terminal, list, seq) > ($2, $3, $4) ORDER BY terminal, list, seq LIMIT $5"
        )));
        let page = page.bind(from).bind(&after.0).bind(&after.1).bind(after.2).bind(PAGE).fetch_all(&mut *c).await?;
        let Some(end) = page.last() else { return Ok(()) };
        after = (end.try_get("terminal")?, end.try_get("list")?, end.try_get("seq")?);
        for row in &page {
            let (terminal, of): (String, &str) = (row.try_get("terminal")?, row.try_get("list")?);
            let lists = lists.get(&terminal).map(Vec::as_slice).unwrap_or_default();
            let Some(list) = lists.iter().find(|list| list.list == of) else { continue };
            let place = EventPlace { epoch: list.epoch, seq: row.try_get("seq")? };
            let body: Value = serde_json::from_str(row.try_get("body")?).unwrap_or_default();
            if let Some(word) = EquipmentWord::of(&body).filter(|_| !is_void(lists, place)) {
                take(c, &terminal, &word, place, row.try_get("at")?).await?;
            }
        }
    }
}

/// What is out of order now, by terminal; an unplugged reader is reported only for [`UNPLUGGED_SECONDS`].
pub async fn faults(c: &mut Connection, now: Timestamp) -> Result<BTreeMap<String, Vec<EquipmentFault>>> {
    let found = query(
        "SELECT terminal, reader, fault, since FROM equipment WHERE fault IS NOT NULL
         AND (fault <> 'unplugged' OR since > $1) ORDER BY terminal, reader LIMIT $2",
    )
    .bind(now.as_millisecond() - UNPLUGGED_SECONDS * 1000)
    .bind(FAULTS)
    .fetch_all(c)
    .await?;
    let mut faults = BTreeMap::<String, Vec<EquipmentFault>>::new();
    for row in &found {
        let reader = Some(row.try_get::<String, _>("reader")?).filter(|name| !name.is_empty());
        let Some(fault) = EquipmentFaultKind::parse(row.try_get("fault")?) else { continue };
        let fault = EquipmentFault { reader, fault, since: moment(row.try_get("since")?)? };
        faults.entry(row.try_get("terminal")?).or_default().push(fault);
    }
    Ok(faults)
}
