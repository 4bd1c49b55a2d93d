//! The linked accounts of the member who is logged in: `dropsafe login --oidc` with `--list` and `--unlink`.

use super::context::CliContext;
use super::error::{CliError, CommandResult};
use super::oidc::title;
use super::output::escape_control;
use super::table::{TextTable, cell};
use crate::client::Client;
use crate::process::Exit;
use crate::wire::{LinkedAccountView, SignInProviderView};

/// Displays the providers, and the caller's accounts at each.
pub(crate) async fn list(context: &mut CliContext, client: &mut Client, json: bool) -> CommandResult {
    let (providers, accounts) =
        (client.sign_in_providers().await?.providers, client.linked_accounts().await?);
    if json {
        let document = serde_json::json!({ "providers": providers, "accounts": accounts });
        context.output.json(&document)?;
        return Ok(Exit::Success);
    }
    let rows = providers.iter().map(|provider| {
        let linked = accounts.iter().filter(|account| account.provider == provider.name);
        let linked: Vec<String> = linked.map(display_name).collect();
        let linked = Some(linked.join(", ")).filter(|names| !names.is_empty());
        let device = if provider.device { "yes" } else { "no" };
        [provider.name.to_string(), title(provider), device.to_owned(), cell(linked.as_ref())]
    });
    TextTable::new(["PROVIDER", "TITLE", "DEVICE CODES", "LINKED ACCOUNT"])
        .rows(&mut context.output, rows)?;
    Ok(Exit::Success)
}

/// Unlinks the caller's account at a provider.
pub(crate) async fn unlink(
    client: &mut Client,
    provider: &SignInProviderView,
) -> Result<LinkedAccountView, CliError> {
    let accounts = client.linked_accounts().await?;
    let mut linked = accounts.into_iter().filter(|account| account.provider == provider.name);
    match (linked.next(), linked.next()) {
        (Some(account), None) => Ok(client.unlink_account(account.id).await?),
        (Some(_), Some(_)) => Err(CliError::failed("several of your accounts are at this provider")
            .hint("unlink them in the console, which shows which one is which")),
        (None, _) => Err(CliError::failed("none of your linked accounts is at this provider")
            .hint("dropsafe login --oidc --list shows them")),
    }
}

/// What people recognize an account by.
pub(crate) fn display_name(account: &LinkedAccountView) -> String {
    escape_control(account.name.as_deref().unwrap_or(&account.subject)).into_owned()
}
