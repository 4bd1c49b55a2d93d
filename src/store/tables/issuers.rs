//! The issuers of tokens that an organization trusts, and the tokens that may not boot again.

use crate::domain::id::{OrgId, TicketId};
use crate::domain::jwt::IssuerSpec;
use crate::domain::name::IssuerName;
use crate::domain::time::Timestamp;
use crate::store::engine::format::{record, stored};
use crate::store::engine::keys::{Key, Prefix};
use crate::store::engine::records::Records;
use crate::store::engine::table::Table;

pub(crate) const ISSUERS: Table = Table::new(b'J', "issuers");
pub(crate) const USED_TOKENS: Table = Table::new(b'L', "used token");

/// Returns the prefix of the used tokens of every organization.
pub(crate) fn used_tokens() -> Prefix<UsedTokenRecord> {
    USED_TOKENS.all()
}

impl Records {
    /// Returns the prefix of the issuers of an organization.
    pub(crate) fn issuers(&self, org: OrgId) -> Prefix<IssuerRecord> {
        self.grouped(&ISSUERS, &[org.as_bytes()])
    }

    pub(crate) fn issuer(&self, org: OrgId, name: &IssuerName) -> Key<IssuerRecord> {
        // Under the prefix of the organization, so that one scan lists all, and hashed, so that no name shows.
        let parts: [&[u8]; 2] = [org.as_bytes(), name.as_str().as_bytes()];
        self.issuers(org).key(&self.key.key_hash("issuer name", &parts))
    }

    pub(crate) fn used_token(&self, identity: TicketId, digest: &[u8; 32]) -> Key<UsedTokenRecord> {
        self.hashed(&USED_TOKENS, &[identity.as_bytes(), digest])
    }
}

/// An issuer that an organization trusts.
#[derive(Clone)]
pub(crate) struct IssuerRecord {
    pub(crate) name: IssuerName,
    pub(crate) spec: IssuerSpec,
    pub(crate) updated_at: Timestamp,
}

stored! {
    StoredIssuerSpecV1 = IssuerSpec {
        url: String,
        algorithms: Vec<String>,
        authorities: Option<String>,
        keys: Option<String>,
    }
}

stored! {
    StoredIssuerV1 = IssuerRecord { name: String, spec: StoredIssuerSpecV1, updated_at: i64 }
}

record! { IssuerRecord {} newest 1 => StoredIssuerV1 }

/// A token that has booted, of an identity whose tokens boot once. It exists until the token expires.
#[derive(Clone, Copy)]
pub(crate) struct UsedTokenRecord {
    pub(crate) expires_at: Timestamp,
}

impl UsedTokenRecord {
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at <= now
    }
}

stored! {
    StoredUsedTokenV1 = UsedTokenRecord { expires_at: i64 }
}

record! { UsedTokenRecord {} newest 1 => StoredUsedTokenV1 }
