//! The key of this process, to which clients seal passphrases and the texts of key files. Holds it, opens what was sealed to it,
//! and replaces it after each use. Never logs or repeats what it opens.

use std::sync::{Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

use super::Api;
use super::problem::ApiError;
use crate::crypto::process_key::{ProcessKey, SealedText, TextContext};
use crate::domain::role::Principal;
use crate::store::{Caller, UnlockSecret};
use crate::wire::{Code, SealedTextBody, UnlockKind};

/// The key in use.
pub(crate) struct ProcessKeyHolder(Mutex<ProcessKey>);

impl ProcessKeyHolder {
    pub(crate) fn new(key: ProcessKey) -> Self {
        Self(Mutex::new(key))
    }

    fn lock(&self) -> MutexGuard<'_, ProcessKey> {
        // One assignment: a panic elsewhere cannot leave half a key.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Api {
    /// Returns the public key of this process, base64.
    pub(crate) fn process_key(&self) -> String {
        data_encoding::BASE64.encode(self.0.process_key.lock().public())
    }

    /// Opens a text that a client sealed to the key of this process for a request to `path`. If `caller` is the operator, it also
    /// replaces the key, so that nothing opens the text again: others must not be able to take the key away from an operator.
    pub(crate) fn open_sealed_text(
        &self,
        caller: &Caller,
        path: &str,
        body: &SealedTextBody,
    ) -> Result<UnlockSecret, ApiError> {
        // Held to the end, so that of two requests with the same text one opens it.
        let mut key = self.0.process_key.lock();
        if data_encoding::BASE64.encode(key.public()) != body.process_key {
            let detail = "the text is sealed to a key that this server process does not have, or has used";
            return Err(ApiError::new(Code::StaleProcessKey, detail).hint(
                "read `process_key` of GET /v1/status and seal again; if several servers answer under one address, use that of one server",
            ));
        }
        let unreadable = |detail: &str| ApiError::new(Code::Unprocessable, detail);
        let decode = |text: &str| data_encoding::BASE64.decode(text.as_bytes());
        let (Ok(enc), Ok(ciphertext)) = (decode(&body.enc), decode(&body.ciphertext)) else {
            return Err(unreadable("sealed: `enc` and `ciphertext` must be base64 with padding"));
        };
        let store = self.store().id();
        let context = TextContext { store: store.as_bytes(), path, kind: body.kind.as_str() };
        let text = key.open(context, &SealedText { enc, ciphertext }).map_err(|_| {
            unreadable("sealed: it does not open: it is damaged, or sealed for another store or request")
        })?;
        if matches!(caller.principal(), Principal::Operator) {
            *key = ProcessKey::generate(&mut |bytes: &mut [u8]| self.fill_random(bytes));
        }
        let text = str::from_utf8(&text).map_err(|_| unreadable("sealed: the text is not UTF-8"))?;
        let text = Zeroizing::new(text.to_owned());
        Ok(match body.kind {
            UnlockKind::Passphrase => UnlockSecret::Passphrase(text),
            UnlockKind::KeyFile => UnlockSecret::KeyFile(text),
        })
    }
}
