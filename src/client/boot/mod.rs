//! The calls of a boot: one ticket or identity, one deadline, one exchange, and a report without waiting for its response.
//!
//! The release is passed on unchanged. The agent checks that it is complete.
//!
//! [`proof`] says with what a machine boots, [`call`] decides in which form a call is authenticated, and [`exchange`] makes the
//! attempts.

mod call;
mod exchange;
mod proof;

use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use self::call::{AttemptAuth, MachineAuth, MachineCall};
use self::exchange::{Answer, retry_call, wall_millis};
pub(crate) use self::proof::MAX_TOKEN;
pub use self::proof::{BootProof, IssuerToken, TokenFuture, TokenProof, TokenProvider};
use super::connect::ConnectTarget;
use super::endpoint::Endpoint;
use super::error::{CallOutage, CallRefusal};
use super::response;
use super::roots::Roots;
use super::timer::{SystemTimer, Timer};
use super::transport::Connection;
use crate::crypto::sealed_release::Challenge;
use crate::crypto::sealed_release::prover::ProofTime;
use crate::domain::credential::Credential;
use crate::domain::id::BootId;
use crate::domain::location::{AnswerKey, StoreLocation};
use crate::wire::{BootRequest, BootResponse, EndBootRequest, ExplainResponse, ReportBootRequest, paths};

/// The largest release that is read: far above what fits an environment (6 MiB), with room for files.
const MAX_RELEASE: usize = 64 << 20;
/// The largest explanation that is read.
const MAX_EXPLANATION: usize = 16 << 20;
/// The largest response to the report of an end that is read: that of a problem.
const MAX_END_RESPONSE: usize = 64 << 10;
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
    auth: AttemptAuth,
    answer_key: Option<AnswerKey>,
    challenge: Option<Challenge>,
    boot: BootId,
}

/// Requests the release for a ticket or an identity.
///
/// After an outage it retries at each of the store's addresses in turn, until the deadline. All attempts have the same
/// idempotency key, so that a lost response, or one that was not waited for, does not cost a second use of the ticket.
pub async fn boot<'a>(
    proof: impl Into<BootProof<'a>>,
    request: &BootRequest,
    options: &BootOptions,
    timer: &mut impl Timer,
) -> Result<(BootResponse, BootSession), BootCallError> {
    let proof = proof.into();
    let Answer { address, response, connection, auth, challenge } =
        call_store(proof, (paths::BOOT, MAX_RELEASE), request, options, timer).await?;
    let response: BootResponse = response::parse(&address, &response)?;
    let (boot, answer_key) = (response.boot, proof.location().answer_key());
    Ok((response, BootSession { connection, auth, answer_key, challenge, boot }))
}

/// Requests what a boot would receive, without values and without using up the ticket.
pub(crate) async fn explain<'a>(
    proof: impl Into<BootProof<'a>>,
    request: &BootRequest,
    options: &BootOptions,
    timer: &mut impl Timer,
) -> Result<ExplainResponse, BootCallError> {
    let answer = call_store(proof.into(), (paths::EXPLAIN, MAX_EXPLANATION), request, options, timer).await?;
    Ok(response::parse(&answer.address, &answer.response)?)
}

async fn call_store(
    proof: BootProof<'_>,
    (path, limit): (&str, usize),
    request: &BootRequest,
    options: &BootOptions,
    timer: &mut impl Timer,
) -> Result<Answer, BootCallError> {
    // Built once, since the idempotency key inside must be the same for every attempt.
    let call = MachineCall::new(path.to_owned(), request, limit)?.with_attempt_key()?;
    let auth = MachineAuth::new(proof)?;
    let location = proof.location();
    let authorities = options.authorities.as_deref();
    let targets = usable(&auth, location.urls().iter().map(|url| target(url, location, authorities)))?;
    retry_call(targets, (&auth, &call), options.deadline, timer).await
}

impl BootSession {
    /// Reports that the workload starts now. It does not wait for the response, ignores every failure, and takes at most
    /// 5 ms.
    pub async fn report_nowait(self, report: &ReportBootRequest) {
        self.send_progress_nowait(BootProgress::Started(report)).await;
    }

    /// Tells the store in the same way how the boot goes on.
    pub(crate) async fn send_progress_nowait(self, progress: BootProgress<'_>) {
        let Self { connection, auth, answer_key, challenge, boot } = self;
        // In the form of the boot, over whose connection it goes.
        let (auth, call) = match progress {
            BootProgress::Started(report) => {
                // A limit of 0, since nobody reads the response.
                (Some(auth), MachineCall::new(paths::fill(paths::BOOT_REPORT, boot), report, 0))
            }
            BootProgress::Failed(end) => {
                let own = MachineAuth::of_credential(end, answer_key).ok();
                let failed = EndBootRequest { status: None, failed: true };
                (own.and_then(|own| own.into_attempt(auth.form())), end_call(end, &failed))
            }
        };
        let time = ProofTime { millis: wall_millis(&SystemTimer::start()), challenge };
        let request = auth.zip(call.ok()).map(|(auth, call)| call.authenticate(&auth, time));
        if let Some(Ok((request, _))) = request {
            connection.send_nowait(&request, REPORT).await;
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

/// What the report of an end needs besides the report.
#[derive(Debug)]
pub(crate) struct EndTarget<'a> {
    /// The addresses of the store, which have their pins.
    pub(crate) addresses: Vec<&'a str>,
    pub(crate) authorities: Option<&'a Path>,
    /// The key that signs the store's sealed answers.
    pub(crate) answer_key: Option<AnswerKey>,
}

/// Reports the end of the boot of `credential` to a store at one of the addresses, within `limit` in all.
pub(crate) async fn end_boot(
    target: &EndTarget<'_>,
    credential: &Credential,
    report: &EndBootRequest,
    limit: Duration,
) -> Result<(), BootCallError> {
    let (auth, call) =
        (MachineAuth::of_credential(credential, target.answer_key)?, end_call(credential, report)?);
    let connect =
        |address: &&str| ConnectTarget::new(Endpoint::parse(address)?, || Roots::load(target.authorities));
    let targets = usable(&auth, target.addresses.iter().map(connect))?;
    retry_call(targets, (&auth, &call), limit, &mut SystemTimer::start()).await.map(drop)
}

/// The call that reports the end of the boot of `credential`.
fn end_call(credential: &Credential, report: &EndBootRequest) -> Result<MachineCall, CallRefusal> {
    let path = paths::fill(paths::BOOT_END, BootId::from_bytes(credential.id));
    MachineCall::new(path, report, MAX_END_RESPONSE)
}

/// The targets that this machine can use, and may use with what it is authenticated by. The error is that of the first, if none can.
fn usable(
    auth: &MachineAuth<'_>,
    all: impl Iterator<Item = Result<ConnectTarget, CallRefusal>>,
) -> Result<Vec<ConnectTarget>, CallRefusal> {
    let (mut targets, mut fault) = (Vec::new(), None);
    for target in all {
        match target.and_then(|target| auth.form(&target).map(|_| target)) {
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
    location: &StoreLocation,
    authorities: Option<&Path>,
) -> Result<ConnectTarget, CallRefusal> {
    let mut endpoint = Endpoint::parse(url)?;
    // The same pins for all addresses: they are servers of one store, which share its keys.
    if let Some(pins) = location.pins() {
        endpoint = endpoint.with_default_pins(pins);
    }
    ConnectTarget::new(endpoint, || Roots::load(authorities))
}

fn seconds(time: &Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

#[cfg(all(test, feature = "server"))]
mod tests;
