//! The record key: encrypts every record before it reaches the byte store, and hashes what its keys are made of.
//!
//! The byte store must never see a name, an owner or a length-preserving image of one. A record opens only under the key
//! (in the byte store's sense) that it was sealed for.

use super::SecretBytes;
use super::aad::Aad;
use super::aead;
use super::aead::Unopenable;
use super::kdf;
use super::memory::Key32;
use super::random::Random;
use hmac::Hmac;
use hmac::KeyInit;
use hmac::Mac;
use sha2::Sha256;

/// First byte of a sealed record: the format.
const FORMAT: u8 = 1;
const LABEL: &str = "dropsafe record v1";

/// The three subkeys of a store's record key. The 32 bytes they come from live in a file beside the server's
/// configuration, never in the byte store.
#[derive(Debug)]
pub struct RecordKey {
    records: Key32,
    names: Key32,
    audit: Key32,
}

impl RecordKey {
    /// Derives the subkeys.
    pub fn new(root: &Key32) -> Self {
        Self {
            records: kdf::derive(root, &Aad::new("dropsafe record key v1")),
            names: kdf::derive(root, &Aad::new("dropsafe name key v1")),
            audit: kdf::derive(root, &Aad::new("dropsafe audit key v1")),
        }
    }

    /// Seals a record for the place `kv_key`: format byte, nonce, ciphertext, tag (41 bytes more than the plaintext).
    pub fn seal_record(&self, kv_key: &[u8], plaintext: &[u8], rng: &mut dyn Random) -> Vec<u8> {
        let mut out = Vec::with_capacity(1 + aead::NONCE_LEN + plaintext.len() + aead::TAG_LEN);
        out.push(FORMAT);
        aead::seal_after(&mut out, &self.records, &place(kv_key), plaintext, rng);
        out
    }

    /// Opens a record found at `kv_key`.
    pub fn open_record(&self, kv_key: &[u8], sealed: &[u8]) -> Result<SecretBytes, OpenRecordError> {
        match sealed.split_first() {
            Some((&FORMAT, sealed)) => Ok(aead::open_prefixed(&self.records, &place(kv_key), sealed)?),
            Some((&format, _)) => Err(OpenRecordError::Format(format)),
            None => Err(OpenRecordError::Damaged(Unopenable)),
        }
    }

    /// A keyed hash of `parts` for the purpose `label`: the same parts give the same hash, which tells nothing of them
    /// without this key. HMAC-SHA256 cut to 128 bits.
    pub fn key_hash(&self, label: &str, parts: &[&[u8]]) -> [u8; 16] {
        let full: [u8; 32] = mac(&self.names, label, parts).finalize().into_bytes().into();
        let mut out = [0; 16];
        out.copy_from_slice(&full[..16]);
        out
    }

    /// The link of the audit chain, or of a checkpoint, over `parts`. HMAC-SHA256 under a key of its own.
    pub fn audit_mac(&self, label: &str, parts: &[&[u8]]) -> [u8; 32] {
        mac(&self.audit, label, parts).finalize().into_bytes().into()
    }

    /// Whether `claimed` is the [`audit_mac`](Self::audit_mac) of `parts`, in constant time.
    pub fn audit_mac_is(&self, label: &str, parts: &[&[u8]], claimed: &[u8]) -> bool {
        mac(&self.audit, label, parts).verify_slice(claimed).is_ok()
    }
}

/// Why a record did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenRecordError {
    /// Changed, moved from another key, or of another record key.
    #[error("the record does not open: it was damaged, moved or sealed under another record key")]
    Damaged(#[from] Unopenable),
    /// Written by a later version, or not a record.
    #[error("the record has the unknown format {0}")]
    Format(u8),
}

fn place(kv_key: &[u8]) -> Aad {
    Aad::new(LABEL).part(&[FORMAT]).part(kv_key)
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn mac(key: &Key32, label: &str, parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose()).expect("a key of any length");
    mac.update(Aad::new(label).list(parts).as_bytes());
    mac
}
