//! What a client keeps for this server between two requests of a sign-in, as the store seals it: first what was begun, then what the
//! provider has proved. So any server of the store can go on, and a stranger makes none of them remember anything.

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::ClientKind;
use crate::domain::id::MemberId;
use crate::domain::name::ProviderName;
use crate::domain::provider::{ProvenAccount, SignInMethod};
use crate::domain::time::Timestamp;

/// A sign-in that was begun.
#[derive(Serialize, Deserialize)]
pub(crate) struct PendingSignIn {
    /// Identifies the sign-in; its proof has the same.
    pub(crate) id: [u8; 16],
    pub(crate) provider: ProviderName,
    pub(crate) purpose: SignInPurpose,
    pub(crate) flow: PendingFlow,
    pub(crate) expires_at: Timestamp,
    /// The page of the console to open afterwards; empty for the command line.
    pub(crate) next: String,
}

/// What the person signs in for. A proof serves no other purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SignInPurpose {
    /// A session or a token.
    SignIn,
    /// To link the account. In the console, to this member, who began it.
    Link(Option<MemberId>),
}

/// The state of a flow. Its texts are secrets of this sign-in, and are wiped.
#[derive(Serialize, Deserialize)]
pub(crate) enum PendingFlow {
    /// The authorization code flow, with PKCE (RFC 7636).
    Code { is_console: bool, redirect: String, state: String, nonce: String, verifier: String },
    /// The device authorization grant (RFC 8628).
    Device { code: String, interval: u64 },
}

impl PendingFlow {
    pub(crate) fn client(&self) -> ClientKind {
        match self {
            Self::Code { is_console: true, .. } => ClientKind::Console,
            Self::Code { is_console: false, .. } | Self::Device { .. } => ClientKind::CommandLine,
        }
    }

    pub(crate) fn method(&self) -> SignInMethod {
        match self {
            Self::Code { is_console: true, .. } => SignInMethod::Console,
            Self::Code { is_console: false, .. } => SignInMethod::Browser,
            Self::Device { .. } => SignInMethod::Device,
        }
    }
}

impl Drop for PendingFlow {
    fn drop(&mut self) {
        match self {
            Self::Code { state, nonce, verifier, .. } => {
                state.zeroize();
                nonce.zeroize();
                verifier.zeroize();
            }
            Self::Device { code, .. } => code.zeroize(),
        }
    }
}

/// What a provider has proved, and for what.
#[derive(Serialize, Deserialize)]
pub(crate) struct SealedProof {
    pub(crate) id: [u8; 16],
    pub(crate) purpose: SignInPurpose,
    pub(crate) method: SignInMethod,
    pub(crate) account: ProvenAccount,
    pub(crate) expires_at: Timestamp,
    /// The page of the console to open afterwards; empty for the command line.
    pub(crate) next: String,
}

/// Encodes what is to be sealed. `None` is a defect: both types consist of plain data.
pub(crate) fn encode_pending<T: Serialize>(of: &T) -> Option<Zeroizing<Vec<u8>>> {
    postcard::to_allocvec(of).ok().map(Zeroizing::new)
}

/// Decodes what was sealed. An older version of this program may have sealed something else.
pub(crate) fn decode_pending<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((of, [])) => Some(of),
        Ok(_) | Err(_) => None,
    }
}
