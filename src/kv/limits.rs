//! What a commit may hold, and the check that every backend makes before it does anything else.

use std::collections::BTreeSet;

use super::{CommitError, CommitPart, Precondition, Write};

/// What a commit may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Writes in one commit; its preconditions have the same bound of their own.
    pub max_writes_per_commit: usize,
    /// Bytes of one key.
    pub max_key: usize,
    /// Bytes of one value.
    pub max_value: usize,
    /// Bytes of all keys and values of one commit, those of preconditions included.
    pub max_commit: usize,
}

impl Limits {
    /// Those of the backends that live in this process: far above what a request needs, and low enough that no commit
    /// keeps others waiting for long. The largest value is a file of 1 MiB, and its seal.
    pub const EMBEDDED: Limits = Limits {
        max_writes_per_commit: 4096,
        max_key: 1024,
        max_value: (1 << 20) + (64 << 10),
        max_commit: 8 << 20,
    };

    /// Refuses a commit that is beyond these limits or malformed.
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
            whole += key.len();
        }
        for write in writes {
            if let Write::Put(_, value) = write {
                within(CommitPart::Value, value.len(), self.max_value)?;
                whole += value.len();
            }
        }
        within(CommitPart::Whole, whole, self.max_commit)?;

        let mut seen = BTreeSet::new();
        match writes.iter().all(|write| seen.insert(write.key())) {
            true => Ok(()),
            false => Err(CommitError::DuplicateKey),
        }
    }
}
