//! Quotas of active tickets and tokens: for the organization, and for each author.
//!
//! Creating or revoking one updates the counts in the same commit. The background task updates them for those that expire or
//! are spent, and so does a creation that would exceed the quota. A boot that spends the last use does not, because all boots of
//! the organization would then write the same counts. Inactive tickets and tokens are deleted after a while: entries of the audit
//! log and boots name them by id, and do not need their records.

use std::time::Duration;

use crate::domain::id::{MemberId, OrgId, TicketId, TokenId};
use crate::domain::role::{OrgPolicy, Role};
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::engine::format::Record;
use crate::store::engine::journal::{Halt, Stop, Tx};
use crate::store::engine::keys::{Key, Prefix};
use crate::store::engine::records::Records;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;
use crate::store::tables::orgs;
use crate::store::tables::tickets::{self, TicketRecord};
use crate::store::tables::tokens::{self, TokenRecord};
use crate::store::tables::usage::CountOf;

/// Records read at once.
const CHUNK: usize = 500;
/// The shortest time between two recounts by creations that would exceed a quota.
const RECOUNT_INTERVAL: Duration = Duration::from_secs(60);

/// A record that counts toward a quota while it is active.
pub(crate) trait ActiveRecord: Record + 'static {
    /// The count of the organization.
    const TOTAL: CountOf;
    /// What the index of the organization holds for each.
    type Listed: Record;

    /// The count of an author.
    fn count_by(author: MemberId) -> CountOf;
    fn quota(policy: &OrgPolicy) -> u32;
    fn index(records: &Records, org: OrgId) -> Prefix<Self::Listed>;
    fn key(id: [u8; 16]) -> Key<Self>;
    fn author(&self) -> Option<MemberId>;
    fn is_active(&self, now: Timestamp) -> bool;
    /// Whether it is counted, and when it was found to be inactive.
    fn counting(&mut self) -> (&mut bool, &mut Option<Timestamp>);
    /// Deletes the record and its entries in indexes.
    fn delete(&self, tx: &mut Tx<'_>, org: OrgId);
}

impl ActiveRecord for TicketRecord {
    const TOTAL: CountOf = CountOf::Tickets;
    type Listed = MemberId;

    fn count_by(author: MemberId) -> CountOf {
        CountOf::TicketsBy(author)
    }

    fn quota(policy: &OrgPolicy) -> u32 {
        policy.quotas.tickets
    }

    fn index(records: &Records, org: OrgId) -> Prefix<MemberId> {
        records.tickets(org)
    }

    fn key(id: [u8; 16]) -> Key<Self> {
        tickets::ticket(TicketId::from_bytes(id))
    }

    fn author(&self) -> Option<MemberId> {
        Some(self.author)
    }

    fn is_active(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| at > now) && self.uses_left() != Some(0)
    }

    fn counting(&mut self) -> (&mut bool, &mut Option<Timestamp>) {
        (&mut self.counted, &mut self.inactive_at)
    }

    fn delete(&self, tx: &mut Tx<'_>, org: OrgId) {
        tx.delete(&tickets::ticket(self.id));
        tx.delete(&tx.records().tickets(org).key(self.id.as_bytes()));
        // Only a ticket of a launcher has this entry.
        tx.delete(&tx.records().launcher_ticket(org, self.author, self.id));
    }
}

impl ActiveRecord for TokenRecord {
    const TOTAL: CountOf = CountOf::Tokens;
    type Listed = Option<MemberId>;

    fn count_by(author: MemberId) -> CountOf {
        CountOf::TokensBy(author)
    }

    fn quota(policy: &OrgPolicy) -> u32 {
        policy.quotas.tokens
    }

    fn index(records: &Records, org: OrgId) -> Prefix<Option<MemberId>> {
        records.tokens(Some(org))
    }

    fn key(id: [u8; 16]) -> Key<Self> {
        tokens::token(TokenId::from_bytes(id))
    }

    fn author(&self) -> Option<MemberId> {
        self.author
    }

    fn is_active(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| at > now)
    }

    fn counting(&mut self) -> (&mut bool, &mut Option<Timestamp>) {
        (&mut self.counted, &mut self.inactive_at)
    }

    fn delete(&self, tx: &mut Tx<'_>, org: OrgId) {
        tx.delete(&tokens::token(self.id));
        tx.delete(&tx.records().tokens(Some(org)).key(self.id.as_bytes()));
    }
}

impl Store {
    /// Recounts the tickets and tokens of all organizations, and deletes those that have been inactive for long.
    pub(crate) async fn recount_active_records(&self) -> Result<(), Failure> {
        let (orgs, _) = self.records().scan_all(&orgs::orgs()).await?;
        let mut outcome = Ok(());
        for org in orgs {
            // A failure in one organization does not keep the others from being recounted.
            outcome = outcome.and(self.recount_org::<TicketRecord>(org.record.id, &org.record.policy).await);
            outcome = outcome.and(self.recount_org::<TokenRecord>(org.record.id, &org.record.policy).await);
        }
        outcome
    }

    /// Recounts before a creation that would exceed a quota, so that inactive records stop counting.
    pub(crate) async fn recount_if_full<T: ActiveRecord>(
        &self,
        org: OrgId,
        author: MemberId,
        policy: &OrgPolicy,
    ) -> Result<(), Failure> {
        let quota = T::quota(policy);
        let keys = [T::TOTAL, T::count_by(author)].map(|of| self.records().record_count(org, of));
        let counts = self.records().get_all(&keys).await?;
        let limits = [u64::from(quota), policy.member_quota(quota)];
        let is_full =
            counts.into_iter().zip(limits).any(|(stored, limit)| stored.unwrap_or_default().count >= limit);
        if !is_full {
            return Ok(());
        }
        let (place, now) = ((org, T::TOTAL), self.now());
        // A refused client that tries again and again must not make the store read all records each time.
        if self.inner.recounted_at.get(&place).is_some_and(|at| now.since(at) < RECOUNT_INTERVAL) {
            return Ok(());
        }
        self.inner.recounted_at.insert(place, now);
        self.recount_org::<T>(org, policy).await
    }

