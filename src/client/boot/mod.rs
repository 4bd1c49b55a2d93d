//! A boot as the agent makes it: one ticket, one deadline, one exchange, and a report that nobody waits for.
//!
//! What the store released is passed on as it came; whether it is all that was meant to be released is the agent's to
//! judge.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::connect::ConnectTarget;
use super::endpoint::Endpoint;
use super::error::{CallOutage, CallRefusal};
use super::retry::{RetryAttempt, RetryError};
use super::roots::Roots;
use super::timer::Timer;
use super::transport::{Connection, HttpRequest};
use super::{request, response, retry};
use crate::domain::ticket::BootTicket;
use crate::wire::{BootRequest, BootResponse, ExplainResponse, ReportBootRequest, paths};

/// The longest release taken: far above what fits an environment (6 MiB), and room for files.
const LONGEST_RELEASE: usize = 64 << 20;
/// The longest explanation taken.
const LONGEST_EXPLANATION: usize = 16 << 20;
/// How long one try may spend on connecting, so that a machine which does not answer is tried again.
const CONNECT: Duration = Duration::from_secs(10);
/// The same where other addresses wait.
const CONNECT_IN_TURN: Duration = Duration::from_secs(3);
/// How long a report may hold up the workload.
const REPORT: Duration = Duration::from_millis(5);

/// How to reach a store by a ticket.
#[derive(Clone, Debug)]
pub struct BootOptions {
    /// The time for everything, from now.
    pub deadline: Duration,
    /// The PEM file of the authorities that decide when the ticket has no pin; the system's bundle unless said.
    pub authorities: Option<PathBuf>,
}

impl Default for BootOptions {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(30), authorities: None }
    }
}

/// Why there was no answer for a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BootCallError {
    /// The store was out of reach or not able, until the deadline.
    #[error("gave up after {} and {tries} tries: {last}", seconds(.within))]
    Outage {
        /// What the last try failed with.
        last: CallOutage,
        /// How many tries there were.
        tries: u32,
        /// The time there was.
        within: Duration,
    },
    /// The store, or this machine's configuration, said no.
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

/// The connection of a boot, kept for its report.
pub struct BootSession {
    connection: Connection,
    authorization: (HeaderName, HeaderValue),
    boot: String,
}

/// Asks for the release that `ticket` is good for.
///
/// Outages are tried again, at each of the ticket's addresses in turn, until the deadline; all tries carry one
/// idempotency key, so that an answer which got lost need not cost a second use of the ticket.
pub async fn boot(
    ticket: &BootTicket,
    request: &BootRequest,
    options: &BootOptions,
    pace: &mut impl Timer,
) -> Result<(BootResponse, BootSession), BootCallError> {
    let call = ask(ticket, paths::BOOT, request, LONGEST_RELEASE)?;
    let (response, connection): (BootResponse, _) = until_answered(ticket, &call, options, pace).await?;
    let session = BootSession {
        connection,
        authorization: request::bearer(ticket.credential())?,
        boot: response.boot.clone(),
    };
    Ok((response, session))
}

/// Asks what a boot would be given, without values and without spending a use.
pub async fn explain(
    ticket: &BootTicket,
    request: &BootRequest,
    options: &BootOptions,
    pace: &mut impl Timer,
) -> Result<ExplainResponse, BootCallError> {
    let call = ask(ticket, paths::EXPLAIN, request, LONGEST_EXPLANATION)?;
    let (explanation, _) = until_answered(ticket, &call, options, pace).await?;
    Ok(explanation)
}

impl BootSession {
    /// Tells the store that the workload starts now. Best effort: nobody waits for the answer, no failure is told, and it
    /// takes a few milliseconds at the very most.
    pub async fn report_nowait(self, report: &ReportBootRequest) {
        let path = paths::fill(paths::BOOT_REPORT, &self.boot);
        let Ok(call) = post(path, report, vec![self.authorization], 0) else {
            return;
        };
        self.connection.send_nowait(&call, REPORT).await;
    }
}

async fn until_answered<T: DeserializeOwned, P: Timer>(
    ticket: &BootTicket,
    call: &HttpRequest,
    options: &BootOptions,
    pace: &mut P,
) -> Result<(T, Connection), BootCallError> {
    let mut targets = targets(ticket, options.authorities.as_deref())?;
    spread(&mut targets, pace);
    let deadline = pace.now().saturating_add(options.deadline);
    let outcome = retry::until(pace, deadline, targets.len(), async |pace: &mut P, this: RetryAttempt| {
        let target = &targets[this.address];
        let alone = targets.len() == 1;
        let started = pace.now();
        let limit = this.remaining.min(if alone { CONNECT } else { CONNECT_IN_TURN });
        let mut connection = Connection::open(target, limit).await?;

        let left = this.remaining.saturating_sub(pace.now().saturating_sub(started));
        // A store that took the request and is silent leaves half of the time to the others.
        let limit = if this.address + 1 < targets.len() { left / 2 } else { left };
        let answer = connection.exchange(call, limit).await?;
        Ok((response::read(&target.to, answer)?, connection))
    })
    .await;
    outcome.map_err(|gave_up| match gave_up {
        RetryError::Refused(refused) => refused.into(),
        RetryError::Deadline { last, tries } => {
            BootCallError::Outage { last, tries, within: options.deadline }
        }
    })
}

/// Begins with any of them by chance, so that machines which boot together do not all ask the same server first.
fn spread(targets: &mut [ConnectTarget], pace: &mut impl Timer) {
    if targets.len() > 1 {
        let first = pace.random() % targets.len() as u64;
        targets.rotate_left(usize::try_from(first).unwrap_or_default());
    }
}

/// The ticket's addresses that this machine can use. Only when there is none is it told why.
fn targets(ticket: &BootTicket, authorities: Option<&Path>) -> Result<Vec<ConnectTarget>, CallRefusal> {
    let mut targets = Vec::with_capacity(ticket.urls().len());
    let mut fault = None;
    for url in ticket.urls() {
        match target(url, ticket, authorities) {
            Ok(target) => targets.push(target),
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
    if let Some(pin) = ticket.pin() {
        endpoint = endpoint.pinned(pin);
    }
    ConnectTarget::new(endpoint, || Roots::chosen(authorities))
}

fn ask(
    ticket: &BootTicket,
    path: &str,
    wanted: &BootRequest,
    limit: usize,
) -> Result<HttpRequest, CallRefusal> {
    let headers = vec![request::bearer(ticket.credential())?, request::idempotency_key()?];
    post(path.to_owned(), wanted, headers, limit)
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
