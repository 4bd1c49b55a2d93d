//! Organizations.

use serde::{Deserialize, Serialize};

use super::account::CreateEnrolmentResponse;
use super::unparsed::{MemberNameText, OrgNameText};
use crate::domain::id::OrgId;
use crate::domain::name::OrgName;
use crate::domain::role::{ByteBudgets, RecordQuotas, RetentionDays, SharedChanges};
use crate::domain::time::Timestamp;

/// `POST /v1/orgs`, by the operator.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateOrgRequest {
    /// 1 to 64 of lower-case letters, digits and `. _ - @`, beginning with a letter or digit.
    pub name: OrgNameText,
    /// The first administrator's name.
    pub admin: MemberNameText,
}

/// The response to it.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct CreateOrgResponse {
    /// The first administrator's enrolment, shown this once.
    pub enrolment: CreateEnrolmentResponse,
    /// The rest.
    #[serde(flatten)]
    pub view: OrgView,
}

/// An organization as shown.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct OrgView {
    /// `org_…`
    pub id: OrgId,
    /// The name.
    pub name: OrgName,
    /// RFC 3339.
    pub created_at: Timestamp,
    /// Whether members who are not administrators may write shared secrets.
    pub shared_by_members: bool,
    /// Whether redacted forms are kept.
    pub hints: bool,
    /// Ceiling for a variable's value, bytes.
    pub variable_ceiling: u32,
    /// Who can change a shared secret that exists.
    pub shared_changes: SharedChanges,
    /// What the values of each scope may take, bytes.
    pub budgets: ByteBudgets,
    /// How many records there may be. The operator sets them.
    pub quotas: RecordQuotas,
    /// The part of what the organization shares that one member who is not an administrator can hold, percent.
    pub member_share: u8,
    /// How long records are kept, days; null: forever.
    pub retention: RetentionDays,
    /// Whether a person whom a provider's groups give a role becomes a member at the first sign-in.
    pub create_at_sign_in: bool,
}

/// `PATCH /v1/org`, by an administrator. An absent field stays as it is.
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
    /// Who can change a shared secret that exists: its depositor and administrators, or every member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_changes: Option<SharedChanges>,
    /// What the values of each scope may take. The shared and one private budget together fit into a boot.
    #[serde(default, deserialize_with = "super::object::optional", skip_serializing_if = "Option::is_none")]
    pub budgets: Option<UpdateBudgetsRequest>,
    /// The part of what the organization shares that one member who is not an administrator can hold, percent.
    #[serde(default, deserialize_with = "super::number::optional", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(minimum = 1, maximum = 100))]
    pub member_share: Option<u8>,
    /// How long records are kept.
    #[serde(default, deserialize_with = "super::object::optional", skip_serializing_if = "Option::is_none")]
    pub retention: Option<UpdateRetentionRequest>,
    /// Whether a person whom a provider's groups give a role becomes a member at the first sign-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_at_sign_in: Option<bool>,
}

/// Byte budgets. An absent field stays as it is.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UpdateBudgetsRequest {
    /// Variables of the shared scope, bytes, counted as the kernel counts them.
    #[serde(default, deserialize_with = "super::number::optional", skip_serializing_if = "Option::is_none")]
    pub shared_variables: Option<u32>,
    /// Files of the shared scope, bytes.
    #[serde(default, deserialize_with = "super::number::optional", skip_serializing_if = "Option::is_none")]
    pub shared_files: Option<u32>,
    /// Variables of each private scope, bytes, counted as the kernel counts them.
    #[serde(default, deserialize_with = "super::number::optional", skip_serializing_if = "Option::is_none")]
    pub private_variables: Option<u32>,
    /// Files of each private scope, bytes.
    #[serde(default, deserialize_with = "super::number::optional", skip_serializing_if = "Option::is_none")]
    pub private_files: Option<u32>,
}

/// How long records are kept, in days. An absent field stays as it is.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UpdateRetentionRequest {
    /// Boots that have ended; 0 keeps them.
    #[serde(default, deserialize_with = "super::number::optional", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(maximum = 36500))]
    pub boots: Option<u32>,
    /// Audit entries, not fewer than `min_audit_days`; 0 keeps them.
    #[serde(default, deserialize_with = "super::number::optional", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(maximum = 36500))]
    pub audit: Option<u32>,
}

/// `PATCH /v1/orgs/{name}/quotas`, by the operator. An absent field stays as it is.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UpdateQuotasRequest {
    /// Secrets of all scopes.
    #[serde(default, deserialize_with = "super::number::optional", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<u64>, maximum = 4294967295_u64))]
    pub secrets: Option<u32>,
    /// Members.
    #[serde(default, deserialize_with = "super::number::optional", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<u64>, maximum = 4294967295_u64))]
    pub members: Option<u32>,
    /// Active tickets.
    #[serde(default, deserialize_with = "super::number::optional", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<u64>, maximum = 4294967295_u64))]
    pub tickets: Option<u32>,
    /// Active tokens.
    #[serde(default, deserialize_with = "super::number::optional", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<u64>, maximum = 4294967295_u64))]
    pub tokens: Option<u32>,
    /// Boots of each member.
    #[serde(default, deserialize_with = "super::number::optional", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Option<u64>, maximum = 4294967295_u64))]
    pub boots_per_member: Option<u32>,
    /// The shortest retention of audit entries that an administrator can choose, in days.
    #[serde(default, deserialize_with = "super::number::optional", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(maximum = 36500))]
    pub min_audit_days: Option<u32>,
}
