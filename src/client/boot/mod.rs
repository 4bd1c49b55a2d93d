//! The calls of a boot: one ticket, one deadline, one exchange, and a report without waiting for its response.
//!
//! The release is passed on unchanged. The agent checks that it is complete.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use serde::Serialize;
use thiserror::Error;
use tracing::warn;

use super::connect::ConnectTarget;
use super::endpoint::Endpoint;
use super::error::{CallError, CallOutage, CallRefusal};
use super::request::HttpRequest;
use super::retry::{RetryAttempt, RetryError};
use super::roots::Roots;
use super::timer::{SystemTimer, Timer};
use super::transport::{Connection, HttpResponse};
use super::{request, response, retry};
use crate::domain::credential::Credential;
use crate::domain::id::BootId;
use crate::domain::ticket::BootTicket;
use crate::wire::{BootRequest, BootResponse, EndBootRequest, ExplainResponse, ReportBootRequest, paths};

/// The largest release that is read: far above what fits an environment (6 MiB), with room for files.
const MAX_RELEASE: usize = 64 << 20;
/// The largest explanation that is read.
const MAX_EXPLANATION: usize = 16 << 20;
/// The largest response to the report of an end that is read: that of a problem.
const MAX_END_RESPONSE: usize = 64 << 10;
/// The time limit for connecting, so that a lost packet costs one attempt and not the whole deadline.
const CONNECT: Duration = Duration::from_secs(10);
/// The same if the ticket has other addresses to try.
const CONNECT_ONE_OF_MANY: Duration = Duration::from_secs(3);
/// How long a server may send nothing before another attempt is made. Longer than a store lets a boot wait for its turn, which is 10 s
/// (`limits.boot_wait`).
const SILENCE: Duration = Duration::from_secs(12);
/// How long a report may delay the workload.
const REPORT: Duration = Duration::from_millis(5);

/// How to reach the store of a ticket.
#[derive(Clone, Debug)]
pub struct BootOptions {
    /// The time limit for all attempts together.
    pub deadline: Duration,
    /// The PEM file of certificate authorities, for a ticket without a pin. Default: the system's.
    pub authorities: Option<PathBuf>,
}

impl Default for BootOptions {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(30), authorities: None }
    }
}

/// Why the store did not answer a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BootCallError {
    /// Every attempt failed with an outage until the deadline.
    #[error("gave up after {} and {attempts} attempts: {last}", seconds(.within))]
    Outage {
        /// The failure of the last attempt.
        last: CallOutage,
        /// The number of attempts.
        attempts: u32,
        /// The time limit.
        within: Duration,
    },
    /// The store refused, or this machine's configuration is wrong.
    #[error(transparent)]
    Refused(#[from] CallRefusal),
}

impl BootCallError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&str> {
        match self {
            Self::Outage { last, .. } => last.hint(),
            Self::Refused(refused) => refused.hint(),
        }
    }
}

/// The connection of a boot, which its report reuses.
pub struct BootSession {
    connection: Connection,
    authorization: (HeaderName, HeaderValue),
    boot: BootId,
}

/// Requests the release for `ticket`.
///
/// After an outage it retries at each of the ticket's addresses in turn, until the deadline. All attempts have the same
/// idempotency key, so that a lost response, or one that was not waited for, does not cost a second use of the ticket.
pub async fn boot(
    ticket: &BootTicket,
    request: &BootRequest,
    options: &BootOptions,
    timer: &mut impl Timer,
) -> Result<(BootResponse, BootSession), BootCallError> {
    // Built once, since the idempotency key inside must be the same for every attempt.
    let call = request_for(ticket, paths::BOOT, request, MAX_RELEASE)?;
    let targets = targets(ticket, options.authorities.as_deref())?;
    let Answer { address, response, connection } =
        retry_call(targets, &call, options.deadline, timer).await?;
    let response: BootResponse = response::parse(&address, &response)?;
    let session =
        BootSession { connection, authorization: request::bearer(ticket.credential())?, boot: response.boot };
    Ok((response, session))
}

