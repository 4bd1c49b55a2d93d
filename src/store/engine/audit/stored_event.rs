//! The stored form of an event of the audit log.

use crate::domain::audit::{
    Actor, ActorKind, AuditAction, AuditEvent, AuditText, DetailKey, Outcome, Target, TargetKind,
};
use crate::domain::id::OrgId;
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::engine::format::{Convert, convert_as_text, stored};

convert_as_text!(ActorKind, AuditAction, DetailKey, Outcome, TargetKind);

impl Convert<String> for AuditText {
    fn to_stored(&self) -> Result<String, Failure> {
        Ok(self.as_str().to_owned())
    }

    fn from_stored(stored: String) -> Result<Self, Failure> {
        // Not the constructors for new texts, whose rules may become stricter than those of old entries.
        Self::from_stored_text(&stored).map_err(|_| Failure::Corrupt)
    }
}

impl Convert<[u8; 16]> for OrgId {
    fn to_stored(&self) -> Result<[u8; 16], Failure> {
        Ok(*self.as_bytes())
    }

    fn from_stored(stored: [u8; 16]) -> Result<Self, Failure> {
        Ok(Self::from_bytes(stored))
    }
}

/// Milliseconds since 1970.
impl Convert<i64> for Timestamp {
    fn to_stored(&self) -> Result<i64, Failure> {
        Ok(self.as_millis())
    }

    fn from_stored(stored: i64) -> Result<Self, Failure> {
        Ok(Self::from_millis(stored))
    }
}

stored! {
    StoredActorV1 = Actor { kind: String, name: Option<String>, id: Option<String> }
}

stored! {
    StoredTargetV1 = Target { kind: String, name: Option<String>, id: Option<String> }
}

stored! {
    StoredEventV1 = AuditEvent {
        at: i64,
        org: Option<[u8; 16]>,
        actor: StoredActorV1,
        action: String,
        target: Option<StoredTargetV1>,
        outcome: String,
        details: Vec<(String, String)>,
    }
}
