//! A machine's call, in the form that fits the server it goes to: with a bearer credential where TLS matches a pin, sealed
//! everywhere else. There is no way from the second form back to the first.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use serde::Serialize;

use super::proof::{BootProof, TokenProof};
use crate::client::connect::ConnectTarget;
use crate::client::endpoint::EndpointKind;
use crate::client::error::{CallError, CallRefusal};
use crate::client::request;
use crate::client::request::HttpRequest;
use crate::crypto::memory::Key32;
use crate::crypto::random::Kernel;
use crate::crypto::sealed_release::prover::{PendingAnswer, ProofTime, Prover};
use crate::crypto::sealed_release::statement::RequestTarget;
use crate::crypto::sealed_release::thumbprint;
use crate::domain::credential::Credential;
use crate::domain::location::AnswerKey;
use crate::wire::{IDENTITY_HEADER, PROOF_SCHEME, SEALED_MEDIA_TYPE, TOKEN_HEADER};

/// Bytes of a sealed answer besides the body in it, at most.
const SEALED_OVERHEAD: usize = 2048;

type CallHeader = (HeaderName, HeaderValue);

/// With what a machine is authenticated, in both forms.
pub(crate) enum MachineAuth<'a> {
    /// `prover` is `None` without the store's answer key, which a ticket of an older version lacks.
    Credential { bearer: CallHeader, prover: Option<Arc<Prover>> },
    /// A token of an issuer, which is fetched for each attempt.
    Token(TokenProof<'a>),
}

/// With what one attempt is authenticated.
pub(crate) enum AttemptAuth {
    Bearer(Vec<CallHeader>),
    /// The headers are sent beside the proof.
    Sealed(Arc<Prover>, Vec<CallHeader>),
}

/// How a call is authenticated to one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallForm {
    Bearer,
    Sealed,
}

impl AttemptAuth {
    pub(crate) fn form(&self) -> CallForm {
        match self {
            Self::Bearer(_) => CallForm::Bearer,
            Self::Sealed(..) => CallForm::Sealed,
        }
    }
}

impl MachineAuth<'static> {
    pub(crate) fn of_credential(
        credential: &Credential,
        answer_key: Option<AnswerKey>,
    ) -> Result<Self, CallRefusal> {
        let prover = answer_key.and_then(|key| Prover::of_credential(credential, key));
        Ok(Self::Credential { bearer: request::bearer(&credential.to_text())?, prover: prover.map(Arc::new) })
    }

    /// That of a credential, which is at hand, in one form.
    pub(crate) fn into_attempt(self, form: CallForm) -> Option<AttemptAuth> {
        match (self, form) {
            (Self::Credential { bearer, .. }, CallForm::Bearer) => Some(AttemptAuth::Bearer(vec![bearer])),
            (Self::Credential { prover, .. }, CallForm::Sealed) => {
                prover.map(|prover| AttemptAuth::Sealed(prover, Vec::new()))
            }
            (Self::Token(_), _) => None,
        }
    }
}

impl<'a> MachineAuth<'a> {
    pub(crate) fn new(proof: BootProof<'a>) -> Result<Self, CallRefusal> {
        match proof {
            BootProof::Ticket(ticket) => {
                MachineAuth::of_credential(ticket.credential(), ticket.location().answer_key())
            }
            BootProof::Token(proof) => Ok(Self::Token(proof)),
        }
    }

    /// The form for a server.
    ///
    /// # Errors
    /// Somebody in between could terminate TLS, and either nothing would tell their answers from the store's (`NoAnswerKey`), or
    /// they could use the token that they see (`TokenNeedsPin`).
    pub(crate) fn form(&self, target: &ConnectTarget) -> Result<CallForm, CallRefusal> {
        let address = || target.address.clone();
        let is_within_machine =
            matches!(target.endpoint.kind, EndpointKind::Unix { .. } | EndpointKind::Loopback { .. });
        match self {
            _ if target.endpoint.pins().is_some() => Ok(CallForm::Bearer),
            // Also on this machine: a tunnel may listen there, and end elsewhere.
            Self::Credential { prover: Some(_), .. } => Ok(CallForm::Sealed),
            Self::Token(proof) if proof.tokens.accepts_any_audience() => Ok(CallForm::Sealed),
            // A ticket of an older version that names the store's own socket, or a token that cannot be bound to a key.
            _ if is_within_machine => Ok(CallForm::Bearer),
            Self::Credential { .. } => Err(CallRefusal::NoAnswerKey { address: address() }),
            Self::Token(_) => Err(CallRefusal::TokenNeedsPin { address: address() }),
        }
    }

