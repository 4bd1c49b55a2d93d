//! A machine's call, in the form that fits the server it goes to: with a bearer credential where TLS matches a pin, sealed
//! everywhere else. There is no way from the second form back to the first.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use serde::Serialize;

use crate::client::connect::ConnectTarget;
use crate::client::endpoint::EndpointKind;
use crate::client::error::CallRefusal;
use crate::client::request;
use crate::client::request::HttpRequest;
use crate::crypto::random::Kernel;
use crate::crypto::sealed_release::prover::{PendingAnswer, ProofTime, Prover};
use crate::crypto::sealed_release::statement::RequestTarget;
use crate::domain::credential::Credential;
use crate::domain::location::AnswerKey;
use crate::wire::{PROOF_SCHEME, SEALED_MEDIA_TYPE};

/// Bytes of a sealed answer besides the body in it, at most.
const SEALED_OVERHEAD: usize = 2048;

/// With what a machine is authenticated, in both forms.
pub(crate) struct MachineAuth {
    bearer: (HeaderName, HeaderValue),
    /// `None` without the store's answer key, which a ticket of an older version lacks.
    prover: Option<Prover>,
}

/// How a call is authenticated to one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallForm {
    Bearer,
    Sealed,
}

impl MachineAuth {
    pub(crate) fn new(credential: &Credential, answer_key: Option<AnswerKey>) -> Result<Self, CallRefusal> {
        let prover = answer_key.and_then(|key| Prover::of_credential(credential, key));
        Ok(Self { bearer: request::bearer(credential)?, prover })
    }

    /// The form for a server.
    ///
    /// # Errors
    /// `NoAnswerKey` if somebody in between could terminate TLS, and nothing would tell their answers from the store's.
    pub(crate) fn form(&self, target: &ConnectTarget) -> Result<CallForm, CallRefusal> {
        match (target.endpoint.pins(), &self.prover) {
            (Some(_), _) => Ok(CallForm::Bearer),
            // Also on this machine: a tunnel may listen there, and end elsewhere.
            (None, Some(_)) => Ok(CallForm::Sealed),
            (None, None) => match &target.endpoint.kind {
                // A ticket of an older version that names the store's own socket.
                EndpointKind::Unix { .. } | EndpointKind::Loopback { .. } => Ok(CallForm::Bearer),
                EndpointKind::Tls { .. } => Err(CallRefusal::NoAnswerKey { address: target.address.clone() }),
            },
        }
    }
}

/// A call before it is authenticated. Every attempt sends the same, but for the proof.
pub(crate) struct MachineCall {
    pub(crate) auth: MachineAuth,
    path: String,
    /// The same for all attempts.
    attempt: Option<(HeaderName, HeaderValue)>,
    body: Bytes,
    /// The largest body of a response.
    limit: usize,
}

impl MachineCall {
    pub(crate) fn new(
        auth: MachineAuth,
        path: String,
        body: &impl Serialize,
        limit: usize,
    ) -> Result<Self, CallRefusal> {
        Ok(Self { auth, path, attempt: None, body: request::json(body)?, limit })
    }

    /// Adds a fresh attempt key.
    pub(crate) fn with_attempt_key(mut self) -> Result<Self, CallRefusal> {
        self.attempt = Some(request::idempotency_key()?);
        Ok(self)
    }

    pub(crate) fn bearer_request(&self) -> HttpRequest {
        self.request(vec![self.auth.bearer.clone()], self.limit)
    }

    /// Proves the call. `time` must differ from that of every other attempt, or the one-time key does.
    pub(crate) fn sealed_request(
        &self,
        time: ProofTime,
    ) -> Result<(HttpRequest, PendingAnswer), CallRefusal> {
        let prover = self.auth.prover.as_ref().ok_or(CallRefusal::Request("the proof"))?;
        let attempt = self.attempt.as_ref().and_then(|(_, value)| value.to_str().ok());
        let target = RequestTarget { method: Method::POST.as_str(), path: &self.path, attempt };
        let proven = prover.prove(target, &self.body, time, &mut Kernel);
        let (proof, pending) = proven.map_err(|_| CallRefusal::NoRandomness)?;
        let proof = HeaderValue::try_from(format!("{PROOF_SCHEME} {proof}"));
        let proof = proof.map_err(|_| CallRefusal::Request("the proof"))?;
        let accept = HeaderValue::from_static(SEALED_MEDIA_TYPE);
        let headers = vec![(header::AUTHORIZATION, proof), (header::ACCEPT, accept)];
        Ok((self.request(headers, self.limit + SEALED_OVERHEAD), pending))
    }

    fn request(&self, mut headers: Vec<(HeaderName, HeaderValue)>, limit: usize) -> HttpRequest {
        headers.extend(self.attempt.clone());
        let (path, body) = (self.path.clone(), Some(self.body.clone()));
        HttpRequest { method: Method::POST, path, headers, body, limit }
    }

    pub(crate) fn into_auth(self) -> MachineAuth {
        self.auth
    }
}
