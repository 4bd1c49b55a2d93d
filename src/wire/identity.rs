//! Identities of machines, and the issuers of their tokens.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::ticket::CreateTicketRequest;
use super::unparsed::{IssuerNameText, MemberNameText};
use super::value::Value;
use crate::domain::id::{IdentityId, TicketId};
use crate::domain::identity::IdentityKind;
use crate::domain::name::{IssuerName, MemberName, PluginName};
use crate::domain::time::Timestamp;

/// `POST /v1/identities`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateIdentityRequest {
    /// The template: `kubernetes`, `github`, `gitlab`, `gcp`, `azure`, `aws`, `spiffe` or `oidc`.
    #[cfg_attr(feature = "server", schema(max_length = 32))]
    pub template: String,
    /// An issuer of the organization; default: the public issuer of the template, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<IssuerNameText>,
    /// The audience of its tokens; default: `dropsafe:` and the store's id.
    #[cfg_attr(feature = "server", schema(min_length = 1, max_length = 255, pattern = r"^[!-~]+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// What the claims of its tokens must be, by the template's names for them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, String>,
    /// The service that it acts for, if a claim names it.
    #[serde(default, deserialize_with = "super::object::optional", skip_serializing_if = "Option::is_none")]
    pub for_each: Option<ForEachServiceBody>,
    /// Whether each token is accepted for one boot only; default: no.
    #[serde(default)]
    pub single_use: bool,
    /// The member that it acts for, and its limits: as those of a ticket.
    #[serde(default, deserialize_with = "super::object::optional", skip_serializing_if = "Option::is_none")]
    pub grant: Option<CreateTicketRequest>,
}

/// The claim that names the service that an identity acts for.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ForEachServiceBody {
    /// The claim: in a request the template's name for it, in a response its JSON Pointer.
    #[cfg_attr(feature = "server", schema(min_length = 1, max_length = 128))]
    pub claim: String,
    /// The services that it may name.
    #[cfg_attr(feature = "server", schema(min_items = 1, max_items = 100))]
    pub services: Vec<MemberNameText>,
}

/// An identity as shown.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct MachineIdentityView {
    /// `idn_…`
    pub id: IdentityId,
    /// How the machine proves it.
    pub kind: IdentityKind,
    /// `tkt_…`: the same id as `id`, if it is a ticket.
    pub ticket: Option<TicketId>,
    /// The store card `dsi_…`, which the machine needs; absent for a ticket. It is not a secret.
    pub card: Option<String>,
    /// The member it acts for; with `for_each`, the member who made it.
    pub member: MemberName,
    /// Who made it.
    pub author: MemberName,
    /// For people.
    pub label: Option<String>,
    /// RFC 3339.
    pub created_at: Timestamp,
    /// RFC 3339.
    pub expires_at: Option<Timestamp>,
    /// RFC 3339.
    pub revoked_at: Option<Timestamp>,
    /// The limit of uses.
    pub uses: Option<u64>,
    /// Uses so far, when limited.
    pub used: Option<u64>,
    /// The plugins it is restricted to.
    pub plugins: Option<Vec<PluginName>>,
    /// The networks it is restricted to.
    pub sources: Vec<String>,
    /// Seconds after which a boot with it counts as ended.
    pub lifetime_seconds: Option<u64>,
    /// Whether it would be accepted now, apart from the source network and the proof.
    pub usable: bool,
    /// The tokens that it accepts; absent for a ticket.
    pub tokens: Option<AcceptedTokensView>,
}

/// The tokens that an identity accepts.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct AcceptedTokensView {
    /// The template that it was made from.
    pub template: String,
    /// An issuer of the organization; absent: the public issuer of the template.
    pub issuer: Option<IssuerName>,
    /// The issuer's URL as it is now; absent if the issuer was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_url: Option<String>,
    /// The digest of the issuer's settings as they are now, by which a person confirms a change of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_digest: Option<String>,
    /// The audience.
    pub audience: String,
    /// What their claims must be.
    pub claims: Vec<ClaimRuleView>,
    /// The claim that names the service.
    pub for_each: Option<ForEachServiceBody>,
    /// Whether each token is accepted for one boot only.
    pub single_use: bool,
    /// Whether its person has to confirm a change of the issuer before it boots again.
    pub suspended: bool,
}

/// What one claim must be.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ClaimRuleView {
    /// JSON Pointer (RFC 6901) to the claim.
    pub pointer: String,
    /// Its value.
    pub value: String,
    /// Whether the claim only needs to start with the value.
    pub prefix: bool,
}

/// For people: `/repository_id = 74`, and `…` after a prefix.
impl fmt::Display for ClaimRuleView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} = {}{}", self.pointer, self.value, if self.prefix { "…" } else { "" })
    }
}

/// `POST /v1/identities/{id}/confirm`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ConfirmIssuerRequest {
    /// The digest of the issuer's settings that the person has looked at.
    #[cfg_attr(feature = "server", schema(min_length = 64, max_length = 64, pattern = "^[0-9a-f]{64}$"))]
    pub digest: String,
}

/// `POST /v1/identities/{id}/test`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TestTokenRequest {
    /// The token. It is compared, and neither stored nor used.
    #[cfg_attr(feature = "server", schema(value_type = String, write_only))]
    pub token: Value,
}

/// The response to it: each check in its order.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct TestTokenResponse {
    /// Whether a machine with this token would be accepted, apart from its source network.
    pub accepted: bool,
    /// The checks.
    pub checks: Vec<TokenCheckView>,
}

/// One check of a token.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct TokenCheckView {
    /// What was compared, such as `signature`, `aud` or a JSON Pointer.
    pub check: String,
    /// Whether it passed. Checks after one that fails may be absent.
    pub passed: bool,
    /// What was expected, or why it failed.
    pub expected: Option<String>,
    /// What the token says, for claims.
    pub found: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// `PUT /v1/issuers/{name}`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PutIssuerRequest {
    /// Its URL, exactly as its tokens name it.
    #[cfg_attr(feature = "server", schema(min_length = 9, max_length = 512))]
    pub url: String,
    /// The signature algorithms that are accepted; default: `RS256` and `ES256`.
    #[cfg_attr(feature = "server", schema(max_items = 16))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub algorithms: Vec<String>,
    /// CA certificates (PEM) for its server; default: those of the store's system.
    #[cfg_attr(feature = "server", schema(max_length = 65536))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities: Option<String>,
    /// Its keys (a JSON Web Key Set), for a store that cannot reach it; default: they are fetched.
    #[cfg_attr(feature = "server", schema(max_length = 65536))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<String>,
}

/// An issuer as shown.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct IssuerView {
    /// Its name in the organization.
    pub name: IssuerName,
    /// The digest of its settings: SHA-256 in hexadecimal. A person confirms a change by it.
    #[cfg_attr(feature = "server", schema(min_length = 64, max_length = 64))]
    pub digest: String,
    /// Its URL.
    pub url: String,
    /// The signature algorithms that are accepted.
    pub algorithms: Vec<String>,
    /// CA certificates (PEM) for its server.
    pub authorities: Option<String>,
    /// Its keys, if they are not fetched.
    pub keys: Option<String>,
    /// RFC 3339.
    pub updated_at: Timestamp,
}
