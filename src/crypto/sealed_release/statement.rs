//! What a request states, and the seeds of the keys that sign it.

use sha2::{Digest as _, Sha256};

use super::{CHALLENGE, Challenge, ONE_TIME_KEY};
use crate::crypto::aad::Aad;
use crate::crypto::kdf;
use crate::crypto::memory::Key32;
use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::id::{BootId, IdentityId, OrgId};
use crate::domain::location::AnswerKey;

/// H: what an answer is bound to, and what the store executes once.
pub(crate) type StatementHash = [u8; 32];

const IDENTITY: u8 = 1;
const BOOT: u8 = 2;
const TOKEN: u8 = 3;

/// Bytes of the longest subject.
pub(super) const MAX_SUBJECT: usize = 1 + 16 + 32 + 32;

/// Who proves itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProofSubject {
    /// An identity of any kind.
    Identity(IdentityId),
    /// What can end one boot.
    Boot { boot: BootId, org: OrgId },
    /// An identity whose proof is a token that is bound to a key.
    Token { identity: IdentityId, key: [u8; 32], token_digest: [u8; 32] },
}

impl ProofSubject {
    /// That of a bearer credential. `None` if its kind does not boot or end a boot.
    pub(crate) fn of(credential: &Credential) -> Option<Self> {
        match credential.kind {
            CredentialKind::Ticket => Some(Self::Identity(credential.ticket_id().into())),
            CredentialKind::Boot => {
                Some(Self::Boot { boot: BootId::from_bytes(credential.id), org: credential.org_of_boot() })
            }
            CredentialKind::Operator | CredentialKind::Member | CredentialKind::Enrolment => None,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Identity(id) => [[IDENTITY].as_slice(), id.as_bytes()].concat(),
            Self::Boot { boot, org } => [[BOOT].as_slice(), boot.as_bytes(), org.as_bytes()].concat(),
            Self::Token { identity, key, token_digest } => {
                [[TOKEN].as_slice(), identity.as_bytes(), key, token_digest].concat()
            }
        }
    }

    /// Takes a subject off the front.
    pub(crate) fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (kind, rest) = bytes.split_first()?;
        let (id, rest) = rest.split_first_chunk::<16>()?;
        match *kind {
            IDENTITY => Some((Self::Identity(IdentityId::from_bytes(*id)), rest)),
            BOOT => {
                let (org, rest) = rest.split_first_chunk::<16>()?;
                Some((Self::Boot { boot: BootId::from_bytes(*id), org: OrgId::from_bytes(*org) }, rest))
            }
            TOKEN => {
                let (key, rest) = rest.split_first_chunk()?;
                let (token_digest, rest) = rest.split_first_chunk()?;
                let identity = IdentityId::from_bytes(*id);
                Some((Self::Token { identity, key: *key, token_digest: *token_digest }, rest))
            }
            _ => None,
        }
    }
}

/// The request that a proof is for, as both sides see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestTarget<'a> {
    pub(crate) method: &'a str,
    /// With its query, if it has one.
    pub(crate) path: &'a str,
    /// The text of `Idempotency-Key`.
    pub(crate) attempt: Option<&'a str>,
}

/// What the agent chooses for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StatementParts {
    pub(crate) subject: ProofSubject,
    /// Milliseconds since 1970 by the agent's clock.
    pub(crate) millis: u64,
    pub(crate) challenge: Option<Challenge>,
    pub(crate) body_digest: [u8; 32],
    pub(crate) one_time_key: Box<[u8; ONE_TIME_KEY]>,
}

/// R.
pub(crate) struct Statement(Aad);

impl Statement {
    pub(crate) fn new(answer_key: AnswerKey, target: RequestTarget<'_>, parts: &StatementParts) -> Self {
        let AnswerKey(answer_key) = answer_key;
        let list = Aad::new("dropsafe request v1")
            .part(&answer_key)
            .part(&parts.subject.encode())
            .part(target.method.as_bytes())
            .part(target.path.as_bytes())
            .part(&parts.millis.to_be_bytes())
            .optional(parts.challenge.as_ref().map(<[u8; CHALLENGE]>::as_slice))
            .optional(target.attempt.map(str::as_bytes))
            .part(&parts.body_digest)
            .part(parts.one_time_key.as_slice());
        Self(list)
    }

    /// What is signed.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    pub(crate) fn hash(&self) -> StatementHash {
        digest(self.as_bytes())
    }
}

/// SHA-256.
pub(crate) fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The seed of the key with which a bearer credential signs. `None` if its kind does not boot or end a boot.
pub(crate) fn signing_seed(credential: &Credential) -> Option<Key32> {
    // A label for each kind: the secret of one kind must never sign as another.
    let label = match credential.kind {
        CredentialKind::Ticket => "dropsafe ticket proof v1",
        CredentialKind::Boot => "dropsafe boot proof v1",
        CredentialKind::Operator | CredentialKind::Member | CredentialKind::Enrolment => return None,
    };
    Some(kdf::derive_salted(&[], credential.expose_secret(), &Aad::new(label).part(&credential.id)))
}
