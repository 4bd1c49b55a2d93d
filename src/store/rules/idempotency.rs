//! Repeated creations: the same key with the same request is answered as the first time, and nothing is done again.
//!
//! What a request was is kept as a keyed hash. Its value is not part of that: a stored hash of a value would be a way to
//! guess it. The value's own hash is made with bytes that only this process has, and compared while it lives.

use std::time::Duration;

use crate::domain::id::MemberId;
use crate::domain::role::Principal;
use crate::domain::time::Timestamp;
use crate::store::engine::format::{Record, decode, encode};
use crate::store::engine::journal::{Stop, Tx};
use crate::store::engine::keys::Key;
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;
use crate::store::tables::answers::AnswerRecord;
use serde_bytes::ByteBuf;

/// How long a key is remembered.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);
const MAX_KEY: usize = 200;

impl AnswerRecord {
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.at.plus(REMEMBERED) <= now
    }
}

/// A request that may repeat an earlier one.
pub(crate) struct Repeatable {
    key: Key<AnswerRecord>,
    request: [u8; 16],
    value: Option<([u8; 16], [u8; 16])>,
}

/// A request to compare with the first one under its idempotency key.
pub(crate) struct RepeatableRequest<'a> {
    pub(crate) operation: &'static str,
    /// All of the request except the value.
    pub(crate) parts: Vec<Vec<u8>>,
    pub(crate) value: Option<&'a [u8]>,
}

impl Store {
    /// Reads the idempotency key of a request. `None` if it has none.
    pub(crate) fn repeatable(
        &self,
        caller: &Caller,
        key: Option<&str>,
        request: RepeatableRequest<'_>,
    ) -> Result<Option<Repeatable>, Error> {
        let Some(key) = key else { return Ok(None) };
        if key.is_empty() || key.len() > MAX_KEY || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let why = "it must be 1 to 200 visible ASCII characters";
            return Err(Error::Invalid { field: "Idempotency-Key", why });
        }
        // Part of the record's key, so that no caller meets another one's answers.
        let who: Vec<u8> = match caller.principal() {
            Principal::Operator => Vec::new(),
            Principal::Member { org, id, .. } => [org.as_bytes().as_slice(), id.as_bytes()].concat(),
            Principal::Ticket { org, id, .. } => [org.as_bytes().as_slice(), id.as_bytes()].concat(),
        };
        let records = self.records();
        let parts: Vec<&[u8]> = request.parts.iter().map(Vec::as_slice).collect();
        let secret = &self.inner.process_secret;
        let hash = |label, parts: &[&[u8]]| records.key.key_hash(label, parts);
        Ok(Some(Repeatable {
            // A keyed hash, so that the byte store sees neither callers nor keys.
            key: records.answer(&who, request.operation, key),
            request: hash("idempotent request", &parts),
            value: request.value.map(|value| {
                (hash("idempotency process", &[secret]), hash("idempotent value", &[secret, value]))
            }),
        }))
    }
}

impl Repeatable {
    /// Returns the first answer if this request was made before.
    pub(crate) fn first_answer<T: Record>(&self, tx: &mut Tx<'_>) -> Result<Option<T>, Stop<Error>> {
        let Some(before) = tx.get(&self.key)?.filter(|before| !before.is_over(tx.now())) else {
            return Ok(None);
        };
        let other_value = match (before.value, self.value) {
            // Another process cannot compare values, because each hashes with its own secret. It takes them for equal.
            (Some((process, before)), Some((own, value))) => process == own && before != value,
            (before, value) => before.is_some() != value.is_some(),
        };
        // A client that reuses a key for another request has a defect, which a wrong answer would hide.
        if before.request != self.request || other_value {
            return Err(Error::IdempotencyMismatch.into());
        }
        let Some(answer) = before.answer else {
            // The credential is stored nowhere, and a second one would surprise the caller.
            let why =
                "this was already done, and its credential cannot be shown again: revoke it and make another";
            return Err(Error::Conflict { why }.into());
        };
        Ok(Some(decode(&answer)?))
    }

    /// Stores the answer for repetitions.
    pub(crate) fn remember<T: Record>(&self, tx: &mut Tx<'_>, answer: &T) -> Result<(), Stop<Error>> {
        self.store(tx, Some(ByteBuf::from(encode(answer)?)))
    }

    /// Stores that the request was made, without its answer, which holds a credential.
    pub(crate) fn remember_without_answer(&self, tx: &mut Tx<'_>) -> Result<(), Stop<Error>> {
        self.store(tx, None)
    }

    fn store(&self, tx: &mut Tx<'_>, answer: Option<ByteBuf>) -> Result<(), Stop<Error>> {
        let record = AnswerRecord { at: tx.now(), request: self.request, value: self.value, answer };
        Ok(tx.put(&self.key, &record)?)
    }
}

/// Runs `make` unless the request was answered before. Also returns whether it was.
pub(crate) fn once<T: Record>(
    tx: &mut Tx<'_>,
    repeatable: Option<&Repeatable>,
    make: impl FnOnce(&mut Tx<'_>) -> Result<T, Stop<Error>>,
) -> Result<(T, bool), Stop<Error>> {
    let Some(repeatable) = repeatable else { return Ok((make(tx)?, false)) };
    if let Some(first) = repeatable.first_answer(tx)? {
        return Ok((first, true));
    }
    let made = make(tx)?;
    repeatable.remember(tx, &made)?;
    Ok((made, false))
}

/// Runs `make`, which creates a credential. A repetition is refused.
pub(crate) fn once_with_credential<T>(
    tx: &mut Tx<'_>,
    repeatable: Option<&Repeatable>,
    make: impl FnOnce(&mut Tx<'_>) -> Result<T, Stop<Error>>,
) -> Result<T, Stop<Error>> {
    if let Some(repeatable) = repeatable {
        // Fails for a repetition, because its record has no answer.
        // The first answer is not kept, so this fails if there was one; the type is never read.
        let _: Option<MemberId> = repeatable.first_answer(tx)?;
        repeatable.remember_without_answer(tx)?;
    }
    make(tx)
}