    /// What an attempt in this form needs. A token may take up to `limit`.
    pub(crate) async fn prepare(&self, form: CallForm, limit: Duration) -> Result<AttemptAuth, CallError> {
        match (self, form) {
            (Self::Credential { bearer, .. }, CallForm::Bearer) => {
                Ok(AttemptAuth::Bearer(vec![bearer.clone()]))
            }
            (Self::Credential { prover, .. }, CallForm::Sealed) => {
                let prover = prover.clone().ok_or(CallRefusal::Request("the proof"))?;
                Ok(AttemptAuth::Sealed(prover, Vec::new()))
            }
            (Self::Token(proof), CallForm::Bearer) => {
                let token = proof.tokens.fetch(proof.audience, limit).await?;
                let identity = HeaderValue::try_from(proof.card.identity().to_string());
                let identity = identity.map_err(|_| CallRefusal::Request("the identity"))?;
                let identity = (HeaderName::from_static(IDENTITY_HEADER), identity);
                Ok(AttemptAuth::Bearer(vec![request::bearer(token.expose())?, identity]))
            }
            (Self::Token(proof), CallForm::Sealed) => bind_token(proof, limit).await,
        }
    }
}

/// Fetches a token that is bound to a key of this attempt: whoever sees it cannot use it.
async fn bind_token(proof: &TokenProof<'_>, limit: Duration) -> Result<AttemptAuth, CallError> {
    let answer_key = proof.card.location().answer_key();
    let answer_key = answer_key.ok_or(CallRefusal::Request("the proof"))?;
    let seed = Key32::random(&mut Kernel);
    let audience = format!("{}#{}", proof.audience, thumbprint(&Prover::public_key(&seed)));
    let token = proof.tokens.fetch(&audience, limit).await?;
    // A proxy of the platform's service may lose what follows the #, and whoever sees such a token could use it.
    if !token.is_for(&audience) {
        return Err(CallRefusal::TokenNotBound.into());
    }
    let header = request::sensitive("", token.expose())?;
    let prover = Prover::of_token(proof.card.identity(), token.expose(), seed, answer_key);
    Ok(AttemptAuth::Sealed(Arc::new(prover), vec![(HeaderName::from_static(TOKEN_HEADER), header)]))
}

/// A call before it is authenticated. Every attempt sends the same, but for the proof.
pub(crate) struct MachineCall {
    path: String,
    /// The same for all attempts.
    attempt: Option<CallHeader>,
    body: Bytes,
    /// The largest body of a response.
    limit: usize,
}

impl MachineCall {
    pub(crate) fn new(path: String, body: &impl Serialize, limit: usize) -> Result<Self, CallRefusal> {
        Ok(Self { path, attempt: None, body: request::json(body)?, limit })
    }

    /// Adds a fresh attempt key.
    pub(crate) fn with_attempt_key(mut self) -> Result<Self, CallRefusal> {
        self.attempt = Some(request::idempotency_key()?);
        Ok(self)
    }

    /// The request, and what opens its answer if that is sealed. `time` must differ from that of every other attempt, or the
    /// one-time key does.
    pub(crate) fn authenticate(
        &self,
        auth: &AttemptAuth,
        time: ProofTime,
    ) -> Result<(HttpRequest, Option<PendingAnswer>), CallRefusal> {
        match auth {
            AttemptAuth::Bearer(headers) => Ok((self.request(headers.clone(), self.limit), None)),
            AttemptAuth::Sealed(prover, headers) => {
                let (request, pending) = self.seal(prover, headers.clone(), time)?;
                Ok((request, Some(pending)))
            }
        }
    }

    fn seal(
        &self,
        prover: &Prover,
        mut headers: Vec<CallHeader>,
        time: ProofTime,
    ) -> Result<(HttpRequest, PendingAnswer), CallRefusal> {
        let attempt = self.attempt.as_ref().and_then(|(_, value)| value.to_str().ok());
        let target = RequestTarget { method: Method::POST.as_str(), path: &self.path, attempt };
        let proven = prover.prove(target, &self.body, time, &mut Kernel);
        let (proof, pending) = proven.map_err(|_| CallRefusal::NoRandomness)?;
        let proof = HeaderValue::try_from(format!("{PROOF_SCHEME} {proof}"));
        let proof = proof.map_err(|_| CallRefusal::Request("the proof"))?;
        let accept = HeaderValue::from_static(SEALED_MEDIA_TYPE);
        headers.extend([(header::AUTHORIZATION, proof), (header::ACCEPT, accept)]);
        Ok((self.request(headers, self.limit + SEALED_OVERHEAD), pending))
    }

    fn request(&self, mut headers: Vec<CallHeader>, limit: usize) -> HttpRequest {
        headers.extend(self.attempt.clone());
        let (path, body) = (self.path.clone(), Some(self.body.clone()));
        HttpRequest { method: Method::POST, path, headers, body, limit }
    }
}
