//! How the worker follows the server's feed, and what it does when the server has lost its log.

use super::{ServerEvent, WorkerParts, WorkerState};
use crate::{
    api::{
        problem::ProblemCode,
        v1::{AuditHead, Lookup, Problem, SignedFeed, TokenStatus},
    },
    server_client::{ServerClient, ServerError},
    terminal::lookups::{FeedPosition, FeedTaken},
};

impl WorkerState {
    pub(super) fn fetch_feed(&mut self) -> Result<(), ServerError> {
        let done = self.follow();
        let exchanges = self.parts.cache.exchanges()?;
        if self.exchanges != exchanges {
            self.exchanges = exchanges;
            self.upload = self.parts.journal.is_some();
            self.witnessed = false;
        }
        // In both cases the cache was written.
        if matches!(done, Ok(()) | Err(ServerError::RolledBack { .. })) {
            self.cache_written();
        }
        match done {
            Err(ServerError::RolledBack { .. }) => {
                self.told = None;
                self.tell_witness();
            }
            // A later rollback is to be reported again, even for the same record.
            Ok(()) => drop(self.alarm.take_if(|alarm| matches!(alarm, ServerError::RolledBack { .. }))),
            Err(_) => {}
        }
        done?;
        let version = self.parts.cache.mark()?.version;
        if self.told != Some(version) {
            let ids = self.parts.cache.not_active()?;
            self.told = Some(version);
            if !ids.is_empty() {
                (self.report)(ServerEvent::NotActive(ids));
            }
        }
        Ok(())
    }

    fn follow(&self) -> Result<(), ServerError> {
        let WorkerParts { server, cache, clock, .. } = &self.parts;
        let mut started_over = false;
        if let Some(audit) = cache.other_log()? {
            let asked = FeedPosition { audit, ..cache.mark()? };
            cache.follow_other(&asked.audit, &ask(server, &asked)?.jws)?;
        }
        loop {
            let mark = cache.mark()?;
            let jws = ask(server, &mark)?.jws;
            let taken = cache.take_feed(&mark, &jws, clock());
            if let Err(ServerError::RolledBack { .. }) = taken {
                cache.roll_back(&jws)?;
            }
            match taken? {
                FeedTaken::Whole => return Ok(()),
                FeedTaken::MoreFollows => {}
                // A server that answers like this every time would be queried forever.
                FeedTaken::StartedOver if started_over => {
                    return Err(ServerError::Protocol("it has another log each time".into()));
                }
                FeedTaken::StartedOver => started_over = true,
            }
        }
    }

    /// Gives the server back what this terminal holds of the lost log, the refused tokens, for its administrator.
    fn tell_witness(&mut self) {
        if self.witnessed {
            return;
        }
        let WorkerParts { server, cache, .. } = &self.parts;
        let told = cache.witness().and_then(|parts| parts.iter().try_for_each(|part| server.witness(part).map(drop)));
        // A server of an earlier release does not support this; any other failure is retried with the next feed.
        self.witnessed = match told {
            Ok(()) => true,
            Err(error) => error.problem().is_some_and(|problem| problem.status < 500),
        };
    }

    /// Admits a token that was refused before only once the feed agrees, which is fetched at once: a restored server
    /// knows nothing of its suspension.
    pub(super) fn confirmed(&mut self, said: Lookup) -> Result<Lookup, ServerError> {
        let now = (self.parts.clock)();
        let kept = |state: &Self| Ok(state.parts.cache.recall(said.token_id, now)?.status);
        if said.status != TokenStatus::Active || kept(self)?.is_none() {
            return Ok(said);
        }
        self.feed_due = self.next_feed();
        let fetched = self.fetch_feed();
        self.note_request(fetched)?;
        match kept(self)? {
            None => Ok(said),
            // It was suspended between the two answers.
            Some((status, reason)) => Ok(Lookup { status, reason, user: None, signed_user: None, ..said }),
        }
    }
}

fn ask(server: &ServerClient, mark: &FeedPosition) -> Result<SignedFeed, ServerError> {
    let answer = server.revocations(mark.version, &mark.audit);
    let refused = answer.as_ref().err().and_then(ServerError::problem).and_then(Problem::known_code);
    if mark.audit.seq > 0 && refused == Some(ProblemCode::RequestMalformed) {
        // A server of an earlier release does not know this parameter; then the ends of the logs are compared.
        return server.revocations(mark.version, &AuditHead { seq: 0, hash: String::new() });
    }
    answer
}
