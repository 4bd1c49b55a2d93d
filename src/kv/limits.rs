//! The limits of a commit, and the check that every backend makes first.

use std::collections::BTreeSet;

use super::{CommitError, CommitPart, Precondition, Write};

/// The limits of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Writes in one commit. Preconditions have the same limit, counted apart.
    pub max_writes_per_commit: usize,
    /// Bytes of one key.
    pub max_key: usize,
    /// Bytes of one value.
    pub max_value: usize,
    /// Bytes of all keys and values of one commit, including the keys of preconditions.
    pub max_commit: usize,
}

impl Limits {
    /// The limits of the backends in this process: far above what a request needs, and low enough that no commit delays
    /// others for long. The largest value is a sealed file of 1 MiB.
    pub const EMBEDDED: Limits = Limits {
        max_writes_per_commit: 4096,
        max_key: 1024,
        max_value: (1 << 20) + (64 << 10),
        max_commit: 8 << 20,
    };

    /// Refuses a commit that exceeds these limits or is malformed.
    pub fn check(&self, preconditions: &[Precondition], writes: &[Write]) -> Result<(), CommitError> {
        let within = |part, size, limit| match size > limit {
            true => Err(CommitError::TooLarge { part, size, limit }),
            false => Ok(()),
        };
        within(CommitPart::Preconditions, preconditions.len(), self.max_writes_per_commit)?;
        within(CommitPart::Writes, writes.len(), self.max_writes_per_commit)?;

        let mut whole = 0;
        for key in preconditions.iter().map(Precondition::key).chain(writes.iter().map(Write::key)) {
            if key.is_empty() {
                return Err(CommitError::EmptyKey);
            }
            within(CommitPart::Key, key.len(), self.max_key)?;
            // Preconditions count too: etcd sends their keys in the same request.
            whole += key.len();
        }
        for write in writes {
            if let Write::Put(_, value) = write {
                within(CommitPart::Value, value.len(), self.max_value)?;
                whole += value.len();
            }
        }
        within(CommitPart::Whole, whole, self.max_commit)?;

        // Last, because it is the only check that allocates.
        let mut seen = BTreeSet::new();
        match writes.iter().all(|write| seen.insert(write.key())) {
            true => Ok(()),
            false => Err(CommitError::DuplicateKey),
        }
    }
}
