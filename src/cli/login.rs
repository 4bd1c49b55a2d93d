//! `dropsafe login` and `dropsafe logout`: the address and the token that the other commands use.

use clap::Args;
use zeroize::Zeroizing;

use super::connect::SavedLogin;
use super::context::CliContext;
use super::error::{CliError, CommandResult};
use super::oidc::OidcArgs;
use super::pinned_keys::StoreAddress;
use super::{connect, files, input, output, pinned_keys};
use crate::client::{Client, Depositor, Endpoint};
use crate::domain::credential::Credential;
use crate::process::Exit;
use crate::wire::StatusView;

/// Log in to a store: save its address and a token
///
/// The token is read from a prompt or from standard input and checked with the
/// store. It is saved in $XDG_CONFIG_HOME/dropsafe/login.json, which only you can
/// read. The fingerprint of the store's deposit key is pinned.
///
/// With --oidc, you sign in with a provider instead, in a browser or with a code that
/// you enter on another device. The store gives you a token that expires.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct LoginArgs {
    /// Address: https://HOST:PORT#sha256/PIN, http://127.0.0.1:PORT or unix:/PATH (default: DROPSAFE_URL, or the saved address)
    #[arg(value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Require this fingerprint of the deposit key; also accepts a changed key of a known store
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) deposit_key: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    // Last, because its heading would be that of every option behind it.
    #[command(flatten)]
    pub(crate) oidc: OidcArgs,
}

/// Log out: delete the saved login
#[derive(Debug, Args)]
pub(crate) struct LogoutArgs {}

impl LoginArgs {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        if self.oidc.oidc.is_some() {
            let url = self.url.or_else(|| context.environment.text("DROPSAFE_URL"));
            let output = LoginOutput { deposit_key: self.deposit_key.as_deref(), json: self.json };
            return self.oidc.run(context, url.as_deref(), output).await;
        }
        let (endpoint, text) = self.endpoint_and_token(context)?;
        let token = connect::parse_token(&text, "the token")?;
        let output = LoginOutput { deposit_key: self.deposit_key.as_deref(), json: self.json };
        log_in(context, endpoint, &token, output).await
    }

    fn endpoint_and_token(&self, context: &CliContext) -> Result<(Endpoint, Zeroizing<String>), CliError> {
        let saved = connect::load_login(context)?;
        let given = self.url.clone().or_else(|| context.environment.text("DROPSAFE_URL"));
        let endpoint = match (&given, &saved) {
            (Some(url), _) => connect::parse_endpoint(url, "the address")?,
            (None, Some(saved)) => connect::parse_endpoint(&saved.address(), "the saved login")?,
            (None, None) => {
                return Err(CliError::usage("the address of the store is missing")
                    .hint("provide https://HOST:PORT#sha256/PIN as an argument or in DROPSAFE_URL"));
            }
        };
        let token = match (&given, saved) {
            // The person accepts a changed key of the saved store, and need not have the token at hand. It goes to the
            // address that it was saved with, as always.
            (None, Some(saved)) if self.deposit_key.is_some() => Zeroizing::new(saved.token.clone()),
            _ => input::read_token(context)?,
        };
        Ok((endpoint, token))
    }
}

/// How a login is checked and reported.
pub(crate) struct LoginOutput<'a> {
    /// The fingerprint that the deposit key must have.
    pub(crate) deposit_key: Option<&'a str>,
    pub(crate) json: bool,
}

/// Checks a token with the store, and saves it.
pub(crate) async fn log_in(
    context: &mut CliContext,
    endpoint: Endpoint,
    token: &Credential,
    output: LoginOutput<'_>,
) -> CommandResult {
    connect::login_path(context)?;
    let address = StoreAddress::from_endpoint(&endpoint);
    let mut client = connect::new_client(context, endpoint.clone(), token)?;
    // Proves address and token before either is saved.
    let status = client.status().await?;
    check_deposit_key(context, output.deposit_key, &address, (&mut client, &status)).await?;
    // With the pin of the next key too, which the server names over this connection.
    let endpoint = connect::with_pins_of(&endpoint, &status.pins);
    let address = StoreAddress::from_endpoint(&endpoint);
    // The login before the pin, which is of no use without one.
    connect::save_login(context, &SavedLogin::new(&endpoint, token.to_text().to_string()))?;
    pinned_keys::pin(context, &address, status.store, &status.fingerprint)?;
    if output.json {
        context.output.json(&status)?;
    } else {
        let role = match (&status.role, &status.organization) {
            (Some(role), Some(organization)) => format!(" ({role} of {organization})"),
            _ => String::new(),
        };
        context.output.line(format!("logged in to {} as {}{role}", client.address(), status.identity))?;
        context.output.line(format!("deposit key: {}", output::escape_control(&status.fingerprint)))?;
    }
    Ok(Exit::Success)
}

async fn check_deposit_key(
    context: &CliContext,
    expected: Option<&str>,
    address: &StoreAddress,
    (client, status): (&mut Client, &StatusView),
) -> Result<(), CliError> {
    match expected {
        Some(expected) if expected != status.fingerprint => {
            let presented = output::escape_control(&status.fingerprint);
            Err(CliError::new(
                Exit::Denied,
                format_args!("the store's deposit key has another fingerprint: {presented}"),
            )
            .hint("nothing is saved; ask the operator which fingerprint is right"))
        }
        // Verified above, and so accepted whatever was pinned.
        Some(_) => Ok(()),
        None => match pinned_keys::lookup(context, address, status.store)? {
            // Logging in again is what many try first when a command fails. It must not accept the key silently.
            Some(pinned) if pinned != status.fingerprint => {
                // Unless the pinned key signed it. The operator, who deposits nothing, has to say so.
                match Depositor::open(client, Some(pinned.clone())).await {
                    Ok(depositor) if depositor.fingerprint() == status.fingerprint => Ok(()),
                    _ => Err(pinned_keys::key_changed_error(&pinned, &status.fingerprint)),
                }
            }
            _ => Ok(()),
        },
    }
}

impl LogoutArgs {
    pub(crate) fn run(self, context: &mut CliContext) -> CommandResult {
        if files::remove(&connect::login_path(context)?)? {
            context.output.line("logged out")?;
            // Without a call to the store: logging out must work offline.
            context.output.note("the token is still valid; to revoke it: dropsafe token revoke");
        } else {
            context.output.line("not logged in")?;
        }
        Ok(Exit::Success)
    }
}
