//! Tokens of members and of the operator, and whose they are.

use crate::domain::id::{MemberId, OrgId, TokenId};
use crate::domain::name::Label;
use crate::domain::time::Timestamp;
use crate::store::engine::format::{record, stored};
use crate::store::engine::keys::{Key, Prefix};
use crate::store::engine::records::Records;
use crate::store::engine::table::Table;

pub(crate) const TOKENS: Table = Table::new(b't', "token");
pub(crate) const TOKEN_OWNERS: Table = Table::new(b'T', "tokens");

pub(crate) fn token(id: TokenId) -> Key<TokenRecord> {
    TOKENS.by_id(id.as_bytes())
}

impl Records {
    /// Returns the prefix of the tokens of an organization and whose they are; without an organization, of the operator's.
    pub(crate) fn tokens(&self, org: Option<OrgId>) -> Prefix<Option<MemberId>> {
        match org {
            Some(org) => self.grouped(&TOKEN_OWNERS, &[org.as_bytes()]),
            None => self.grouped(&TOKEN_OWNERS, &[]),
        }
    }
}

/// A token. Only the hash of its secret is kept.
#[derive(Clone)]
pub(crate) struct TokenRecord {
    pub(crate) id: TokenId,
    pub(crate) hash: [u8; 32],
    /// None: the operator's.
    pub(crate) member: Option<(OrgId, MemberId)>,
    pub(crate) label: Option<Label>,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) revoked_at: Option<Timestamp>,
}

stored! {
    StoredTokenV1 = TokenRecord {
        id: [u8; 16],
        hash: [u8; 32],
        member: Option<([u8; 16], [u8; 16])>,
        label: Option<String>,
        created_at: i64,
        expires_at: Option<i64>,
        revoked_at: Option<i64>,
    }
}

record! { TokenRecord {} newest 1 => StoredTokenV1 }
