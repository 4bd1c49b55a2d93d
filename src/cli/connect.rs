//! Which store a command talks to, and with which token: the environment's, or those of the saved login. A saved token is
//! never sent to an address from elsewhere.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::failure::Failure;
use super::known::Place;
use super::{Context, files};
use crate::client::{CallError, Client, Endpoint};
use crate::domain::credential::{Credential, CredentialKind};

/// What `login` saves. It is wiped on drop with its token.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedLogin {
    /// The address, without its pin.
    pub url: String,
    /// The pin of the store's TLS key, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// The token.
    pub token: String,
}

impl Drop for SavedLogin {
    fn drop(&mut self) {
        self.token.zeroize();
    }
}

impl SavedLogin {
    /// The address with its pin.
    pub fn address(&self) -> String {
        match &self.pin {
            Some(pin) => format!("{}#{pin}", self.url),
            None => self.url.clone(),
        }
    }
}

/// Where the login is kept.
pub fn login_file(context: &Context) -> Result<PathBuf, Failure> {
    context.environment.configuration_folder().map(|folder| folder.join("login.json")).ok_or_else(|| {
        Failure::configuration("there is no folder for the saved login").hint("set HOME or XDG_CONFIG_HOME")
    })
}

/// The saved login, if there is one.
pub fn saved(context: &Context) -> Result<Option<SavedLogin>, Failure> {
    let Ok(path) = login_file(context) else { return Ok(None) };
    let Some(bytes) = files::read_own(&path)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|_| {
        Failure::configuration(format_args!("{} cannot be understood", path.display()))
            .hint("remove it and run dropsafe login")
    })
}

/// An address as given.
pub fn endpoint(text: &str, given_by: &str) -> Result<Endpoint, Failure> {
    Endpoint::parse(text).map_err(|error| Failure::configuration(error).during(given_by).hint(error.hint()))
}

/// A token as given.
pub fn token(text: &str, given_by: &str) -> Result<Credential, Failure> {
    let failed = |message: &dyn std::fmt::Display| Failure::configuration(message).during(given_by);
    let credential =
        Credential::parse(text.trim()).map_err(|error| failed(&error).maybe_hint(error.hint()))?;
    if credential.kind == CredentialKind::Ticket {
        return Err(failed(&"this belongs to a boot ticket")
            .hint("a command needs a token of a member (dsm_…) or of the operator (dso_…)"));
    }
    Ok(credential)
}

/// A client for the store that the environment or the saved login names.
pub fn client(context: &Context) -> Result<Client, Failure> {
    let (endpoint, token) = named(context)?;
    open(context, endpoint, &token)
}

/// The same, with what the store's deposit key is remembered by.
pub fn known(context: &Context) -> Result<(Client, Place), Failure> {
    let (endpoint, token) = named(context)?;
    let place = Place::of(&endpoint);
    Ok((open(context, endpoint, &token)?, place))
}

fn named(context: &Context) -> Result<(Endpoint, Credential), Failure> {
    let (environment_url, environment_token) = (
        context.environment.text("DROPSAFE_URL"),
        context.environment.text("DROPSAFE_TOKEN").map(Zeroizing::new),
    );
    match (environment_url, environment_token) {
        (Some(url), Some(text)) => Ok((endpoint(&url, "DROPSAFE_URL")?, token(&text, "DROPSAFE_TOKEN")?)),
        (Some(_), None) => Err(Failure::configuration("DROPSAFE_URL is set, and DROPSAFE_TOKEN is not")
            .hint("set both; a saved token is only used with the address that it was saved with")),
        (None, given) => {
            let saved = saved(context)?.ok_or_else(|| {
                Failure::configuration("no store is named")
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
pub fn open(context: &Context, endpoint: Endpoint, token: &Credential) -> Result<Client, Failure> {
    let authorities = context.environment.path("DROPSAFE_CA");
    Ok(Client::new(endpoint, token, authorities.as_deref())?)
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::new(error.exit(), &error).maybe_hint(error.hint())
    }
}
