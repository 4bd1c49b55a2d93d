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
            // No organization has an empty list of parts, so that the operator's group is its own.
            None => self.grouped(&TOKEN_OWNERS, &[]),
        }
    }
}

/// A token. Only the hash of its secret is stored.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TokenRecord {
    pub(crate) id: TokenId,
    pub(crate) hash: [u8; 32],
    /// None: the operator's, or one for metrics.
    pub(crate) member: Option<(OrgId, MemberId)>,
    /// Who created it. None: the operator, or a program that did not store it.
    pub(crate) author: Option<MemberId>,
    pub(crate) label: Option<Label>,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) revoked_at: Option<Timestamp>,
    /// Whether it is in the counts of its organization and its author. A token of an older version is not, until the background
    /// task has seen it.
    pub(crate) counted: bool,
    /// When it was found to be inactive. It is kept for a while from then on.
    pub(crate) inactive_at: Option<Timestamp>,
    /// Whether it reads the metrics and does nothing else.
    pub(crate) metrics: bool,
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
    } before { author: None, counted: false, inactive_at: None, metrics: false }
}

stored! {
    StoredTokenV2 = TokenRecord {
        id: [u8; 16],
        hash: [u8; 32],
        member: Option<([u8; 16], [u8; 16])>,
        author: Option<[u8; 16]>,
        label: Option<String>,
        created_at: i64,
        expires_at: Option<i64>,
        revoked_at: Option<i64>,
        counted: bool,
        inactive_at: Option<i64>,
    } before { metrics: false }
}

stored! {
    StoredTokenV3 = TokenRecord {
        id: [u8; 16],
        hash: [u8; 32],
        member: Option<([u8; 16], [u8; 16])>,
        author: Option<[u8; 16]>,
        label: Option<String>,
        created_at: i64,
        expires_at: Option<i64>,
        revoked_at: Option<i64>,
        counted: bool,
        inactive_at: Option<i64>,
        metrics: bool,
    }
}

record! { TokenRecord { 1 => StoredTokenV1, 2 => StoredTokenV2, } newest 3 => StoredTokenV3 }
