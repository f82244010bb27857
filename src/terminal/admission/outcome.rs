//! One finished tap and its outcome: decides from what the store knows, and derives the input for the presence list.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::{Decision, Knowledge, Refusal, Rules};
use crate::{
    card::trace::{self, Judged, RecordedDistance, TraceRecord},
    failure::{ExitClass, Failure},
    reader::Insertion,
    terminal::{
        lookups::LookupOutcome,
        memory::certificate_of,
        presence::{
            Holder, Input, Refused, Tap,
            store::{TerminalStore, TerminalStoreError},
        },
        tap::{Seen, Tapped, TimedHeartbeat, Timings, TooFar, replay::Played},
    },
};

/// One finished tap: where and when it happened, and the decision.
#[derive(Debug)]
pub struct TapOutcome {
    /// When it ended.
    pub at: Timestamp,
    /// The reader.
    pub reader: String,
    /// The insertion, as numbered across processes.
    pub insertion: Insertion,
    /// The decision about the card.
    pub decision: Decision,
    /// The id that SELECT gave, whether or not anything was proved afterwards.
    pub told: Option<Uuid>,
    /// Exchanges with the card.
    pub exchanges: u32,
    /// How long each phase took.
    pub timings: Timings,
    /// Whether the nonce came from the server and was shown to a card.
    pub server_nonce: bool,
    /// Whether the channel was resumed, even if that led to nothing.
    pub is_resumed: bool,
    /// How long the request to the server took; `None` when it was not asked.
    pub server_took: Option<Duration>,
}

impl TapOutcome {
    /// Decides a finished tap from what the store knows, and stores what later taps need. `insertion` is the reader's.
    ///
    /// # Errors
    /// [`TerminalStoreError`] when the store cannot be read or written: then nobody is admitted.
    pub fn of(
        store: &mut TerminalStore,
        at: Timestamp,
        reader: String,
        insertion: Insertion,
        mut tapped: Tapped,
        server: Option<(&LookupOutcome, &Rules)>,
    ) -> Result<Self, TerminalStoreError> {
        for (item, der) in std::mem::take(&mut tapped.learned) {
            match der {
                Some(der) => store.keep_certificate(&certificate_of(item), &der)?,
                None => store.forget_certificate(&certificate_of(item))?,
            }
        }
        let traced = tapped.traced;
        let mut outcome = match &tapped.result {
            Ok(Seen::Authenticated(token)) => {
                let last_counter = if token.is_resumed() {
                    // A resumed tap does not increment the counter.
                    store.counter(token.token_id)?.filter(|last| *last > token.counter())
                } else {
                    unrisen_counter(store, token.token_id, token.counter())?
                };
                let too_far = too_far(store, (token.token_id, reader.as_str()), tapped.heartbeat, at)?;
                let list = store.list()?;
                let denied = |id: &str| list.is_denied(id);
                Self::decide(
                    at,
                    reader,
                    insertion,
                    tapped,
                    &Knowledge { last_counter, too_far, denied: &denied, server },
                )
            }
            _ => Self::decide(at, reader, insertion, tapped, &Knowledge::NOTHING),
        };
        outcome.server_took = server.and_then(|(answered, _)| answered.took);
        trace_judgement(traced, outcome.judged(server.is_some()));
        Ok(outcome)
    }

    /// The outcome of a tap replayed from a trace. This terminal knows nothing about the token; the objections of the
    /// terminal that wrote the trace are recorded in it.
    pub fn played(tap: Played) -> Self {
        let Played { at, reader, tapped, judged } = tap;
        let us = Duration::from_micros;
        let too_far = judged.too_far.map(|far| TooFar { took: us(far.took_us), most: us(far.most_us) });
        let known = Knowledge { last_counter: judged.last_counter, too_far, denied: &|_| judged.denied, server: None };
        Self::decide(at, reader, Insertion::default(), tapped, &known)
    }

    fn decide(at: Timestamp, reader: String, insertion: Insertion, tapped: Tapped, known: &Knowledge<'_>) -> Self {
        let Tapped { told, result, exchanges, timings, server_nonce, .. } = tapped;
        let is_resumed = matches!(&result, Ok(Seen::Authenticated(token)) if token.is_resumed());
        let decision = Decision::decide(result, known, at);
        let insertion = insertion.shared();
        let server_took = None;
        Self { at, reader, insertion, decision, told, exchanges, timings, server_nonce, is_resumed, server_took }
    }

