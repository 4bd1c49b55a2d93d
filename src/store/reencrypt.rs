//! Re-encryption of everything: a new generation of the release key, to which all values move.

use super::error::Error;
use super::{Caller, Store};

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Whether one is under way (it waits while the store is locked).
    pub running: bool,
    /// The generation that deposits go to.
    pub generation: u32,
    /// Secrets moved so far.
    pub done: u64,
    /// Secrets to move in all, as counted at its start; absent when not known.
    pub total: Option<u64>,
}

impl Store {
    /// Starts it (the operator), on an unlocked store; it goes on in the background, over restarts, and ends by dropping
    /// the old generation. When one is under way already, that one's progress is the answer.
    pub async fn reencrypt_all(&self, caller: &Caller) -> Result<Progress, Error> {
        let _ = caller;
        todo!()
    }

    /// How far it is, for any caller.
    pub async fn reencrypt_progress(&self, caller: &Caller) -> Result<Progress, Error> {
        let _ = caller;
        todo!()
    }
}
