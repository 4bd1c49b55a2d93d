//! The state of the store, and what depositors need to know about its keys.

use crate::crypto::generation::Generation;
use crate::crypto::hpke;
use crate::domain::audit::AuditAction;
use crate::domain::id::{MemberId, OrgId, StoreId};
use crate::domain::name::MemberName;
use crate::domain::role::{Action, ScopeSubject};
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::QUEUE;
use crate::store::rules::audit::target;
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::reencrypt::Progress;
use crate::store::rules::secrets::unusable::UnusableSecrets;
use crate::store::rules::state_check::StateCheck;
use crate::store::rules::store::Store;
use crate::store::tables::store;

/// What a client needs to seal a deposit.
#[derive(Clone, Debug)]
pub struct DepositInfo {
    /// The store's id.
    pub store: StoreId,
    /// The caller's organization.
    pub org: OrgId,
    /// The caller, who owns its private secrets.
    pub member: MemberId,
    /// The generation of the key.
    pub generation: u32,
    /// HPKE KEM identifier.
    pub suite: u16,
    /// The X25519 public key.
    pub public_key: [u8; 32],
    /// The fingerprint that clients pin.
    pub fingerprint: String,
    /// The generations that endorse each other up to the current one. Empty if an older version created it.
    pub(crate) chain: Vec<Generation>,
    /// The organization's largest value of a variable, in bytes.
    pub variable_ceiling: u32,
    /// Whether the organization stores redacted forms.
    pub hints: bool,
}

/// State of the store.
#[derive(Clone, Debug)]
pub struct Status {
    /// The store's id.
    pub store: StoreId,
    /// Whether boots are refused because no release key is in memory.
    pub locked: bool,
    /// The current generation.
    pub generation: u32,
    /// Fingerprint of the deposit key.
    pub fingerprint: String,
    /// The byte store's kind.
    pub backend: &'static str,
    /// The byte store's revision.
    pub revision: u64,
    /// Whether the byte store answers and accepts commits.
    pub healthy: bool,
    /// When this process opened it.
    pub started_at: Timestamp,
    /// The re-encryption of everything.
    pub reencrypt: Progress,
    /// Secrets whose values are known not to open: for a member, shared ones and its own; for the operator, the number of all.
    pub unusable: UnusableSecrets,
    /// Operations that wait in the journal.
    pub queue: usize,
    /// How many operations may wait.
    pub queue_limit: usize,
    /// Audit entries that this process has stored.
    pub audit_entries: u64,
    /// The last verification of the log and of all rows, by any server.
    pub state_check: Option<StateCheck>,
}

impl Store {
    /// Whether the byte store answers and accepts commits, for readiness checks.
    pub async fn healthy(&self) -> bool {
        let health = self.records().kv.health().await;
        health.trouble.is_none() && health.revision.is_some()
    }

    /// Returns what a member needs to seal a deposit: its own, or one for a service that it manages.
    pub async fn deposit_info(
        &self,
        caller: &Caller,
        owner: Option<&MemberName>,
    ) -> Result<DepositInfo, Error> {
        let audit_action = AuditAction::SecretRead;
        let (org, own) = self.require_member(caller, audit_action).await?;
        self.permit(caller, Action::ReadDepositKey, audit_action, Some(target::store())).await?;
        // A private value is sealed for the owner's id, which a manager cannot look up otherwise.
        let member = match owner {
            Some(owner) => {
                let (member, _, subject) = self.member_subject(caller, Some(owner)).await?;
                let action = Action::Deposit(ScopeSubject::Private(subject));
                self.permit(caller, action, audit_action, Some(target::member(member, owner))).await?;
                member
            }
            None => own,
        };
        // Read at each call: another process may have created a generation.
        let keys = self.keys_record().await?;
        let (key, fingerprint) = (keys.ring.deposit_key(), keys.fingerprint());
        let policy = caller.policy();
        Ok(DepositInfo {
            store: self.id(),
            org,
            member,
            generation: key.generation(),
            suite: hpke::X25519,
            public_key: *key.public(),
            // Clients pin this, and compare it before they seal.
            fingerprint,
            chain: keys.chain,
            variable_ceiling: policy.variable_ceiling,
            hints: policy.hints,
        })
    }

    /// Returns the state of the store, for the operator and members.
    pub async fn status(&self, caller: &Caller) -> Result<Status, Error> {
        self.permit(caller, Action::ReadStoreStatus, AuditAction::StoreRead, Some(target::store())).await?;
        self.read_status(caller).await
    }

    /// Returns the same state for the metrics, for the operator.
    pub(crate) async fn metrics(&self, caller: &Caller) -> Result<Status, Error> {
        self.permit(caller, Action::ReadMetrics, AuditAction::StoreRead, Some(target::store())).await?;
        self.read_status(caller).await
    }

    /// Checks that the caller may ask who it is: the operator and members may, tickets may not.
    pub(crate) async fn who_am_i(&self, caller: &Caller) -> Result<(), Error> {
        self.permit(caller, Action::WhoAmI, AuditAction::StoreRead, Some(target::store())).await
    }

    async fn read_status(&self, caller: &Caller) -> Result<Status, Error> {
        let health = self.records().kv.health().await;
        // Also of a record that failed the verification, which the status has to show. Nothing is sealed for what it says here.
        let keys = self.records().get_unverified(&store::keys()).await?.ok_or(Failure::Corrupt)?;
        Ok(Status {
            store: self.id(),
            locked: self.is_locked(),
            generation: keys.ring.deposit_key().generation(),
            fingerprint: keys.fingerprint(),
            backend: self.records().kv.name(),
            // Without a revision from the byte store, `healthy` below is false.
            revision: self.revision(health.revision.unwrap_or(0)),
            healthy: health.trouble.is_none() && health.revision.is_some(),
            started_at: self.inner.started_at,
            reencrypt: self.progress(&keys).await?,
            unusable: self.unusable_for(caller).await?,
            queue: self.journal().waiting(),
            queue_limit: QUEUE,
            audit_entries: self.journal().entries(),
            state_check: self.last_state_check().await?,
        })
    }
}
