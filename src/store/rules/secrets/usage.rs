//! Budgets and quotas of secrets. The commit that changes a secret updates the usage of its scope and its depositor.
//!
//! A store of an older version has no counts. What is missing is measured before the operation and stored with it: every change
//! writes the counts that it touches, so that nothing has changed as long as they are absent.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::id::{MemberId, OrgId};
use crate::domain::role::{ByteBudgets, Role};
use crate::domain::secret::{Footprint, Scope, SecretMeta};
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::{Stop, Tx};
use crate::store::engine::keys::Key;
use crate::store::engine::records::Records;
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;
use crate::store::tables::secrets::SecretRecord;
use crate::store::tables::usage::{CountOf, StoredCount, Usage, UsageOf};

/// A change of one secret, as the counts see it.
#[derive(Clone)]
pub(crate) struct Charge {
    org: OrgId,
    scope: Scope,
    before: Option<ChargedSecret>,
    after: Option<ChargedSecret>,
    limits: DepositLimits,
}

/// The size of a secret, and the depositor whose part of the shared scope it counts against.
#[derive(Clone, Copy)]
struct ChargedSecret {
    author: MemberId,
    footprint: Footprint,
}

/// What the caller's organization allows the caller.
#[derive(Clone, Copy)]
struct DepositLimits {
    budgets: ByteBudgets,
    secrets: u32,
    /// How many secrets a member can hold.
    member_secrets: u64,
    /// The part of what the organization shares, in percent. `None` for an admin.
    share: Option<u8>,
}

/// Counts that the store does not have yet.
#[derive(Clone, Default)]
pub(crate) struct MeasuredUsage {
    usage: BTreeMap<UsageOf, Usage>,
    secrets: Option<u64>,
}

impl Charge {
    pub(crate) fn creation(caller: &Caller, org: OrgId, meta: &SecretMeta) -> Self {
        Self::new(caller, org, (None, Some(meta)), meta.scope)
    }

    pub(crate) fn replacement(caller: &Caller, before: &SecretRecord, meta: &SecretMeta) -> Self {
        Self::new(caller, before.org, (Some(&before.meta), Some(meta)), meta.scope)
    }

    pub(crate) fn deletion(caller: &Caller, before: &SecretRecord) -> Self {
        Self::new(caller, before.org, (Some(&before.meta), None), before.meta.scope)
    }

    fn new(
        caller: &Caller,
        org: OrgId,
        (before, after): (Option<&SecretMeta>, Option<&SecretMeta>),
        scope: Scope,
    ) -> Self {
        let policy = caller.policy();
        let limits = DepositLimits {
            budgets: policy.budgets,
            secrets: policy.quotas.secrets,
            member_secrets: policy.member_quota(policy.quotas.secrets),
            share: (caller.role() != Some(Role::Admin)).then_some(policy.member_share),
        };
        let charged = |meta: &SecretMeta| ChargedSecret { author: meta.author, footprint: meta.footprint() };
        Self { org, scope, before: before.map(charged), after: after.map(charged), limits }
    }

    /// The counts that it changes.
    fn counts(&self) -> impl Iterator<Item = UsageOf> + use<> {
        let shared = self.scope == Scope::Shared;
        let mut authors: Vec<MemberId> =
            self.before.iter().chain(&self.after).map(|secret| secret.author).collect();
        authors.dedup();
        let depositors = authors.into_iter().filter(move |_| shared).map(UsageOf::Depositor);
        [UsageOf::Scope(self.scope)].into_iter().chain(depositors)
    }

    /// The keys that it reads, for the journal to read with all others.
    pub(crate) fn reads(&self, records: &Records) -> impl Iterator<Item = Vec<u8>> {
        let count = self.changes_number().then(|| records.record_count(self.org, CountOf::Secrets).to_vec());
        self.counts().map(|of| records.usage(self.org, of).to_vec()).chain(count)
    }

    fn changes_number(&self) -> bool {
        self.difference() != 0
    }

