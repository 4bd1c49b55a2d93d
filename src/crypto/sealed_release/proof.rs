//! The proof in the header `Authorization`. A stranger can send any text here: it is parsed without a panic, and never quoted.

use data_encoding::BASE64URL_NOPAD;

use super::statement::{MAX_SUBJECT, ProofSubject, StatementParts};
use super::{CHALLENGE, ONE_TIME_KEY, SIGNATURE};

const VERSION: u8 = 1;
/// Version, subject, milliseconds, challenge, digest, one-time key, signature, at most.
const MAX_LEN: usize = 1 + MAX_SUBJECT + 8 + 1 + CHALLENGE + 32 + ONE_TIME_KEY + SIGNATURE;

/// What an agent sends in place of a bearer secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestProof {
    pub(crate) parts: StatementParts,
    /// The signature of the statement.
    pub(crate) signature: [u8; SIGNATURE],
}

/// A text that is not a proof, or one of a later version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the proof cannot be read")]
pub(crate) struct ProofError;

impl RequestProof {
    /// What follows the scheme in the header.
    pub(crate) fn to_text(&self) -> String {
        let StatementParts { subject, millis, challenge, body_digest, one_time_key } = &self.parts;
        let challenge = challenge.as_ref().map_or(&[][..], <[u8; CHALLENGE]>::as_slice);
        let mut bytes = Vec::with_capacity(MAX_LEN);
        bytes.push(VERSION);
        bytes.extend_from_slice(&subject.encode());
        bytes.extend_from_slice(&millis.to_be_bytes());
        // No cast can lose anything: a challenge has 24 bytes.
        bytes.push(challenge.len() as u8);
        bytes.extend_from_slice(challenge);
        bytes.extend_from_slice(body_digest);
        bytes.extend_from_slice(one_time_key.as_slice());
        bytes.extend_from_slice(&self.signature);
        BASE64URL_NOPAD.encode(&bytes)
    }

    /// Reads what follows the scheme. Each proof has one text.
    pub(crate) fn parse(text: &str) -> Result<Self, ProofError> {
        // Before it is decoded: nothing is allocated for a text of any length.
        if text.len() > BASE64URL_NOPAD.encode_len(MAX_LEN) {
            return Err(ProofError);
        }
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| ProofError)?;
        Self::from_bytes(&bytes).ok_or(ProofError)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&[VERSION])?;
        let (subject, rest) = ProofSubject::split(rest)?;
        let (millis, rest) = rest.split_first_chunk()?;
        let (challenge, rest) = match rest.split_first()? {
            (0, rest) => (None, rest),
            (length, rest) if usize::from(*length) == CHALLENGE => {
                let (challenge, rest) = rest.split_first_chunk()?;
                (Some(*challenge), rest)
            }
            _ => return None,
        };
        let (body_digest, rest) = rest.split_first_chunk()?;
        let (one_time_key, rest) = rest.split_first_chunk::<ONE_TIME_KEY>()?;
        // To the last byte: a second text of the same proof would be a second request to whatever compares texts.
        let signature = rest.try_into().ok()?;
        let parts = StatementParts {
            subject,
            millis: u64::from_be_bytes(*millis),
            challenge,
            body_digest: *body_digest,
            one_time_key: Box::new(*one_time_key),
        };
        Some(Self { parts, signature })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::id::{BootId, IdentityId, OrgId};

    fn subjects() -> impl Strategy<Value = ProofSubject> {
        any::<(Option<bool>, [u8; 16], [u8; 16], [[u8; 32]; 2])>().prop_map(|(kind, id, org, digests)| {
            match kind {
                None => ProofSubject::Identity(IdentityId::from_bytes(id)),
                Some(false) => {
                    ProofSubject::Boot { boot: BootId::from_bytes(id), org: OrgId::from_bytes(org) }
                }
                Some(true) => {
                    let [key, token_digest] = digests;
                    ProofSubject::Token { identity: IdentityId::from_bytes(id), key, token_digest }
                }
            }
        })
    }

    fn proofs() -> impl Strategy<Value = RequestProof> {
        let numbers = any::<(u64, Option<[u8; CHALLENGE]>, [u8; 32])>();
        (subjects(), numbers, any::<(u8, u8)>()).prop_map(
            |(subject, (millis, challenge, body_digest), (key, signature))| RequestProof {
                parts: StatementParts {
                    subject,
                    millis,
                    challenge,
                    body_digest,
                    one_time_key: Box::new([key; ONE_TIME_KEY]),
                },
                signature: [signature; SIGNATURE],
            },
        )
    }

    proptest! {
        #[test]
        fn a_proof_reads_back_from_its_only_text(proof in proofs(), at in any::<prop::sample::Index>()) {
            let text = proof.to_text();
            prop_assert_eq!(RequestProof::parse(&text), Ok(proof.clone()));
            prop_assert!(RequestProof::parse(&text[..at.index(text.len())]).is_err());
            for other in [format!("{text}A"), format!("{text}="), format!(" {text}")] {
                prop_assert!(RequestProof::parse(&other).is_err());
            }
            // A changed character is another proof or none, never the same one.
            let mut changed = text.into_bytes();
            let at = at.index(changed.len());
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            prop_assert_ne!(RequestProof::parse(str::from_utf8(&changed).unwrap()), Ok(proof));
        }

        #[test]
        fn any_bytes_are_judged_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..1500), kind in 0..5_u8) {
            // With a plausible beginning, so that the later parts are reached.
            let start = [[VERSION, kind].as_slice(), &bytes].concat();
            for bytes in [bytes, start] {
                if let Ok(proof) = RequestProof::parse(&BASE64URL_NOPAD.encode(&bytes)) {
                    prop_assert_eq!(BASE64URL_NOPAD.encode(&bytes), proof.to_text());
                }
            }
        }

        #[test]
        fn any_text_is_judged_without_a_panic(text in "\\PC{0,200}") {
            prop_assert!(RequestProof::parse(&text).is_err());
        }
    }

    #[test]
    fn the_longest_proof_has_the_longest_text() {
        let identity = IdentityId::from_bytes([1; 16]);
        let subject = ProofSubject::Token { identity, key: [2; 32], token_digest: [9; 32] };
        let parts = StatementParts {
            subject,
            millis: u64::MAX,
            challenge: Some([3; CHALLENGE]),
            body_digest: [4; 32],
            one_time_key: Box::new([5; ONE_TIME_KEY]),
        };
        let text = RequestProof { parts, signature: [6; SIGNATURE] }.to_text();
        assert_eq!(text.len(), BASE64URL_NOPAD.encode_len(MAX_LEN));
        assert!(RequestProof::parse(&text).is_ok());
    }
}
