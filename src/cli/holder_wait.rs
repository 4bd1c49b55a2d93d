//! `dropsafe boots NAME --wait`: waits until no running boot holds an outdated value. Then the old value can be revoked.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::context::CliContext;
use super::error::{CliError, CommandResult};
use super::progress::ProgressIndicator;
use super::table::{TextTable, cell};
use super::terminal::UserTerminal;
use crate::client::{BootListFilter, Client, HolderQuery};
use crate::process::Exit;
use crate::wire::{Code, HolderCountsView, HolderView, HoldersResponse, NamedSecretView};

/// How often the store is asked. Counting reads a row for each running boot.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Boots without a way to end that are listed.
const MAX_LISTED: usize = 20;

/// What to wait for.
pub(crate) struct HolderWait {
    /// The secret: its name, exported name or id, also after its deletion.
    pub(crate) name: String,
    pub(crate) timeout: Option<Duration>,
    /// Whether a boot counts as ended when the lifetime that its ticket declares has passed.
    pub(crate) trust_lifetime: bool,
    pub(crate) json: bool,
}

impl HolderWait {
    pub(crate) async fn run(self, context: &mut CliContext, client: &mut Client) -> CommandResult {
        let began = Instant::now();
        let query = HolderQuery { secret: self.name.clone(), outdated: false };
        let mut found = fetch(client, &query).await?;
        // While boots of an older version are indexed, a name may stand for no secret yet although boots hold it.
        while let Some(HoldersResponse { counts, .. }) =
            found.as_ref().filter(|found| found.counts.incomplete)
        {
            self.pause(began, counts).await?;
            found = fetch(client, &query).await?;
        }
        let (ids, other_private): (BTreeSet<String>, u64) = match found {
            Some(found) => {
                self.describe_secrets(context, &found)?;
                let ids = found.secrets.iter().map(|secret| secret.id.to_string()).collect();
                (ids, found.counts.other_private)
            }
            None => (self.received_ids(client).await?, 0),
        };
        // By id from here on: the name of a deleted secret is known only as long as a boot runs that received it by this name.
        for id in ids {
            self.wait_for(context, client, id, began).await?;
        }
        let document =
            serde_json::json!({ "secret": self.name, "outdated": 0, "other_private": other_private });
        context.output.json_or_line(self.json, &document, || {
            format!("no running boot holds an outdated value of {}: the old value can be revoked", self.name)
        })?;
        Ok(Exit::Success)
    }

    /// Waits until no running boot holds an outdated value of one secret.
    async fn wait_for(
        &self,
        context: &mut CliContext,
        client: &mut Client,
        id: String,
        began: Instant,
    ) -> Result<(), CliError> {
        let query = HolderQuery { secret: id, outdated: false };
        let mut found = fetch(client, &query).await?;
        let total = found.as_ref().map_or(0, |found| self.remaining(&found.counts));
        let mut announced = None;
        if total > 0 {
            self.list_endless(context, client, &query.secret).await?;
        }
        let bar = ProgressIndicator::steps("waiting for boots to end", total);
        // Nothing is found any more once the last boot that received a deleted secret has ended.
        while let Some(HoldersResponse { counts, .. }) = &found {
            let left = self.remaining(counts);
            if left == 0 && !counts.incomplete {
                break;
            }
            bar.set_position(total.saturating_sub(left), Some(total.max(left)));
            // The bar shows nothing in a log, where each change is a line instead.
            if announced != Some(left) && !UserTerminal::detect().error {
                context.output.note(describe(counts, left));
                announced = Some(left);
            }
            self.pause(began, counts).await?;
            found = fetch(client, &query).await?;
        }
        Ok(())
    }

    /// Sleeps until the next poll. Fails if the timeout has passed.
    async fn pause(&self, began: Instant, counts: &HolderCountsView) -> Result<(), CliError> {
        let waited = began.elapsed();
        if self.timeout.is_some_and(|timeout| waited >= timeout) {
            return Err(CliError::new(Exit::TryAgain, describe(counts, self.remaining(counts)))
                .context("timed out")
                .hint("end those that are gone with `dropsafe boots --end BOOT_ID`, or wait longer"));
        }
        let rest = self.timeout.map_or(POLL_INTERVAL, |timeout| timeout.saturating_sub(waited));
        tokio::time::sleep(rest.min(POLL_INTERVAL)).await;
        Ok(())
    }

