//! Deduplication keys: what makes a commit happen once, though it may have to be sent more than once.
//!
//! A process owns some keys beside those of the store. A commit takes one while it is under way: it succeeds only if the
//! key is unchanged, and it changes the key. So at most one of all the times that it is sent succeeds, and any member can
//! tell from the key what became of it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::kv::Revision;

/// The deduplication keys of a process that no commit has taken.
pub(crate) struct DedupKeys {
    /// A random id, so that two processes never share a key.
    process: [u8; 16],
    free: Mutex<Vec<DedupKey>>,
    created: AtomicU32,
}

/// A deduplication key, used by one commit at a time.
#[derive(Debug)]
pub(crate) struct DedupKey {
    /// Behind the root of these keys.
    key: Vec<u8>,
    /// The commit that changed it last; 0 before the first.
    pub(crate) revision: Revision,
    /// How many commits have taken it.
    count: u64,
}

impl DedupKeys {
    pub(crate) fn new(process: [u8; 16]) -> DedupKeys {
        DedupKeys { process, free: Mutex::default(), created: AtomicU32::new(0) }
    }

    /// Returns a key for the next commit, with a value that it never had, and whether it is the first of this process.
    pub(crate) fn take(&self) -> (DedupKey, bool) {
        let free = self.lock().pop();
        let first = free.is_none() && self.created.load(Ordering::Relaxed) == 0;
        let mut key = free.unwrap_or_else(|| {
            let number = self.created.fetch_add(1, Ordering::Relaxed);
            DedupKey { key: [self.process.as_slice(), &number.to_be_bytes()].concat(), revision: 0, count: 0 }
        });
        key.count += 1;
        (key, first)
    }

    /// Gives back a key whose state is known. A key whose commit may still arrive is never given back.
    pub(crate) fn give_back(&self, key: DedupKey) {
        self.lock().push(key);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<DedupKey>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DedupKey {
    /// The key behind the root of these keys.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    /// The value that the commit writes.
    pub(crate) fn value(&self) -> [u8; 8] {
        // Even for a commit and odd for its cancellation: one number never stands for both.
        (self.count * 2).to_be_bytes()
    }

    /// The value that cancels a commit which may still arrive.
    pub(crate) fn cancelled_value(&self) -> [u8; 8] {
        (self.count * 2 + 1).to_be_bytes()
    }
}
