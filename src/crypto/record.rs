//! The record key: encrypts every record before it reaches the byte store, and hashes the parts of storage keys.
//!
//! The byte store must never see a name, an owner or a length-preserving image of one. A record opens only at the storage
//! key that it was sealed for.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::aad::Aad;
use super::aead::DecryptError;
use super::keyfile::{KeyFileError, Purpose};
use super::memory::Key32;
use super::random::Random;
use super::signed_note::LogKey;
use super::{SecretBytes, aead, kdf, keyfile};

/// First byte of a sealed record: the format.
const FORMAT: u8 = 1;
const LABEL: &str = "dropsafe record v1";

/// The five subkeys of a store's record key. Their root is in a file beside the server's configuration
/// ([`super::keyfile`]), never in the byte store.
#[derive(Debug)]
pub struct RecordKey {
    records: Key32,
    names: Key32,
    audit: Key32,
    stamps: Key32,
    log: Key32,
}

impl RecordKey {
    /// A new key, and the text of its key file.
    pub fn generate(rng: &mut dyn Random) -> (Self, Zeroizing<String>) {
        let root = Key32::random(rng);
        (Self::new(&root), keyfile::write(Purpose::Record, &root))
    }

    /// Reads the text of a record key file: `dropsafe-record-1…`.
    pub fn from_text(text: &str) -> Result<Self, KeyFileError> {
        keyfile::read(Purpose::Record, text).map(|root| Self::new(&root))
    }

    /// Derives the subkeys of `root`.
    pub fn new(root: &Key32) -> Self {
        // A label for each purpose: an HMAC over chosen parts never runs under the key that encrypts.
        Self {
            records: kdf::derive(root, &Aad::new("dropsafe record key v1")),
            names: kdf::derive(root, &Aad::new("dropsafe name key v1")),
            audit: kdf::derive(root, &Aad::new("dropsafe audit key v1")),
            stamps: kdf::derive(root, &Aad::new("dropsafe stamp key v1")),
            log: kdf::derive(root, &Aad::new("dropsafe log key v1")),
        }
    }

    /// Seals a record for the storage key `kv_key`: format byte, nonce, ciphertext, tag (41 bytes more than the plaintext).
    pub fn seal_record(&self, kv_key: &[u8], plaintext: &[u8], rng: &mut dyn Random) -> Vec<u8> {
        let mut out = Vec::with_capacity(1 + aead::NONCE_LEN + plaintext.len() + aead::TAG_LEN);
        out.push(FORMAT);
        aead::append_sealed(&mut out, &self.records, &bind(kv_key), plaintext, rng);
        out
    }

    pub fn open_record(&self, kv_key: &[u8], sealed: &[u8]) -> Result<SecretBytes, OpenRecordError> {
        // The format byte is outside the ciphertext, so that a later version can choose the cipher by it; it is bound too.
        match sealed.split_first() {
            Some((&FORMAT, sealed)) => Ok(aead::open_prefixed(&self.records, &bind(kv_key), sealed)?),
            Some((&format, _)) => Err(OpenRecordError::Format(format)),
            None => Err(OpenRecordError::Damaged(DecryptError)),
        }
    }

    /// A keyed hash of `parts` for the purpose `label`: HMAC-SHA256, cut to 128 bits. Without this key it reveals only
    /// which parts are equal.
    pub fn key_hash(&self, label: &str, parts: &[&[u8]]) -> [u8; 16] {
        // 128 bits: names are guessed, not collided with, and every storage key carries several of these hashes.
        let full: [u8; 32] = mac(&self.names, label, parts).finalize().into_bytes().into();
        let mut out = [0; 16];
        out.copy_from_slice(&full[..16]);
        out
    }

    /// The MAC of an audit entry, a head or a pruned run over `parts`: HMAC-SHA256 under a key of its own.
    pub(crate) fn audit_mac(&self, label: &str, parts: &[&[u8]]) -> [u8; 32] {
        mac(&self.audit, label, parts).finalize().into_bytes().into()
    }

    /// The hash of a row in the stamp of its scope: HMAC-SHA256 under a key of its own, because sums of them are stored.
    pub(crate) fn stamp_hash(&self, kv_key: &[u8], digest: &[u8; 32]) -> [u8; 32] {
        mac(&self.stamps, "dropsafe stamp v1", &[kv_key, digest]).finalize().into_bytes().into()
    }

    /// The key that signs checkpoints of the audit log.
    pub(crate) fn log_key(&self) -> LogKey {
        LogKey::new(&self.log)
    }

    /// Compares `claimed` with the [`audit_mac`](Self::audit_mac) of `parts` in constant time.
    pub(crate) fn verify_audit_mac(&self, label: &str, parts: &[&[u8]], claimed: &[u8]) -> bool {
        mac(&self.audit, label, parts).verify_slice(claimed).is_ok()
    }
}

impl Clone for RecordKey {
    fn clone(&self) -> Self {
        let copy = |key: &Key32| Key32::copy_of(key.expose());
        let Self { records, names, audit, stamps, log } = self;
        let (records, names, audit) = (copy(records), copy(names), copy(audit));
        Self { records, names, audit, stamps: copy(stamps), log: copy(log) }
    }
}

/// Why a record did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenRecordError {
    /// It was changed, moved from another storage key, or sealed under another record key.
    #[error("the record does not open: it was damaged, moved or sealed under another record key")]
    Damaged(#[from] DecryptError),
    /// A later version wrote it, or it is not a record.
    #[error("the record has the unknown format {0}")]
    Format(u8),
}

fn bind(kv_key: &[u8]) -> Aad {
    Aad::new(LABEL).part(&[FORMAT]).part(kv_key)
}

fn mac(key: &Key32, label: &str, parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = hmac(key.expose());
    mac.update(Aad::new(label).list(parts).as_bytes());
    mac
}

/// The digest of `parts` under a secret that is stored nowhere: HMAC-SHA256.
pub(crate) fn digest_under(secret: &[u8], label: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = hmac(secret);
    // Part by part and not through `Aad`, which would leave a copy of a value in memory that is not wiped.
    for part in [label.as_bytes()].iter().chain(parts) {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("a key of any length")
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
    fn a_digest_depends_on_its_secret_and_each_part() {
        let digest = digest_under(b"key", "request", &[b"ab", b"c"]);
        assert_eq!(digest, digest_under(b"key", "request", &[b"ab", b"c"]));
        for (secret, label, parts) in [
            (b"kez", "request", [b"ab".as_slice(), b"c"]),
            (b"key", "requesu", [b"ab", b"c"]),
            (b"key", "request", [b"a", b"bc"]),
            (b"key", "request", [b"abc", b""]),
        ] {
            assert_ne!(digest, digest_under(secret, label, &parts));
        }
        assert_ne!(digest, digest_under(b"key", "request", &[b"ab", b"c", b""]));
    }

    #[test]
    fn an_audit_mac_is_recognized_whole_and_unchanged() {
        let (key, _) = RecordKey::generate(&mut Kernel);
        let mut mac = key.audit_mac("entry", &[b"one"]);
        assert!(key.verify_audit_mac("entry", &[b"one"], &mac));
        assert!(
            !key.verify_audit_mac("entry", &[b"two"], &mac) && !key.verify_audit_mac("end", &[b"one"], &mac)
        );
        assert!(!key.verify_audit_mac("entry", &[b"one"], &mac[..31]));
        for bit in 0..256 {
            mac[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.verify_audit_mac("entry", &[b"one"], &mac));
            mac[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
