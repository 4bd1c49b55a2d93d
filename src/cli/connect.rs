//! SelectorArgs store a command talks to, and with which token: the environment's, or those of the saved login. A saved token is
//! never sent to an address from elsewhere.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::error::CliError;
use super::pinned_keys::StoreAddress;
use super::{CliContext, files};
use crate::client::{CallError, Client, Endpoint};
use crate::domain::credential::{Credential, CredentialKind};

/// What `login` saves. It is wiped on drop with its token.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedLogin {
    /// The address, without its pin.
    pub(crate) url: String,
    /// The pin of the store's TLS key, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pin: Option<String>,
    /// The token.
    pub(crate) token: String,
}

impl Drop for SavedLogin {
    fn drop(&mut self) {
        self.token.zeroize();
    }
}

impl SavedLogin {
    /// The address with its pin.
    pub(crate) fn address(&self) -> String {
        match &self.pin {
            Some(pin) => format!("{}#{pin}", self.url),
            None => self.url.clone(),
        }
    }
}

/// Where the login is kept.
pub(crate) fn login_file(context: &CliContext) -> Result<PathBuf, CliError> {
    context.environment.configuration_folder().map(|folder| folder.join("login.json")).ok_or_else(|| {
        CliError::configuration("there is no folder for the saved login").hint("set HOME or XDG_CONFIG_HOME")
    })
}

/// The saved login, if there is one.
pub(crate) fn saved(context: &CliContext) -> Result<Option<SavedLogin>, CliError> {
    let Ok(path) = login_file(context) else { return Ok(None) };
    let Some(bytes) = files::read_own(&path)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|_| {
        CliError::configuration(format_args!("{} cannot be understood", path.display()))
            .hint("remove it and run dropsafe login")
    })
}

/// An address as given.
pub(crate) fn endpoint(text: &str, given_by: &str) -> Result<Endpoint, CliError> {
    Endpoint::parse(text).map_err(|error| CliError::configuration(error).during(given_by).hint(error.hint()))
}

/// A token as given.
pub(crate) fn token(text: &str, given_by: &str) -> Result<Credential, CliError> {
    let failed = |message: &dyn std::fmt::Display| CliError::configuration(message).during(given_by);
    let credential =
        Credential::parse(text.trim()).map_err(|error| failed(&error).maybe_hint(error.hint()))?;
    if credential.kind == CredentialKind::Ticket {
        return Err(failed(&"this belongs to a boot ticket")
            .hint("a command needs a token of a member (dsm_…) or of the operator (dso_…)"));
    }
    Ok(credential)
}

/// A client for the store that the environment or the saved login names.
pub(crate) fn client(context: &CliContext) -> Result<Client, CliError> {
    let (endpoint, token) = named(context)?;
    open(context, endpoint, &token)
}

/// The same, with what the store's deposit key is remembered by.
pub(crate) fn known(context: &CliContext) -> Result<(Client, StoreAddress), CliError> {
    let (endpoint, token) = named(context)?;
    let place = StoreAddress::of(&endpoint);
    Ok((open(context, endpoint, &token)?, place))
}

fn named(context: &CliContext) -> Result<(Endpoint, Credential), CliError> {
    let (environment_url, environment_token) = (
        context.environment.text("DROPSAFE_URL"),
        context.environment.text("DROPSAFE_TOKEN").map(Zeroizing::new),
    );
    match (environment_url, environment_token) {
        (Some(url), Some(text)) => Ok((endpoint(&url, "DROPSAFE_URL")?, token(&text, "DROPSAFE_TOKEN")?)),
        (Some(_), None) => Err(CliError::configuration("DROPSAFE_URL is set, and DROPSAFE_TOKEN is not")
            .hint("set both; a saved token is only used with the address that it was saved with")),
        (None, given) => {
            let saved = saved(context)?.ok_or_else(|| {
                CliError::configuration("no store is named")
                    .hint("run dropsafe login, or set DROPSAFE_URL and DROPSAFE_TOKEN")
            })?;
            let token = match given {
                Some(text) => token(&text, "DROPSAFE_TOKEN")?,
                None => token(&saved.token, "the saved login")?,
            };
            Ok((endpoint(&saved.address(), "the saved login")?, token))
        }
    }
}

/// A client for that store.
pub(crate) fn open(context: &CliContext, endpoint: Endpoint, token: &Credential) -> Result<Client, CliError> {
    let authorities = context.environment.path("DROPSAFE_CA");
    Ok(Client::new(endpoint, token, authorities.as_deref())?)
}

impl From<CallError> for CliError {
    fn from(error: CallError) -> Self {
        Self::new(error.exit(), &error).maybe_hint(error.hint())
    }
}
