//! Launchers, and their acceptance.

use serde::{Deserialize, Serialize};

use super::unparsed::MemberIdText;
use crate::domain::id::MemberId;
use crate::domain::name::MemberName;
use crate::domain::time::Timestamp;

/// `PUT /v1/launchers/{name}/acceptance`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AcceptLauncherRequest {
    /// The id of the launcher that the caller has seen. Another launcher that has its name now is a conflict.
    pub id: MemberIdText,
}

/// A launcher as shown.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct LauncherView {
    /// `mem_…`
    pub id: MemberId,
    /// The name.
    pub name: MemberName,
    /// The admin who authorized it.
    pub authorized_by: Option<MemberName>,
    /// When it was authorized, RFC 3339.
    pub created_at: Timestamp,
    /// When the party that runs the platform redeemed its enrolment; absent: nobody has, and nobody can accept it.
    pub enrolled_at: Option<Timestamp>,
    /// The address that redeemed it.
    pub enrolled_from: Option<String>,
    /// When the caller accepted it: the party that runs the platform can read the caller's secrets.
    pub accepted_at: Option<Timestamp>,
}
