//! Calls with a token over one connection, and what they have in common.
//!
//! A request is sent again only if the first one surely did not arrive, or if executing it twice has the same result.

use std::io;
use std::path::Path;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::connect::ConnectTarget;
use super::endpoint::Endpoint;
use super::error::{CallError, CallOutage, CallRefusal, CallStage};
use super::request::HttpRequest;
use super::retry::{RetryAttempt, RetryError};
use super::roots::Roots;
use super::timer::{SystemTimer, Timer};
use super::transport::{Connection, HttpResponse};
use super::{request, response, retry};
use crate::domain::credential::Credential;
use crate::wire::Code;

/// The largest response that is read: a page of 500 items, or a plain file of 1 MiB with escapes.
const MAX_RESPONSE: usize = 16 << 20;
/// The time limit for connecting.
const CONNECT: Duration = Duration::from_secs(10);
/// The time limit for a call, and for each pause within a stream.
const CALL: Duration = Duration::from_secs(60);
/// The time limit for work over the whole store, such as verifying an audit log of millions of entries.
const LONG_CALL: Duration = Duration::from_secs(3600);
/// How long a call is retried while the store asks its clients to wait.
const RETRY: Duration = Duration::from_secs(20);

/// A client of the API with an operator's or member's token.
///
/// It makes one call at a time over one connection, which the first call opens; a later call opens it again if the store has
/// closed it. It retries for up to 20 seconds after a 429 or `overloaded` with `Retry-After`, and returns any other failure
/// at once.
pub(crate) struct Client {
    target: ConnectTarget,
    authorization: Option<(HeaderName, HeaderValue)>,
    connection: Option<Connection>,
    timer: SystemTimer,
}

impl Client {
    /// Creates a client. `authorities` is a PEM file for an endpoint without a pin. Default: the system's. Nothing is sent
    /// before the first call.
    pub(crate) fn new(
        endpoint: Endpoint,
        token: &Credential,
        authorities: Option<&Path>,
    ) -> Result<Self, CallError> {
        Ok(Self {
            authorization: Some(request::bearer(&token.to_text())?),
            ..Self::anonymous(endpoint, authorities)?
        })
    }

    /// Creates a client without a token, for somebody who signs in.
    pub(crate) fn anonymous(endpoint: Endpoint, authorities: Option<&Path>) -> Result<Self, CallError> {
        Ok(Self {
            target: ConnectTarget::new(endpoint, || Roots::load(authorities))?,
            authorization: None,
            connection: None,
            timer: SystemTimer::start(),
        })
    }

    /// Checks that what answers is the store itself, and not a proxy that an authority vouches for.
    pub(super) fn require_store_itself(&self) -> Result<(), CallRefusal> {
        let endpoint = &self.target.endpoint;
        if endpoint.pins().is_some() || endpoint.is_local() {
            return Ok(());
        }
        Err(CallRefusal::NeedsPin { address: self.target.address.clone() })
    }

    /// The address without its pin, for messages.
    pub(crate) fn address(&self) -> &str {
        &self.target.address
    }

    pub(crate) async fn get<T: DeserializeOwned>(&mut self, path: String) -> Result<T, CallError> {
        let call = self.request(Method::GET, path);
        self.call_json(&call, CALL).await
    }

    /// A GET that reads the whole log: the server stops after 15 minutes.
    pub(crate) async fn get_slowly<T: DeserializeOwned>(&mut self, path: String) -> Result<T, CallError> {
        let call = self.request(Method::GET, path);
        self.call_json(&call, LONG_CALL).await
    }

    /// A POST without a body.
    pub(crate) async fn post_nothing<T: DeserializeOwned>(&mut self, path: String) -> Result<T, CallError> {
        let call = self.request(Method::POST, path);
        self.call_json(&call, CALL).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &mut self,
        path: String,
        body: &impl Serialize,
    ) -> Result<T, CallError> {
        let call = with_body(self.request(Method::POST, path), body)?;
        self.call_json(&call, CALL).await
    }

    /// A POST that reads the whole log, and whose response is text: the server stops after 15 minutes.
    pub(crate) async fn post_for_text(
        &mut self,
        path: String,
        body: &impl Serialize,
    ) -> Result<String, CallError> {
        let call = with_body(self.request(Method::POST, path), body)?;
        let response = self.send(&call, LONG_CALL).await?;
        response::text(&self.target.address, &response)
    }

    /// A POST whose response has no body.
    pub(crate) async fn report(&mut self, path: String, body: &impl Serialize) -> Result<(), CallError> {
        let call = with_body(self.request(Method::POST, path), body)?;
        let response = self.send(&call, CALL).await?;
        response::require_success(&self.target.address, response).map(drop)
    }

    /// A POST that creates something. Its `Idempotency-Key` makes a repetition harmless.
    pub(crate) async fn create<T: DeserializeOwned>(
        &mut self,
        path: String,
        body: &impl Serialize,
    ) -> Result<T, CallError> {
        // The key is part of the call, so that a second attempt has the same one.
        let mut call = with_body(self.request(Method::POST, path), body)?;
        call.headers.push(request::idempotency_key()?);
        self.call_json(&call, CALL).await
    }

