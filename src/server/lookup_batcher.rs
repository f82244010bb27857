//! Decides lookups in batches: all that wait share one transaction, so that many lookups cost one write to the disk.
//! Lookups that arrive while it waits for another process that writes join it.

use std::io;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::{
    problem::ApiError,
    store::{LookupResult, LookupTask, ServerStore, ServerStoreError},
};

/// Most lookups decided in one transaction.
const BATCH: usize = 64;
/// Most lookups that wait for one; a terminal that finds no room must try again.
const QUEUE: usize = 1024;

/// A waiting lookup, and where its result goes.
struct PendingLookup {
    task: LookupTask,
    answer: ResultSender,
}

/// The result of a lookup, or why there is none.
type ResultSender = oneshot::Sender<Result<LookupResult, ApiError>>;

/// Passes lookups to the one task, or thread, that decides them.
pub struct LookupBatcher(mpsc::Sender<PendingLookup>);

impl LookupBatcher {
    /// Starts it; it ends once this is dropped and nothing waits any more.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub fn start(store: &ServerStore) -> io::Result<Self> {
        let (sender, pending) = mpsc::channel(QUEUE);
        store.keep_at_work("lookups", run(store.clone(), pending))?;
        Ok(Self(sender))
    }

    /// Decides one lookup, together with others that wait. `Busy` when too many wait.
    pub async fn decide(&self, task: LookupTask) -> Result<LookupResult, ApiError> {
        let (answer, result) = oneshot::channel();
        self.0.try_send(PendingLookup { task, answer }).map_err(|_| ApiError::Busy)?;
        // The other end is dropped only while the server ends.
        result.await.unwrap_or(Err(ApiError::Busy))
    }
}

async fn run(store: ServerStore, mut pending: mpsc::Receiver<PendingLookup>) {
    while let Some(first) = pending.recv().await {
        let (mut tasks, mut answers) = (vec![first.task], vec![first.answer]);
        let mut join = |tasks: &mut Vec<LookupTask>| {
            while tasks.len() < BATCH {
                let Ok(next) = pending.try_recv() else { break };
                tasks.push(next.task);
                answers.push(next.answer);
            }
            Timestamp::now()
        };
        // Fill the batch now as well: if the store is unavailable, all of them wait for it together.
        join(&mut tasks);
        match store.lookups(&mut tasks, &mut join).await {
            Ok(results) => answers.into_iter().zip(results).for_each(|(answer, result)| drop(answer.send(Ok(result)))),
            Err(error) if tasks.len() == 1 || error.absence().is_some() => refuse(answers, error),
            Err(_) => one_by_one(&store, tasks, answers).await,
        }
    }
}

/// One lookup that cannot be decided must not fail the others.
async fn one_by_one(store: &ServerStore, tasks: Vec<LookupTask>, answers: Vec<ResultSender>) {
    for (task, answer) in tasks.into_iter().zip(answers) {
        match store.lookups(&mut vec![task], &mut |_| Timestamp::now()).await {
            Ok(mut results) => drop(answer.send(results.pop().ok_or(ApiError::Busy))),
            Err(error) => refuse(vec![answer], error),
        }
    }
}

fn refuse(answers: Vec<ResultSender>, error: ServerStoreError) {
    let error = ApiError::from(error);
    for answer in answers {
        drop(answer.send(Err(error.clone())));
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::server::{StoreUrl, block_on, store::PresentedProof};

    #[test]
    fn a_lookup_that_cannot_be_decided_takes_no_other_with_it() {
        let home = tempfile::tempdir().unwrap();
        let decided = async {
            let store = ServerStore::with_two_tokens(&StoreUrl::in_folder(home.path())).await;
            let other = rusqlite::Connection::open(home.path().join("server.db")).unwrap();
            other.execute("UPDATE users SET fields = 'no object' WHERE id = '2'", ()).unwrap();
            let batcher = LookupBatcher::start(&store).unwrap();
            let ask = |n| {
                let (terminal, token_id) = ("door".into(), Uuid::from_u128(n));
                batcher.decide(LookupTask { terminal, token_id, proof: PresentedProof::Nothing, nonces: Vec::new() })
            };
            // All are sent before any is decided, so they form one batch.
            other.execute_batch("BEGIN IMMEDIATE").unwrap();
            let together = tokio::join!(ask(1), ask(2), ask(3), async { other.execute_batch("COMMIT").unwrap() });
            (together, ask(2).await)
        };
        let ((whole, damaged, unknown, ()), alone) = block_on(decided).unwrap();
        assert!(matches!(whole, Ok(LookupResult::Token { .. })), "{whole:?}");
        assert!(matches!(unknown, Ok(LookupResult::Unknown)), "{unknown:?}");
        for damaged in [damaged, alone] {
            assert!(matches!(damaged, Err(ApiError::Fault(_))), "{damaged:?}");
        }
    }
}
