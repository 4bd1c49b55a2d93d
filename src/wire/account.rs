//! Members and their tokens.

use serde::{Deserialize, Serialize};

use crate::domain::role::Role;

/// `POST /v1/members`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateMemberRequest {
    /// 1 to 64 of lower-case letters, digits and `. _ - @`, beginning with a letter or digit.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::MemberName))]
    pub name: String,
    /// `member` unless said.
    #[serde(default = "member")]
    pub role: Role,
}

/// `PATCH /v1/members/{name}`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UpdateMemberRequest {
    /// The new role.
    pub role: Role,
}

/// A member as shown.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct MemberView {
    /// `mem_…`
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::id::MemberId))]
    pub id: String,
    /// The name.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::name::MemberName))]
    pub name: String,
    /// The role.
    pub role: Role,
    /// RFC 3339.
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::time::Timestamp))]
    pub created_at: String,
}

/// `POST /v1/tokens`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateTokenRequest {
    /// For whom; the caller unless said.
    #[cfg_attr(feature = "server", schema(value_type = Option<crate::domain::name::MemberName>))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// Seconds until it expires; absent: it does not.
    #[serde(default, deserialize_with = "super::number::optional", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(minimum = 1, maximum = 3153600000_u64))]
    pub ttl_seconds: Option<u64>,
    /// For people, at most 100 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "server",
        schema(min_length = 1, max_length = 100, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$")
    )]
    pub label: Option<String>,
}

/// The answer to it: the only time the token is shown.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct CreateTokenResponse {
    /// `dsm_…`
    pub token: String,
    /// The rest.
    #[serde(flatten)]
    pub view: TokenView,
}

/// A token as shown.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct TokenView {
    /// `tok_…`
    #[cfg_attr(feature = "server", schema(value_type = crate::domain::id::TokenId))]
    pub id: String,
    /// Whose it is; none: the operator's.
    #[cfg_attr(feature = "server", schema(value_type = Option<crate::domain::name::MemberName>))]
    pub member: Option<String>,
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
}

fn member() -> Role {
    Role::Member
}
