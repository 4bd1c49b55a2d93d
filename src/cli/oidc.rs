//! `dropsafe login --oidc`: sign in with a provider, through a browser on this machine or with a code that is entered on another
//! device. The store talks to the provider; this program brings what the browser received, and saves the token that it gets.

use std::time::Duration;

use clap::Args;

use super::connect::new_anonymous_client;
use super::context::CliContext;
use super::error::{CliError, CommandResult};
use super::login::{LoginOutput, log_in};
use super::loopback::LoopbackListener;
use super::output::escape_control;
use super::{browser, connect, linked_accounts};
use crate::client::{Client, Endpoint};
use crate::process::Exit;
use crate::wire::{
    BeginBrowserSignInRequest, BeginDeviceSignInRequest, BeginDeviceSignInResponse, CreateSignInTokenRequest,
    LinkAccountRequest, OrgNameText, ProveSignInRequest, ProveSignInResponse, SignInProviderView,
};

/// How long a sign-in in a browser may take. The store allows no more.
const BROWSER_LIMIT: Duration = Duration::from_secs(600);

/// How to sign in.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sign-in")]
pub(crate) struct OidcArgs {
    /// Sign in with this provider (default: the only one)
    #[arg(long, value_name = "PROVIDER", num_args = 0..=1)]
    pub(crate) oidc: Option<Option<String>>,
    /// Sign in with a code that you enter on another device (default where there is no
    /// browser, if the provider offers it)
    #[arg(long, requires = "oidc")]
    pub(crate) device: bool,
    /// Print the address for the browser and start none
    #[arg(long, requires = "oidc", conflicts_with = "device")]
    pub(crate) no_browser: bool,
    /// Organization, if your account belongs to several
    #[arg(long, value_name = "ORG", requires = "oidc")]
    pub(crate) organization: Option<String>,
    /// Link your account at the provider to the member that you are logged in as
    #[arg(long, requires = "oidc", conflicts_with_all = ["organization", "unlink", "list"])]
    pub(crate) link: bool,
    /// Unlink your account at the provider
    #[arg(long, requires = "oidc", conflicts_with_all = ["organization", "device", "no_browser", "list"])]
    pub(crate) unlink: bool,
    /// List the providers, and your linked accounts
    #[arg(long, requires = "oidc", conflicts_with_all = ["organization", "device", "no_browser"])]
    pub(crate) list: bool,
}

impl OidcArgs {
    pub(crate) async fn run(
        self,
        context: &mut CliContext,
        url: Option<&str>,
        output: LoginOutput<'_>,
    ) -> CommandResult {
        if self.link || self.unlink || self.list {
            return self.manage(context, output.json).await;
        }
        let endpoint = store_endpoint(context, url)?;
        // Before the person goes to the provider: there must be a place for the token.
        connect::login_path(context)?;
        let mut client = new_anonymous_client(context, endpoint.clone())?;
        let provider = self.choose_provider(&mut client).await?;
        let proven = self.prove(context, &mut client, &provider, false).await?;
        let organization = self.choose_organization(&proven)?;
        let request = CreateSignInTokenRequest { proof: take_proof(proven)?, organization };
        let signed_in = client.create_sign_in_token(&request).await?;
        let token = connect::parse_token(&signed_in.token, "the token")?;
        if signed_in.created {
            let org = &signed_in.organization;
            context.output.note(format!("you are now a member of {org}, with the role {}", signed_in.role));
        }
        if let Some(granted) = signed_in.kept_admin {
            context.output.note(format!(
                "your groups make you {granted}, but you are the last administrator of {} and stay one; appoint another one",
                signed_in.organization
            ));
        }
        let expires = signed_in.view.expires_at.map(|at| format!("the token expires at {at}"));
        let exit = log_in(context, endpoint, &token, output).await?;
        expires.into_iter().for_each(|line| context.output.note(line));
        Ok(exit)
    }

    /// Links, unlinks or lists, as the member who is logged in.
    async fn manage(self, context: &mut CliContext, json: bool) -> CommandResult {
        let mut client = connect::open_client(context)?;
        if self.list {
            return linked_accounts::list(context, &mut client, json).await;
        }
        let provider = self.choose_provider(&mut client).await?;
        let account = if self.link {
            let proven = self.prove(context, &mut client, &provider, true).await?;
            client.link_account(&LinkAccountRequest { proof: take_proof(proven)? }).await?
        } else {
            linked_accounts::unlink(&mut client, &provider).await?
        };
        let done = if self.link { "linked" } else { "unlinked" };
        let line = || format!("{done} {} at {}", linked_accounts::display_name(&account), account.provider);
        context.output.json_or_line(json, &account, line)?;
        Ok(Exit::Success)
    }

    async fn choose_provider(&self, client: &mut Client) -> Result<SignInProviderView, CliError> {
        let mut providers = client.sign_in_providers().await?.providers;
        let names = providers.iter().map(|provider| provider.name.as_str()).collect::<Vec<_>>().join(", ");
        match self.oidc.as_ref().and_then(Option::as_deref) {
            Some(name) => {
                let found = providers.into_iter().find(|provider| provider.name.as_str() == name);
                found.ok_or_else(|| match (name.contains("://"), names.is_empty()) {
                    // The provider's name is optional, so that an address behind the flag is read as one.
                    (true, _) => {
                        CliError::usage("the address comes before --oidc").hint("dropsafe login URL --oidc")
                    }
                    (false, true) => no_providers(),
                    (false, false) => CliError::failed("people do not sign in with this provider here")
                        .hint(format!("providers: {names}")),
                })
            }
            None if providers.len() == 1 => Ok(providers.remove(0)),
            None if providers.is_empty() => Err(no_providers()),
            None => Err(CliError::usage("there are several providers")
                .hint(format!("name one of them: --oidc with {names}"))),
        }
    }

