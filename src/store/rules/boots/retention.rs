//! Retention and quota of boots: a member's oldest boots that are over make room for new ones, and boots that are over are pruned
//! at an age. Audit entries and receipts stay: entries refer to receipts, which boots share, so that there are few.

use std::collections::HashMap;
use std::time::Duration;

use crate::domain::audit::AuditAction;
use crate::domain::id::{MemberId, OrgId};
use crate::domain::role::OrgPolicy;
use crate::domain::time::Timestamp;
use crate::store::engine::failure::{Coded, Failure};
use crate::store::engine::journal::Stop;
use crate::store::engine::keys::Key;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::boots::BootError;
use crate::store::rules::boots::release::PendingBoot;
use crate::store::rules::store::Store;
use crate::store::tables::boots::BootRecord;
use crate::store::tables::holders::RunningRecord;
use crate::store::tables::orgs;

/// Boots read at once.
const CHUNK: usize = 500;
/// Boots deleted in one commit.
const STEP: usize = 32;

impl Store {
    /// Refuses a boot of a member who has too many that are not over.
    pub(crate) async fn check_boot_quota(&self, boot: &PendingBoot<'_>) -> Result<(), BootError> {
        let policy = boot.caller.policy();
        let quota = policy.quotas.boots_per_member;
        let counts = &self.inner.boot_counts;
        if counts.of(boot.org, boot.member) < u64::from(quota) {
            return Ok(());
        }
        // Those that are over go first. A refused client that tries again and again must not read all boots each time.
        if counts.begin_pass(boot.org, self.now()) {
            self.prune_boots_of(boot.org, policy).await?;
        }
        // A further try of a boot stores no new one.
        if counts.of(boot.org, boot.member) < u64::from(quota) || self.is_retry(boot).await? {
            return Ok(());
        }
        let event = boot.caller.event(AuditAction::Boot).about(target::ticket(boot.ticket.id));
        let error = BootError::OverQuota { quota };
        self.record_denial(event.denied(error.code())).await;
        Err(error)
    }

    /// Prunes the boots of all organizations that their policies keep no longer.
    pub(crate) async fn prune_boots(&self) -> Result<(), Failure> {
        let (orgs, _) = self.records().scan_all(&orgs::orgs()).await?;
        for org in orgs {
            self.prune_boots_of(org.record.id, &org.record.policy).await?;
        }
        Ok(())
    }

    async fn prune_boots_of(&self, org: OrgId, policy: &OrgPolicy) -> Result<(), Failure> {
        let now = self.now();
        let age = policy.retention.boots.map(|days| Duration::from_secs(u64::from(days) * 86_400));
        // Below the quota, so that a member at its quota does not need a pass for each boot.
        let quota = u64::from(policy.quotas.boots_per_member);
        let target = quota - quota / 10;
        let prefix = self.records().boots(org);
        let mut members: HashMap<MemberId, u64> = HashMap::new();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = self.records().scan(&prefix, after.as_deref(), CHUNK).await?;
            after = page.found.last().map(|found| found.key.clone());
            let mut over = Vec::new();
            // Newest first: what comes after the target are the member's oldest ones.
            for found in page.found {
                let count = members.entry(found.record.member.0).or_default();
                *count += 1;
                // A boot that runs is never pruned, however old it is.
                let Some(ended) = ended_at(&found.record, now) else { continue };
                if *count > target || age.is_some_and(|age| ended.plus(age) <= now) {
                    *count -= 1;
                    over.push(Key::new(found.key));
                }
            }
            for keys in over.chunks(STEP) {
                self.delete_boots(org, keys.to_vec()).await?;
            }
            if !page.more {
                break;
            }
            self.yield_to_callers().await;
        }
        self.inner.boot_counts.set(org, members);
        Ok(())
    }

    async fn delete_boots(&self, org: OrgId, keys: Vec<Key<BootRecord>>) -> Result<(), Failure> {
        let reads = keys.iter().map(Key::to_vec).collect();
        let deleted = self.journal().run(reads, move |tx| {
            for key in &keys {
                // Read again: another process may prune as well.
                let Some(boot) = tx.get(key)? else { continue };
                tx.delete(key);
                // A boot that is over by its lifetime still counts as a holder for a day, by its rows.
                if !RunningRecord::of(&boot).is_over(tx.now()) {
                    continue;
                }
                for content in boot.contents() {
                    tx.delete(&tx.records().running_boot(org, &content, boot.id));
                }
            }
            Ok::<_, Stop<Failure>>(())
        });
        deleted.await
    }
}

/// When the boot ended. `None` if it may still run.
fn ended_at(boot: &BootRecord, now: Timestamp) -> Option<Timestamp> {
    let end = boot.life().end_at(now).map(|end| end.at);
    // A failed boot of an older version has no end. It was over as it began.
    if boot.status(now).is_running() { None } else { end.or(Some(boot.at)) }
}
