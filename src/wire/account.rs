//! Members and their tokens.

use serde::{Deserialize, Serialize};

use crate::domain::role::Role;

/// `POST /v1/members`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewMember {
    /// 1 to 64 of lower-case letters, digits and `. _ - @`, beginning with a letter or digit.
    #[cfg_attr(feature = "server", schema(min_length = 1, max_length = 64))]
    pub name: String,
    /// `member` unless said.
    #[serde(default = "member")]
    pub role: Role,
}

/// `PATCH /v1/members/{name}`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MemberChange {
    /// The new role.
    pub role: Role,
}

/// A member as shown.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct MemberView {
    /// `mem_…`
    pub id: String,
    /// The name.
    pub name: String,
    /// The role.
    pub role: Role,
    /// RFC 3339.
    pub created_at: String,
}

/// `POST /v1/tokens`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// For whom; the caller unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// Seconds until it expires; absent: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(minimum = 1, maximum = 3153600000_u64))]
    pub ttl_seconds: Option<u64>,
    /// For people, at most 100 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(max_length = 100))]
    pub label: Option<String>,
}

/// The answer to it: the only time the token is shown.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct TokenCreated {
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
    pub id: String,
    /// Whose it is.
    pub member: String,
    /// For people.
    pub label: Option<String>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub expires_at: Option<String>,
}

fn member() -> Role {
    Role::Member
}
