//! Reads of single keys that come while another is under way, asked of etcd together: in a herd each boot looks up a ticket
//! and a member, and an exchange with etcd costs more processor time than all the rest of that.
//!
//! Still linearizable: what is asked together is asked after each of its callers began.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::Shared;
use super::reads::MAX_KEYS;
use crate::kv::{KvLookup, KvReadError, Outage};

/// Those who wait, and whether somebody is asking.
#[derive(Default)]
pub(crate) struct ReadBatcher(Mutex<ReadQueue>);

#[derive(Default)]
struct ReadQueue {
    asked: Vec<PendingRead>,
    is_asking: bool,
}

struct PendingRead {
    keys: Vec<Vec<u8>>,
    answer: oneshot::Sender<Result<KvLookup, KvReadError>>,
}

impl Shared {
    /// The entries of a few keys.
    pub(crate) async fn get_batched(self: &Arc<Self>, keys: &[Vec<u8>]) -> Result<KvLookup, KvReadError> {
        let (answer, answered) = oneshot::channel();
        let begin = {
            let mut waiting = self.get_batched.lock();
            waiting.asked.push(PendingRead { keys: keys.to_vec(), answer });
            !std::mem::replace(&mut waiting.is_asking, true)
        };
        if begin {
            // On its own: whoever began may go away before the others have their answers.
            tokio::spawn(Arc::clone(self).ask_for_all());
        }
        answered.await.unwrap_or(Err(KvReadError::Unavailable(Outage::Io)))
    }

    async fn ask_for_all(self: Arc<Self>) {
        while let Some(together) = self.get_batched.next() {
            let keys: Vec<Vec<u8>> = together.iter().flat_map(|asked| asked.keys.iter().cloned()).collect();
            let found = self.get(&keys).await;
            let mut entries = match found {
                Ok((entries, revision)) => Ok((entries.into_iter(), revision)),
                Err(error) => Err(error),
            };
            for PendingRead { keys, answer } in together {
                let own = match &mut entries {
                    Ok((entries, revision)) => Ok((entries.take(keys.len()).collect(), *revision)),
                    Err(error) => Err(*error),
                };
                // Whoever asked may be gone.
                let _ = answer.send(own);
            }
        }
    }
}

impl ReadBatcher {
    /// As many of those who wait as one request takes; none ends the asking.
    fn next(&self) -> Option<Vec<PendingRead>> {
        let mut waiting = self.lock();
        let mut keys = 0;
        let fit = waiting.asked.iter().take_while(|asked| {
            keys += asked.keys.len();
            keys <= MAX_KEYS
        });
        let fit = fit.count();
        if fit == 0 {
            waiting.is_asking = false;
            return None;
        }
        Some(waiting.asked.drain(..fit).collect())
    }

    fn lock(&self) -> MutexGuard<'_, ReadQueue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