/// Requests what a boot would receive, without values and without using up the ticket.
pub(crate) async fn explain(
    ticket: &BootTicket,
    request: &BootRequest,
    options: &BootOptions,
    timer: &mut impl Timer,
) -> Result<ExplainResponse, BootCallError> {
    let call = request_for(ticket, paths::EXPLAIN, request, MAX_EXPLANATION)?;
    let targets = targets(ticket, options.authorities.as_deref())?;
    let Answer { address, response, .. } = retry_call(targets, &call, options.deadline, timer).await?;
    Ok(response::parse(&address, &response)?)
}

impl BootSession {
    /// Reports that the workload starts now. It does not wait for the response, ignores every failure, and takes at most
    /// 5 ms.
    pub async fn report_nowait(self, report: &ReportBootRequest) {
        self.send_progress_nowait(BootProgress::Started(report)).await;
    }

    /// Tells the store in the same way how the boot goes on.
    pub(crate) async fn send_progress_nowait(self, progress: BootProgress<'_>) {
        let call = match progress {
            BootProgress::Started(report) => {
                // A limit of 0, since nobody reads the response.
                post(paths::fill(paths::BOOT_REPORT, self.boot), report, vec![self.authorization], 0)
            }
            BootProgress::Failed(end) => end_call(end, &EndBootRequest { status: None, failed: true }),
        };
        if let Ok(call) = call {
            self.connection.send_nowait(&call, REPORT).await;
        }
    }
}

