//! An answer as it is sent, and what is sealed in it. Whoever terminates TLS can send any bytes here.

use super::statement::{StatementHash, digest};
use super::{ENCAPSULATED, SIGNATURE};
use crate::crypto::SecretBytes;
use crate::crypto::aad::Aad;

const VERSION: u8 = 1;
/// Bytes in front of the ciphertext.
const HEADER: usize = 1 + 32 + ENCAPSULATED + SIGNATURE;
/// Stands for no `Retry-After`.
const NO_PAUSE: u32 = u32::MAX;

/// The parts of an answer.
pub(crate) struct SealedAnswer<'a> {
    pub(crate) hash: &'a StatementHash,
    /// HPKE's encapsulated key.
    pub(crate) enc: &'a [u8; ENCAPSULATED],
    pub(crate) signature: &'a [u8; SIGNATURE],
    pub(crate) ciphertext: &'a [u8],
}

impl<'a> SealedAnswer<'a> {
    /// Reads the parts. `None` if these are not those of an answer of this version.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&[VERSION])?;
        let (hash, rest) = rest.split_first_chunk()?;
        let (enc, rest) = rest.split_first_chunk()?;
        let (signature, ciphertext) = rest.split_first_chunk()?;
        Some(Self { hash, enc, signature, ciphertext })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.ciphertext.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(self.hash);
        bytes.extend_from_slice(self.enc);
        bytes.extend_from_slice(self.signature);
        bytes.extend_from_slice(self.ciphertext);
        bytes
    }
}

/// Why an answer is not the store's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// It has another form.
    #[error("is not a sealed answer")]
    Form,
    /// It is the answer to another request.
    #[error("belongs to another request")]
    OtherRequest,
    /// Somebody else signed it, or it was changed.
    #[error("is not signed with the store's key")]
    Signature,
    /// It was signed and does not open: a defect of the store.
    #[error("does not open")]
    Sealed,
}

/// What the answer key signs.
pub(crate) fn signed_list(
    hash: &StatementHash,
    request_signature: &[u8; SIGNATURE],
    enc: &[u8; ENCAPSULATED],
    ciphertext: &[u8],
) -> Aad {
    Aad::new("dropsafe answer v1").part(hash).part(request_signature).part(enc).part(&digest(ciphertext))
}

/// What is sealed: the answer that the store would have given to a bearer credential.
pub(crate) struct AnswerContent<'a> {
    pub(crate) status: u16,
    /// Seconds of `Retry-After`.
    pub(crate) retry_after: Option<u32>,
    pub(crate) body: &'a [u8],
}

impl<'a> AnswerContent<'a> {
    pub(crate) fn encode(&self) -> SecretBytes {
        // Reserved in full: a vector that grows leaves copies of values behind that are not wiped.
        let mut bytes = SecretBytes::new(Vec::with_capacity(2 + 4 + self.body.len()));
        bytes.extend_from_slice(&self.status.to_be_bytes());
        bytes.extend_from_slice(&self.retry_after.unwrap_or(NO_PAUSE).to_be_bytes());
        bytes.extend_from_slice(self.body);
        bytes
    }

    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (status, rest) = bytes.split_first_chunk()?;
        let (pause, body) = rest.split_first_chunk()?;
        let pause = u32::from_be_bytes(*pause);
        let retry_after = (pause != NO_PAUSE).then_some(pause);
        Some(Self { status: u16::from_be_bytes(*status), retry_after, body })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_none_and_read_back(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            let start = [[VERSION].as_slice(), &bytes].concat();
            for bytes in [bytes, start] {
                let answer = SealedAnswer::parse(&bytes);
                prop_assert_eq!(answer.is_some(), bytes.first() == Some(&VERSION) && bytes.len() >= HEADER);
                if let Some(answer) = answer {
                    prop_assert_eq!(answer.encode(), bytes);
                }
            }
        }

        #[test]
        fn content_reads_back(status in any::<u16>(), pause in any::<Option<u32>>(), body in prop::collection::vec(any::<u8>(), 0..50)) {
            prop_assume!(pause != Some(NO_PAUSE));
            let bytes = AnswerContent { status, retry_after: pause, body: &body }.encode();
            let read = AnswerContent::parse(&bytes).unwrap();
            prop_assert_eq!((read.status, read.retry_after, read.body), (status, pause, body.as_slice()));
        }
    }

    #[test]
    fn content_that_is_cut_is_none() {
        for length in 0..6 {
            assert!(AnswerContent::parse(&[0; 6][..length]).is_none());
        }
        assert!(AnswerContent::parse(&[0; 6]).is_some());
    }
}
