//! Who is asking: credentials to callers.
//!
//! Looked up by public id; the secret part is compared as a hash in constant time, for an unknown id against a made-up
//! one, so that neither time nor answer tells whether an id exists.

use std::net::IpAddr;

use super::Store;
use super::error::Failure;
use crate::domain::credential::Credential;
use crate::domain::id::{MemberId, OrgId, TicketId};
use crate::domain::name::{MemberName, OrgName};
use crate::domain::role::{Principal, Role};

/// A principal that has proved itself, and where it asks from.
#[derive(Clone, Debug)]
pub struct Caller {
    pub(super) principal: Principal,
    pub(super) source: Option<IpAddr>,
    pub(super) request: Option<String>,
}

impl Caller {
    /// The operator as this very process: for what its own configuration asks for, such as unlocking at the start.
    pub fn this_process() -> Self {
        todo!()
    }

    /// With an id of the request, for the audit trail: at most 64 ASCII graphic characters, the rest is dropped.
    #[must_use]
    pub fn with_request_id(self, id: &str) -> Self {
        let _ = id;
        todo!()
    }

    /// Who it is.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The peer's address.
    pub fn source(&self) -> Option<IpAddr> {
        self.source
    }

    /// The organization; none for the operator.
    pub fn org(&self) -> Option<(OrgId, &OrgName)> {
        todo!()
    }

    /// The member that it is or acts for; none for the operator.
    pub fn member(&self) -> Option<(MemberId, &MemberName)> {
        todo!()
    }

    /// The role; none for the operator and for tickets.
    pub fn role(&self) -> Option<Role> {
        todo!()
    }

    /// The ticket, when it is one.
    pub fn ticket(&self) -> Option<TicketId> {
        todo!()
    }
}

/// Why a credential was not accepted. All but `Unknown` and `Failure` are told only to who has the secret part.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// No such credential, or its secret part is wrong. Count these per source.
    #[error("the credential is not known")]
    Unknown,
    /// Its time is over.
    #[error("the credential has expired")]
    Expired,
    /// It was revoked, or its member removed.
    #[error("the credential was revoked")]
    Revoked,
    /// A ticket, asked from outside its networks.
    #[error("the credential may not be used from this address")]
    SourceNotAllowed,
    /// The store could not look.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl AuthError {
    /// Whether it counts as a guess, which the API slows per source.
    pub fn is_guess(&self) -> bool {
        matches!(self, Self::Unknown)
    }
}

impl Store {
    /// The caller that `credential` stands for. `source` is the peer's address; none on a Unix socket, which no network
    /// restriction of a ticket allows. Denials are in the audit trail, at a bounded rate.
    pub async fn authenticate(
        &self,
        credential: &Credential,
        source: Option<IpAddr>,
    ) -> Result<Caller, AuthError> {
        let _ = (credential, source);
        todo!()
    }
}
