//! The object for the data that was erased about a person.

use schemars::JsonSchema;
use serde::Serialize;

use super::Schema;
use crate::{
    cli::{
        printer::{Column, Printable},
        table::{Cell, Style},
    },
    terminal::forget::ForgetReport,
};

/// What was removed of a user at this terminal, and what stays.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Forgotten {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// The id of the user.
    pub user_id: String,
    /// Whether this only says what would be removed.
    pub dry_run: bool,
    /// What was removed.
    pub removed: Removed,
    /// What stays.
    pub kept: Kept,
}

/// What was removed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Removed {
    /// Entries of the list.
    pub entries: usize,
    /// Events that do not say any more whose they are: number, time, reader and kind stay.
    pub events: usize,
    /// Cards of the register.
    pub cards: usize,
    /// Certificates of their tokens.
    pub certificates: usize,
    /// How quickly their tokens answered at readers with a bound on distance.
    pub heartbeats: usize,
    /// What the server said of them, kept for the time when it is away. 0 in a dry run.
    pub cached: usize,
}

/// What stays.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Kept {
    /// Use counters of tokens, by the random id of each: without them a copy of a card would be let in.
    pub counters: usize,
    /// Ids that are denied, without name and reason: rollcall users allow takes them away.
    pub denials: usize,
    /// Enrollments that were begun: they stay until they are finished.
    pub enrollments: usize,
}

impl Forgotten {
    /// The view of what was found, or removed.
    pub fn new(report: ForgetReport, dry_run: bool) -> Self {
        let ForgetReport { user_id, held, cached, begun } = report;
        Self {
            schema: Schema::default(),
            user_id,
            dry_run,
            removed: Removed {
                entries: held.entries,
                events: held.events,
                cards: held.cards,
                certificates: held.certificates,
                heartbeats: held.heartbeats,
                cached,
            },
            kept: Kept { counters: held.counters, denials: held.denials, enrollments: begun },
        }
    }
}

macro_rules! count {
    ($name:literal, $place:literal, $head:literal, $of:expr) => {
        Column::both(
            $name,
            |one: &Forgotten| {
                let of: fn(&Forgotten) -> usize = $of;
                of(one).to_string()
            },
            $place,
            $head,
            |one: &Forgotten| {
                let of: fn(&Forgotten) -> usize = $of;
                of(one).to_string().into()
            },
        )
    };
}

impl Printable for Forgotten {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::both("user_id", |one| one.user_id.clone(), 1, "USER", |one| Cell::new(&one.user_id, Style::Strong)),
        Column::csv("dry_run", |one| one.dry_run.to_string()),
        count!("entries", 2, "ENTRIES", |one| one.removed.entries),
        count!("events", 3, "EVENTS", |one| one.removed.events),
        count!("cards", 4, "CARDS", |one| one.removed.cards),
        count!("certificates", 5, "CERTIFICATES", |one| one.removed.certificates),
        count!("heartbeats", 6, "HEARTBEATS", |one| one.removed.heartbeats),
        count!("cached", 7, "CACHED", |one| one.removed.cached),
        count!("kept_counters", 8, "KEPT COUNTERS", |one| one.kept.counters),
        count!("kept_denials", 9, "KEPT DENIALS", |one| one.kept.denials),
        count!("kept_enrollments", 10, "KEPT ENROLLMENTS", |one| one.kept.enrollments),
    ];
}
