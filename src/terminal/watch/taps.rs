//! What a watch does with a finished tap: looks up the token at the server, decides on admission, and updates the list.

use std::time::Instant;

use uuid::Uuid;

use super::{TapEffect, WatchEvent, WatchRun};
use crate::{
    api::{problem::ProblemCode, v1::Problem},
    failure::Failure,
    server_client::ServerError,
    terminal::{
        admission::TapOutcome,
        event_loop::Message,
        evictions::{EvictionNote, KeyUse, evicted},
        lookups::{LookupOutcome, LookupQuery},
        presence::{Input, PresenceMode, StoreNotice},
        renewal::RenewalEffect,
        tap::{KeptKey, Seen, TapError, worker::ReaderReport},
    },
    token::TokenError,
};

impl WatchRun<'_> {
    /// Handles a finished tap. A token moved to a new CA before this terminal has loaded that CA is not foreign: the
    /// tap is held while the rotation is detected here, or asked for, and loaded on another thread.
    pub(super) fn tapped(&mut self, report: ReaderReport) -> Result<(), Failure> {
        let ReaderReport::Tapped { tapped, .. } = &report else { return Ok(()) };
        if !matches!(tapped.result, Err(TapError::Token(TokenError::OtherAuthority))) {
            return self.ask(report);
        }
        match self.renewal.unknown_ca() {
            RenewalEffect::HoldTap => self.unknown_ca_taps.push(report),
            RenewalEffect::RetapHeld => {
                self.unknown_ca_taps.push(report);
                return self.release(true);
            }
            _ => return self.ask(report),
        }
        Ok(())
    }

    /// Repeats held taps with the new keys, or refuses them as foreign after all.
    pub(super) fn release(&mut self, again: bool) -> Result<(), Failure> {
        for report in std::mem::take(&mut self.unknown_ca_taps) {
            match &report {
                ReaderReport::Tapped { reader, insertion, .. } if again => self.pool.tap_again(reader, *insertion),
                _ => self.admit(report, None)?,
            }
        }
        Ok(())
    }

    /// Looks up an authenticated token at the server, while the readers continue.
    pub(super) fn ask(&mut self, report: ReaderReport) -> Result<(), Failure> {
        let query = match &report {
            ReaderReport::Tapped { tapped, .. } => LookupQuery::of(tapped),
            ReaderReport::Alive { .. } | ReaderReport::Mute { .. } | ReaderReport::Portrait { .. } => None,
        };
        let (Some(lookups), Some(query)) = (&self.lookups, query) else { return self.admit(report, None) };
        let replies = self.replies.clone();
        lookups.ask(query, move |answered| {
            replies.send(Message::LookupOutcome { report, answered: Box::new(answered) });
        });
        Ok(())
    }

    /// Whether to repeat a resumed tap in full because the server wants a proof: at once if the card is still there; if
    /// not, the token is refused, and makes a full tap the next time.
    fn retaps_in_full(&self, report: &ReaderReport, answered: Option<&LookupOutcome>) -> bool {
        let (ReaderReport::Tapped { reader, insertion, tapped, .. }, Some(cache)) = (report, &self.resumption) else {
            return false;
        };
        let Ok(Seen::Authenticated(token)) = &tapped.result else { return false };
        let said = answered.and_then(|answered| answered.said.as_ref().err()).and_then(ServerError::problem);
        let is_wanted = said.and_then(Problem::known_code) == Some(ProblemCode::ProofRequired);
        if !is_wanted || !token.is_resumed() {
            return false;
        }
        cache.forget(token.token_id);
        let lies_there = self.unanswered.lying(reader) == Some(*insertion);
        if lies_there {
            self.pool.tap_again(reader, *insertion);
        }
        lies_there
    }

    /// Reports a token that has repeatedly lost its key for fast taps.
    fn note_key(&mut self, token_id: Uuid, missed: bool, outcome: &TapOutcome) -> Result<(), Failure> {
        let resumed = outcome.decision.admitted().is_some_and(|admission| admission.token.is_resumed());
        let key = match (missed, resumed) {
            (true, _) => KeyUse::Missed,
            (false, true) => KeyUse::Resumed,
            (false, false) => KeyUse::None,
        };
        if !self.evictions.tapped(token_id, key) {
            return Ok(());
        }
        EvictionNote::of(&self.config.context.state_folder).note((self.clock)());
        self.observer.event(WatchEvent::Evicted(evicted()))
    }

    /// Decides about a token, and updates the list.
    pub(super) fn admit(&mut self, report: ReaderReport, answered: Option<&LookupOutcome>) -> Result<(), Failure> {
        if self.retaps_in_full(&report, answered) {
            return Ok(());
        }
        let ReaderReport::Tapped { reader, insertion, at, mut tapped } = report else { return Ok(()) };
        let (kept, missed) = (tapped.kept.take(), tapped.missed);
        let lies_there = self.unanswered.lying(&reader) == Some(insertion);
        let is_outdated = self.applied.get(&reader).is_some_and(|applied| *applied > insertion);
        let server = answered.map(|answered| (answered, &self.config.rules));
        let outcome = match TapOutcome::of(&mut self.store, at, reader.clone(), insertion, *tapped, server) {
            Ok(outcome) => outcome,
            // Nothing is known about the token: it is tried again, and not admitted in the meantime.
            Err(error) => {
                if lies_there {
                    self.fails(&reader, insertion)?;
                }
                return self.observer.event(WatchEvent::Store(StoreNotice::Lost(error.into())));
            }
        };
        if let Some(cache) = &self.resumption {
            let vouched = kept.map(|kept| vouched(kept, answered, &outcome));
            match (outcome.authenticated(), vouched, outcome.decision.holder()) {
                (Some(_), Some(Some(kept)), _) => cache.keep(kept),
                // A refused token makes a full tap the next time, as does one for which the server does not vouch.
                (Some(token_id), Some(None), _) | (None, _, Some((token_id, _))) => cache.forget(token_id),
                _ => {}
            }
        }
        if let Some(token_id) = outcome.authenticated() {
            self.flapping.identified(&reader, token_id);
            self.note_key(token_id, missed, &outcome)?;
        }
        let stays = self.config.context.policy.presence(&reader) == PresenceMode::Field;
        let effect = match self.unanswered.lying(&reader) {
            Some(lying) if lying != insertion => TapEffect::Overtaken,
            None if is_outdated => TapEffect::Overtaken,
            None if stays => TapEffect::Lifted,
            _ => TapEffect::Decided,
        };
        self.observer.event(WatchEvent::Tap(&outcome, effect))?;
        let is_unanswered = outcome.is_unanswered();
        let is_expected = is_unanswered && lies_there && self.store.list()?.is_expected(&reader);
        let is_news = self.unanswered.tapped(&reader, insertion, is_unanswered, is_expected, Instant::now());
        if lies_there && outcome.is_broken() {
            self.unanswered.breaks(&reader);
        }
        match outcome.input() {
            Some(input) if lies_there => {
                self.applied.insert(reader, insertion);
                let events = self.store.apply(&input, (self.clock)(), &*self.config.context.policy)?;
                let is_told = !outcome.is_unanswered() || !events.is_empty();
                self.publish(events)?;
                if is_told || !is_news { Ok(()) } else { self.observer.event(WatchEvent::TapFailed(&outcome)) }
            }
            // In toggle and until, a tap counts even if the card was removed before the server answered.
            Some(input @ Input::Tap(_)) if !stays && !is_outdated => {
                self.applied.insert(reader.clone(), insertion);
                self.apply(&input)?;
                self.apply(&Input::Lifted { reader })
            }
            _ if is_news => self.observer.event(WatchEvent::TapFailed(&outcome)),
            _ => Ok(()),
        }
    }
}

/// The key for the next tap of an admitted token, if that may be resumed. With a server, it must have allowed this in
/// its last answer; its answer to the full tap remains valid while it is unreachable.
fn vouched(kept: KeptKey, answered: Option<&LookupOutcome>, outcome: &TapOutcome) -> Option<KeptKey> {
    let resumed = outcome.decision.admitted().is_some_and(|admission| admission.token.is_resumed());
    match answered.map(|answered| &answered.said) {
        None => Some(kept),
        Some(Ok(found)) => found.resume.then(|| kept.vouched(found.resume_until)),
        Some(Err(error)) => (resumed && !error.problem().is_some_and(Problem::is_of_token)).then_some(kept),
    }
}
