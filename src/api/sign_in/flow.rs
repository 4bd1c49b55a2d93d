//! The steps of a sign-in, for the API and the console: begin it, prove the person, complete it. Every refusal is recorded with its
//! reason; the response to a stranger says less. Never logs a code, a state or what a provider says.

use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::origin::SignInOrigin;
use crate::api::Api;
use crate::api::auth::charge_failure;
use crate::api::problem::ApiError;
use crate::domain::name::{OrgName, ProviderName};
use crate::domain::time::Timestamp;
use crate::signin::{
    ClientKind, CodeAnswer, DevicePoll, PendingFlow, PendingSignIn, Provider, SealedProof, SignInPurpose,
    decode_pending, encode_pending,
};
use crate::store::{SealedTextKind, SignInError, SignInProof, SignInRequest};
use crate::wire::Code;

/// How long a person has from the first page to the last one.
const LIFETIME: Duration = Duration::from_secs(10 * 60);
/// The same for a device code, whatever the provider says.
const LONGEST_DEVICE: Duration = Duration::from_secs(30 * 60);

/// A sign-in to begin.
pub(crate) struct SignInStart<'a> {
    pub(crate) provider: &'a Provider,
    pub(crate) purpose: SignInPurpose,
    /// The page of the console to open afterwards; empty for the command line.
    pub(crate) next: String,
}

/// A sign-in that was begun in a browser.
pub(crate) struct BegunSignIn {
    pub(crate) url: String,
    pub(crate) state: String,
    pub(crate) sealed: Zeroizing<String>,
    pub(crate) expires_at: Timestamp,
}

/// A sign-in that was begun with a device code.
pub(crate) struct BegunDeviceSignIn {
    pub(crate) user_code: String,
    pub(crate) verification_uri: String,
    pub(crate) verification_uri_complete: Option<String>,
    pub(crate) interval: u64,
    pub(crate) sealed: Zeroizing<String>,
    pub(crate) expires_at: Timestamp,
}

/// Where the answer to a sign-in arrived.
#[derive(Clone, Copy)]
pub(crate) enum AnswerPlace<'a> {
    /// At the console's address for this provider.
    Console(&'a ProviderName),
    /// At a command.
    CommandLine,
}

/// How far a sign-in is.
pub(crate) enum SignInProgress {
    /// The person has not entered the device code. The next question is due after this many seconds.
    Pending {
        interval: u64,
    },
    Proven(SealedProof),
}

impl AnswerPlace<'_> {
    fn is_of(self, pending: &PendingSignIn) -> bool {
        match self {
            Self::Console(name) => pending.flow.client() == ClientKind::Console && *name == pending.provider,
            Self::CommandLine => pending.flow.client() == ClientKind::CommandLine,
        }
    }
}

/// Finds a provider by its name.
pub(crate) fn find_provider<'a>(api: &'a Api, name: &str) -> Result<&'a Provider, ApiError> {
    api.providers().find(name).ok_or_else(|| {
        ApiError::new(Code::NotFound, "people do not sign in with this provider here")
            .hint("GET /v1/sign-in lists the providers; the operator configures them in server.yaml")
    })
}

/// Begins a sign-in in a browser, which the provider sends back to `redirect`.
pub(crate) async fn begin_in_browser(
    api: &Api,
    origin: &SignInOrigin,
    start: SignInStart<'_>,
    kind: ClientKind,
    redirect: String,
) -> Result<BegunSignIn, ApiError> {
    api.limits().charge_sign_in(origin.source, Instant::now())?;
    let begun = start.provider.begin_code(kind, redirect, |bytes| api.fill_random(bytes)).await;
    let begun = begun.map_err(|error| origin.refuse_by_provider(api, start.provider, error))?;
    let state = match &begun.flow {
        PendingFlow::Code { state, .. } => state.clone(),
        PendingFlow::Device { .. } => return Err(ApiError::internal()),
    };
    let expires_at = api.store().now().plus(LIFETIME);
    let sealed = seal_pending(api, start, begun.flow, expires_at)?;
    Ok(BegunSignIn { url: begun.url, state, sealed, expires_at })
}

/// Begins a sign-in with a device code.
pub(crate) async fn begin_on_device(
    api: &Api,
    origin: &SignInOrigin,
    start: SignInStart<'_>,
) -> Result<BegunDeviceSignIn, ApiError> {
    api.limits().charge_sign_in(origin.source, Instant::now())?;
    let begun = start.provider.begin_device().await;
    let begun = begun.map_err(|error| origin.refuse_by_provider(api, start.provider, error))?;
    let expires_at = api.store().now().plus(begun.lifetime.min(LONGEST_DEVICE));
    let sealed = seal_pending(api, start, begun.flow, expires_at)?;
    Ok(BegunDeviceSignIn {
        user_code: begun.user_code,
        verification_uri: begun.verification_uri,
        verification_uri_complete: begun.verification_uri_complete,
        interval: begun.interval,
        sealed,
        expires_at,
    })
}

fn seal_pending(
    api: &Api,
    start: SignInStart<'_>,
    flow: PendingFlow,
    expires_at: Timestamp,
) -> Result<Zeroizing<String>, ApiError> {
    let mut id = [0; 16];
    api.fill_random(&mut id);
    let SignInStart { provider, purpose, next } = start;
    let pending = PendingSignIn { id, provider: provider.name().clone(), purpose, flow, expires_at, next };
    seal(api, SealedTextKind::PendingSignIn, &pending)
}

