//! How many records of each kind an organization has, for its quotas.

use crate::domain::id::OrgId;
use crate::store::engine::failure::Failure;
use crate::store::engine::format::Record;
use crate::store::engine::journal::{Halt, Stop, Tx};
use crate::store::engine::keys::Prefix;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;
use crate::store::tables::members::MemberRecord;
use crate::store::tables::usage::{CountOf, RecordCount, StoredCount};

impl Store {
    /// Counts the records of a kind. `None` if the store has their number already.
    pub(crate) async fn measure_records(&self, org: OrgId, of: CountOf) -> Result<Option<u64>, Failure> {
        let (records, counted) = (self.records(), &self.inner.counted);
        // Every operation that changes the number stores it, so that it is exact as long as it is absent.
        if counted.get(&(org, StoredCount::Records(of))).is_some() {
            return Ok(None);
        }
        if records.get(&records.record_count(org, of)).await?.is_some() {
            // Never absent again, so that later operations need not look.
            counted.insert((org, StoredCount::Records(of)), ());
            return Ok(None);
        }
        let counted = match of {
            CountOf::Secrets => self.count_under(&records.scopes(org), |_| true).await?,
            // The record of a removed member stays, so that the log has its name.
            CountOf::Members => {
                let there = |member: &MemberRecord| member.removed_at.is_none();
                self.count_under(&records.members(org), there).await?
            }
            // The background task counts those of an older version.
            CountOf::Tickets | CountOf::Tokens | CountOf::TicketsBy(_) | CountOf::TokensBy(_) => 0,
        };
        Ok(Some(counted))
    }

    /// How many records of a kind there are.
    pub(crate) async fn record_number(&self, org: OrgId, of: CountOf) -> Result<u64, Failure> {
        match self.measure_records(org, of).await? {
            Some(measured) => Ok(measured),
            None => {
                let stored = self.records().get(&self.records().record_count(org, of)).await?;
                Ok(stored.unwrap_or_default().count)
            }
        }
    }

    async fn count_under<T: Record>(
        &self,
        prefix: &Prefix<T>,
        counts: impl Fn(&T) -> bool,
    ) -> Result<u64, Failure> {
        let mut count = 0;
        self.records().for_each(prefix, |record| count += u64::from(counts(&record))).await?;
        Ok(count)
    }
}

impl Tx<'_> {
    /// Changes the number of records of a kind, and returns it. `measured` is what
    /// [`measure_records`](Store::measure_records) returned before.
    pub(crate) fn count_records(
        &mut self,
        org: OrgId,
        of: CountOf,
        difference: i64,
        measured: Option<u64>,
    ) -> Result<u64, Halt> {
        let key = self.records().record_count(org, of);
        let stored = self.get(&key)?.map(|stored| stored.count);
        let before = stored.or(measured).ok_or(Halt::Failed(Failure::Conflict))?;
        let count = before.saturating_add_signed(difference);
        self.put(&key, &RecordCount { count })?;
        Ok(count)
    }

    /// Counts one more record, unless that exceeds the quota.
    pub(crate) fn count_new(
        &mut self,
        org: OrgId,
        of: CountOf,
        measured: Option<u64>,
        quota: u32,
    ) -> Result<(), Stop<Error>> {
        let count = self.count_records(org, of, 1, measured)?;
        Ok(of.check(1, count, quota.into())?)
    }

    /// Changes the number of records of a kind, if the store has it. Does not check the quota.
    pub(crate) fn count_if_stored(&mut self, org: OrgId, of: CountOf, difference: i64) -> Result<(), Halt> {
        // A store of an older version has no number before the first creation, which measures what is there then.
        if self.has(&self.records().record_count(org, of))? {
            self.count_records(org, of, difference, None)?;
        }
        Ok(())
    }
}

impl CountOf {
    /// Refuses a number that has grown beyond a quota.
    pub(crate) fn check(self, difference: i64, count: u64, quota: u64) -> Result<(), Error> {
        if difference <= 0 || count <= quota {
            return Ok(());
        }
        let of_member = matches!(self, Self::TicketsBy(_) | Self::TokensBy(_));
        Err(Error::OverQuota { what: self.as_str(), quota, of_member })
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Secrets => "secrets",
            Self::Members => "members",
            Self::Tickets | Self::TicketsBy(_) => "tickets",
            Self::Tokens | Self::TokensBy(_) => "tokens",
        }
    }
}