/// How a boot goes on after its release.
pub(crate) enum BootProgress<'a> {
    /// The workload starts.
    Started(&'a ReportBootRequest),
    /// The workload is not started. The credential is the one that ends the boot.
    Failed(&'a Credential),
}

/// Reports the end of the boot of `credential` to a store at one of `addresses`, which have their pins, within `limit` in all.
pub(crate) async fn end_boot(
    addresses: &[&str],
    authorities: Option<&Path>,
    credential: &Credential,
    report: &EndBootRequest,
    limit: Duration,
) -> Result<(), BootCallError> {
    let call = end_call(credential, report)?;
    let target = |address: &&str| ConnectTarget::new(Endpoint::parse(address)?, || Roots::load(authorities));
    let targets = usable(addresses.iter().map(target))?;
    retry_call(targets, &call, limit, &mut SystemTimer::start()).await.map(drop)
}

/// The call that reports the end of the boot of `credential`.
fn end_call(credential: &Credential, report: &EndBootRequest) -> Result<HttpRequest, CallRefusal> {
    let path = paths::fill(paths::BOOT_END, BootId::from_bytes(credential.id));
    post(path, report, vec![request::bearer(credential)?], MAX_END_RESPONSE)
}

/// A successful response, and the connection that it came on.
struct Answer {
    address: String,
    response: HttpResponse,
    connection: Connection,
}

/// The one path of all calls: the agent has to be small, so that this knows nothing of what the body is.
async fn retry_call<P: Timer>(
    mut targets: Vec<ConnectTarget>,
    call: &HttpRequest,
    within: Duration,
    timer: &mut P,
) -> Result<Answer, BootCallError> {
    rotate_randomly(&mut targets, timer);
    let deadline = timer.now().saturating_add(within);
    let mut strangers = Strangers(vec![false; targets.len()]);
    let outcome = retry::until(timer, deadline, targets.len(), async |timer: &mut P, this: RetryAttempt| {
        let target = &targets[this.address];
        let only = targets.len() == 1;
        let started = timer.now();
        // A server on which thousands of machines boot at once answers a handshake late. To give it up early, and begin again at the end
        // of the queue, would make it work in vain for all of them.
        let limit = this.remaining.min(if only { CONNECT.max(silence(within)) } else { CONNECT_ONE_OF_MANY });
        let opened = Connection::open(target, limit).await;
        let mut connection = opened.map_err(|error| strangers.judge(this.address, error))?;

        // Connecting has used a part of the attempt's time.
        let left = this.remaining.saturating_sub(timer.now().saturating_sub(started));
        // A server that accepted the request and then hangs leaves half of the time to the other addresses.
        let limit = if this.address + 1 < targets.len() { left / 2 } else { left };
        let response = connection.exchange_unless_silent(call, limit, silence(within)).await?;
        let response = response::require_success(&target.address, response)?;
        Ok(Answer { address: target.address.clone(), response, connection })
    })
    .await;
    outcome.map_err(|error| match error {
        RetryError::Refused(refused) => refused.into(),
        RetryError::Deadline { last, attempts } => BootCallError::Outage { last, attempts, within },
    })
}

/// How long an attempt waits for a server that sends nothing.
fn silence(deadline: Duration) -> Duration {
    // A third of a short deadline is left to another attempt, and half of a long one. Not less: when thousands of machines boot at
    // once, the first answer may take that long, and an attempt that is given up too early makes the server work in vain.
    (deadline * 2 / 3).min(SILENCE).max(deadline / 2)
}

/// Which addresses have answered with another key or certificate than that of the store.
struct Strangers(Vec<bool>);

impl Strangers {
    /// Anybody on the path to one address can pose as its server. So that is an outage of the address, as if they had dropped the
    /// packets, until it has happened at all addresses.
    fn judge(&mut self, address: usize, error: CallError) -> CallError {
        let CallError::Refused(refused) = error else { return error };
        if !refused.is_stranger() {
            return refused.into();
        }
        let known = std::mem::replace(&mut self.0[address], true);
        if self.0.iter().all(|is_stranger| *is_stranger) {
            return refused.into();
        }
        if !known {
            warn!("{refused}; trying the other addresses");
        }
        CallOutage::Stranger(Box::new(refused)).into()
    }
}

/// Starts the list at a random target, so that machines that boot together do not all call the same server first.
fn rotate_randomly(targets: &mut [ConnectTarget], timer: &mut impl Timer) {
    if targets.len() > 1 {
        let first = timer.random() % targets.len() as u64;
        targets.rotate_left(usize::try_from(first).unwrap_or_default());
    }
}

/// The ticket's addresses that this machine can use.
fn targets(ticket: &BootTicket, authorities: Option<&Path>) -> Result<Vec<ConnectTarget>, CallRefusal> {
    usable(ticket.urls().iter().map(|url| target(url, ticket, authorities)))
}

/// The targets that can be used. The error is that of the first, if none can.
fn usable(
    all: impl Iterator<Item = Result<ConnectTarget, CallRefusal>>,
) -> Result<Vec<ConnectTarget>, CallRefusal> {
    let (mut targets, mut fault) = (Vec::new(), None);
    for target in all {
        match target {
            Ok(target) => targets.push(target),
            // Say, no authorities are installed, but another address is a Unix socket.
            Err(refused) => fault = fault.or(Some(refused)),
        }
    }
    match fault {
        Some(fault) if targets.is_empty() => Err(fault),
        _ => Ok(targets),
    }
}

pub(crate) fn target(
    url: &str,
    ticket: &BootTicket,
    authorities: Option<&Path>,
) -> Result<ConnectTarget, CallRefusal> {
    let mut endpoint = Endpoint::parse(url)?;
    // The same pins for all addresses: they are servers of one store, which share its keys.
    if let Some(pins) = ticket.pins() {
        endpoint = endpoint.with_default_pins(pins);
    }
    ConnectTarget::new(endpoint, || Roots::load(authorities))
}

fn request_for(
    ticket: &BootTicket,
    path: &str,
    body: &BootRequest,
    limit: usize,
) -> Result<HttpRequest, CallRefusal> {
    let headers = vec![request::bearer(ticket.credential())?, request::idempotency_key()?];
    post(path.to_owned(), body, headers, limit)
}

fn post(
    path: String,
    body: &impl Serialize,
    headers: Vec<(HeaderName, HeaderValue)>,
    limit: usize,
) -> Result<HttpRequest, CallRefusal> {
    Ok(HttpRequest { method: Method::POST, path, headers, body: Some(request::json(body)?), limit })
}

fn seconds(time: &Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

#[cfg(all(test, feature = "server"))]
mod tests;
