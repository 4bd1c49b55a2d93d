//! Signed notes (<https://c2sp.org/signed-note>) with Ed25519, and the key that signs the audit log's checkpoints.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest as _, Sha256};

use super::memory::Key32;

/// The signature type of Ed25519.
const ED25519_TYPE: u8 = 1;
/// What a signature line begins with: an em dash and a space.
const SIGNATURE: &str = "\u{2014} ";

/// The longest key name.
const MAX_NAME: usize = 255;

/// The Ed25519 key of a store's audit log.
///
/// It is derived from the record key, and not a file beside it: all servers of a store share the record key, so that a second file
/// would have to be copied and backed up together with it, and whoever reads one of the two reads the other. Its public half is
/// no secret, and checks checkpoints without the record key.
pub(crate) struct LogKey(Ed25519KeyPair);

impl LogKey {
    #[expect(clippy::expect_used, reason = "every 32 bytes are a seed (RFC 8032, section 5.1.5)")]
    pub(crate) fn new(seed: &Key32) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(seed.expose()).expect("a seed of 32 bytes"))
    }

    /// Signs a note's text for the key name of `by`.
    pub(crate) fn sign(&self, by: &NoteKey, text: &str) -> NoteSignature {
        NoteSignature {
            name: by.name.clone(),
            id: by.id(),
            bytes: self.0.sign(text.as_bytes()).as_ref().to_vec(),
        }
    }

    /// The public key under a name.
    pub(crate) fn public(&self, name: String) -> NoteKey {
        let mut public = [0; 32];
        public.copy_from_slice(self.0.public_key().as_ref());
        NoteKey { name, public }
    }
}

/// A key name and an Ed25519 public key. Its text is a `vkey`: `NAME+ID+KEY`, as Go's `golang.org/x/mod/sumdb/note` writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoteKey {
    name: String,
    public: [u8; 32],
}

impl NoteKey {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn typed(&self) -> Vec<u8> {
        [&[ED25519_TYPE], self.public.as_slice()].concat()
    }

    fn id(&self) -> [u8; 4] {
        let digest =
            Sha256::new_with_prefix(&self.name).chain_update(b"\n").chain_update(self.typed()).finalize();
        let mut id = [0; 4];
        id.copy_from_slice(&digest[..4]);
        id
    }

    /// Whether a note is signed by this key. Signatures of other keys are ignored.
    pub(crate) fn has_signed(&self, text: &str, signatures: &[NoteSignature]) -> bool {
        let own =
            signatures.iter().filter(|signature| signature.name == self.name && signature.id == self.id());
        let mut valid = own.map(|signature| {
            UnparsedPublicKey::new(&ED25519, &self.public).verify(text.as_bytes(), &signature.bytes).is_ok()
        });
        // One that does not verify makes the whole note invalid.
        valid.next() == Some(true) && valid.all(|is_valid| is_valid)
    }
}

impl fmt::Display for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}+{}", self.name, HEXLOWER.encode(&self.id()), BASE64.encode(&self.typed()))
    }
}

/// A text that is no `vkey` of Ed25519.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a vkey, as the second line of a checkpoint file has it: NAME+ID+KEY")]
pub(crate) struct NoteKeyError;

impl FromStr for NoteKey {
    type Err = NoteKeyError;

    fn from_str(text: &str) -> Result<Self, NoteKeyError> {
        // The key is base64, which contains plus signs too.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteKeyError);
        };
        let key = BASE64.decode(key.as_bytes()).map_err(|_| NoteKeyError)?;
        let public = key.strip_prefix(&[ED25519_TYPE]).and_then(|public| public.try_into().ok());
        // Narrower than the specification: it is printed, and dropsafe's own names are short and ASCII.
        let is_name =
            |name: &str| (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic());
        let key = Self { name: name.to_owned(), public: public.ok_or(NoteKeyError)? };
        if is_name(name) && HEXLOWER.encode(&key.id()) == id { Ok(key) } else { Err(NoteKeyError) }
    }
}

/// A signature line of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoteSignature {
    name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
}

impl NoteSignature {
    /// Reads a line without its end. `None` if it is no signature line.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (name, signature) = line.strip_prefix(SIGNATURE)?.split_once(' ')?;
        let signature = BASE64.decode(signature.as_bytes()).ok()?;
        let (id, bytes) = signature.split_first_chunk::<4>()?;
        Some(Self { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SIGNATURE}{} {}", self.name, BASE64.encode(&[&self.id, self.bytes.as_slice()].concat()))
    }
}
