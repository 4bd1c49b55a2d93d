//! Attempt keys: all tries of a boot carry the same key, so that a lost response does not cost another use of a ticket.
//!
//! The first try binds the key to its machine and its request. Never accepts the key from another machine or for
//! another request.

use std::time::Duration;

use crate::domain::boot::BootState;
use crate::domain::id::{BootId, OrgId};
use crate::domain::time::Timestamp;
use crate::store::engine::journal::{Stop, Tx};
use crate::store::engine::keys::Key;
use crate::store::rules::boots::release::PendingBoot;
use crate::store::rules::boots::{BootAsk, BootError};
use crate::store::rules::store::Store;
use crate::store::tables::boots::{AttemptRecord, BootRecord};

/// How long after the first try further tries belong to the same boot. Longer than any agent waits.
const WINDOW: Duration = Duration::from_secs(300);
/// The maximum number of tries of one boot. An agent needs a second one only if a response is lost.
const MAX_TRIES: u32 = 5;

/// The attempt key of a boot, and what it is bound to.
pub(crate) struct Attempt {
    pub(crate) key: Key<AttemptRecord>,
    /// The keyed hash of the machine and its request.
    request: [u8; 16],
}

/// The tries before this one.
pub(crate) struct EarlierTries {
    pub(crate) attempt: AttemptRecord,
    /// `None` if the boot has been pruned since.
    pub(crate) boot: Option<BootRecord>,
}

impl AttemptRecord {
    /// Whether the key has expired, so that another boot can use it.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        // A record of the older format names no boot to continue. It would also expire after five minutes.
        self.boot.is_none() || self.at.plus(WINDOW) <= now
    }
}

impl Attempt {
    /// Returns `None` for a request without an attempt key. Each such request is a separate boot.
    pub(crate) fn new(store: &Store, boot: &PendingBoot<'_>) -> Option<Self> {
        let records = store.records();
        let key = records.attempt(boot.ticket.id, boot.ask.attempt.as_deref()?);
        Some(Self { key, request: records.key.key_hash("boot attempt request", &[&boot.ask.identify()]) })
    }

    /// Reads the tries before this one. `None` if this is the first.
    pub(crate) fn earlier(
        &self,
        tx: &mut Tx<'_>,
        org: OrgId,
    ) -> Result<Option<EarlierTries>, Stop<BootError>> {
        let Some(attempt) = tx.get(&self.key)?.filter(|attempt| !attempt.is_over(tx.now())) else {
            return Ok(None);
        };
        let boot = match attempt.boot {
            Some(boot) => tx.get(&tx.records().boot(org, boot))?,
            None => None,
        };
        Ok(Some(EarlierTries { attempt, boot }))
    }

    /// Returns why a further try is refused.
    pub(crate) fn refusal(&self, earlier: &EarlierTries, now: Timestamp) -> Option<BootError> {
        // Checked first, so that another machine learns nothing about the boot that the key belongs to.
        if earlier.attempt.request != self.request {
            return Some(BootError::AttemptMismatch);
        }
        // A boot that has started needs no further try. One that has ended no longer counts as a holder, and must not
        // receive values again.
        let waits =
            |boot: &BootRecord| boot.state == BootState::Released && boot.life().end_at(now).is_none();
        if !earlier.boot.as_ref().is_some_and(waits) {
            return Some(BootError::AttemptOver);
        }
        (earlier.attempt.tries >= MAX_TRIES).then_some(BootError::TriesSpent)
    }

    /// Records a try.
    pub(crate) fn record(
        &self,
        tx: &mut Tx<'_>,
        boot: BootId,
        earlier: Option<&EarlierTries>,
    ) -> Result<(), Stop<BootError>> {
        // The window begins with the first try. Later tries must not extend it.
        let (at, tries) =
            earlier.map_or((tx.now(), 0), |earlier| (earlier.attempt.at, earlier.attempt.tries));
        let record = AttemptRecord { at, boot: Some(boot), request: self.request, tries: tries + 1 };
        Ok(tx.put(&self.key, &record)?)
    }
}

impl EarlierTries {
    /// Returns the number of the next try.
    pub(crate) fn next_try(&self) -> u32 {
        self.attempt.tries + 1
    }
}

impl BootAsk {
    /// Encodes the machine and its request, for comparison with another try. The attempt key is not included.
    fn identify(&self) -> Vec<u8> {
        // Destructured, so that a new field cannot be forgotten here. The agent's version does not identify it.
        let Self {
            request,
            machine,
            kernel_boot,
            host,
            workload,
            reports_end,
            refuse_files,
            agent: _,
            attempt: _,
        } = self;
        // Only compared for equality, so that any unambiguous encoding will do.
        postcard::to_allocvec(&(request, machine, kernel_boot, host, workload, (reports_end, refuse_files)))
            .unwrap_or_default()
    }
}
