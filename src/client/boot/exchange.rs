//! The attempts of a machine's call at the addresses of its store, until one of them is answered.
//!
//! Of a sealed call, only a signed answer counts. Everything else that arrives is an outage, whatever it says: whoever
//! terminates TLS can say anything.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use tracing::warn;
use zeroize::Zeroizing;

use super::BootCallError;
use super::call::{AttemptAuth, MachineAuth, MachineCall};
use crate::client::connect::ConnectTarget;
use crate::client::error::{CallError, CallOutage, CallRefusal};
use crate::client::retry::{RetryAttempt, RetryError};
use crate::client::timer::Timer;
use crate::client::transport::{Connection, HttpResponse};
use crate::client::{response, retry};
use crate::crypto::sealed_release::Challenge;
use crate::crypto::sealed_release::answer::AnswerError;
use crate::crypto::sealed_release::prover::{PendingAnswer, ProofTime};
use crate::wire::{Code, Problem, SEALED_MEDIA_TYPE, parse_challenge};

/// The time limit for connecting, so that a lost packet costs one attempt and not the whole deadline.
const CONNECT: Duration = Duration::from_secs(10);
/// The same if the ticket has other addresses to try.
const CONNECT_ONE_OF_MANY: Duration = Duration::from_secs(3);
/// How long a server may send nothing before another attempt is made. Longer than a store lets a boot wait for its turn, which is 10 s
/// (`limits.boot_wait`).
const SILENCE: Duration = Duration::from_secs(12);

/// The time limit for a token. Metadata services of clouds answer within a second, or again after a pause.
const TOKEN: Duration = Duration::from_secs(10);

/// A successful response, and the connection that it came on.
pub(crate) struct Answer {
    pub(crate) address: String,
    pub(crate) response: HttpResponse,
    pub(crate) connection: Connection,
    pub(crate) auth: AttemptAuth,
    /// What the store gave this machine in place of its clock.
    pub(crate) challenge: Option<Challenge>,
}

