//! `dropsafe boots`: who was given what, and who still holds a secret.

use std::collections::BTreeSet;

use clap::Args;

use super::error::CommandResult;
use super::paged_list::PagedList;
use super::{CliContext, connect, paged_list};
use crate::client::{BootListFilter, Client};
use crate::domain::receipt::ReceiptEntry;
use crate::wire::BootView;

/// List boots, newest first; with NAME, those that were given that secret
///
/// A boot holds what it was given until a later boot of the same machine shows
/// that it is over. A secret that was deleted or replaced since is marked: that
/// boot still has the old value.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct BootsArgs {
    /// Only boots that were given this secret: its name, exported name or id; also after its deletion
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Only boots for this member
    #[arg(long, value_name = "MEMBER")]
    pub(crate) member: Option<String>,
    /// Only boots that are not known to be over
    #[arg(long)]
    pub(crate) live: bool,
    /// At most this many
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl BootsArgs {
    /// Runs it.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::client(context)?;
        let secret = self.name.clone();
        let filter =
            BootListFilter { member: self.member, secret, live: self.live, ..BootListFilter::default() };
        let headings = ["BOOT", "MEMBER", "HOST", "SOURCE", "BOOTED", "STATE", "GIVEN", "OUTDATED"];
        let pages = Client::boots(&filter);
        match self.name {
            Some(name) => {
                let headings = ["BOOT", "MEMBER", "HOST", "SOURCE", "BOOTED", "STATE", "VERSION", "WHICH IS"];
                let row = |boot| holding(boot, &name);
                let shown = PagedList {
                    json: self.json,
                    limit: self.limit,
                    headings,
                    row,
                    empty: "no boot was given it",
                };
                paged_list::print(context, &mut client, pages, shown).await
            }
            None => {
                let shown =
                    PagedList { json: self.json, limit: self.limit, headings, row, empty: "no boots" };
                paged_list::print(context, &mut client, pages, shown).await
            }
        }
    }
}

/// A boot by what it holds of the secret that was asked for.
fn holding(boot: BootView, name: &str) -> [String; 8] {
    let is_meant = |entry: &&ReceiptEntry| {
        entry.name.as_str() == name || entry.env.as_str() == name || entry.id.to_string() == name
    };
    let versions: BTreeSet<String> =
        boot.receipt.entries.iter().filter(is_meant).map(|entry| entry.version.to_string()).collect();
    let outdated = boot.stale.iter().any(|held| versions.contains(&held.version));
    let state = state(&boot);
    [
        boot.id,
        boot.member,
        boot.host.or(boot.machine).unwrap_or_default(),
        boot.source.unwrap_or_default(),
        boot.at,
        state.to_owned(),
        versions.into_iter().collect::<Vec<_>>().join(","),
        if outdated { "replaced or deleted" } else { "current" }.to_owned(),
    ]
}

fn state(boot: &BootView) -> &'static str {
    match (boot.superseded, &boot.confirmed_at) {
        (true, _) => "over",
        (false, Some(_)) => "started",
        (false, None) => "released",
    }
}

fn row(boot: BootView) -> [String; 8] {
    let state = state(&boot);
    let mut outdated: Vec<String> = boot.stale.into_iter().map(|held| held.env).collect();
    outdated.sort_unstable();
    outdated.dedup();
    [
        boot.id,
        boot.member,
        boot.host.or(boot.machine).unwrap_or_default(),
        boot.source.unwrap_or_default(),
        boot.at,
        state.to_owned(),
        boot.receipt.count().to_string(),
        outdated.join(","),
    ]
}
