//! Which secret is meant: a name is looked for among the caller's private secrets first, then among the shared ones.

use clap::Args;

use super::error::CliError;
use crate::client::{Client, SecretListFilter};
use crate::domain::secret::ScopeKind;
use crate::wire::SecretView;

/// Which secret.
#[derive(Debug, Args)]
pub(crate) struct SelectorArgs {
    /// The secret: its name, or the name it is exported as
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
}

/// Where to look for it.
#[derive(Debug, Default, Args)]
pub(crate) struct ScopeArgs {
    /// The shared secret of that name
    #[arg(long)]
    pub(crate) shared: bool,
    /// Your private secret of that name
    #[arg(long, conflicts_with = "shared")]
    pub(crate) private: bool,
    /// The private secret of this member (administrator)
    #[arg(long, value_name = "MEMBER", conflicts_with_all = ["shared", "private"])]
    pub(crate) owner: Option<String>,
    /// NAME is an id (sec_…)
    #[arg(long, conflicts_with_all = ["shared", "private", "owner"])]
    pub(crate) id: bool,
}

/// Finds it.
pub(crate) async fn find(client: &mut Client, name: &str, scope: &ScopeArgs) -> Result<SecretView, CliError> {
    if scope.id {
        return Ok(client.secret(name).await?);
    }
    let owner = match &scope.owner {
        Some(owner) => owner.clone(),
        None if scope.shared => String::new(),
        None => client.status().await?.identity,
    };
    let found = named(client, name, &owner).await?;
    let (private, shared): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|secret| secret.scope == ScopeKind::Private);
    let groups = match scope {
        ScopeArgs { shared: true, .. } => vec![shared],
        ScopeArgs { private: true, .. } | ScopeArgs { owner: Some(_), .. } => vec![private],
        _ => vec![private, shared],
    };
    for group in groups {
        if let Some(secret) = choose(group, name)? {
            return Ok(secret);
        }
    }
    Err(absent(scope))
}

/// Shared secrets, and private ones of `owner`, that have this name or are exported under it.
async fn named(client: &mut Client, name: &str, owner: &str) -> Result<Vec<SecretView>, CliError> {
    let filter = SecretListFilter { name: Some(name.to_owned()), ..SecretListFilter::default() };
    let mut found = Client::secrets(&filter).all(client).await?;
    found.retain(|secret| secret.scope == ScopeKind::Shared || secret.owner.as_deref() == Some(owner));
    Ok(found)
}

/// The secret with exactly this name in one scope, when there is one.
pub(crate) async fn exactly(
    client: &mut Client,
    name: &str,
    scope: ScopeKind,
    owner: &str,
) -> Result<Option<SecretView>, CliError> {
    let found = named(client, name, owner).await?;
    Ok(found.into_iter().find(|secret| secret.scope == scope && secret.name == name))
}

/// The one of a group: by its name, or else by its exported name.
fn choose(group: Vec<SecretView>, name: &str) -> Result<Option<SecretView>, CliError> {
    let (mut by_name, mut by_env): (Vec<_>, Vec<_>) =
        group.into_iter().partition(|secret| secret.name == name);
    if by_name.is_empty() {
        by_name.append(&mut by_env);
    }
    match by_name.len() {
        0 | 1 => Ok(by_name.pop()),
        _ => Err(CliError::refused(format_args!("{name} may mean {} secrets", by_name.len()))
            .hint(format_args!("name one with --id: {}", ids(&by_name)))),
    }
}

fn ids(secrets: &[SecretView]) -> String {
    secrets.iter().map(|secret| secret.id.as_str()).collect::<Vec<_>>().join(", ")
}

/// Does not repeat the name: a value may have been typed in its place.
fn absent(scope: &ScopeArgs) -> CliError {
    let which = match scope {
        ScopeArgs { shared: true, .. } => "there is no shared secret of that name",
        ScopeArgs { private: true, .. } => "you have no private secret of that name",
        ScopeArgs { owner: Some(_), .. } => "that member has no private secret of that name",
        _ => "there is no secret of that name, neither a private one of yours nor a shared one",
    };
    CliError::refused(which).hint("see dropsafe list")
}