    /// Says which secrets a name stands for, unless that is clear.
    fn describe_secrets(&self, context: &mut CliContext, found: &HoldersResponse) -> Result<(), CliError> {
        if self.json {
            return Ok(());
        }
        if found.secrets.len() > 1 {
            context
                .output
                .note(format!("several secrets have or had the name {}, and all of them count:", self.name));
            let row = |secret: &NamedSecretView| {
                let NamedSecretView { id, name, env, scope, deleted } = secret;
                let state = if *deleted { "deleted" } else { "" }.to_owned();
                [id.to_string(), name.to_string(), env.to_string(), scope.to_string(), state]
            };
            TextTable::new(["ID", "NAME", "EXPORTED AS", "SCOPE", "STATE"])
                .rows(&mut context.output, found.secrets.iter().map(row))?;
        }
        if found.counts.other_private > 0 {
            context.output.note(format!(
                "not counted: {} that hold another member's private secret of this name; wait for one of those by its id",
                boots(found.counts.other_private)
            ));
        }
        Ok(())
    }

    /// The boots that have not ended yet, as far as this wait is concerned.
    fn remaining(&self, counts: &HolderCountsView) -> u64 {
        // A lifetime is what somebody declared. Nothing ends a workload when it has passed.
        counts.outdated + if self.trust_lifetime { 0 } else { counts.lapsed }
    }

    /// Returns the ids of the secrets that boots received by this name. Fails if there is none: "no boot holds it" would be a
    /// dangerous answer to a mistyped name.
    async fn received_ids(&self, client: &mut Client) -> Result<BTreeSet<String>, CliError> {
        let filter = BootListFilter { secret: Some(self.name.clone()), ..BootListFilter::default() };
        let mut boots = Client::boots(&filter);
        let mut ids = BTreeSet::new();
        while let Some(page) = boots.next(client).await? {
            ids.extend(page.iter().flat_map(|boot| &boot.matched).map(|held| held.secret.to_string()));
        }
        if ids.is_empty() {
            return Err(
                CliError::failed("there is no such secret, and no boot received one").context(&self.name)
            );
        }
        Ok(ids)
    }

    /// Lists the boots that this wait cannot see the end of.
    async fn list_endless(
        &self,
        context: &mut CliContext,
        client: &mut Client,
        id: &str,
    ) -> Result<(), CliError> {
        let query = HolderQuery { secret: id.to_owned(), outdated: true };
        let found = client.holders(&query).await?;
        let ends = |holder: &HolderView| {
            holder.reports_end || (self.trust_lifetime && holder.lifetime_ends_at.is_some())
        };
        let endless: Vec<HolderView> = found.items.into_iter().filter(|holder| !ends(holder)).collect();
        if endless.is_empty() || self.json {
            return Ok(());
        }
        context.output.note("these boots have no way to end but `dropsafe boots --end BOOT_ID`:");
        let row = |holder: HolderView| {
            let HolderView { boot, member, host, at, .. } = holder;
            [boot.to_string(), member.to_string(), cell(host), at.to_string()]
        };
        let count = endless.len();
        TextTable::new(["BOOT", "MEMBER", "HOST", "BOOTED"])
            .rows(&mut context.output, endless.into_iter().take(MAX_LISTED).map(row))?;
        // The page may be the first of many.
        if count > MAX_LISTED || found.next.is_some() {
            context.output.note("there are more");
        }
        context.output.flush()
    }
}

/// `None` if no secret has that name, and no boot that still runs received one.
async fn fetch(client: &mut Client, query: &HolderQuery) -> Result<Option<HoldersResponse>, CliError> {
    match client.holders(query).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.code() == Some(Code::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A number of running boots, in words.
pub(crate) fn boots(count: u64) -> String {
    format!("{count} running boot{}", if count == 1 { "" } else { "s" })
}

fn describe(counts: &HolderCountsView, left: u64) -> String {
    if counts.incomplete {
        return "boots of an older version are still being counted".to_owned();
    }
    let verb = if left == 1 { "holds" } else { "hold" };
    let lapsed = match left.saturating_sub(counts.outdated) {
        0 => String::new(),
        lapsed => format!("; the lifetime of {lapsed} has passed without a report of the end"),
    };
    let lifetime = counts.last_lifetime_end.map(|at| format!("; the last lifetime ends at {at}"));
    format!("{} {verb} an outdated value{lapsed}{}", boots(left), lifetime.unwrap_or_default())
}
