//! `dropsafe boots`: which boots received which secrets, and which of them still hold one.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;

use super::context::CliContext;
use super::error::CommandResult;
use super::holder_wait::HolderWait;
use super::paged_list::PagedList;
use super::{connect, duration};
use crate::client::{BootListFilter, Client};
use crate::domain::id::{BootId, VersionId};
use crate::process::Exit;
use crate::wire::BootView;

/// List boots, newest first; with NAME, the boots that received that secret
///
/// A boot is running until its end is reported or its ticket's lifetime has
/// passed. It is presumed running if the agent has not reported its start. If a
/// secret that it received was replaced or deleted since, the boot is marked as
/// outdated: it still has the old value.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct BootsArgs {
    /// Only boots that received this secret: its id, or a name or exported name that it has or had, also after its deletion
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Only boots of this member
    #[arg(long, value_name = "MEMBER")]
    pub(crate) member: Option<String>,
    /// Only boots that are running or presumed running
    #[arg(long)]
    pub(crate) live: bool,
    /// Report that this boot has ended, if nothing else reports it. An administrator can also end the boots of a removed member
    #[arg(long, value_name = "BOOT_ID", conflicts_with_all = ["name", "member", "live", "limit"])]
    pub(crate) end: Option<BootId>,
    /// Wait until no running boot holds an outdated value of NAME: the shared secret, your own, and those of your services
    #[arg(long, requires = "name", conflicts_with_all = ["member", "live", "limit"])]
    pub(crate) wait: bool,
    /// Longest wait, such as 10m (default: no limit); exit code 75 if it has passed
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, requires = "wait")]
    pub(crate) timeout: Option<Duration>,
    /// While waiting, count a boot as ended when the lifetime of its ticket has passed
    #[arg(long, requires = "wait")]
    pub(crate) trust_lifetime: bool,
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
        if let Some(boot) = self.end {
            client.end_boot(boot).await?;
            let document = serde_json::json!({ "id": boot, "ended": true });
            context.output.json_or_line(self.json, &document, || format!("ended {boot}"))?;
            return Ok(Exit::Success);
        }
        if let (true, Some(name)) = (self.wait, &self.name) {
            let Self { timeout, trust_lifetime, json, .. } = self;
            let wait = HolderWait { name: name.clone(), timeout, trust_lifetime, json };
            return wait.run(context, &mut client).await;
        }
        let secret = self.name.clone();
        let filter =
            BootListFilter { member: self.member, secret, live: self.live, ..BootListFilter::default() };
        let pages = Client::boots(&filter);
        let (json, limit) = (self.json, self.limit);
        // The first six columns are the same, so that a script can read both lists.
        match self.name {
            Some(_) => {
                let headings = ["BOOT", "MEMBER", "HOST", "SOURCE", "BOOTED", "STATE", "VERSION", "VALUE"];
                let row = holder_row;
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

/// Returns the row of a boot that received the named secret, with the versions that it received.
fn holder_row(boot: BootView) -> [String; 8] {
    // A boot can hold two, such as a private secret and a shared one whose name is the exported name of the first.
    let versions: BTreeSet<VersionId> = boot.matched.iter().map(|held| held.version).collect();
    let outdated = boot.stale.iter().any(|secret| versions.contains(&secret.version));
    let value = if outdated { "replaced or deleted" } else { "current" }.to_owned();
    let versions: Vec<String> = versions.into_iter().map(|version| version.to_string()).collect();
    columns(boot, versions.join(","), value)
}

fn columns(boot: BootView, seventh: String, eighth: String) -> [String; 8] {
    [
        boot.id.to_string(),
        // A person sees at once which of their boots a platform started.
        match &boot.launcher {
            Some(launcher) => format!("{} via {launcher}", boot.member),
            None => boot.member.to_string(),
        },
        // Not every machine has a host name. A stable name of the machine tells it from others as well.
        boot.host.or(boot.machine).unwrap_or_default(),
        boot.source.unwrap_or_default(),
        boot.at.to_string(),
        boot.state.label().to_owned(),
        seventh,
        eighth,
    ]
}
