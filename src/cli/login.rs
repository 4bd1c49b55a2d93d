//! `dropsafe login` and `dropsafe logout`: the address and token that the other commands use.

use clap::Args;
use zeroize::Zeroizing;

use super::connect::SavedLogin;
use super::error::{CliError, CommandResult};
use super::pinned_keys::StoreAddress;
use super::{CliContext, connect, files, input, output, pinned_keys};
use crate::process::Exit;

/// Save the address of a store and a token for it
///
/// The token is asked for, or read from standard input. It is checked with the
/// store, and saved in $XDG_CONFIG_HOME/dropsafe/login.json for your eyes only,
/// with the fingerprint of the store's deposit key.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct LoginArgs {
    /// The store: https://HOST:PORT#sha256/PIN, http://127.0.0.1:PORT or unix:/PATH; DROPSAFE_URL or the saved one unless said
    #[arg(value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The fingerprint that the deposit key must have; also accepts a new key of a known store
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) deposit_key: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Forget the saved login
#[derive(Debug, Args)]
pub(crate) struct LogoutArgs {}

impl LoginArgs {
    /// Runs it.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let path = connect::login_file(context)?;
        let saved = connect::saved(context)?;
        let given = self.url.clone().or_else(|| context.environment.text("DROPSAFE_URL"));
        let endpoint = match (&given, &saved) {
            (Some(url), _) => connect::endpoint(url, "the address")?,
            (None, Some(saved)) => connect::endpoint(&saved.address(), "the saved login")?,
            (None, None) => {
                return Err(CliError::usage("the store's address is missing")
                    .hint("give it as an argument, as https://HOST:PORT#sha256/PIN, or in DROPSAFE_URL"));
            }
        };
        let text = match (&given, saved) {
            // Only the deposit key's fingerprint is new: the saved token stays.
            (None, Some(saved)) if self.deposit_key.is_some() => Zeroizing::new(saved.token.clone()),
            _ => input::token(context)?,
        };
        let token = connect::token(&text, "the token")?;
        let place = StoreAddress::of(&endpoint);
        let (url, pin) = (endpoint.to_string(), endpoint.pin().map(ToString::to_string));
        let mut client = connect::open(context, endpoint, &token)?;
        let status = client.status().await?;
        if let Some(expected) = &self.deposit_key
            && *expected != status.fingerprint
        {
            return Err(CliError::new(
                Exit::Denied,
                format_args!(
                    "the store's deposit key has another fingerprint: {}",
                    output::harmless(&status.fingerprint)
                ),
            )
            .hint("nothing is saved; ask the operator which one is right"));
        }
        if self.deposit_key.is_none()
            && let Some(known) = pinned_keys::expected(context, &place, &status.store)?
            && known != status.fingerprint
        {
            return Err(pinned_keys::changed(&known, &status.fingerprint));
        }
        let login = SavedLogin { url, pin, token: token.to_text().to_string() };
        let bytes = serde_json::to_vec_pretty(&login)
            .map(Zeroizing::new)
            .map_err(|_| CliError::new(Exit::Internal, "the login cannot be written as JSON"))?;
        files::write_private(&path, &bytes)?;
        pinned_keys::remember(context, &place, &status.store, &status.fingerprint)?;
        if self.json {
            context.output.json(&status)?;
        } else {
            let role = match (&status.role, &status.organization) {
                (Some(role), Some(organization)) => format!(" ({role} of {organization})"),
                _ => String::new(),
            };
            context.output.line(format!("logged in to {} as {}{role}", client.address(), status.identity))?;
            context.output.line(format!("its deposit key: {}", output::harmless(&status.fingerprint)))?;
        }
        Ok(Exit::Success)
    }
}

impl LogoutArgs {
    /// Runs it.
    pub(crate) fn run(self, context: &mut CliContext) -> CommandResult {
        if files::remove(&connect::login_file(context)?)? {
            context.output.line("logged out")?;
            context.output.note("the token itself is still good: to revoke it, dropsafe token revoke");
        } else {
            context.output.line("not logged in")?;
        }
        Ok(Exit::Success)
    }
}
