//! What repeated requests are answered with, by idempotency key.

use serde_bytes::ByteBuf;

use crate::domain::time::Timestamp;
use crate::store::engine::format::{record, stored};
use crate::store::engine::keys::{Key, Prefix};
use crate::store::engine::records::Records;
use crate::store::engine::table::Table;

pub(crate) const ANSWERS: Table = Table::new(b'd', "idempotency");

pub(crate) fn answers() -> Prefix<AnswerRecord> {
    ANSWERS.all()
}

impl Records {
    pub(crate) fn answer(&self, who: &[u8], operation: &str, key: &str) -> Key<AnswerRecord> {
        self.hashed(&ANSWERS, &[who, operation.as_bytes(), key.as_bytes()])
    }
}

/// What a request was answered with.
pub(crate) struct AnswerRecord {
    pub(crate) at: Timestamp,
    pub(crate) request: [u8; 16],
    /// The keyed hash of the value, and which process can compute it.
    pub(crate) value: Option<([u8; 16], [u8; 16])>,
    /// The record that the answer was made of, with its format. None if the first answer held a credential, which is kept nowhere.
    pub(crate) answer: Option<ByteBuf>,
}

stored! {
    StoredAnswerV1 = AnswerRecord {
        at: i64,
        request: [u8; 16],
        value: Option<([u8; 16], [u8; 16])>,
        answer: Option<ByteBuf>,
    }
}

record! { AnswerRecord {} newest 1 => StoredAnswerV1 }
