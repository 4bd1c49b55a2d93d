//! Members and their tokens.

use serde::{Deserialize, Serialize};

use super::unparsed::{LabelText, MemberNameText};
use crate::domain::id::{MemberId, TokenId};
use crate::domain::name::MemberName;
use crate::domain::role::{MemberKind, Role};
use crate::domain::time::Timestamp;

/// `POST /v1/members`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateMemberRequest {
    /// 1 to 64 of lower-case letters, digits and `. _ - @`, beginning with a letter or digit.
    pub name: MemberNameText,
    /// The role; default: `member`.
    #[serde(default = "member")]
    pub role: Role,
    /// What it is; default: `person`.
    #[serde(default = "person")]
    pub kind: MemberKind,
    /// The managers of a service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "server", schema(max_items = 50))]
    pub managers: Vec<MemberNameText>,
    /// Seconds in which the enrolment can be redeemed; default: 24 hours.
    #[serde(default, deserialize_with = "super::number::optional", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(minimum = 1, maximum = 3153600000_u64))]
    pub ttl_seconds: Option<u64>,
}

impl CreateMemberRequest {
    /// A person with the default enrolment.
    pub fn person(name: MemberNameText, role: Role) -> Self {
        Self { name, role, kind: MemberKind::Person, managers: Vec::new(), ttl_seconds: None }
    }
}

/// The response to it.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct CreateMemberResponse {
    /// How the member gets its first token; absent for a service.
    pub issued: Option<CreateEnrolmentResponse>,
    /// The rest.
    #[serde(flatten)]
    pub view: MemberView,
}

/// `POST /v1/members/{name}/enrolment`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateEnrolmentRequest {
    /// Seconds in which it can be redeemed; default: 24 hours.
    #[serde(default, deserialize_with = "super::number::optional", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(minimum = 1, maximum = 3153600000_u64))]
    pub ttl_seconds: Option<u64>,
}

/// A new enrolment: the only response with its code.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct CreateEnrolmentResponse {
    /// The member that can redeem it.
    pub member: MemberName,
    /// `dse_…`
    pub code: String,
    /// The page of the console that redeems it, with the code in the fragment.
    pub link: Option<String>,
    /// RFC 3339.
    pub expires_at: Timestamp,
}

/// `POST /v1/enrolments/redeem`, with the code as the bearer credential.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RedeemEnrolmentRequest {
    /// Launchers to accept in the same step. The party that runs each of these platforms can then read the new member's
    /// secrets.
    #[cfg_attr(feature = "server", schema(max_items = 20))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accept: Vec<MemberNameText>,
    /// A label of the token, for people, at most 100 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<LabelText>,
}

/// `POST /v1/members/{name}/convert`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ConvertMemberRequest {
    /// The members who act for the service from then on, at least one.
    #[cfg_attr(feature = "server", schema(max_items = 50))]
    pub managers: Vec<MemberNameText>,
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
    pub id: MemberId,
    /// The name.
    pub name: MemberName,
    /// The role.
    pub role: Role,
    /// Person, service or launcher.
    pub kind: MemberKind,
    /// RFC 3339.
    pub created_at: Timestamp,
    /// Who added it; absent for the operator, and for a member that an older version added.
    pub author: Option<MemberName>,
    /// The managers of a service.
    pub managers: Vec<MemberName>,
    /// Its enrolment; absent for a service, and for a member that an older version added.
    pub enrolment: Option<EnrolmentView>,
}

/// A member's enrolment as shown.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct EnrolmentView {
    /// RFC 3339; absent once it was redeemed.
    pub expires_at: Option<Timestamp>,
    /// RFC 3339; absent while it is pending.
    pub redeemed_at: Option<Timestamp>,
    /// The address that redeemed it.
    pub redeemed_from: Option<String>,
}

/// `POST /v1/tokens`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateTokenRequest {
    /// The member it is for; default: the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<MemberNameText>,
    /// Seconds until it expires; absent: it does not.
    #[serde(default, deserialize_with = "super::number::optional", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(minimum = 1, maximum = 3153600000_u64))]
    pub ttl_seconds: Option<u64>,
    /// For people, at most 100 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<LabelText>,
    /// Whether it reads the metrics and does nothing else; only the operator creates such tokens.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub metrics: bool,
}

/// The response to it: the only one with the token.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct CreateTokenResponse {
    /// `dsm_…`, or `dso_…` for the operator and for metrics.
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
    pub id: TokenId,
    /// The member it belongs to; absent for the operator's.
    pub member: Option<MemberName>,
    /// Who created it; absent for the operator's, and for a token that an older version created.
    pub author: Option<MemberName>,
    /// For people.
    pub label: Option<String>,
    /// RFC 3339.
    pub created_at: Timestamp,
    /// RFC 3339.
    pub expires_at: Option<Timestamp>,
    /// RFC 3339.
    pub revoked_at: Option<Timestamp>,
    /// Whether it reads the metrics and does nothing else.
    #[serde(default)]
    pub metrics: bool,
}

fn member() -> Role {
    Role::Member
}

fn person() -> MemberKind {
    MemberKind::Person
}
