//! `dropsafe list`: what is in the store, page by page; no value of a secret.

use clap::Args;

use super::error::CommandResult;
use super::paged_list::PagedList;
use super::{CliContext, connect, paged_list};
use crate::client::{Client, SecretListFilter};
use crate::domain::secret::ScopeKind;
use crate::wire::SecretView;

/// List the secrets that you may see
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only those with this in their name or exported name
    #[arg(value_name = "TEXT")]
    pub(crate) text: Option<String>,
    /// Only shared ones
    #[arg(long)]
    pub(crate) shared: bool,
    /// Only private ones
    #[arg(long, conflicts_with = "shared")]
    pub(crate) private: bool,
    /// Only those of this plugin
    #[arg(long, value_name = "PLUGIN")]
    pub(crate) plugin: Option<String>,
    /// Only those of this category
    #[arg(long, value_name = "CATEGORY")]
    pub(crate) category: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl ListArgs {
    /// Runs it.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::client(context)?;
        let scope = match (self.shared, self.private) {
            (true, _) => Some(ScopeKind::Shared),
            (_, true) => Some(ScopeKind::Private),
            _ => None,
        };
        let (q, plugin, category) = (self.text, self.plugin, self.category);
        let pages =
            Client::secrets(&SecretListFilter { q, scope, plugin, category, ..SecretListFilter::default() });
        let shown = PagedList {
            json: self.json,
            limit: None,
            headings: [
                "NAME",
                "EXPORTED AS",
                "SCOPE",
                "TYPE",
                "INSTALL",
                "PLUGIN",
                "CATEGORY",
                "UPDATED",
                "HINT",
            ],
            row,
            empty: "no secrets",
        };
        paged_list::print(context, &mut client, pages, shown).await
    }
}

fn row(secret: SecretView) -> [String; 9] {
    let scope = scope(&secret);
    [
        secret.name,
        secret.env,
        scope,
        secret.kind.to_string(),
        if secret.auto_install { "on" } else { "off" }.to_owned(),
        secret.plugin.unwrap_or_default(),
        secret.category.unwrap_or_default(),
        secret.updated_at,
        secret.hint.unwrap_or_default(),
    ]
}

/// The scope, with the owner's name.
pub(crate) fn scope(secret: &SecretView) -> String {
    match &secret.owner {
        Some(owner) => format!("{} ({owner})", secret.scope),
        None => secret.scope.to_string(),
    }
}