    /// By how much it changes the number of secrets.
    fn difference(&self) -> i64 {
        i64::from(self.after.is_some()) - i64::from(self.before.is_some())
    }

    /// Returns a count after the change, unless that exceeds a limit.
    fn apply(&self, of: UsageOf, before: Usage) -> Result<Usage, Error> {
        let counts = |secret: &&ChargedSecret| match of {
            UsageOf::Scope(_) => true,
            UsageOf::Depositor(member) => secret.author == member,
        };
        let mut after = before;
        self.before.iter().filter(counts).for_each(|secret| after.remove(secret.footprint));
        self.after.iter().filter(counts).for_each(|secret| after.add(secret.footprint));
        self.limits.check(of, before, after)?;
        Ok(after)
    }
}

impl Store {
    /// Measures the counts that charges need and the store does not have.
    pub(crate) async fn measure_usage(&self, charges: &[Charge]) -> Result<MeasuredUsage, Failure> {
        let mut measured = MeasuredUsage::default();
        let Some(org) = charges.first().map(|charge| charge.org) else { return Ok(measured) };
        let needed: BTreeSet<UsageOf> = charges.iter().flat_map(Charge::counts).collect();
        let needed: Vec<UsageOf> = needed
            .into_iter()
            .filter(|of| self.inner.counted.get(&(org, StoredCount::Usage(*of))).is_none())
            .collect();
        let keys: Vec<_> = needed.iter().map(|of| self.records().usage(org, *of)).collect();
        for (of, found) in needed.into_iter().zip(self.records().get_all(&keys).await?) {
            match found {
                // Never absent again, so that later operations need not look.
                Some(_) => self.inner.counted.insert((org, StoredCount::Usage(of)), ()),
                None => drop(measured.usage.insert(of, self.measure(org, of).await?)),
            }
        }
        if charges.iter().any(Charge::changes_number) {
            measured.secrets = self.measure_records(org, CountOf::Secrets).await?;
        }
        Ok(measured)
    }

    /// Returns the error of each charge that would be refused if all were made in this order, and stores nothing.
    pub(crate) async fn foresee_charges(&self, charges: &[Charge]) -> Result<Vec<Option<Error>>, Failure> {
        let Some(org) = charges.first().map(|charge| charge.org) else { return Ok(Vec::new()) };
        let (records, measured) = (self.records(), self.measure_usage(charges).await?);
        let needed: BTreeSet<UsageOf> = charges.iter().flat_map(Charge::counts).collect();
        let keys = needed.iter().map(|of| records.usage(org, *of));
        let (keys, count): (Vec<_>, _) = (keys.collect(), records.record_count(org, CountOf::Secrets));
        // One read for counts of both kinds.
        let read = keys.iter().map(Key::to_vec).chain([count.to_vec()]).collect();
        let snapshot = records.snapshot(read).await?;
        let stored = snapshot.read(records, keys.len(), &count)?.map(|stored| stored.count);
        let mut secrets = stored.or(measured.secrets).unwrap_or_default();
        let mut usage = measured.usage;
        for (i, (of, key)) in needed.iter().zip(&keys).enumerate() {
            usage.extend(snapshot.read(records, i, key)?.map(|stored| (*of, stored)));
        }
        let foreseen = charges.iter().map(|charge| {
            let count = secrets.saturating_add_signed(charge.difference());
            let after: Result<Vec<(UsageOf, Usage)>, Error> = charge
                .counts()
                .map(|of| Ok((of, charge.apply(of, usage.get(&of).copied().unwrap_or_default())?)))
                .collect();
            let quota = charge.limits.secrets.into();
            match after
                .and_then(|after| CountOf::Secrets.check(charge.difference(), count, quota).map(|()| after))
            {
                Ok(after) => {
                    // What is refused is not counted: a later line may still fit.
                    usage.extend(after);
                    secrets = count;
                    None
                }
                Err(error) => Some(error),
            }
        });
        Ok(foreseen.collect())
    }