fn seal<T: serde::Serialize>(api: &Api, kind: SealedTextKind, of: &T) -> Result<Zeroizing<String>, ApiError> {
    let plain = encode_pending(of).ok_or_else(ApiError::internal)?;
    api.store().seal_text(kind, &plain).ok_or_else(|| {
        ApiError::new(
            Code::SignInRefused,
            "your account belongs to more organizations than a sign-in can hold",
        )
        .hint("ask whoever manages the groups at the provider to leave some out")
    })
}

/// Ends the exchange with the provider: verifies who the person is, from what the browser brought back or the device code.
pub(crate) async fn prove(
    api: &Api,
    origin: &SignInOrigin,
    place: AnswerPlace<'_>,
    sealed: &str,
    answer: CodeAnswer,
) -> Result<SignInProgress, ApiError> {
    let pending = open_pending(api, origin, sealed)?;
    let name = &pending.provider;
    // Each provider has an address of its own: an answer at another one is a mix-up of providers, or of clients.
    if !place.is_of(&pending) {
        let error = restart("the answer belongs to a sign-in at another place");
        return Err(origin.refuse(api, Some(name), "wrong_place", error));
    }
    let Some(provider) = api.providers().find(name.as_str()) else {
        let error = ApiError::new(Code::SignInRefused, "the provider is no longer configured");
        return Err(origin.refuse(api, Some(name), "unknown_provider", error));
    };
    let now = api.store().now();
    let proven = match &pending.flow {
        PendingFlow::Code { .. } => {
            // Whoever has begun one sign-in could have the provider asked about any number of codes.
            api.limits().charge_sign_in(origin.source, Instant::now())?;
            provider.redeem_code(&pending.flow, answer, now).await
        }
        PendingFlow::Device { .. } => {
            api.limits().charge_device_poll(pending.id, origin.source, Instant::now())?;
            match provider.poll_device(&pending.flow, now).await {
                Ok(DevicePoll::Pending { interval }) => return Ok(SignInProgress::Pending { interval }),
                Ok(DevicePoll::Proven(account)) => Ok(*account),
                Err(error) => Err(error),
            }
        }
    };
    let account = proven.map_err(|error| origin.refuse_by_provider(api, provider, error))?;
    let (method, expires_at) = (pending.flow.method(), now.plus(LIFETIME));
    let PendingSignIn { id, purpose, next, .. } = pending;
    Ok(SignInProgress::Proven(SealedProof { id, purpose, method, account, expires_at, next }))
}

fn open_pending(api: &Api, origin: &SignInOrigin, sealed: &str) -> Result<PendingSignIn, ApiError> {
    let opened = api.store().open_text(SealedTextKind::PendingSignIn, sealed);
    let pending: Option<PendingSignIn> = opened.and_then(|plain| decode_pending(&plain));
    let Some(pending) = pending else {
        return Err(origin.refuse(
            api,
            None,
            "unknown_sign_in",
            restart("this sign-in is not one of this store"),
        ));
    };
    if pending.expires_at <= api.store().now() {
        let error = restart("this sign-in has expired");
        return Err(origin.refuse(api, Some(&pending.provider), "expired", error));
    }
    Ok(pending)
}

fn restart(detail: &str) -> ApiError {
    ApiError::new(Code::SignInRefused, detail)
        .hint("start again from the beginning, in the same browser or terminal")
}

/// Seals a proof, for the client to keep until it is used.
pub(crate) fn seal_proof(api: &Api, proof: &SealedProof) -> Result<Zeroizing<String>, ApiError> {
    seal(api, SealedTextKind::SignInProof, proof)
}

/// Opens a proof that this store has sealed. `None` if it has not.
pub(crate) fn open_proof(api: &Api, sealed: &str) -> Option<SealedProof> {
    decode_pending(&api.store().open_text(SealedTextKind::SignInProof, sealed)?)
}

/// Refuses what is not a proof of this store, or is one for another purpose.
pub(crate) fn refuse_proof(api: &Api, origin: &SignInOrigin) -> ApiError {
    origin.refuse(api, None, "unknown_proof", restart("this is not the proof of a sign-in at this store"))
}

/// What the store needs of a proof. The provider's rules apply as they are configured now.
pub(crate) fn store_proof(api: &Api, proof: SealedProof) -> SignInProof {
    // A provider that was removed from the configuration since decides no roles any more.
    let SealedProof { id, method, account, expires_at, .. } = proof;
    let provider = api.providers().find(account.provider.as_str());
    let governed = provider.map(Provider::governed).unwrap_or_default();
    SignInProof { id, expires_at, account, governed, method }
}

/// What the store needs to sign a person in.
pub(crate) fn store_request(
    api: &Api,
    origin: &SignInOrigin,
    proof: SealedProof,
    org: Option<OrgName>,
) -> SignInRequest {
    let (source, request) = (origin.source, origin.request.clone());
    SignInRequest { proof: store_proof(api, proof), org, source, request }
}

/// The response to a person whom the store does not sign in. The store has recorded why an account opens nothing.
pub(crate) fn refuse_by_store(api: &Api, origin: &SignInOrigin, error: SignInError) -> ApiError {
    if let SignInError::Proof(_) = error {
        api.store().record_refused_sign_in(None, "used_proof", origin.source, &origin.request);
    }
    let is_denial = error.is_denial();
    let error = ApiError::from(error);
    if is_denial { charge_failure(api, origin.source, error) } else { error }
}