    async fn recount_org<T: ActiveRecord>(&self, org: OrgId, policy: &OrgPolicy) -> Result<(), Failure> {
        let age = Duration::from_secs(u64::from(policy.inactive_days()) * 86_400);
        let index = T::index(self.records(), org);
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = self.records().scan(&index, after.as_deref(), CHUNK).await?;
            after = page.found.last().map(|found| found.key.clone());
            let ids = page.found.iter().filter_map(|found| index.id(&found.key));
            let keys: Vec<Key<T>> = ids.map(T::key).collect();
            let (found, now) = (self.records().get_all(&keys).await?, self.now());
            let due = keys.into_iter().zip(found).filter_map(|(key, record)| {
                let mut record = record?;
                (has_to_be_counted(&mut record, now) || is_old(&mut record, age, now)).then_some(key)
            });
            let due: Vec<Key<T>> = due.collect();
            for keys in due.chunks(self.records_per_commit()) {
                self.recount(org, age, keys.to_vec()).await?;
                self.yield_to_callers().await;
            }
            if !page.more {
                return Ok(());
            }
        }
    }

    async fn recount<T: ActiveRecord>(
        &self,
        org: OrgId,
        age: Duration,
        keys: Vec<Key<T>>,
    ) -> Result<(), Failure> {
        let reads = keys.iter().map(Key::to_vec).collect();
        let recounted = self.journal().run(reads, move |tx| {
            let records = keys.iter().map(|key| tx.get(key)).collect::<Result<Vec<_>, _>>()?;
            // The counts of all authors in one round.
            let authors = records.iter().flatten().filter_map(ActiveRecord::author);
            let counts: Vec<_> =
                authors.map(|author| tx.records().record_count(org, T::count_by(author)).to_vec()).collect();
            tx.need(counts)?;
            for (key, record) in keys.iter().zip(records) {
                // Read again: another process may do the same, and a ticket may have been used.
                let Some(mut record) = record else { continue };
                tx.recount(org, &mut record)?;
                if is_old(&mut record, age, tx.now()) {
                    record.delete(tx, org);
                } else {
                    tx.put(key, &record)?;
                }
            }
            Ok::<_, Stop<Failure>>(())
        });
        recounted.await
    }
}

fn has_to_be_counted<T: ActiveRecord>(record: &mut T, now: Timestamp) -> bool {
    let is_active = record.is_active(now);
    let (counted, inactive_at) = record.counting();
    *counted != is_active || is_active == inactive_at.is_some()
}

fn is_old<T: ActiveRecord>(record: &mut T, age: Duration, now: Timestamp) -> bool {
    record.counting().1.is_some_and(|at| at.plus(age) <= now)
}

impl Tx<'_> {
    /// Updates the counts if the record has become active or inactive. The caller stores the record.
    pub(crate) fn recount<T: ActiveRecord>(&mut self, org: OrgId, record: &mut T) -> Result<(), Halt> {
        let (now, author) = (self.now(), record.author());
        let is_active = record.is_active(now);
        let (counted, inactive_at) = record.counting();
        let difference = i64::from(is_active) - i64::from(*counted);
        *counted = is_active;
        // The first time stays: from then on, the record is kept for a while.
        *inactive_at = if is_active { None } else { inactive_at.or(Some(now)) };
        if difference != 0 {
            for of in [T::TOTAL].into_iter().chain(author.map(T::count_by)) {
                self.count_records(org, of, difference, Some(0))?;
            }
        }
        Ok(())
    }

    /// Counts a new record, unless that exceeds a quota. The caller stores the record.
    pub(crate) fn count_active<T: ActiveRecord>(
        &mut self,
        org: OrgId,
        record: &mut T,
        author: MemberId,
        policy: &OrgPolicy,
    ) -> Result<(), Stop<Error>> {
        self.recount(org, record)?;
        self.check_active_quota::<T>(org, author, policy)
    }

    /// Refuses a record that was counted, if it exceeds the quota, or the part of its author unless that is an admin.
    pub(crate) fn check_active_quota<T: ActiveRecord>(
        &mut self,
        org: OrgId,
        author: MemberId,
        policy: &OrgPolicy,
    ) -> Result<(), Stop<Error>> {
        let quota = T::quota(policy);
        T::TOTAL.check(1, self.counted(org, T::TOTAL)?, quota.into())?;
        let (of, part) = (T::count_by(author), policy.member_quota(quota));
        let count = self.counted(org, of)?;
        // An admin answers for the whole organization, and could raise the part.
        if count > part && !self.is_admin(org, author)? { Ok(of.check(1, count, part)?) } else { Ok(()) }
    }

    fn counted(&mut self, org: OrgId, of: CountOf) -> Result<u64, Halt> {
        let key = self.records().record_count(org, of);
        Ok(self.get(&key)?.unwrap_or_default().count)
    }

    fn is_admin(&mut self, org: OrgId, member: MemberId) -> Result<bool, Halt> {
        let key = self.records().member(org, member);
        Ok(self.get(&key)?.is_some_and(|member| member.role == Role::Admin))
    }
}
