//! Sessions of the console, and whose they are.

use crate::domain::id::{LinkedAccountId, MemberId, OrgId, TokenId};
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::engine::format::{Convert, record, stored};
use crate::store::engine::keys::{Key, Prefix};
use crate::store::engine::records::Records;
use crate::store::engine::table::Table;

pub(crate) const SESSIONS: Table = Table::new(b'w', "session");
pub(crate) const SESSION_OWNERS: Table = Table::new(b'W', "sessions");

pub(crate) fn sessions() -> Prefix<SessionRecord> {
    SESSIONS.all()
}

pub(crate) fn session(id: [u8; 16]) -> Key<SessionRecord> {
    SESSIONS.by_id(&id)
}

pub(crate) fn session_marks() -> Prefix<SessionMark> {
    SESSION_OWNERS.all()
}

impl Records {
    /// Returns the prefix of the sessions of a member; without a member, of the operator's.
    pub(crate) fn sessions_of(&self, member: Option<(OrgId, MemberId)>) -> Prefix<SessionMark> {
        match member {
            Some((org, member)) => self.grouped(&SESSION_OWNERS, &[org.as_bytes(), member.as_bytes()]),
            // No member has an empty list of parts, so that the operator's group is its own.
            None => self.grouped(&SESSION_OWNERS, &[]),
        }
    }
}

/// A session.
#[derive(Clone)]
pub(crate) struct SessionRecord {
    pub(crate) hash: [u8; 32],
    pub(crate) origin: SessionOrigin,
    /// None: the operator's.
    pub(crate) member: Option<(OrgId, MemberId)>,
    pub(crate) created_at: Timestamp,
    /// When it was last used. It is written coarsely, to save commits.
    pub(crate) seen_at: Timestamp,
}

/// What a session was started with. It ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionOrigin {
    Token(TokenId),
    Account(LinkedAccountId),
}

stored! {
    enum StoredSessionOriginV1 {
        Token([u8; 16]),
        Account([u8; 16]),
    }
}

impl Convert<StoredSessionOriginV1> for SessionOrigin {
    fn to_stored(&self) -> Result<StoredSessionOriginV1, Failure> {
        Ok(match self {
            Self::Token(id) => StoredSessionOriginV1::Token(*id.as_bytes()),
            Self::Account(id) => StoredSessionOriginV1::Account(*id.as_bytes()),
        })
    }

    fn from_stored(stored: StoredSessionOriginV1) -> Result<Self, Failure> {
        Ok(match stored {
            StoredSessionOriginV1::Token(id) => Self::Token(TokenId::from_bytes(id)),
            StoredSessionOriginV1::Account(id) => Self::Account(LinkedAccountId::from_bytes(id)),
        })
    }
}

/// As format 1 stored it: every session was started with a token.
impl Convert<[u8; 16]> for SessionOrigin {
    fn to_stored(&self) -> Result<[u8; 16], Failure> {
        // Nothing writes an older format.
        Err(Failure::Internal)
    }

    fn from_stored(stored: [u8; 16]) -> Result<Self, Failure> {
        Ok(Self::Token(TokenId::from_bytes(stored)))
    }
}

stored! {
    StoredSessionV1 = SessionRecord {
        hash: [u8; 32],
        origin: [u8; 16],
        member: Option<([u8; 16], [u8; 16])>,
        created_at: i64,
        seen_at: i64,
    }
}

stored! {
    StoredSessionV2 = SessionRecord {
        hash: [u8; 32],
        origin: StoredSessionOriginV1,
        member: Option<([u8; 16], [u8; 16])>,
        created_at: i64,
        seen_at: i64,
    }
}

record! { SessionRecord { 1 => StoredSessionV1, } newest 2 => StoredSessionV2 }

/// States that a member, or the operator, has a session.
#[derive(Clone)]
pub(crate) struct SessionMark {
    pub(crate) created_at: Timestamp,
}

stored! {
    StoredSessionMarkV1 = SessionMark { created_at: i64 }
}

record! { SessionMark {} newest 1 => StoredSessionMarkV1 }
