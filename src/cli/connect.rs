//! Which store a command calls, and with which token: those of the environment, or those of the saved login. A saved token is
//! never sent to an address from anywhere else.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::context::CliContext;
use super::error::CliError;
use super::pinned_keys::StoreAddress;
use super::{files, output, pinned_keys};
use crate::client::{CallError, Client, Endpoint, EndpointKind};
use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::pin::{Pin, PinPair};
use crate::process::Exit;
use crate::wire::StatusView;

/// The file that `login` writes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedLogin {
    /// Without the pins.
    pub(crate) url: String,
    /// One pin, or two with a comma between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pin: Option<String>,
    pub(crate) token: String,
}

impl Drop for SavedLogin {
    fn drop(&mut self) {
        self.token.zeroize();
    }
}

impl SavedLogin {
    /// A login at an address, whose pins are a part of it.
    pub(crate) fn new(endpoint: &Endpoint, token: String) -> Self {
        Self { url: endpoint.to_string(), pin: endpoint.pins().map(ToString::to_string), token }
    }

    /// The address with its pins.
    pub(crate) fn address(&self) -> String {
        match &self.pin {
            Some(pin) => format!("{}#{pin}", self.url),
            None => self.url.clone(),
        }
    }
}

pub(crate) fn login_path(context: &CliContext) -> Result<PathBuf, CliError> {
    context.environment.config_folder().map(|folder| folder.join("login.json")).ok_or_else(|| {
        CliError::configuration("there is no folder for the saved login").hint("set HOME or XDG_CONFIG_HOME")
    })
}

/// Writes the saved login.
pub(crate) fn save_login(context: &CliContext, login: &SavedLogin) -> Result<(), CliError> {
    let bytes = serde_json::to_vec_pretty(login)
        .map(Zeroizing::new)
        .map_err(|_| CliError::new(Exit::Internal, "the login cannot be encoded as JSON"))?;
    files::write_private(&login_path(context)?, &bytes)
}

/// The endpoint with the pins that the server behind it says it has. They count only if one of them is pinned: the server has
/// proved that it holds that key.
pub(crate) fn with_pins_of(endpoint: &Endpoint, named: &[Pin]) -> Endpoint {
    let mut followed = endpoint.clone();
    if let (EndpointKind::Tls { pins: Some(pins), .. }, [current, ..]) = (&mut followed.kind, named)
        && named.iter().any(|pin| pins.list().contains(pin))
    {
        *pins = PinPair::new(*current, named.get(1).copied().unwrap_or(*current));
    }
    followed
}

/// Replaces the pins of the saved login by those that its server names, so that the login survives the next rotation.
pub(crate) fn follow_pins(context: &CliContext, status: &StatusView) -> Result<(), CliError> {
    // Whoever sets the variable also sets its pins.
    if context.environment.text("DROPSAFE_URL").is_some() {
        return Ok(());
    }
    let Some(saved) = load_login(context)? else { return Ok(()) };
    let endpoint = parse_endpoint(&saved.address(), "the saved login")?;
    let followed = with_pins_of(&endpoint, &status.pins);
    if followed == endpoint {
        return Ok(());
    }
    let (from, to) = (StoreAddress::from_endpoint(&endpoint), StoreAddress::from_endpoint(&followed));
    // A failure is only a warning, as for the deposit key: the folder may be read-only. The login comes last, so that the deposit
    // key is found under its address.
    let saving = pinned_keys::follow(context, &from, &to)
        .and_then(|()| save_login(context, &SavedLogin::new(&followed, saved.token.clone())));
    if let Err(error) = saving {
        output::warn(format!("the pins of the server's TLS keys are not saved: {}", error.message));
    }
    Ok(())
}

/// Reads the saved login, if there is one.
pub(crate) fn load_login(context: &CliContext) -> Result<Option<SavedLogin>, CliError> {
    // A container without HOME has no saved login, and needs none if the environment names the store.
    let Ok(path) = login_path(context) else { return Ok(None) };
    let Some(bytes) = files::read_optional(&path)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|_| {
        // The parser's message is dropped: it can quote the file, and the file holds a token.
        CliError::configuration(format_args!("{} cannot be parsed", path.display()))
            .hint("remove it and run dropsafe login")
    })
}

