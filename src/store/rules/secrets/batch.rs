//! Several secrets at once: create, replace or delete each. Everything is planned before anything is stored, and then stored in
//! commits that are as large as the byte store allows. A preview is the same plan.

use crate::domain::audit::{AuditAction, AuditEvent, AuditText, DetailKey};
use crate::domain::id::OrgId;
use crate::domain::import::ImportOutcome;
use crate::store::engine::failure::Failure;
use crate::store::rules::audit::EventBuilder;
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::secrets::Deposit;
use crate::store::rules::secrets::batch_item::{BatchItem, BatchRules, ItemValue};
use crate::store::rules::secrets::batch_plan::{BatchPlanner, PlannedItem};
use crate::store::rules::secrets::batch_step::{BatchStep, RECORD_BYTES, WRITES};
use crate::store::rules::store::Store;

/// The maximum number of attempts at one commit, if the deposit key or one of the secrets keeps changing.
const TRIES: usize = 5;

/// How much of a batch one commit must hold.
pub(crate) enum BatchMode {
    /// Store nothing.
    Preview,
    /// All in one commit, or nothing.
    OneCommit,
    /// As many commits as it takes. Each has this event, with its number of items.
    Commits(AuditEvent),
}

impl Store {
    /// Plans all items and, unless it is a preview or an item is refused, stores them. Also returns whether it did.
    ///
    /// After an error, the items of the first commits may be stored: those are kept by a repetition that finds them unchanged.
    pub(crate) async fn put_batch(
        &self,
        caller: &Caller,
        items: &[BatchItem],
        rules: &BatchRules,
        mode: BatchMode,
    ) -> Result<(Vec<PlannedItem>, bool), Error> {
        let (org, author) = self.require_member(caller, AuditAction::SecretImport).await?;
        let planner = BatchPlanner { store: self, caller, org, author, rules };
        let mut plan = planner.plan(items).await?;
        let (mut begin, mut tries) = (0, TRIES);
        if !matches!(mode, BatchMode::OneCommit) {
            planner.foresee_charges(&mut plan).await?;
        }
        if matches!(mode, BatchMode::Preview) {
            return Ok((plan, false));
        }
        // Before the first of several commits, because a refusal in a later one would leave a part stored.
        if let Some(error) = plan.iter_mut().find_map(PlannedItem::take_limit_error) {
            return Err(error);
        }
        while begin < plan.len() {
            if plan.iter().any(|item| item.fate == ImportOutcome::Refused) {
                return refuse_rest(plan, begin);
            }
            let end = begin + self.fitting_len(&plan[begin..]);
            if matches!(mode, BatchMode::OneCommit) && end < plan.len() {
                let why = "it has more names than fit one commit: split it";
                return Err(Error::Invalid { field: "secrets", why });
            }
            let steps = plan[begin..end].iter_mut().map(PlannedItem::take_step).collect();
            match self.commit_steps(caller, org, steps, &mode).await {
                Ok(()) => {
                    (begin, tries) = (end, TRIES);
                    self.inner.background.notify_one();
                    continue;
                }
                // Another request was first. A stale value that its client sealed cannot be sealed again here.
                Err(Error::NameTaken { .. } | Error::VersionMismatch) => {}
                Err(Error::StaleGeneration { .. }) if !has_sealed(&items[begin..end]) => {}
                Err(error) => return Err(error),
            }
            tries -= 1;
            if tries == 0 {
                return Err(Failure::Conflict.into());
            }
            // What is already stored keeps its plan: its steps are used up.
            plan.truncate(begin);
            plan.extend(planner.plan(&items[begin..]).await?);
        }
        Ok((plan, true))
    }

    /// How many of these items the next commit takes.
    fn fitting_len(&self, plan: &[PlannedItem]) -> usize {
        let limits = self.records().kv.limits();
        // The journal keeps a quarter of a commit for the audit chain. One more share is for the import's own entry, the
        // stamps of scopes and the records that all items read.
        let mut writes = (limits.max_writes_per_commit * 3 / 4).saturating_sub(WRITES);
        let mut bytes = (limits.max_commit * 3 / 4).saturating_sub(RECORD_BYTES);
        let fitting = plan.iter().take_while(|item| {
            let left = (writes.checked_sub(item.step.writes()), bytes.checked_sub(item.step.bytes()));
            let (Some(left_writes), Some(left_bytes)) = left else { return false };
            (writes, bytes) = (left_writes, left_bytes);
            true
        });
        // The journal takes the largest value alone, even where it is larger than three quarters of a commit.
        fitting.count().max(1)
    }

    /// Fails with [`Error::VersionMismatch`] if a secret is no longer as it was planned.
    async fn commit_steps(
        &self,
        caller: &Caller,
        org: OrgId,
        steps: Vec<BatchStep>,
        mode: &BatchMode,
    ) -> Result<(), Error> {
        let charges: Vec<_> = steps.iter().filter_map(|step| step.charge(org, caller)).collect();
        let measured = self.measure_usage(&charges).await?;
        let counts = charges.iter().flat_map(|charge| charge.reads(self.records()));
        let reads = steps.iter().flat_map(|step| step.reads(self, org)).chain(counts).collect();
        let caller = caller.clone();
        let event = match mode {
            BatchMode::Commits(event) => {
                Some(event.clone().detail(DetailKey::Count, AuditText::number(steps.len() as u64)))
            }
            BatchMode::Preview | BatchMode::OneCommit => None,
        };
        let done = self.journal().run(reads, move |tx| {
            steps.iter().try_for_each(|step| step.run(tx, org, &caller, &measured))?;
            event.iter().for_each(|event| tx.audit(event.clone()));
            Ok(())
        });
        done.await
    }
}

fn refuse_rest(plan: Vec<PlannedItem>, stored: usize) -> Result<(Vec<PlannedItem>, bool), Error> {
    if stored == 0 {
        return Ok((plan, false));
    }
    // A preview cannot tell this: the store changed between two commits.
    let why = "another request changed one of the secrets meanwhile, and only the first lines are stored: import again";
    Err(Error::Conflict { why })
}

fn has_sealed(items: &[BatchItem]) -> bool {
    items.iter().any(|item| matches!(item.value, ItemValue::Deposit(Deposit::Sealed(_))))
}