    /// The token, if it was authenticated and admitted.
    pub fn authenticated(&self) -> Option<Uuid> {
        self.decision.admitted().map(|admission| admission.token.token_id)
    }

    /// The failure, if there is one.
    pub fn failure(&self) -> Option<Failure> {
        self.decision.refused().map(|rejection| rejection.reason.to_failure(self.exchanges))
    }

    /// The class of the failure, if there is one.
    pub fn class(&self) -> Option<ExitClass> {
        self.failure().map(|failure| failure.class)
    }

    /// Whether the card, or something between, did not answer: the same card may be tried again.
    pub fn is_unanswered(&self) -> bool {
        self.decision.refused().is_some_and(|rejection| rejection.reason.is_unanswered())
    }

    /// Whether the reader has a card but exchanges with it fail.
    pub fn is_broken(&self) -> bool {
        self.decision.refused().is_some_and(|rejection| rejection.reason.is_broken())
    }

    /// The input for the presence list. A broken exchange says nothing about who is there.
    pub fn input(&self) -> Option<Input> {
        let (reader, insertion) = (self.reader.clone(), self.insertion);
        match &self.decision {
            Decision::Identified(_) => None,
            Decision::Admitted(admission) => {
                let (token_id, user) = (admission.token.token_id, admission.token.user.clone());
                let resumed = admission.token.is_resumed();
                let holder = Holder { token_id, user, source: admission.source, authenticated: true, resumed };
                Some(Input::Tap(Tap { reader, insertion, holder }))
            }
            Decision::Refused(rejection) if rejection.reason.is_about_the_link() => None,
            Decision::Refused(rejection) => {
                let (token_id, user) = rejection.holder.clone().unzip();
                let error = rejection.reason.to_failure(self.exchanges).to_json();
                let barred = rejection.holder.is_some() && rejection.reason.bars();
                let (silent, token_id) = (self.is_unanswered(), token_id.or(self.told));
                Some(Input::Refused(Refused { reader, insertion, error, silent, barred, token_id, user }))
            }
        }
    }

    /// This terminal's objection to the token, for the trace.
    fn judged(&self, server: bool) -> Judged {
        let mut judged = Judged { server, ..Judged::default() };
        match self.decision.refused().map(|rejection| &rejection.reason) {
            Some(Refusal::Counter { last, .. }) => judged.last_counter = Some(*last),
            Some(Refusal::Denied) => judged.denied = true,
            Some(Refusal::TooFar(TooFar { took, most })) => {
                let us = |time: u128| u64::try_from(time).unwrap_or(u64::MAX);
                let took_us = us(took.as_nanos().div_ceil(1_000));
                judged.too_far = Some(RecordedDistance { took_us, most_us: us(most.as_micros()) });
            }
            _ => {}
        }
        judged
    }
}

impl Knowledge<'_> {
    /// For a card that has proved nothing.
    const NOTHING: Self = Self { last_counter: None, too_far: None, denied: &|_| false, server: None };
}

/// Writes this terminal's objection to the token into the trace, if there is one.
fn trace_judgement(tap: u32, judged: Judged) {
    if let Some(trace) = trace::write::current().filter(|_| tap > 0 && judged != Judged::default()) {
        trace.lone(tap, TraceRecord::Judged(judged));
    }
}

/// How far the token exceeds the distance bound at this reader; when it does not, its least time is stored.
fn too_far(
    store: &mut TerminalStore,
    (token_id, reader): (Uuid, &str),
    heartbeat: Option<TimedHeartbeat>,
    now: Timestamp,
) -> Result<Option<TooFar>, TerminalStoreError> {
    let Some(heartbeat) = heartbeat else { return Ok(None) };
    let least = store.least_heartbeat(token_id, reader)?;
    let too_far = heartbeat.beyond(least);
    if too_far.is_none() {
        store.keep_least_heartbeat(token_id, reader, heartbeat.took, now)?;
    }
    Ok(too_far)
}

/// Records the counter; returns the last one when this one is not greater.
fn unrisen_counter(store: &mut TerminalStore, token_id: Uuid, counter: u32) -> Result<Option<u32>, TerminalStoreError> {
    if store.record_counter(token_id, counter)? {
        return Ok(None);
    }
    Ok(Some(store.counter(token_id)?.unwrap_or(counter)))
}
