//! Repeated creations: a request with the idempotency key of an earlier one gets its answer, and nothing is done again.
//!
//! The whole request, its value too, is stored as a digest under the idempotency key, which is itself stored only as a part of
//! a hash. So every process can tell another value, while who reads the records cannot try values: without the idempotency
//! key, which clients choose at random, nothing has the digest.

use std::time::Duration;

use serde_bytes::ByteBuf;

use crate::crypto::record::digest_under;
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
    request: [u8; 32],
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
            Principal::Operator | Principal::Metrics => Vec::new(),
            Principal::Member { org, id, .. } => [org.as_bytes().as_slice(), id.as_bytes()].concat(),
            Principal::Ticket { org, id, .. } => [org.as_bytes().as_slice(), id.as_bytes()].concat(),
            Principal::Boot { org, id, .. } => [org.as_bytes().as_slice(), id.as_bytes()].concat(),
        };
        let value = request.value.into_iter();
        let parts: Vec<&[u8]> = request.parts.iter().map(Vec::as_slice).chain(value).collect();
        Ok(Some(Repeatable {
            // A keyed hash, so that the byte store sees neither callers nor keys.
            key: self.records().answer(&who, request.operation, key),
            request: digest_under(key.as_bytes(), "dropsafe idempotent request v2", &parts),
        }))
    }
}

impl Repeatable {
    /// Returns the first answer if this request was made before.
    pub(crate) fn first_answer<T: Record>(&self, tx: &mut Tx<'_>) -> Result<Option<T>, Stop<Error>> {
        // An expired record that is not deleted yet counts as absent.
        let Some(before) = tx.get(&self.key)?.filter(|before| !before.is_over(tx.now())) else {
            return Ok(None);
        };
        let Some(request) = before.request else {
            let why = "an older version of the server has seen this idempotency key: look whether the request was \
                       executed, and send it with another key if not";
            return Err(Error::Conflict { why }.into());
        };
        // A client that reuses a key for another request has a defect, which a wrong answer would hide.
        if request != self.request {
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
        let record = AnswerRecord { at: tx.now(), request: Some(self.request), answer };
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
    // In the commit of the change, so that a crash leaves both or neither.
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
        // Fails for a repetition, whose record has no answer. The type of the answer is therefore never used.
        let _: Option<MemberId> = repeatable.first_answer(tx)?;
        repeatable.remember_without_answer(tx)?;
    }
    make(tx)
}
