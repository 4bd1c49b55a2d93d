//! Texts that clients keep for the store between two requests, so that a stranger's first request makes the store write nothing.
//! They are encrypted and authenticated under the record key, which all servers of a store share. Whoever holds one learns nothing
//! from it and cannot change it, but can present it more than once: what must happen once is stored when it happens.
//! None outlives a restore of the store.

use data_encoding::BASE64URL_NOPAD;
use zeroize::Zeroizing;

use crate::crypto::SecretBytes;
use crate::domain::epoch::RestoreEpoch;
use crate::store::rules::store::Store;

/// The longest text that is opened. A cookie holds no more.
const MAX_TEXT: usize = 3900;

/// What a text is for. One of another kind does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SealedTextKind {
    /// A sign-in that a person has begun.
    PendingSignIn,
    /// What a provider has proved of a person who signs in.
    SignInProof,
}

impl SealedTextKind {
    /// The key that a text is sealed for. No record has a key like it.
    fn place(self, epoch: Option<RestoreEpoch>) -> Vec<u8> {
        let kind: &[u8] = match self {
            Self::PendingSignIn => b"\0pending sign-in",
            Self::SignInProof => b"\0sign-in proof",
        };
        // A restore forgets what was used since its backup, so that no text from before one may open after it.
        let epoch = epoch.map(|epoch| epoch.to_string()).unwrap_or_default();
        [kind, b"\0", epoch.as_bytes()].concat()
    }
}

impl Store {
    /// Seals `plain` into a text of base64url. Returns `None` if the text would be longer than a client can keep.
    pub(crate) fn seal_text(&self, kind: SealedTextKind, plain: &[u8]) -> Option<Zeroizing<String>> {
        let sealed = self.records().seal(&kind.place(self.inner.identity.epoch), plain);
        Some(Zeroizing::new(BASE64URL_NOPAD.encode(&sealed))).filter(|text| text.len() <= MAX_TEXT)
    }

    /// Opens a text. Returns `None` if this store did not seal it, or sealed it for something else.
    pub(crate) fn open_text(&self, kind: SealedTextKind, text: &str) -> Option<SecretBytes> {
        // Before it is decoded: the text comes from a client.
        if text.len() > MAX_TEXT {
            return None;
        }
        let sealed = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        self.records().unseal(&kind.place(self.inner.identity.epoch), &sealed).ok()
    }
}