/// Parses an address. `origin` is its place, for the error.
pub(crate) fn parse_endpoint(text: &str, origin: &str) -> Result<Endpoint, CliError> {
    Endpoint::parse(text).map_err(|error| CliError::configuration(error).context(origin).hint(error.hint()))
}

/// Parses a token. `origin` is its place, for the error.
pub(crate) fn parse_token(text: &str, origin: &str) -> Result<Credential, CliError> {
    let failed = |message: &dyn std::fmt::Display| CliError::configuration(message).context(origin);
    // Copying and pasting adds blanks, and no token contains any.
    let credential =
        Credential::parse(text.trim()).map_err(|error| failed(&error).optional_hint(error.hint()))?;
    // Checked here, not by the store: a ticket must not be sent to a route that cannot use it.
    if credential.kind == CredentialKind::Enrolment {
        return Err(failed(&"this is an enrolment code, not a token").hint("redeem it with dropsafe enroll"));
    }
    if credential.kind == CredentialKind::Ticket {
        return Err(failed(&"this is a credential of a boot ticket, not a token")
            .hint("use a token of a member (dsm_…) or of the operator (dso_…)"));
    }
    Ok(credential)
}

/// A client for the store that the environment or the saved login names.
pub(crate) fn open_client(context: &CliContext) -> Result<Client, CliError> {
    let (endpoint, token) = resolve(context)?;
    new_client(context, endpoint, &token)
}

/// The same, with the address under which the store's deposit key is pinned.
pub(crate) fn open_client_with_address(context: &CliContext) -> Result<(Client, StoreAddress), CliError> {
    let (endpoint, token) = resolve(context)?;
    let address = StoreAddress::from_endpoint(&endpoint);
    Ok((new_client(context, endpoint, &token)?, address))
}

fn resolve(context: &CliContext) -> Result<(Endpoint, Credential), CliError> {
    let url = context.environment.text("DROPSAFE_URL");
    let token = context.environment.text("DROPSAFE_TOKEN").map(Zeroizing::new);
    match (url, token) {
        (Some(url), Some(token)) => {
            Ok((parse_endpoint(&url, "DROPSAFE_URL")?, parse_token(&token, "DROPSAFE_TOKEN")?))
        }
        // Falling back to the saved token here would hand it to whoever set the variable.
        (Some(_), None) => Err(CliError::configuration("DROPSAFE_URL is set, but DROPSAFE_TOKEN is not")
            .hint("set both; a saved token is only sent to the address that it was saved with")),
        (None, token) => {
            let saved = load_login(context)?.ok_or_else(|| {
                CliError::configuration("no store is configured")
                    .hint("run dropsafe login, or set DROPSAFE_URL and DROPSAFE_TOKEN")
            })?;
            // The other direction is harmless: the owner of this environment chose both the token and the saved address.
            let token = match token {
                Some(token) => parse_token(&token, "DROPSAFE_TOKEN")?,
                None => parse_token(&saved.token, "the saved login")?,
            };
            Ok((parse_endpoint(&saved.address(), "the saved login")?, token))
        }
    }
}

pub(crate) fn new_client(
    context: &CliContext,
    endpoint: Endpoint,
    token: &Credential,
) -> Result<Client, CliError> {
    let authorities = context.environment.path("DROPSAFE_CA");
    Ok(Client::new(endpoint, token, authorities.as_deref())?)
}

/// A client without a token, for somebody who signs in.
pub(crate) fn new_anonymous_client(context: &CliContext, endpoint: Endpoint) -> Result<Client, CliError> {
    let authorities = context.environment.path("DROPSAFE_CA");
    Ok(Client::anonymous(endpoint, authorities.as_deref())?)
}

impl From<CallError> for CliError {
    fn from(error: CallError) -> Self {
        Self::new(error.exit(), &error).optional_hint(error.hint())
    }
}
