//! What happened at terminals, brought in batches that may come twice.

use axum::{Json, extract::State};
use serde_json::Value;

use super::{Answer, SharedState};
use crate::{
    api::{
        event::EVENT_SCHEMA,
        v1::{EVENTS_MAX, EventBatch, EventsTaken},
    },
    server::{auth::AuthenticatedTerminal, body::Body, problem::ApiError, store::EventsKept},
};

/// `POST /v1/events`.
pub async fn keep(
    State(state): State<SharedState>,
    AuthenticatedTerminal(terminal): AuthenticatedTerminal,
    Body(batch): Body<EventBatch>,
) -> Answer<EventsTaken> {
    let rows = rows(&batch.events)?;
    let kept = state.store.keep_events(&terminal.name, batch.list, &rows, (state.clock)()).await?;
    let (stored, conflict) = match kept {
        EventsKept::Stored(stored) => (stored, None),
        EventsKept::Conflict(seq) => (0, Some(seq.cast_unsigned())),
    };
    state.metrics.events.inc_by(u64::from(stored));
    let all = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    let known = if conflict.is_some() { 0 } else { all.saturating_sub(stored) };
    Ok(Json(EventsTaken { stored, known, conflict }))
}

/// The events with their numbers, which rise.
fn rows(events: &[Value]) -> Result<Vec<(i64, String)>, ApiError> {
    if !(1..=EVENTS_MAX).contains(&events.len()) {
        return Err(ApiError::Invalid(format!("a batch has 1 to {EVENTS_MAX} events")));
    }
    let mut rows: Vec<(i64, String)> = Vec::with_capacity(events.len());
    for event in events {
        if event["schema"] != EVENT_SCHEMA {
            return Err(ApiError::Invalid(format!("an event is an object {EVENT_SCHEMA}")));
        }
        let last = rows.last().map_or(0, |(seq, _)| *seq);
        let seq = event["seq"].as_i64().filter(|seq| *seq > last);
        let seq = seq.ok_or_else(|| ApiError::Invalid("the numbers of events begin above 0 and rise".into()))?;
        rows.push((seq, event.to_string()));
    }
    Ok(rows)
}
