//! The answers to repeated requests, by idempotency key.

use serde_bytes::ByteBuf;

use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::engine::format::{Convert, record, stored};
use crate::store::engine::keys::{Key, Prefix};
use crate::store::engine::records::Records;
use crate::store::engine::table::Table;

pub(crate) const ANSWERS: Table = Table::new(b'd', "idempotency");

pub(crate) fn answers() -> Prefix<AnswerRecord> {
    ANSWERS.all()
}

impl Records {
    pub(crate) fn answer(&self, who: &[u8], operation: &str, key: &str) -> Key<AnswerRecord> {
        // The operation is a part, so that one key of a client can stand for a request of each kind.
        self.hashed(&ANSWERS, &[who, operation.as_bytes(), key.as_bytes()])
    }
}

/// The answer to a request.
pub(crate) struct AnswerRecord {
    pub(crate) at: Timestamp,
    /// The digest of the whole request under its idempotency key. `None` in a record of the older format.
    pub(crate) request: Option<[u8; 32]>,
    /// The record of the answer, with its format. `None` if the answer was a credential, which is stored nowhere.
    pub(crate) answer: Option<ByteBuf>,
}

// The hash of the value was keyed with bytes of one process, so that no other process can compare it.
stored! {
    @fields StoredAnswerV1 {
        at: i64,
        request: [u8; 16],
        value: Option<([u8; 16], [u8; 16])>,
        answer: Option<ByteBuf>
    }
}

impl Convert<StoredAnswerV1> for AnswerRecord {
    fn to_stored(&self) -> Result<StoredAnswerV1, Failure> {
        Err(Failure::Internal)
    }

    fn from_stored(stored: StoredAnswerV1) -> Result<Self, Failure> {
        let StoredAnswerV1 { at, request: _, value: _, answer } = stored;
        Ok(Self { at: Timestamp::from_stored(at)?, request: None, answer })
    }
}

stored! {
    StoredAnswerV2 = AnswerRecord { at: i64, request: Option<[u8; 32]>, answer: Option<ByteBuf> }
}

record! { AnswerRecord { 1 => StoredAnswerV1, } newest 2 => StoredAnswerV2 }
