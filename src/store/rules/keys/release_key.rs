//! The release key in memory.

use std::sync::Arc;

use crate::crypto::memory::Key32;
use crate::crypto::random::Random;
use crate::crypto::ring::{KeyRing, SealedRing};
use crate::crypto::slot::Opener;

/// An unlocked ring, and its stored form.
pub(crate) struct Release {
    pub(crate) ring: KeyRing,
    pub(crate) sealed: SealedRing,
    /// Opens the ring again after another process changed it. `None` in the process that created the store.
    pub(crate) opener: Option<Arc<Opener>>,
    /// Seals the values in the cache. It is random, and dropped with the ring.
    pub(crate) cache_key: Arc<Key32>,
}

impl Release {
    pub(crate) fn new(
        ring: KeyRing,
        sealed: SealedRing,
        opener: Option<Opener>,
        rng: &mut dyn Random,
    ) -> Self {
        Self { ring, sealed, opener: opener.map(Arc::new), cache_key: Arc::new(Key32::random(rng)) }
    }

    /// This release key with another ring, after a change by this process.
    pub(crate) fn with_ring(&self, ring: KeyRing, sealed: SealedRing) -> Self {
        // The same cache key: a change of the ring changes no value.
        Self { ring, sealed, opener: self.opener.clone(), cache_key: Arc::clone(&self.cache_key) }
    }
}
