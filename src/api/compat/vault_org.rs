//! `orgId`: the name that a vault client has for its organization.
//!
//! The credential alone decides which organization a request is about. An id of this store's form (`org_…`) that is not
//! the caller's own is not found, whether or not such an organization exists. Any other text is the client's own name,
//! and the response repeats it.

use crate::api::problem::ApiError;
use crate::api::query::{FromQuery, QueryReader};
use crate::domain::id::OrgId;
use crate::store::Caller;
use crate::wire::Code;

/// The parameter `orgId`.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct VaultOrgQuery {
    /// The client's name for its organization. The credential decides which organization it is.
    #[param(rename = "orgId", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._@-]+$")]
    pub(crate) org: Option<String>,
}

impl FromQuery for VaultOrgQuery {
    const NAMES: &'static [&'static str] = &["orgId"];

    fn read(query: &mut QueryReader) -> Self {
        Self { org: query.word("orgId", 100, is_org_byte) }
    }
}

impl VaultOrgQuery {
    /// Returns the name of the organization for the response.
    pub(crate) fn resolve(self, caller: &Caller) -> Result<String, ApiError> {
        // The operator has no organization, so every `org_…` is unknown to it.
        let own = caller.org().map(|(id, _)| id);
        match self.org {
            // The same error for an organization that exists and for one that does not: ids are not to be probed.
            Some(text) if text.parse::<OrgId>().is_ok_and(|id| Some(id) != own) => {
                Err(ApiError::new(Code::NotFound, "there is no such organization here")
                    .hint("leave orgId out: the credential says which organization it is"))
            }
            Some(text) => Ok(text),
            None => Ok(own.map(|id| id.to_string()).unwrap_or_default()),
        }
    }
}

/// Returns whether `text` may be an `orgId`.
pub(crate) fn is_org(text: &str) -> bool {
    (1..=100).contains(&text.len()) && text.bytes().all(is_org_byte)
}

fn is_org_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._@-".contains(&byte)
}