    /// Adds up what is stored.
    pub(crate) async fn measure(&self, org: OrgId, of: UsageOf) -> Result<Usage, Failure> {
        let (scope, author) = match of {
            UsageOf::Scope(scope) => (scope, None),
            UsageOf::Depositor(member) => (Scope::Shared, Some(member)),
        };
        let mut usage = Usage::default();
        let prefix = self.records().secrets(org, scope);
        self.records()
            .for_each(&prefix, |record: SecretRecord| {
                if author.is_none_or(|author| author == record.meta.author) {
                    usage.add(record.meta.footprint());
                }
            })
            .await?;
        Ok(usage)
    }
}

impl Tx<'_> {
    /// Counts a change of a secret, unless it exceeds what the organization allows. A change that takes less is never refused, also
    /// where a budget was lowered below what is stored.
    pub(crate) fn charge(&mut self, charge: &Charge, measured: &MeasuredUsage) -> Result<(), Stop<Error>> {
        let (records, org) = (self.records(), charge.org);
        self.need(charge.reads(records))?;
        for of in charge.counts() {
            let key = records.usage(org, of);
            let usage = self.get(&key)?.or(measured.usage.get(&of).copied()).ok_or(Failure::Conflict)?;
            self.put(&key, &charge.apply(of, usage)?)?;
        }
        let difference = charge.difference();
        if difference == 0 {
            return Ok(());
        }
        let count = self.count_records(org, CountOf::Secrets, difference, measured.secrets)?;
        Ok(CountOf::Secrets.check(difference, count, charge.limits.secrets.into())?)
    }
}

impl DepositLimits {
    /// Refuses what grows beyond its limit.
    fn check(&self, of: UsageOf, before: Usage, after: Usage) -> Result<(), Error> {
        let ByteBudgets { shared_variables, shared_files, private_variables, private_files } = self.budgets;
        let (variables, files) = match of {
            UsageOf::Scope(Scope::Private(_)) => (u64::from(private_variables), u64::from(private_files)),
            UsageOf::Scope(Scope::Shared) | UsageOf::Depositor(_) => {
                (u64::from(shared_variables), u64::from(shared_files))
            }
        };
        // An admin answers for the whole organization, and could raise every limit.
        let part = match of {
            UsageOf::Scope(_) => Some(100),
            UsageOf::Depositor(_) => self.share,
        };
        let Some(part) = part else { return Ok(()) };
        let limit = |whole: u64| whole * u64::from(part) / 100;
        let (what, needed, budget) = if after.variables > before.variables.max(limit(variables)) {
            ("variables", after.variables, limit(variables))
        } else if after.files > before.files.max(limit(files)) {
            ("files", after.files, limit(files))
        } else {
            let quota = self.share.map(|_| self.member_secrets);
            return match quota.filter(|quota| after.secrets > before.secrets.max(*quota)) {
                Some(quota) if of != UsageOf::Scope(Scope::Shared) => {
                    Err(Error::OverQuota { what: CountOf::Secrets.as_str(), quota, of_member: true })
                }
                _ => Ok(()),
            };
        };
        let whose = match of {
            UsageOf::Scope(Scope::Shared) => "the shared scope",
            UsageOf::Scope(Scope::Private(_)) => "this private scope",
            UsageOf::Depositor(_) => "what one member may share",
        };
        Err(Error::OverBudget { what, whose, needed, budget })
    }
}

impl Usage {
    fn add(&mut self, footprint: Footprint) {
        self.secrets += 1;
        self.variables += footprint.variables;
        self.files += footprint.files;
    }

    fn remove(&mut self, footprint: Footprint) {
        // Saturating: a count that a damaged store got wrong must not stop the deletion that frees its room.
        self.secrets = self.secrets.saturating_sub(1);
        self.variables = self.variables.saturating_sub(footprint.variables);
        self.files = self.files.saturating_sub(footprint.files);
    }
}
