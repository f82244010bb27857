//! Reads the registered identities of tokens whose proofs are being checked: all that wait share one statement.

use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::{
    problem::ApiError,
    store::{RegisteredIdentity, ServerStore},
};

/// Most tokens per statement.
const BATCH: usize = 64;
/// Most tokens that wait for a statement.
const QUEUE: usize = 1024;

type FoundIdentity = Result<Option<RegisteredIdentity>, ApiError>;

/// Passes queries to the one task that asks the store.
pub struct IdentityBatcher(mpsc::Sender<(Uuid, oneshot::Sender<FoundIdentity>)>);

impl IdentityBatcher {
    /// Starts the task; it ends once this is dropped and nothing waits any more.
    pub fn start(store: ServerStore) -> Self {
        let (sender, pending) = mpsc::channel(QUEUE);
        tokio::spawn(run(store, pending));
        Self(sender)
    }

    /// The registered identity of a token; `None` if there is no such token. `Busy` when too many wait.
    ///
    /// # Errors
    /// [`ApiError::Busy`], or that of the store.
    pub async fn identity(&self, token_id: Uuid) -> FoundIdentity {
        let (answer, result) = oneshot::channel();
        self.0.try_send((token_id, answer)).map_err(|_| ApiError::Busy)?;
        // The other end is dropped only while the server ends.
        result.await.unwrap_or(Err(ApiError::Busy))
    }
}

async fn run(store: ServerStore, mut pending: mpsc::Receiver<(Uuid, oneshot::Sender<FoundIdentity>)>) {
    while let Some(first) = pending.recv().await {
        let mut batch = vec![first];
        while batch.len() < BATCH {
            let Ok(next) = pending.try_recv() else { break };
            batch.push(next);
        }
        let (ids, answers): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        match store.identities(&ids).await {
            Ok(found) => answers.into_iter().zip(found).for_each(|(answer, found)| drop(answer.send(Ok(found)))),
            Err(error) if ids.len() == 1 || error.absence().is_some() => {
                let error = ApiError::from(error);
                for answer in answers {
                    drop(answer.send(Err(error.clone())));
                }
            }
            // One that cannot be read must not fail the others.
            Err(_) => {
                for (id, answer) in ids.into_iter().zip(answers) {
                    let found = store.identities(&[id]).await.map(|mut found| found.pop().flatten());
                    drop(answer.send(found.map_err(ApiError::from)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::{StoreUrl, block_on};

    #[test]
    fn an_identity_that_cannot_be_read_takes_no_other_with_it() {
        let home = tempfile::tempdir().unwrap();
        let found = async {
            let store = ServerStore::with_two_tokens(&StoreUrl::in_folder(home.path())).await;
            // The columns take nothing but bytes, so one row is read through a view that has a number there.
            let other = rusqlite::Connection::open(home.path().join("server.db")).unwrap();
            let lies = "ALTER TABLE tokens RENAME TO stored;
                CREATE VIEW tokens AS SELECT token_id, identity_certificate,
                CASE identity_key WHEN x'02' THEN 2 ELSE identity_key END AS identity_key FROM stored";
            other.execute_batch(lies).unwrap();
            let batcher = IdentityBatcher::start(store);
            let ask = |n| batcher.identity(Uuid::from_u128(n));
            // The task has not run yet when the last of them is asked: they are one batch.
            let together = tokio::join!(ask(1), ask(2), ask(3));
            (together, ask(2).await)
        };
        let ((whole, damaged, unknown), alone) = block_on(found).unwrap();
        assert_eq!(whole.unwrap().unwrap().key, [1]);
        assert!(matches!(unknown, Ok(None)), "{unknown:?}");
        for damaged in [damaged, alone] {
            assert!(matches!(damaged, Err(ApiError::Fault(_))), "{damaged:?}");
        }
    }
}
