//! The record key: encrypts every record before it reaches the byte store, and hashes what its keys are made of.
//!
//! The byte store must never see a name, an owner or a length-preserving image of one. A record opens only under the key
//! (in the byte store's sense) that it was sealed for.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::aad::Aad;
use super::aead::DecryptError;
use super::keyfile::{KeyFileError, Purpose};
use super::memory::Key32;
use super::random::Random;
use super::{SecretBytes, aead, kdf, keyfile};

/// First byte of a sealed record: the format.
const FORMAT: u8 = 1;
const LABEL: &str = "dropsafe record v1";

/// The three subkeys of a store's record key. The 32 bytes they come from live in a file beside the server's
/// configuration
/// ([`super::keyfile`]), never in the byte store.
#[derive(Debug)]
pub struct RecordKey {
    records: Key32,
    names: Key32,
    audit: Key32,
}

impl RecordKey {
    /// A new key, and the text of the file to keep it in.
    pub fn generate(rng: &mut dyn Random) -> (Self, Zeroizing<String>) {
        let root = Key32::random(rng);
        (Self::new(&root), keyfile::write(Purpose::Record, &root))
    }

    /// From the text of a record key file: `dropsafe-record-1…`.
    pub fn from_text(text: &str) -> Result<Self, KeyFileError> {
        keyfile::read(Purpose::Record, text).map(|root| Self::new(&root))
    }

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
            None => Err(OpenRecordError::Damaged(DecryptError)),
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
    Damaged(#[from] DecryptError),
    /// Written by a later version, or not a record.
    #[error("the record has the unknown format {0}")]
    Format(u8),
}

impl OpenRecordError {
    /// What to do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Damaged(_) => {
                Some("check that the record key is the one this store was made with, or restore a backup")
            }
            Self::Format(_) => {
                Some("check that this version of dropsafe is not older than the one that wrote the store")
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::Kernel;

    #[test]
    fn a_record_opens_where_it_was_sealed_and_by_the_key_of_the_file() {
        let (key, text) = RecordKey::generate(&mut Kernel);
        let again = RecordKey::from_text(&text).unwrap();
        let sealed = key.seal_record(b"s/1", b"record", &mut Kernel);
        assert_eq!(*again.open_record(b"s/1", &sealed).unwrap(), b"record");
        assert_eq!(again.open_record(b"s/2", &sealed), Err(OpenRecordError::Damaged(DecryptError)));
        let (stranger, _) = RecordKey::generate(&mut Kernel);
        assert_eq!(stranger.open_record(b"s/1", &sealed), Err(OpenRecordError::Damaged(DecryptError)));
        assert_ne!(sealed, key.seal_record(b"s/1", b"record", &mut Kernel));
    }

    #[test]
    fn an_unknown_format_is_named() {
        let (key, _) = RecordKey::generate(&mut Kernel);
        assert_eq!(key.open_record(b"s/1", &[2, 0, 0]), Err(OpenRecordError::Format(2)));
        assert_eq!(key.open_record(b"s/1", &[]), Err(OpenRecordError::Damaged(DecryptError)));
    }

    #[test]
    fn hashes_depend_on_key_label_and_each_part() {
        let (key, text) = RecordKey::generate(&mut Kernel);
        let hash = key.key_hash("name", &[b"ab", b"c"]);
        assert_eq!(hash, RecordKey::from_text(&text).unwrap().key_hash("name", &[b"ab", b"c"]));
        for (label, parts) in
            [("env", [b"ab".as_slice(), b"c"]), ("name", [b"a", b"bc"]), ("name", [b"abc", b""])]
        {
            assert_ne!(hash, key.key_hash(label, &parts));
        }
        assert_ne!(hash, RecordKey::generate(&mut Kernel).0.key_hash("name", &[b"ab", b"c"]));
        assert_ne!(hash, key.audit_mac("name", &[b"ab", b"c"])[..16]);
    }

    #[test]
    fn an_audit_mac_is_recognized_whole_and_unchanged() {
        let (key, _) = RecordKey::generate(&mut Kernel);
        let mut mac = key.audit_mac("entry", &[b"one"]);
        assert!(key.audit_mac_is("entry", &[b"one"], &mac));
        assert!(!key.audit_mac_is("entry", &[b"two"], &mac) && !key.audit_mac_is("end", &[b"one"], &mac));
        assert!(!key.audit_mac_is("entry", &[b"one"], &mac[..31]));
        for bit in 0..256 {
            mac[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.audit_mac_is("entry", &[b"one"], &mac));
            mac[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
