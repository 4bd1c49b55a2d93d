//! Reads of a few keys that arrive while another read is under way are sent to etcd together: in a herd, each boot looks up
//! a ticket and a member, and an exchange with etcd costs more processor time than all the rest of that.
//!
//! The reads stay linearizable, because a batch is sent after each of its callers began.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::Shared;
use super::reads::MAX_KEYS;
use crate::kv::{KvLookup, KvReadError, Outage};

/// The reads that wait for the next batch.
#[derive(Default)]
pub(crate) struct ReadBatcher(Mutex<ReadQueue>);

#[derive(Default)]
struct ReadQueue {
    pending: Vec<PendingRead>,
    /// Whether a task is sending batches.
    is_running: bool,
}

struct PendingRead {
    keys: Vec<Vec<u8>>,
    answer: oneshot::Sender<Result<KvLookup, KvReadError>>,
}

impl Shared {
    /// Returns the entries of a few keys.
    pub(crate) async fn get_batched(self: &Arc<Self>, keys: &[Vec<u8>]) -> Result<KvLookup, KvReadError> {
        let (answer, answered) = oneshot::channel();
        let start = {
            let mut queue = self.read_batcher.lock();
            queue.pending.push(PendingRead { keys: keys.to_vec(), answer });
            !std::mem::replace(&mut queue.is_running, true)
        };
        if start {
            // In a task: the first caller may be dropped before the others have their answers.
            tokio::spawn(Arc::clone(self).send_batches());
        }
        answered.await.unwrap_or(Err(KvReadError::Unavailable(Outage::Io)))
    }

    async fn send_batches(self: Arc<Self>) {
        while let Some(batch) = self.read_batcher.next() {
            let keys: Vec<Vec<u8>> = batch.iter().flat_map(|read| read.keys.iter().cloned()).collect();
            let mut found = self.get(&keys).await.map(|(entries, revision)| (entries.into_iter(), revision));
            for PendingRead { keys, answer } in batch {
                let own = match &mut found {
                    Ok((entries, revision)) => Ok((entries.take(keys.len()).collect(), *revision)),
                    Err(error) => Err(*error),
                };
                // Sending fails if the caller was dropped, which is no error.
                let _ = answer.send(own);
            }
        }
    }
}

impl ReadBatcher {
    /// Takes as many pending reads as fit one request. `None` ends the task.
    fn next(&self) -> Option<Vec<PendingRead>> {
        let mut queue = self.lock();
        let mut keys = 0;
        let fit = queue.pending.iter().take_while(|read| {
            keys += read.keys.len();
            keys <= MAX_KEYS
        });
        let fit = fit.count();
        if fit == 0 {
            // Under the same lock as the check, so that a read which is pushed now starts a new task.
            queue.is_running = false;
            return None;
        }
        Some(queue.pending.drain(..fit).collect())
    }

    fn lock(&self) -> MutexGuard<'_, ReadQueue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
