//! A caller with a token: one connection, kept from call to call, and what all calls have in common.
//!
//! A call is sent twice only when the first surely did nothing, or when doing it twice is doing it once.

use std::io;
use std::path::Path;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::connect::ConnectTarget;
use super::endpoint::Endpoint;
use super::error::{CallError, CallOutage, CallRefusal, CallStage};
use super::retry::{RetryAttempt, RetryError};
use super::roots::Roots;
use super::timer::{SystemTimer, Timer};
use super::transport::{Connection, HttpRequest, HttpResponse};
use super::{request, response, retry};
use crate::domain::credential::Credential;
use crate::wire::Code;

/// The longest answer taken: a page of 500 items, or a plain file of 1 MiB escaped.
const LONGEST_ANSWER: usize = 16 << 20;
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a call may take, and each pause within a stream.
const CALL: Duration = Duration::from_secs(60);
/// How long work over the whole store may take before its answer: verifying an audit trail of millions of entries.
const LONG_CALL: Duration = Duration::from_secs(3600);
/// How long a store that asks for patience gets it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A caller of the API with an operator's or member's token.
///
/// Calls go one after another over one connection, which is opened at the first and opened again when the store closed
/// it. A store that answers 429 or `overloaded` and says when to come back is asked again for up to 20 seconds; any other
/// failure is told at once.
pub(crate) struct Client {
    target: ConnectTarget,
    authorization: (HeaderName, HeaderValue),
    connection: Option<Connection>,
    pace: SystemTimer,
}

impl Client {
    /// A caller at `endpoint`. `authorities` is the PEM file that decides when the endpoint has no pin; the system's
    /// bundle unless said. Nothing is sent before the first call.
    pub(crate) fn new(
        endpoint: Endpoint,
        token: &Credential,
        authorities: Option<&Path>,
    ) -> Result<Self, CallError> {
        Ok(Self {
            target: ConnectTarget::new(endpoint, || Roots::chosen(authorities))?,
            authorization: request::bearer(token)?,
            connection: None,
            pace: SystemTimer::start(),
        })
    }

    /// The address, without its pin: what messages name.
    pub(crate) fn address(&self) -> &str {
        &self.target.to
    }

    pub(crate) async fn get<T: DeserializeOwned>(&mut self, path: String) -> Result<T, CallError> {
        let call = self.call(Method::GET, path);
        self.answered(&call, CALL).await
    }

    /// A GET whose answer may take the store long to find.
    pub(crate) async fn get_slowly<T: DeserializeOwned>(&mut self, path: String) -> Result<T, CallError> {
        let call = self.call(Method::GET, path);
        self.answered(&call, LONG_CALL).await
    }

    /// A POST without a body.
    pub(crate) async fn post_nothing<T: DeserializeOwned>(&mut self, path: String) -> Result<T, CallError> {
        let call = self.call(Method::POST, path);
        self.answered(&call, CALL).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &mut self,
        path: String,
        body: &impl Serialize,
    ) -> Result<T, CallError> {
        let call = with_body(self.call(Method::POST, path), body)?;
        self.answered(&call, CALL).await
    }

    /// A POST that makes something, with an `Idempotency-Key`: sent again, it makes it once.
    pub(crate) async fn create<T: DeserializeOwned>(
        &mut self,
        path: String,
        body: &impl Serialize,
    ) -> Result<T, CallError> {
        let mut call = with_body(self.call(Method::POST, path), body)?;
        call.headers.push(request::idempotency_key()?);
        self.answered(&call, CALL).await
    }

    /// PUT or PATCH; with `if_version`, only while that is the current version.
    pub(crate) async fn write<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: String,
        body: &impl Serialize,
        if_version: Option<&str>,
    ) -> Result<T, CallError> {
        let call = if_match(with_body(self.call(method, path), body)?, if_version)?;
        self.answered(&call, CALL).await
    }

    pub(crate) async fn delete<T: DeserializeOwned>(
        &mut self,
        path: String,
        if_version: Option<&str>,
    ) -> Result<T, CallError> {
        let call = if_match(self.call(Method::DELETE, path), if_version)?;
        self.answered(&call, CALL).await
    }

    /// A DELETE whose answer says nothing more.
    pub(crate) async fn remove(&mut self, path: String) -> Result<(), CallError> {
        let call = self.call(Method::DELETE, path);
        let answer = self.send(&call, CALL).await?;
        response::succeeded(&self.target.to, answer).map(drop)
    }

    /// A GET whose answer goes to `sink` piece by piece, as it may be long.
    pub(crate) async fn stream(
        &mut self,
        path: String,
        sink: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
    ) -> Result<(), CallError> {
        let call = self.call(Method::GET, path);
        // A connection of its own: what a stream that broke off leaves behind is no place for the next call.
        let mut connection = Connection::open(&self.target, CONNECT).await?;
        let answer = connection.stream(&call, CALL, sink).await?;
        response::succeeded(&self.target.to, answer).map(drop)
    }

    fn call(&self, method: Method, path: String) -> HttpRequest {
        HttpRequest {
            method,
            path,
            headers: vec![self.authorization.clone()],
            body: None,
            limit: LONGEST_ANSWER,
        }
    }

    async fn answered<T: DeserializeOwned>(
        &mut self,
        call: &HttpRequest,
        limit: Duration,
    ) -> Result<T, CallError> {
        let answer = self.send(call, limit).await?;
        response::read(&self.target.to, answer)
    }

    /// Sends `call`, with patience for a store that asks for it. The answer's status is a success.
    async fn send(&mut self, call: &HttpRequest, limit: Duration) -> Result<HttpResponse, CallError> {
        let Self { target, connection, pace, .. } = self;
        let deadline = pace.now() + PATIENCE;
        let outcome = retry::until(pace, deadline, 1, async |_: &mut SystemTimer, _: RetryAttempt| {
            let answer = once(target, connection, call, limit).await;
            match answer.and_then(|answer| response::succeeded(&target.to, answer)) {
                Err(CallError::Outage(outage)) if asks_for_patience(&outage) => Err(outage.into()),
                settled => Ok(settled),
            }
        })
        .await;
        match outcome {
            Ok(settled) => settled,
            Err(RetryError::Refused(refused)) => Err(refused.into()),
            Err(RetryError::Deadline { last, .. }) => Err(last.into()),
        }
    }
}

/// One exchange, over the connection that is kept or else a new one.
async fn once(
    target: &ConnectTarget,
    kept: &mut Option<Connection>,
    call: &HttpRequest,
    limit: Duration,
) -> Result<HttpResponse, CallError> {
    if let Some(mut connection) = kept.take()
        && connection.is_open().await
    {
        match connection.exchange(call, limit).await {
            Ok(answer) => {
                *kept = Some(connection);
                return Ok(answer);
            }
            Err(CallError::Outage(CallOutage::Broken { during, .. }))
                if during == CallStage::Sending || is_repeatable(call) => {}
            Err(error) => return Err(error),
        }
    }
    let mut connection = Connection::open(target, CONNECT).await?;
    let answer = connection.exchange(call, limit).await?;
    *kept = Some(connection);
    Ok(answer)
}

fn is_repeatable(call: &HttpRequest) -> bool {
    call.method.is_safe() || call.headers.iter().any(|(name, _)| name == "idempotency-key")
}

/// A store that says when to come back, and that nobody has to do anything first.
fn asks_for_patience(outage: &CallOutage) -> bool {
    let CallOutage::Status { problem, retry_after: Some(_), .. } = outage else { return false };
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