    fn choose_organization(&self, proven: &ProveSignInResponse) -> Result<Option<OrgNameText>, CliError> {
        if self.organization.is_some() || proven.organizations.len() <= 1 {
            return Ok(self.organization.as_deref().map(Into::into));
        }
        let names: Vec<&str> = proven.organizations.iter().map(|name| name.as_str()).collect();
        Err(CliError::usage("your account belongs to several organizations")
            .hint(format!("choose one of them with --organization: {}", names.join(", "))))
    }

    /// Has the provider prove who the person is.
    async fn prove(
        &self,
        context: &mut CliContext,
        client: &mut Client,
        provider: &SignInProviderView,
        link: bool,
    ) -> Result<ProveSignInResponse, CliError> {
        // Over SSH there is none, and a redirect to this machine would reach nobody.
        let has_browser = browser::is_available(&context.environment);
        if self.device || (!has_browser && !self.no_browser && provider.device) {
            return prove_on_device(context, client, provider, link).await;
        }
        self.prove_in_browser(context, client, provider, link).await
    }

    async fn prove_in_browser(
        &self,
        context: &mut CliContext,
        client: &mut Client,
        provider: &SignInProviderView,
        link: bool,
    ) -> Result<ProveSignInResponse, CliError> {
        // First: the provider sends the browser to its port.
        let listener = LoopbackListener::bind().await?;
        let name = provider.name.as_str().into();
        let request = BeginBrowserSignInRequest { provider: name, port: listener.port(), link };
        let begun = client.begin_browser_sign_in(&request).await?;
        let url = browser::check_address(&begun.authorization_url)?;
        let opened = !self.no_browser && browser::open(&context.environment, url);
        if opened {
            context.output.note(format!("sign in with {} in the browser; if none opens:", title(provider)));
        } else {
            context
                .output
                .note(format!("to sign in with {}, open in a browser on this machine:", title(provider)));
        }
        context.output.note(url);
        let answer = listener.wait(&begun.state, BROWSER_LIMIT).await?;
        let request = ProveSignInRequest {
            sign_in: begun.sign_in,
            code: answer.code,
            state: Some(begun.state),
            iss: answer.iss,
            error: answer.error,
        };
        Ok(client.prove_sign_in(&request).await?)
    }
}

async fn prove_on_device(
    context: &mut CliContext,
    client: &mut Client,
    provider: &SignInProviderView,
    link: bool,
) -> Result<ProveSignInResponse, CliError> {
    let request = BeginDeviceSignInRequest { provider: provider.name.as_str().into(), link };
    let begun = client.begin_device_sign_in(&request).await?;
    let BeginDeviceSignInResponse { user_code, verification_uri, expires_at, sign_in, .. } = begun;
    let (user_code, uri) = (escape_control(&user_code), escape_control(&verification_uri));
    context.output.note(format!("to sign in with {}, open {uri} in any browser", title(provider)));
    context.output.note(format!("and enter the code {user_code}, which is valid until {expires_at}"));
    // RFC 8628, section 5.4: the one attack that the protocol leaves to people.
    context
        .output
        .note("enter it only because you started this command: it signs in whoever shows it to you");
    let mut pause = begun.interval_seconds;
    let request = ProveSignInRequest { sign_in, ..ProveSignInRequest::default() };
    // Until the store refuses: it knows when the code expires, whatever the time is on this machine.
    loop {
        tokio::time::sleep(Duration::from_secs(pause.clamp(1, 60))).await;
        let answer = client.prove_sign_in(&request).await?;
        match answer.interval_seconds {
            // It only grows: a provider that asked for patience means all questions to come.
            Some(interval) => pause = pause.max(interval),
            None => return Ok(answer),
        }
    }
}

/// The store to sign in to: the given address, or that of the saved login.
fn store_endpoint(context: &CliContext, url: Option<&str>) -> Result<Endpoint, CliError> {
    match (url, connect::load_login(context)?) {
        (Some(url), _) => connect::parse_endpoint(url, "the address"),
        (None, Some(saved)) => connect::parse_endpoint(&saved.address(), "the saved login"),
        (None, None) => Err(CliError::usage("the address of the store is missing")
            .hint("provide https://HOST:PORT#sha256/PIN as an argument or in DROPSAFE_URL")),
    }
}

fn take_proof(proven: ProveSignInResponse) -> Result<String, CliError> {
    proven.proof.ok_or_else(|| CliError::new(Exit::Internal, "the store's response has no proof"))
}

pub(crate) fn title(provider: &SignInProviderView) -> String {
    escape_control(&provider.title).into_owned()
}

fn no_providers() -> CliError {
    CliError::failed("nobody signs in with a provider at this store")
        .hint("log in with a token: dropsafe login; the operator configures providers in server.yaml")
}
