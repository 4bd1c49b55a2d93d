//! Which secret a command line means. A name is looked up among the caller's private secrets first and then among the shared
//! ones, in the order in which a boot resolves it.

use clap::Args;

use super::error::CliError;
use crate::client::{Client, SecretListFilter};
use crate::domain::secret::ScopeKind;
use crate::wire::SecretView;

#[derive(Debug, Args)]
pub(crate) struct SelectorArgs {
    /// Name or exported name of the secret
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
}

/// Where to look a name up.
#[derive(Debug, Default, Args)]
pub(crate) struct ScopeArgs {
    /// Select the shared secret
    #[arg(long)]
    pub(crate) shared: bool,
    /// Select your private secret
    #[arg(long, conflicts_with = "shared")]
    pub(crate) private: bool,
    /// Select the private secret of a service that you manage, or of another member (administrator)
    #[arg(long = "for", alias = "owner", value_name = "MEMBER", conflicts_with_all = ["shared", "private"])]
    pub(crate) owner: Option<String>,
    /// NAME is an id (sec_…)
    #[arg(long, conflicts_with_all = ["shared", "private", "owner"])]
    pub(crate) id: bool,
}

/// Finds the secret that was named.
pub(crate) async fn find(client: &mut Client, name: &str, scope: &ScopeArgs) -> Result<SecretView, CliError> {
    if scope.id {
        return Ok(client.secret(name).await?);
    }
    let owner = match &scope.owner {
        Some(owner) => owner.clone(),
        // Nobody owns a shared secret, so the call that asks who the caller is can be left out.
        None if scope.shared => String::new(),
        None => client.status().await?.identity,
    };
    let found = search(client, name, &owner).await?;
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
    Err(not_found(scope))
}

/// Lists the shared secrets, and the private ones of `owner`, with this name or exported name.
async fn search(client: &mut Client, name: &str, owner: &str) -> Result<Vec<SecretView>, CliError> {
    let filter = SecretListFilter { name: Some(name.to_owned()), ..SecretListFilter::default() };
    let mut found = Client::secrets(&filter).all(client).await?;
    // An administrator's answer holds the private secrets of all members.
    found.retain(|secret| {
        secret.scope == ScopeKind::Shared || secret.owner.as_ref().is_some_and(|name| name.as_str() == owner)
    });
    Ok(found)
}

/// Finds the secret with exactly this name in one scope, if there is one.
pub(crate) async fn find_exact(
    client: &mut Client,
    name: &str,
    scope: ScopeKind,
    owner: &str,
) -> Result<Option<SecretView>, CliError> {
    let found = search(client, name, owner).await?;
    Ok(found.into_iter().find(|secret| secret.scope == scope && secret.name.as_str() == name))
}

/// Chooses from secrets of one scope: by name, or else by exported name.
fn choose(group: Vec<SecretView>, name: &str) -> Result<Option<SecretView>, CliError> {
    let (mut by_name, mut by_env): (Vec<_>, Vec<_>) =
        group.into_iter().partition(|secret| secret.name.as_str() == name);
    // A secret's own name wins: one can be named as another is exported.
    if by_name.is_empty() {
        by_name.append(&mut by_env);
    }
    match by_name.len() {
        0 | 1 => Ok(by_name.pop()),
        _ => {
            let ids: Vec<String> = by_name.iter().map(|secret| secret.id.to_string()).collect();
            Err(CliError::failed(format_args!("{name} is ambiguous: {} secrets match", by_name.len()))
                .hint(format_args!("select one with --id: {}", ids.join(", "))))
        }
    }
}

fn not_found(scope: &ScopeArgs) -> CliError {
    // Without the name: somebody may have typed a value in its place.
    let message = match scope {
        ScopeArgs { shared: true, .. } => "there is no shared secret of that name",
        ScopeArgs { private: true, .. } => "you have no private secret of that name",
        ScopeArgs { owner: Some(_), .. } => "that member has no private secret of that name",
        _ => "there is no secret of that name, neither private nor shared",
    };
    CliError::failed(message).hint("dropsafe list shows all secrets")
}
