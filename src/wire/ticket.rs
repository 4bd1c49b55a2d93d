//! Boot tickets.

use serde::{Deserialize, Serialize};

/// `POST /v1/tickets`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateTicketRequest {
    /// The member it acts for; the caller unless said.
    #[cfg_attr(feature = "server", schema(value_type = Option<crate::domain::name::MemberName>))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// Seconds until it expires; absent: it does not.
    #[serde(default, deserialize_with = "super::number::optional", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(minimum = 1, maximum = 3153600000_u64))]
    pub ttl_seconds: Option<u64>,
    /// How many boots; absent: any number.
    #[serde(default, deserialize_with = "super::number::optional", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(minimum = 1, maximum = 1000000000_u64))]
    pub uses: Option<u64>,
    /// Restricts boots to secrets of these plugins and of none; absent: no restriction.
    #[cfg_attr(feature = "server", schema(value_type = Option<Vec<crate::domain::name::PluginName>>, max_items = 100))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugins: Option<Vec<String>>,
    /// Networks it may be used from, as `address/bits`; empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "server", schema(value_type = Vec<crate::domain::cidr::Cidr>, max_items = 100))]
    pub sources: Vec<String>,
    /// For people, at most 100 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "server",
        schema(min_length = 1, max_length = 100, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$")
    )]
    pub label: Option<String>,
}

/// The answer to it: the only time the ticket is shown.
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
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::id::TicketId))]
    pub id: String,
    /// The member it acts for.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::MemberName))]
    pub member: String,
    /// Who made it.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::MemberName))]
    pub author: String,
    /// For people.
    pub label: Option<String>,
    /// RFC 3339.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::time::Timestamp))]
    pub created_at: String,
    /// RFC 3339.
    #[cfg_attr(feature = "server", schema(value_type = Option<crate::domain::time::Timestamp>))]
    pub expires_at: Option<String>,
    /// RFC 3339.
    #[cfg_attr(feature = "server", schema(value_type = Option<crate::domain::time::Timestamp>))]
    pub revoked_at: Option<String>,
    /// The limit of uses.
    pub uses: Option<u64>,
    /// Uses so far, when limited.
    pub used: Option<u64>,
    /// The plugins it is restricted to.
    #[cfg_attr(feature = "server", schema(value_type = Option<Vec<crate::domain::name::PluginName>>))]
    pub plugins: Option<Vec<String>>,
    /// The networks it is restricted to.
    pub sources: Vec<String>,
    /// Whether it would be accepted now, the source apart.
    pub usable: bool,
}
