//! Sessions of the console, and whose they are.

use crate::domain::id::{MemberId, OrgId, TokenId};
use crate::domain::time::Timestamp;
use crate::store::engine::format::{record, stored};
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
    pub(crate) token: TokenId,
    /// None: the operator's.
    pub(crate) member: Option<(OrgId, MemberId)>,
    pub(crate) created_at: Timestamp,
    /// When it was last used. It is written coarsely, to save commits.
    pub(crate) seen_at: Timestamp,
}

stored! {
    StoredSessionV1 = SessionRecord {
        hash: [u8; 32],
        token: [u8; 16],
        member: Option<([u8; 16], [u8; 16])>,
        created_at: i64,
        seen_at: i64,
    }
}

record! { SessionRecord {} newest 1 => StoredSessionV1 }

/// States that a member, or the operator, has a session.
#[derive(Clone)]
pub(crate) struct SessionMark {
    pub(crate) created_at: Timestamp,
}

stored! {
    StoredSessionMarkV1 = SessionMark { created_at: i64 }
}

record! { SessionMark {} newest 1 => StoredSessionMarkV1 }