    /// PUT or PATCH. With `if_version`, the store refuses unless that is the current version.
    pub(crate) async fn write<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: String,
        body: &impl Serialize,
        if_version: Option<&str>,
    ) -> Result<T, CallError> {
        let call = if_match(with_body(self.request(method, path), body)?, if_version)?;
        self.call_json(&call, CALL).await
    }

    pub(crate) async fn delete<T: DeserializeOwned>(
        &mut self,
        path: String,
        if_version: Option<&str>,
    ) -> Result<T, CallError> {
        let call = if_match(self.request(Method::DELETE, path), if_version)?;
        self.call_json(&call, CALL).await
    }

    /// A DELETE whose response has no body.
    pub(crate) async fn remove(&mut self, path: String) -> Result<(), CallError> {
        let call = self.request(Method::DELETE, path);
        let response = self.send(&call, CALL).await?;
        response::require_success(&self.target.address, response).map(drop)
    }

    /// A GET whose body goes to `sink` as it arrives.
    pub(crate) async fn stream(
        &mut self,
        path: String,
        sink: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
    ) -> Result<(), CallError> {
        let call = self.request(Method::GET, path);
        // A separate connection: one with the rest of an interrupted stream cannot carry the next call. No retries: `sink` may
        // have received a part already.
        let mut connection = Connection::open(&self.target, CONNECT).await?;
        let response = connection.stream(&call, CALL, sink).await?;
        response::require_success(&self.target.address, response).map(drop)
    }

    fn request(&self, method: Method, path: String) -> HttpRequest {
        HttpRequest {
            method,
            path,
            headers: self.authorization.iter().cloned().collect(),
            body: None,
            limit: MAX_RESPONSE,
        }
    }

    async fn call_json<T: DeserializeOwned>(
        &mut self,
        call: &HttpRequest,
        limit: Duration,
    ) -> Result<T, CallError> {
        let response = self.send(call, limit).await?;
        response::read(&self.target.address, response)
    }

    /// Sends `call`, and again while the store asks its clients to wait. The response's status is a success.
    async fn send(&mut self, call: &HttpRequest, limit: Duration) -> Result<HttpResponse, CallError> {
        let Self { target, connection, timer, .. } = self;
        // Only an error with `asks_to_wait` stays an error inside: all other results end the retries by being `Ok`.
        let deadline = timer.now() + RETRY;
        let outcome = retry::until(timer, deadline, 1, async |_: &mut SystemTimer, _: RetryAttempt| {
            let response = exchange_once(target, connection, call, limit).await;
            match response.and_then(|response| response::require_success(&target.address, response)) {
                Err(CallError::Outage(outage)) if asks_to_wait(&outage) => Err(outage.into()),
                result => Ok(result),
            }
        })
        .await;
        match outcome {
            Ok(result) => result,
            Err(RetryError::Refused(refused)) => Err(refused.into()),
            Err(RetryError::Deadline { last, .. }) => Err(last.into()),
        }
    }
}

/// Performs one exchange, over the idle connection if there is one.
async fn exchange_once(
    target: &ConnectTarget,
    idle: &mut Option<Connection>,
    call: &HttpRequest,
    limit: Duration,
) -> Result<HttpResponse, CallError> {
    if let Some(mut connection) = idle.take()
        && connection.is_open().await
    {
        match connection.exchange(call, limit).await {
            Ok(response) => {
                *idle = Some(connection);
                return Ok(response);
            }
            // The store may close an idle connection just when a request leaves. It is sent again, once and over a new
            // connection, if that cannot execute it twice.
            Err(CallError::Outage(CallOutage::Broken { during, .. }))
                if during == CallStage::Sending || is_repeatable(call) => {}
            Err(error) => return Err(error),
        }
    }
    let mut connection = Connection::open(target, CONNECT).await?;
    let response = connection.exchange(call, limit).await?;
    *idle = Some(connection);
    Ok(response)
}

fn is_repeatable(call: &HttpRequest) -> bool {
    // PUT and DELETE are idempotent too (RFC 9110, section 9.2.2), but a repetition of one that was executed gets an error:
    // its `If-Match` names the old version, or the secret is gone.
    call.method.is_safe() || call.headers.iter().any(|(name, _)| name == "idempotency-key")
}

/// Whether the store says when to retry, and needs nobody's help until then.
fn asks_to_wait(outage: &CallOutage) -> bool {
    let CallOutage::Status { problem, retry_after: Some(_), .. } = outage else { return false };
    // Not `locked`: that lasts until an operator unlocks the store.
    let code = problem.as_ref().map(|problem| problem.code);
    matches!(code, Some(Code::RateLimited | Code::Overloaded))
}

fn with_body(mut call: HttpRequest, body: &impl Serialize) -> Result<HttpRequest, CallRefusal> {
    call.body = Some(request::json(body)?);
    Ok(call)
}

fn if_match(mut call: HttpRequest, version: Option<&str>) -> Result<HttpRequest, CallRefusal> {
    call.headers.extend(version.map(request::if_match).transpose()?);
    Ok(call)
}

#[cfg(test)]
pub(crate) mod tests;
