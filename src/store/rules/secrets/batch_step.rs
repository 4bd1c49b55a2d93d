//! The writes of a batch: what one item needs in a commit.

use crate::domain::audit::AuditAction;
use crate::domain::id::OrgId;
use crate::domain::role::Action;
use crate::domain::secret::SecretMeta;
use crate::store::engine::journal::{Stop, Tx};
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::secrets::describe::describe_secret;
use crate::store::rules::secrets::prepare::Prepared;
use crate::store::rules::secrets::usage::{Charge, MeasuredUsage};
use crate::store::rules::store::Store;
use crate::store::tables::secrets::SecretRecord;
use crate::store::tables::store::keys;

/// Records that one item writes at most: its secret, a long value, three index entries, an unsettled mark, an audit entry.
pub(crate) const WRITES: usize = 7;
/// Bytes of these records beside the value, with what the journal counts for each.
pub(crate) const RECORD_BYTES: usize = 4096;

/// The writes that an item needs.
pub(crate) enum BatchStep {
    Nothing,
    Create { meta: SecretMeta, prepared: Prepared },
    Replace { before: Box<SecretRecord>, meta: SecretMeta, prepared: Prepared },
    Delete { before: Box<SecretRecord> },
}

impl BatchStep {
    /// The keys that it reads.
    pub(crate) fn reads(&self, store: &Store, org: OrgId) -> Vec<Vec<u8>> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Create { meta, .. } => store.create_reads(meta, org),
            Self::Replace { before, meta, .. } => {
                let owner = meta.scope.owner().map(|owner| store.records().member(org, owner).to_vec());
                let retired = store.records().retired_version(org, meta.id, meta.version).to_vec();
                let reads = [before.key(store.records()).to_vec(), keys().to_vec(), retired];
                reads.into_iter().chain(owner).collect()
            }
            Self::Delete { before } => vec![before.key(store.records()).to_vec()],
        }
    }

    /// What it changes of the counts.
    pub(crate) fn charge(&self, org: OrgId, caller: &Caller) -> Option<Charge> {
        match self {
            Self::Nothing => None,
            Self::Create { meta, .. } => Some(Charge::creation(caller, org, meta)),
            Self::Replace { before, meta, .. } => Some(Charge::replacement(caller, before, meta)),
            Self::Delete { before } => Some(Charge::deletion(caller, before)),
        }
    }

    pub(crate) fn writes(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Create { .. } | Self::Replace { .. } => WRITES,
            // Its version is kept from being used again.
            Self::Delete { .. } => WRITES + 1,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Create { meta, .. } | Self::Replace { meta, .. } => {
                RECORD_BYTES + usize::try_from(meta.value_len).unwrap_or(usize::MAX / 2)
            }
            Self::Delete { .. } => RECORD_BYTES,
        }
    }

    /// Fails with [`Error::VersionMismatch`] if the secret is no longer as it was planned.
    pub(crate) fn run(
        &self,
        tx: &mut Tx<'_>,
        org: OrgId,
        caller: &Caller,
        measured: &MeasuredUsage,
    ) -> Result<(), Stop<Error>> {
        let event = |audit_action, meta: &SecretMeta| {
            caller.event(audit_action).about(target::secret(meta.id, &meta.name))
        };
        // An error and not a flag: the journal keeps the changes of an operation that succeeds, so that the steps before
        // this one would be stored without those after it.
        let changed = || Error::VersionMismatch;
        match self {
            Self::Nothing => {}
            Self::Create { meta, prepared } => {
                tx.create(meta, org, prepared, event(AuditAction::SecretCreate, meta))?;
            }
            Self::Replace { before, meta, prepared } => {
                tx.replace(before, meta, prepared, event(AuditAction::SecretReplace, meta))?
                    .ok_or_else(changed)?;
            }
            Self::Delete { before } => {
                let key = before.key(tx.records());
                if tx.get(&key)?.as_ref() != Some(before.as_ref()) {
                    return Err(changed().into());
                }
                tx.check_change(caller, Action::DeleteSecret, before)?;
                tx.delete_secret(before)?;
                tx.audit(describe_secret(event(AuditAction::SecretDelete, &before.meta), &before.meta));
            }
        }
        // After the change: of a secret that is no longer as it was planned, this would count the wrong difference.
        self.charge(org, caller).map_or(Ok(()), |charge| tx.charge(&charge, measured))
    }
}
