//! `dropsafe list`: the secrets, page by page, without any values.

use clap::Args;

use super::context::CliContext;
use super::error::CommandResult;
use super::paged_list::PagedList;
use super::table::cell;
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
    /// Only private secrets of a service that you manage, or of another member (administrator)
    #[arg(long = "for", value_name = "MEMBER", conflicts_with_all = ["shared", "private"])]
    pub(crate) owner: Option<String>,
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
        let (q, owner, plugin, category) = (self.text, self.owner, self.plugin, self.category);
        let filter = SecretListFilter { q, scope, owner, plugin, category, ..SecretListFilter::default() };
        let pages = Client::secrets(&filter);
        let [install, plugin, category, description] = attributes::COLUMNS;
        let headings = [
            "NAME",
            "EXPORTED AS",
            "SCOPE",
            "TYPE",
            install,
            plugin,
            category,
            "UPDATED",
            "HINT",
            description,
        ];
        PagedList { json: self.json, limit: None, headings, row, empty: "no secrets" }
            .print(context, &mut client, pages)
            .await
    }
}

fn row(secret: SecretView) -> [String; 10] {
    let scope = format_scope(&secret);
    let [install, plugin, category, description] = attributes::cells(&secret.attributes);
    [
        secret.name.to_string(),
        secret.env.to_string(),
        scope,
        secret.kind.to_string(),
        install,
        plugin,
        category,
        secret.updated_at.to_string(),
        cell(secret.hint),
        // Last: it is the one column of an unpredictable width.
        description,
    ]
}

/// The scope with the owner's name.
pub(crate) fn format_scope(secret: &SecretView) -> String {
    match &secret.owner {
        Some(owner) => format!("{} ({owner})", secret.scope),
        None => secret.scope.to_string(),
    }
}
