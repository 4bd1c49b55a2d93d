//! Boot tickets.

use serde::{Deserialize, Serialize};

use super::unparsed::{CidrText, LabelText, MemberNameText, PluginNameText};
use crate::domain::id::TicketId;
use crate::domain::name::{MemberName, PluginName};
use crate::domain::time::Timestamp;

/// `POST /v1/tickets`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateTicketRequest {
    /// The member it acts for; default: the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<MemberNameText>,
    /// Seconds until it expires; absent: it does not.
    #[serde(default, deserialize_with = "super::number::optional", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(minimum = 1, maximum = 3153600000_u64))]
    pub ttl_seconds: Option<u64>,
    /// How many boots; absent: any number.
    #[serde(default, deserialize_with = "super::number::optional", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(minimum = 1, maximum = 1000000000_u64))]
    pub uses: Option<u64>,
    /// Seconds after which a boot with it counts as ended; absent: not before its end is reported.
    #[serde(default, deserialize_with = "super::number::optional", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(minimum = 1, maximum = 3153600000_u64))]
    pub lifetime_seconds: Option<u64>,
    /// Restricts boots to secrets of these plugins and of none; absent: no restriction.
    #[cfg_attr(feature = "server", schema(max_items = 100))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugins: Option<Vec<PluginNameText>>,
    /// Networks it may be used from, as `address/bits`; empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "server", schema(max_items = 100))]
    pub sources: Vec<CidrText>,
    /// For people, at most 100 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<LabelText>,
}

/// The response to it: the only one with the ticket.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct CreateTicketResponse {
    /// `dst_…`: the store's addresses, the pin of its TLS key, and the credential.
    pub ticket: String,
    /// The rest.
    #[serde(flatten)]
    pub view: TicketView,
}

/// A ticket as shown.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct TicketView {
    /// `tkt_…`
    pub id: TicketId,
    /// The member it acts for.
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
    /// Whether it would be accepted now, the source apart.
    pub usable: bool,
}