/// The one path of all calls: the agent has to be small, so that this knows nothing of what the body is.
pub(crate) async fn retry_call<P: Timer>(
    mut targets: Vec<ConnectTarget>,
    (auth, call): (&MachineAuth<'_>, &MachineCall),
    within: Duration,
    timer: &mut P,
) -> Result<Answer, BootCallError> {
    rotate_randomly(&mut targets, timer);
    let deadline = timer.now().saturating_add(within);
    let mut strangers = Strangers(vec![false; targets.len()]);
    let mut challenge = None;
    let outcome = retry::until(timer, deadline, targets.len(), async |timer: &mut P, this: RetryAttempt| {
        let target = &targets[this.address];
        let limits = AttemptLimits::new(this, targets.len(), within);
        let attempted = attempt((target, auth), call, limits, &*timer, challenge).await;
        let attempted = match attempted {
            // At once: the challenge is valid for a minute, and the addresses are servers of one store.
            Ok(Attempted::Stale(fresh)) => {
                challenge = Some(fresh);
                attempt((target, auth), call, limits, &*timer, challenge).await
            }
            attempted => attempted,
        };
        match attempted {
            Ok(Attempted::Answered(answer)) => Ok(*answer),
            Ok(Attempted::Stale(_)) => Err(stale(target)),
            Err(error) => Err(strangers.judge(this.address, error)),
        }
    })
    .await;
    outcome.map_err(|error| match error {
        RetryError::Refused(refused) => refused.into(),
        RetryError::Deadline { last, attempts } => BootCallError::Outage { last, attempts, within },
    })
}

/// The time limits of one attempt.
#[derive(Clone, Copy)]
struct AttemptLimits {
    remaining: Duration,
    connect: Duration,
    /// Whether half of the time is left to the addresses that follow.
    is_halved: bool,
    silence: Duration,
}

impl AttemptLimits {
    fn new(this: RetryAttempt, addresses: usize, within: Duration) -> Self {
        // A server on which thousands of machines boot at once answers a handshake late. To give it up early, and begin again at the end
        // of the queue, would make it work in vain for all of them.
        let connect = if addresses == 1 { CONNECT.max(silence(within)) } else { CONNECT_ONE_OF_MANY };
        Self {
            remaining: this.remaining,
            connect: this.remaining.min(connect),
            // A server that accepted the request and then hangs leaves half of the time to the other addresses.
            is_halved: this.address + 1 < addresses,
            silence: silence(within),
        }
    }

    /// The time for a token, which leaves half of the rest to the store.
    fn token(&self) -> Duration {
        TOKEN.min(self.remaining / 2)
    }

    /// The time for connecting, after `used` for a token.
    fn connect(&self, used: Duration) -> Duration {
        self.connect.min(self.remaining.saturating_sub(used))
    }

    /// The time for the exchange, after `used` for everything before it.
    fn exchange(&self, used: Duration) -> Duration {
        let left = self.remaining.saturating_sub(used);
        if self.is_halved { left / 2 } else { left }
    }
}

/// What an attempt came to.
enum Attempted {
    Answered(Box<Answer>),
    /// The store does not accept this machine's clock.
    Stale(Challenge),
}

async fn attempt(
    (target, auth): (&ConnectTarget, &MachineAuth<'_>),
    call: &MachineCall,
    limits: AttemptLimits,
    timer: &impl Timer,
    challenge: Option<Challenge>,
) -> Result<Attempted, CallError> {
    let started = timer.now();
    let used = || timer.now().saturating_sub(started);
    // Before the connection, which a server closes that waits too long for a request.
    let auth = auth.prepare(auth.form(target)?, limits.token()).await?;
    let mut connection = Connection::open(target, limits.connect(used())).await?;
    let limit = limits.exchange(used());
    let time = ProofTime { millis: wall_millis(timer), challenge };
    let (request, pending) = call.authenticate(&auth, time)?;
    let response = connection.exchange_unless_silent(&request, limit, limits.silence).await;
    let response = match pending {
        None => response::require_success(&target.address, response?)?,
        Some(pending) => {
            let response = response.map_err(as_outage)?;
            if let Some(fresh) = find_challenge(&response) {
                return Ok(Attempted::Stale(fresh));
            }
            let response = open(target, pending, &response)?;
            response::require_success(&target.address, response).map_err(pass_over_lost_tries)?
        }
    };
    let address = target.address.clone();
    Ok(Attempted::Answered(Box::new(Answer { address, response, connection, auth, challenge })))
}

/// Milliseconds since 1970.
pub(crate) fn wall_millis(timer: &impl Timer) -> u64 {
    // A clock before 1970 is not set, and the store answers it with a challenge.
    u64::try_from(timer.wall_clock().as_millis()).unwrap_or_default()
}

/// Verifies a sealed answer, and returns the response in it.
fn open(
    target: &ConnectTarget,
    pending: PendingAnswer,
    response: &HttpResponse,
) -> Result<HttpResponse, CallError> {
    let address = target.address.clone();
    if !has_media_type(response, SEALED_MEDIA_TYPE) {
        let status = response.status.as_u16();
        return Err(CallOutage::Unsigned { address, status, code: problem_code(response) }.into());
    }
    let foreign = |why| CallOutage::ForeignAnswer { address: address.clone(), why };
    let opened = pending.open(&response.body).map_err(foreign)?;
    let content = opened.content();
    let mut headers = HeaderMap::new();
    if let Some(seconds) = content.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    // The sealed form has no field for it: the status decides.
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    let status = StatusCode::from_u16(content.status).map_err(|_| foreign(AnswerError::Sealed))?;
    Ok(HttpResponse { status, headers, body: Zeroizing::new(content.body.to_vec()) })
}

/// What a damaged response is if anybody in between can have damaged it.
fn as_outage(error: CallError) -> CallError {
    match error {
        CallError::Refused(CallRefusal::BadResponse { address, why }) => {
            CallOutage::Unreadable { address, why }.into()
        }
        error @ (CallError::Refused(_) | CallError::Outage(_)) => error,
    }
}

/// Whoever terminates TLS can drop answers until a boot has no try left. The store then says so, and it is no denial.
fn pass_over_lost_tries(error: CallError) -> CallError {
    match error {
        CallError::Refused(CallRefusal::Problem(problem)) if problem.code == Code::TriesSpent => {
            CallOutage::NoTryLeft(problem).into()
        }
        error @ (CallError::Refused(_) | CallError::Outage(_)) => error,
    }
}

fn find_challenge(response: &HttpResponse) -> Option<Challenge> {
    let value = response.headers.get(header::WWW_AUTHENTICATE)?.to_str().ok()?;
    // Not signed: whoever sends one makes this machine prove the same request again, which tells them nothing.
    parse_challenge(value).filter(|_| response.status == StatusCode::UNAUTHORIZED)
}

fn stale(target: &ConnectTarget) -> CallError {
    let code = Some(Code::StaleProof);
    CallOutage::Unsigned { address: target.address.clone(), status: 401, code }.into()
}

fn has_media_type(response: &HttpResponse, expected: &str) -> bool {
    let value = response.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case(expected))
}

/// The code of an unsigned problem, for people who look for the cause. Nothing is decided by it.
fn problem_code(response: &HttpResponse) -> Option<Code> {
    let problem: Problem = serde_json::from_slice(&response.body).ok()?;
    Some(problem.code).filter(|code| *code != Code::Unknown)
}

/// How long an attempt waits for a server that sends nothing.
pub(super) fn silence(deadline: Duration) -> Duration {
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
