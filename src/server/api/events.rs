//! Takes events of terminals in batches, which may be sent twice, and searches them.

use axum::{Json, extract::State};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{Answer, SharedState, fit, length};
use crate::{
    api::{
        event::EVENT_SCHEMA,
        v1::{self, EVENTS_MAX, EventBatch, EventsTaken, Page, StoredEvent},
    },
    server::{
        auth::AuthenticatedTerminal,
        body::{Body, PageQuery, Parameters, plain},
        presence::EventIndex,
        problem::ApiError,
        store::{EventMark, EventQuery, EventsKept, NewEvent},
    },
};

/// `POST /v1/events`.
pub async fn keep(
    State(state): State<SharedState>,
    AuthenticatedTerminal(terminal): AuthenticatedTerminal,
    Body(mut batch): Body<EventBatch>,
) -> Answer<EventsTaken> {
    let now = (state.clock)();
    let rows = rows(&mut batch.events, now)?;
    let kept = state.store.keep_events(&terminal.name, batch.list, &rows, now).await?;
    let (stored, conflict) = match kept {
        EventsKept::Stored(stored) => (stored, None),
        EventsKept::Conflict(seq) => (0, Some(seq.cast_unsigned())),
    };
    state.metrics.events.inc_by(u64::from(stored));
    if stored > 0
        && let Some(news) = &state.news
    {
        news.kept(&terminal.name, batch.list, &rows, &batch.events);
    }
    let all = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    let known = if conflict.is_some() { 0 } else { all.saturating_sub(stored) };
    Ok(Json(EventsTaken { stored, known, conflict }))
}

/// The rows of events, whose numbers must rise.
fn rows(events: &mut [Value], now: Timestamp) -> Result<Vec<NewEvent>, ApiError> {
    if !(1..=EVENTS_MAX).contains(&events.len()) {
        return Err(ApiError::Invalid(format!("a batch has 1 to {EVENTS_MAX} events")));
    }
    let mut rows: Vec<NewEvent> = Vec::with_capacity(events.len());
    for event in events {
        if event["schema"] != EVENT_SCHEMA {
            return Err(ApiError::Invalid(format!("an event is an object {EVENT_SCHEMA}")));
        }
        let last = rows.last().map_or(0, |event| event.seq);
        let seq = v1::whole_number(&event["seq"]).filter(|seq| *seq > last);
        let seq = seq.ok_or_else(|| ApiError::Invalid("the numbers of events start above 0 and increase".into()))?;
        event["seq"] = seq.into();
        rows.push(NewEvent { seq, body: event.to_string(), index: EventIndex::of(event, now) });
    }
    Ok(rows)
}

/// Which events to return.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchQuery {
    /// Only those of this user.
    user: Option<String>,
    /// Only those at this time or after it.
    #[serde(default, deserialize_with = "v1::optional_moment")]
    since: Option<Timestamp>,
    /// Only those before this time.
    #[serde(default, deserialize_with = "v1::optional_moment")]
    until: Option<Timestamp>,
    /// Where the page starts.
    #[serde(default)]
    after: String,
    limit: Option<u32>,
}

/// `GET /v1/events`.
pub async fn search(
    State(state): State<SharedState>,
    _: AuthenticatedTerminal,
    Parameters(asked): Parameters<SearchQuery>,
) -> Answer<Page<StoredEvent>> {
    let limit = PageQuery::of(asked.after, asked.limit);
    let (after, limit) = (&limit.after, limit.limit()?);
    if asked.user.as_deref().is_some_and(|user| !plain(user, 1, 128)) {
        return Err(ApiError::Invalid("user is 1 to 128 bytes without control characters".into()));
    }
    let after = (!after.is_empty()).then(|| mark(after)).transpose()?;
    let query = EventQuery { user: asked.user, since: asked.since, until: asked.until, after };
    let mut found = state.store.search_events(&query, limit + 1).await?;
    let more = fit(&mut found, limit, |(_, event)| length(event));
    let next = found.last().filter(|_| more).map(|(mark, _)| {
        let EventMark { at, terminal, list, seq } = mark;
        format!("{at}/{terminal}/{list}/{seq}")
    });
    Ok(Json(Page { items: found.into_iter().map(|(_, event)| event).collect(), next }))
}

/// Reads the mark of an event, as `next` of a page contained it.
fn mark(text: &str) -> Result<EventMark, ApiError> {
    let parts: Vec<_> = text.split('/').collect();
    let read = || {
        let [at, terminal, list, seq] = parts.as_slice() else { return None };
        let (at, list, seq) = (at.parse().ok()?, list.parse().ok()?, seq.parse().ok()?);
        Some(EventMark { at, terminal: (*terminal).to_owned(), list, seq })
    };
    read().ok_or_else(|| ApiError::Invalid("after is the next of an earlier page".into()))
}
