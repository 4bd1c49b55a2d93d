//! `dropsafe boots`: which boots received which secrets, and which of them still hold one.

use std::collections::BTreeSet;

use clap::Args;

use super::connect;
use super::context::CliContext;
use super::error::CommandResult;
use super::paged_list::PagedList;
use crate::client::{BootListFilter, Client};
use crate::domain::receipt::ReceiptEntry;
use crate::wire::BootView;

/// List boots, newest first; with NAME, the boots that received that secret
///
/// A boot is active until a later boot of the same machine shows that it has
/// ended. If a secret that it received was replaced or deleted since, the boot
/// is marked as outdated: it still has the old value.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct BootsArgs {
    /// Only boots that received this secret: its name, exported name or id, also after its deletion
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Only boots of this member
    #[arg(long, value_name = "MEMBER")]
    pub(crate) member: Option<String>,
    /// Active boots only
    #[arg(long)]
    pub(crate) live: bool,
    /// Print at most N boots
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl BootsArgs {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::open_client(context)?;
        let secret = self.name.clone();
        let filter =
            BootListFilter { member: self.member, secret, live: self.live, ..BootListFilter::default() };
        let pages = Client::boots(&filter);
        let (json, limit) = (self.json, self.limit);
        // The same six columns first, so that a script reads both lists alike.
        match self.name {
            Some(name) => {
                let headings = ["BOOT", "MEMBER", "HOST", "SOURCE", "BOOTED", "STATE", "VERSION", "VALUE"];
                let row = |boot| holder_row(boot, &name);
                let empty = "no boot received this secret";
                PagedList { json, limit, headings, row, empty }.print(context, &mut client, pages).await
            }
            None => {
                let headings = ["BOOT", "MEMBER", "HOST", "SOURCE", "BOOTED", "STATE", "SECRETS", "OUTDATED"];
                let row = boot_row;
                PagedList { json, limit, headings, row, empty: "no boots" }
                    .print(context, &mut client, pages)
                    .await
            }
        }
    }
}

fn boot_row(boot: BootView) -> [String; 8] {
    let mut outdated: Vec<&str> = boot.stale.iter().map(|secret| secret.env.as_str()).collect();
    outdated.sort_unstable();
    outdated.dedup();
    let (secrets, outdated) = (boot.receipt.count().to_string(), outdated.join(","));
    columns(boot, secrets, outdated)
}

/// A boot by what it holds of the secret that was named.
fn holder_row(boot: BootView, name: &str) -> [String; 8] {
    // As the store matches it: the receipt keeps the names of a secret that is deleted by now.
    let is_named = |entry: &&ReceiptEntry| {
        entry.name.as_str() == name || entry.env.as_str() == name || entry.id.to_string() == name
    };
    // A boot can hold two, such as a private secret and a shared one that is named as the first is exported.
    let versions: BTreeSet<String> =
        boot.receipt.entries.iter().filter(is_named).map(|entry| entry.version.to_string()).collect();
    let outdated = boot.stale.iter().any(|secret| versions.contains(&secret.version));
    let value = if outdated { "replaced or deleted" } else { "current" }.to_owned();
    columns(boot, versions.into_iter().collect::<Vec<_>>().join(","), value)
}

fn columns(boot: BootView, seventh: String, eighth: String) -> [String; 8] {
    let state = match (boot.superseded, &boot.confirmed_at) {
        (true, _) => "ended",
        (false, Some(_)) => "started",
        // The values left the store, but the agent has not reported that the workload starts.
        (false, None) => "released",
    };
    [
        boot.id,
        boot.member,
        // Not every machine has a host name. A stable name of the machine tells it from others as well.
        boot.host.or(boot.machine).unwrap_or_default(),
        boot.source.unwrap_or_default(),
        boot.at,
        state.to_owned(),
        seventh,
        eighth,
    ]
}
