//! Sign-in of people with OIDC providers, and the accounts that they linked.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::account::TokenView;
use super::unparsed::{OrgNameText, ProviderNameText};
use crate::domain::id::LinkedAccountId;
use crate::domain::name::{OrgName, ProviderName};
use crate::domain::role::Role;
use crate::domain::time::Timestamp;

/// `GET /v1/sign-in`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct SignInProvidersView {
    /// The providers, in the order of the configuration.
    pub providers: Vec<SignInProviderView>,
}

/// A provider that people sign in with.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct SignInProviderView {
    /// What commands and addresses call it.
    pub name: ProviderName,
    /// What people know it as.
    pub title: String,
    /// Whether it offers a sign-in with a code that is entered on another device.
    pub device: bool,
}

/// `POST /v1/sign-in/browser`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BeginBrowserSignInRequest {
    /// The provider.
    pub provider: ProviderNameText,
    /// The port of 127.0.0.1 on which the client waits for the browser.
    #[serde(deserialize_with = "super::number::whole")]
    #[cfg_attr(feature = "server", schema(value_type = u32, minimum = 1, maximum = 65535))]
    pub port: u16,
    /// Whether the proof is to link the account, and not for a token.
    #[serde(default)]
    pub link: bool,
}

/// The response to it.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct BeginBrowserSignInResponse {
    /// The address to open in a browser.
    pub authorization_url: String,
    /// What the browser must bring back as `state`.
    pub state: String,
    /// The state of this sign-in, sealed by the store. It is a secret of the client.
    pub sign_in: String,
    /// RFC 3339.
    pub expires_at: Timestamp,
}

/// `POST /v1/sign-in/device`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BeginDeviceSignInRequest {
    /// The provider.
    pub provider: ProviderNameText,
    /// Whether the proof is to link the account, and not for a token.
    #[serde(default)]
    pub link: bool,
}

/// The response to it.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct BeginDeviceSignInResponse {
    /// The code that the person enters.
    pub user_code: String,
    /// Where they enter it.
    pub verification_uri: String,
    /// The same address with the code in it.
    pub verification_uri_complete: Option<String>,
    /// Seconds between two questions.
    pub interval_seconds: u64,
    /// The state of this sign-in, sealed by the store. It is a secret of the client.
    pub sign_in: String,
    /// RFC 3339.
    pub expires_at: Timestamp,
}

/// `POST /v1/sign-in/proof`.
#[derive(Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ProveSignInRequest {
    /// What the response that began the sign-in contains.
    pub sign_in: String,
    /// What the browser brought back: the provider's code. Absent for a device code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What the browser brought back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// What the browser brought back, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// The error code that the browser brought back instead of a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl fmt::Debug for ProveSignInRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProveSignInRequest([redacted])")
    }
}

/// The response to it.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ProveSignInResponse {
    /// What the provider has proved, sealed by the store: a secret of the client, for one use. Absent while the person has not
    /// entered the device code.
    pub proof: Option<String>,
    /// Seconds until the next question, while there is no proof.
    pub interval_seconds: Option<u64>,
    /// What the provider calls the person.
    pub name: Option<String>,
    /// The organizations that the account opens; empty if the proof is to link it.
    pub organizations: Vec<OrgName>,
}

/// `POST /v1/sign-in/token`.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateSignInTokenRequest {
    /// The proof.
    pub proof: String,
    /// The organization; needed if the account opens several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<OrgNameText>,
}

/// The response to it.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct CreateSignInTokenResponse {
    /// `dsm_…`
    pub token: String,
    /// The organization.
    pub organization: OrgName,
    /// The member's role from now on.
    pub role: Role,
    /// Whether the sign-in created the member.
    pub created: bool,
    /// The lesser role that the groups give the organization's last administrator, who keeps the role.
    pub kept_admin: Option<Role>,
    /// The rest.
    #[serde(flatten)]
    pub view: TokenView,
}

/// `POST /v1/sign-in/accounts`.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LinkAccountRequest {
    /// A proof that was begun to link the account.
    pub proof: String,
}

/// An account at a provider that signs in as the caller.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct LinkedAccountView {
    /// `lnk_…`
    pub id: LinkedAccountId,
    /// What the operator called the provider when the account was linked.
    pub provider: ProviderName,
    /// The provider's issuer URL.
    pub issuer: String,
    /// The provider's identifier of the person.
    pub subject: String,
    /// What the provider called the person.
    pub name: Option<String>,
    /// When it was linked, RFC 3339.
    pub created_at: Timestamp,
    /// When somebody last signed in with it.
    pub used_at: Option<Timestamp>,
}
