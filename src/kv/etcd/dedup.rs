//! DedupKeys: what makes a commit happen once, though it may have to be sent more than once.
//!
//! A process has some dedup, keys beside those of the store. A commit holds one while it is under way: it happens only
//! if the dedup_key is as it was, and changes it. So of all the times that it is sent one counts, and what became of it can be
//! read from its dedup_key, by whatever member.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::kv::Revision;

/// The dedup of a process that no commit holds.
pub(crate) struct DedupKeys {
    /// Tells this process from others that use the store.
    process: [u8; 16],
    free: Mutex<Vec<DedupKey>>,
    made: AtomicU32,
}

/// A dedup_key, held by one commit at a time.
#[derive(Debug)]
pub(crate) struct DedupKey {
    /// Behind the root of dedup.
    key: Vec<u8>,
    /// The commit that changed it last; 0 when there was none.
    pub(crate) revision: Revision,
    /// How often it was held.
    count: u64,
}

// === impl DedupKeys ===

impl DedupKeys {
    pub(crate) fn new(process: [u8; 16]) -> DedupKeys {
        DedupKeys { process, free: Mutex::default(), made: AtomicU32::new(0) }
    }

    /// A dedup_key for the next commit, with a value that it never had, and whether it is the first of this process.
    pub(crate) fn take(&self) -> (DedupKey, bool) {
        let free = self.lock().pop();
        let first = free.is_none() && self.made.load(Ordering::Relaxed) == 0;
        let mut dedup_key = free.unwrap_or_else(|| {
            let number = self.made.fetch_add(1, Ordering::Relaxed);
            DedupKey { key: [self.process.as_slice(), &number.to_be_bytes()].concat(), revision: 0, count: 0 }
        });
        dedup_key.count += 1;
        (dedup_key, first)
    }

    /// Gives back a dedup_key whose state is known. One whose commit may still be on its way is not given back, ever.
    pub(crate) fn give_back(&self, dedup_key: DedupKey) {
        self.lock().push(dedup_key);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<DedupKey>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl DedupKey ===

impl DedupKey {
    /// Its key behind the root of dedup.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    /// What the commit that holds it changes it to.
    pub(crate) fn value(&self) -> [u8; 8] {
        (self.count * 2).to_be_bytes()
    }

    /// What it is changed to so that a commit which may be on its way does not happen any more.
    pub(crate) fn barred(&self) -> [u8; 8] {
        (self.count * 2 + 1).to_be_bytes()
    }
}
