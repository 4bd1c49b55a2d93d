//! Organizations.

use serde::{Deserialize, Serialize};

/// `POST /v1/orgs`, by the operator.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateOrgRequest {
    /// 1 to 64 of lower-case letters, digits and `. _ - @`, beginning with a letter or digit.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::OrgName))]
    pub name: String,
    /// The first administrator's name.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::MemberName))]
    pub admin: String,
}

/// The answer to it.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct CreateOrgResponse {
    /// The first administrator's token, shown this once.
    pub admin_token: String,
    /// The rest.
    #[serde(flatten)]
    pub view: OrgView,
}

/// An organization as shown.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct OrgView {
    /// `org_…`
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::id::OrgId))]
    pub id: String,
    /// The name.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::OrgName))]
    pub name: String,
    /// RFC 3339.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::time::Timestamp))]
    pub created_at: String,
    /// Whether members who are not administrators may write shared secrets.
    pub shared_by_members: bool,
    /// Whether redacted forms are kept.
    pub hints: bool,
    /// Ceiling for a variable's value, bytes.
    pub variable_ceiling: u32,
}

/// `PATCH /v1/org`, by an administrator; what is absent stays.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UpdateOrgRequest {
    /// Whether members who are not administrators may write shared secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_by_members: Option<bool>,
    /// Whether redacted forms are kept from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hints: Option<bool>,
    /// Ceiling for a variable's value, 1 to 131,071 bytes.
    #[serde(default, deserialize_with = "super::number::optional", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(minimum = 1, maximum = 131071))]
    pub variable_ceiling: Option<u32>,
}
