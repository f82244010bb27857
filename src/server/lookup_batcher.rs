//! Lookups in batches: whatever waits is decided in one transaction, so that many lookups cost one write to the disk.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::{
    ServerLog,
    problem::ApiError,
    store::{LookupResult, LookupTask, ServerStore, ServerStoreError},
};

/// Most lookups that are decided in one transaction.
const BATCH: usize = 64;
/// Lookups that wait for one; a terminal that finds no room has to come again.
const QUEUE: usize = 1024;

/// A lookup that waits for its batch, and where its result goes.
struct PendingLookup {
    task: LookupTask,
    answer: ResultSender,
}

/// Nothing but that the store failed reaches the one who asked; the log has the rest.
type ResultSender = oneshot::Sender<Result<LookupResult, ()>>;

/// Hands lookups to the one task that decides them.
pub struct LookupBatcher(mpsc::Sender<PendingLookup>);

impl LookupBatcher {
    /// Starts the task; it ends when this is dropped and nothing waits any more.
    pub fn start(store: ServerStore, log: Arc<dyn ServerLog>) -> Self {
        let (sender, pending) = mpsc::channel(QUEUE);
        tokio::spawn(run(store, pending, log));
        Self(sender)
    }

    /// Decides one lookup, together with others that wait. `Busy` when too many do, `Store` when the store failed.
    pub async fn decide(&self, task: LookupTask) -> Result<LookupResult, ApiError> {
        let (answer, result) = oneshot::channel();
        self.0.try_send(PendingLookup { task, answer }).map_err(|_| ApiError::Busy)?;
        match result.await {
            Ok(Ok(result)) => Ok(result),
            _ => Err(ApiError::Store),
        }
    }
}

async fn run(store: ServerStore, mut pending: mpsc::Receiver<PendingLookup>, log: Arc<dyn ServerLog>) {
    while let Some(first) = pending.recv().await {
        let mut batch = vec![first];
        while batch.len() < BATCH {
            let Ok(next) = pending.try_recv() else { break };
            batch.push(next);
        }
        let (tasks, answers): (Vec<_>, Vec<_>) = batch.into_iter().map(|one| (one.task, one.answer)).unzip();
        match store.lookups(&tasks, Timestamp::now()).await {
            Ok(results) => answers.into_iter().zip(results).for_each(|(answer, result)| drop(answer.send(Ok(result)))),
            Err(error) if tasks.len() == 1 => refuse(answers, &error, &log),
            Err(_) => one_by_one(&store, tasks, answers, &log).await,
        }
    }
}

/// One lookup that cannot be decided must not take the others with it.
async fn one_by_one(store: &ServerStore, tasks: Vec<LookupTask>, answers: Vec<ResultSender>, log: &Arc<dyn ServerLog>) {
    for (task, answer) in tasks.into_iter().zip(answers) {
        match store.lookups(&[task], Timestamp::now()).await {
            Ok(mut results) => drop(answer.send(results.pop().ok_or(()))),
            Err(error) => refuse(vec![answer], &error, log),
        }
    }
}

fn refuse(answers: Vec<ResultSender>, error: &ServerStoreError, log: &Arc<dyn ServerLog>) {
    log.fault(&error.to_string());
    for answer in answers {
        drop(answer.send(Err(())));
    }
}
