//! `dropsafe list`: the secrets, page by page, without any values.

use clap::Args;

use super::context::CliContext;
use super::error::CommandResult;
use super::paged_list::PagedList;
use super::{attributes, connect};
use crate::client::{Client, SecretListFilter};
use crate::domain::secret::ScopeKind;
use crate::wire::SecretView;

/// List the secrets that you can see
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only secrets whose name or exported name contains TEXT
    #[arg(value_name = "TEXT")]
    pub(crate) text: Option<String>,
    /// Only shared secrets
    #[arg(long)]
    pub(crate) shared: bool,
    /// Only private secrets
    #[arg(long, conflicts_with = "shared")]
    pub(crate) private: bool,
    /// Only secrets of this plugin
    #[arg(long, value_name = "PLUGIN")]
    pub(crate) plugin: Option<String>,
    /// Only secrets of this category
    #[arg(long, value_name = "CATEGORY")]
    pub(crate) category: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl ListArgs {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::open_client(context)?;
        // Filtered by the store: a page that is filtered here could arrive empty.
        let scope = match (self.shared, self.private) {
            (true, _) => Some(ScopeKind::Shared),
            (_, true) => Some(ScopeKind::Private),
            _ => None,
        };
        let (q, plugin, category) = (self.text, self.plugin, self.category);
        let pages =
            Client::secrets(&SecretListFilter { q, scope, plugin, category, ..SecretListFilter::default() });
        let [install, plugin, category] = attributes::COLUMNS;
        let headings = ["NAME", "EXPORTED AS", "SCOPE", "TYPE", install, plugin, category, "UPDATED", "HINT"];
        PagedList { json: self.json, limit: None, headings, row, empty: "no secrets" }
            .print(context, &mut client, pages)
            .await
    }
}

fn row(secret: SecretView) -> [String; 9] {
    let scope = format_scope(&secret);
    let [install, plugin, category] = attributes::cells(&secret.attributes);
    [
        secret.name,
        secret.env,
        scope,
        secret.kind.to_string(),
        install,
        plugin,
        category,
        secret.updated_at,
        // Last: it is the one column of an unpredictable width.
        secret.hint.unwrap_or_default(),
    ]
}

/// The scope with the owner's name.
pub(crate) fn format_scope(secret: &SecretView) -> String {
    match &secret.owner {
        Some(owner) => format!("{} ({owner})", secret.scope),
        None => secret.scope.to_string(),
    }
}
