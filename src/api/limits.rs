//! Limits on requests, on the memory of bodies, and on failed attempts. A request over a limit is refused at once, with
//! `Retry-After` and before it costs memory. Nothing here waits.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::Method;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::body_budget::{BodyBudget, BodyOwner, BodyPermit, BudgetLimits};
use super::console::{AUDIT_EXPORT, AUDIT_VERIFY};
use super::problem::ApiError;
use super::rate_limiter::RateLimiter;
use crate::domain::audit::AuditText;
use crate::domain::role::{Action, Principal};
use crate::domain::source::SourceNetwork;
use crate::store::Caller;
use crate::wire::{Code, paths};

/// The values of the limits.
#[derive(Clone, Debug)]
pub struct LimitSettings {
    /// Requests in flight, without boots and their reports.
    pub in_flight: usize,
    /// Boots that may wait for a permit.
    pub boots_waiting: usize,
    /// The longest time that a boot may wait for a permit.
    pub boot_wait: Duration,
    /// Bytes of all bodies of boots that are being read, and as many of people's.
    pub body_memory: usize,
    /// Bytes of all bodies without a credential that are being read.
    pub stranger_memory: usize,
    /// Bytes of a request's headers, names and values.
    pub header_bytes: usize,
    /// The longest time that a body may take to arrive.
    pub body_timeout: Duration,
    /// The same for a body without a credential.
    pub stranger_timeout: Duration,
    /// The longest time from a request's headers to its response's headers.
    pub request_timeout: Duration,
    /// Wrong credentials that one source may send at once before the others are refused without a reason; and as many
    /// wrong passphrases before none is tried.
    pub guesses: u32,
    /// The time after which a source may send one more.
    pub guess_interval: Duration,
    /// Boots of one credential at once, and in each minute.
    pub boots_per_minute: u32,
    /// The same for requests that change something.
    pub writes_per_minute: u32,
    /// The same for exports and verifications of the audit log, and for backups.
    pub exports_per_minute: u32,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            // A request of a person takes about a millisecond of one core: this is about a second of work.
            in_flight: 1024,
            // As many as there may be connections. Usually the expected wait refuses boots earlier.
            boots_waiting: 4096,
            // A third of the default timeout of agents.
            boot_wait: Duration::from_secs(10),
            // 16 of the largest bodies at once. A body of a boot has some hundred bytes.
            body_memory: 32 * 1024 * 1024,
            // 128 login forms at once.
            stranger_memory: 2 * 1024 * 1024,
            // Our own clients send less than 1 KiB; proxies add some.
            header_bytes: 16 * 1024,
            // Two minutes less the time for the work: the largest deposit at 20 kB/s. A minimum rate ends stalled ones earlier.
            body_timeout: Duration::from_secs(100),
            // A token, typed or pasted, is sent at once.
            stranger_timeout: Duration::from_secs(10),
            // Covers the slowest answer: a passphrase's derivation behind two others on a small machine.
            request_timeout: Duration::from_secs(120),
            // Enough for a person's mistakes. Nobody guesses 256 random bits, but a passphrase can be guessed.
            guesses: 20,
            guess_interval: Duration::from_secs(3),
            // About what a server with two cores can do: a fleet that boots with one ticket is not slowed.
            boots_per_minute: 60_000,
            writes_per_minute: 60_000,
            // A log shipper that asks every second stays far below.
            exports_per_minute: 600,
        }
    }
}

/// Bodies of one credential and of one organization that may take long at a time. They hold a connection each, and a
/// fleet on a bad line has no more.
const SLOW_OF_CREDENTIAL: usize = 16;
const SLOW_OF_ORG: usize = 64;
/// The same for strangers of one source.
const SLOW_OF_STRANGERS: usize = 4;
/// Bodies of strangers of one source at a time.
const STRANGERS_AT_ONCE: usize = 8;

/// The longest verification of the audit log. Reads millions of entries even from a slow disk.
pub(crate) const LONGEST_VERIFICATION: Duration = Duration::from_secs(15 * 60);
/// `Retry-After` while another verification runs.
const VERIFICATION_PAUSE: Duration = Duration::from_secs(10);

/// Steps of sign-ins that one source may take at once, and the time after which it may take one more. A sign-in has two of them, and
/// an office has one address.
const SIGN_IN_STEPS: u32 = 120;
const SIGN_IN_INTERVAL: Duration = Duration::from_secs(1);
/// Questions about one device code at once, and the time after which there may be one more. Providers ask for five seconds.
const DEVICE_POLLS: u32 = 2;
const DEVICE_POLL_INTERVAL: Duration = Duration::from_secs(3);
/// The same for all codes of one source: twenty people who sign in.
const SOURCE_POLLS: u32 = 60;
const SOURCE_POLL_INTERVAL: Duration = Duration::from_millis(250);

/// The limits of one process, and how much of each is in use.
pub(crate) struct RequestLimits {
    settings: LimitSettings,
    requests: Arc<Semaphore>,
    boots: Arc<Semaphore>,
    boot_bodies: BodyBudget,
    people_bodies: BodyBudget,
    stranger_bodies: BodyBudget,
    /// For organizations, and for the operator.
    verifications: [Arc<Semaphore>; 2],
    throttle: RateLimiter<SourceNetwork>,
    passphrase_throttle: RateLimiter<SourceNetwork>,
    sign_in_throttle: RateLimiter<SourceNetwork>,
    device_throttle: RateLimiter<[u8; 16]>,
    device_source_throttle: RateLimiter<SourceNetwork>,
    boot_rate: RateLimiter<AuditText>,
    write_rate: RateLimiter<AuditText>,
    export_rate: RateLimiter<AuditText>,
}

/// The kinds of requests whose rate is limited for each credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestRate {
    Boots,
    Writes,
    Exports,
}

impl RequestRate {
    /// The kind of a request. `None` for reads, which the number of requests in flight bounds.
    pub(crate) fn of(method: &Method, route: Option<&str>) -> Option<Self> {
        match route {
            Some(paths::BOOT | paths::EXPLAIN) => Some(Self::Boots),
            Some(paths::AUDIT_EXPORT | paths::AUDIT_VERIFY | paths::AUDIT_CHECKPOINT | paths::BACKUP) => {
                Some(Self::Exports)
            }
            Some(AUDIT_VERIFY | AUDIT_EXPORT) => Some(Self::Exports),
            _ => (!method.is_safe()).then_some(Self::Writes),
        }
    }
}

/// The place of one request among those in flight, until it is dropped. A request that waits for its body gives it up
/// in the meantime, so that slow senders do not hold the places of others. Clones share it.
#[derive(Clone)]
pub(crate) struct RequestSlot {
    semaphore: Arc<Semaphore>,
    permit: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
    refusal: &'static str,
}

impl RequestSlot {
    fn acquire(semaphore: &Arc<Semaphore>, refusal: &'static str) -> Result<Self, ApiError> {
        let slot = Self { semaphore: Arc::clone(semaphore), permit: Arc::default(), refusal };
        slot.resume()?;
        Ok(slot)
    }

    /// Gives the place up.
    pub(crate) fn pause(&self) {
        *self.permit.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Takes a place again.
    pub(crate) fn resume(&self) -> Result<(), ApiError> {
        // It never waits: a queue here would keep connections open for requests that time out.
        let permit = Arc::clone(&self.semaphore).try_acquire_owned();
        let permit = permit.map_err(|_| ApiError::new(Code::Overloaded, self.refusal))?;
        *self.permit.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
        Ok(())
    }
}

impl RequestLimits {
    pub(crate) fn new(settings: LimitSettings) -> Self {
        let shared = BodyBudget::new;
        let budget = BudgetLimits {
            total: settings.body_memory,
            of_client: usize::MAX,
            slow_of_client: SLOW_OF_CREDENTIAL,
            slow_of_tenant: SLOW_OF_ORG,
        };
        let strangers = BudgetLimits {
            total: settings.stranger_memory,
            of_client: STRANGERS_AT_ONCE,
            slow_of_client: SLOW_OF_STRANGERS,
            slow_of_tenant: SLOW_OF_STRANGERS,
        };
        Self {
            requests: Arc::new(Semaphore::new(settings.in_flight)),
            // Above the limits of admission, which decides which boots wait. This one bounds the total.
            boots: Arc::new(Semaphore::new(settings.in_flight + settings.boots_waiting)),
            boot_bodies: shared(budget),
            people_bodies: shared(budget),
            stranger_bodies: shared(strangers),
            verifications: [(); 2].map(|()| Arc::new(Semaphore::new(1))),
            throttle: RateLimiter::new(settings.guesses, settings.guess_interval),
            passphrase_throttle: RateLimiter::new(settings.guesses, settings.guess_interval),
            sign_in_throttle: RateLimiter::new(SIGN_IN_STEPS, SIGN_IN_INTERVAL),
            device_throttle: RateLimiter::new(DEVICE_POLLS, DEVICE_POLL_INTERVAL),
            device_source_throttle: RateLimiter::new(SOURCE_POLLS, SOURCE_POLL_INTERVAL),
            boot_rate: RateLimiter::per_minute(settings.boots_per_minute),
            write_rate: RateLimiter::per_minute(settings.writes_per_minute),
            export_rate: RateLimiter::per_minute(settings.exports_per_minute),
            settings,
        }
    }

    pub(crate) fn settings(&self) -> &LimitSettings {
        &self.settings
    }

    /// Admits one more request, until the slot is dropped.
    pub(crate) fn admit(&self) -> Result<RequestSlot, ApiError> {
        RequestSlot::acquire(&self.requests, "too many requests are in flight")
    }

    /// Admits a boot, its explanation or its report. They have a separate limit, so that people and machines do not keep
    /// each other out.
    pub(crate) fn admit_boot(&self) -> Result<RequestSlot, ApiError> {
        RequestSlot::acquire(&self.boots, "too many boots are in flight")
    }

    /// Admits a verification of the audit log, if no other runs, until the permit is dropped. The operator has a place apart, so that
    /// organizations cannot keep it out. A caller who may not verify gets none: the store refuses that caller at once.
    pub(crate) fn admit_verification(
        &self,
        caller: &Caller,
    ) -> Result<Option<OwnedSemaphorePermit>, ApiError> {
        let [organizations, operator] = &self.verifications;
        let place = match caller.principal() {
            Principal::Operator => operator,
            _ if caller.may(Action::VerifyAudit) => organizations,
            _ => return Ok(None),
        };
        Arc::clone(place).try_acquire_owned().map(Some).map_err(|_| {
            ApiError::new(Code::RateLimited, "the audit log is being verified for another request")
                .hint("wait until that is done: a verification reads the whole log, so one runs at a time")
                .retry_after(VERIFICATION_PAUSE)
        })
    }

    /// Reserves memory for a body of `bytes`, until the permit is dropped or somebody who holds less needs it.
    pub(crate) fn reserve_body(&self, owner: BodyOwner, bytes: usize) -> Result<BodyPermit, ApiError> {
        let budget = match owner {
            BodyOwner::Boot(..) => &self.boot_bodies,
            BodyOwner::Member(..) | BodyOwner::Operator => &self.people_bodies,
            BodyOwner::Stranger(_) => &self.stranger_bodies,
        };
        budget
            .reserve(owner, bytes)
            .ok_or_else(|| ApiError::new(Code::Overloaded, "too many large bodies are being read"))
    }

    /// The number of requests in flight.
    pub(crate) fn in_flight(&self) -> usize {
        let LimitSettings { in_flight, boots_waiting, .. } = self.settings;
        let free = self.requests.available_permits() + self.boots.available_permits();
        // Two loads are no snapshot: a request that ends between them would make the difference negative.
        (2 * in_flight + boots_waiting).saturating_sub(free)
    }

    /// Charges `source` for a wrong, expired or revoked credential. Once it has had too many, the error says only that, and
    /// not what is wrong with this one. A valid credential is never charged: with 256 random bits, the one that is right
    /// was not guessed.
    pub(crate) fn charge_failure(&self, source: Option<IpAddr>, now: Instant) -> Result<(), ApiError> {
        refuse_to_wait(
            self.throttle.charge(SourceNetwork::from_address(source), now),
            "too many wrong credentials came from this address",
        )
    }

    /// Refuses a source that has sent too many wrong passphrases. Runs before the next one is tried, because a passphrase
    /// can be guessed.
    pub(crate) fn check_passphrase_throttle(
        &self,
        source: Option<IpAddr>,
        now: Instant,
    ) -> Result<(), ApiError> {
        let wait = self.passphrase_throttle.wait(SourceNetwork::from_address(source), now);
        refuse_to_wait(wait, "too many wrong passphrases came from this address")
    }

    /// Counts a step of a sign-in that `source` takes, or refuses it: each makes the provider work too.
    pub(crate) fn charge_sign_in(&self, source: Option<IpAddr>, now: Instant) -> Result<(), ApiError> {
        refuse_to_wait(
            self.sign_in_throttle.charge(SourceNetwork::from_address(source), now),
            "too many sign-ins are under way from this address",
        )
    }

    /// Counts a question about the device code of a sign-in, or refuses it because it comes too early.
    pub(crate) fn charge_device_poll(
        &self,
        sign_in: [u8; 16],
        source: Option<IpAddr>,
        now: Instant,
    ) -> Result<(), ApiError> {
        let why = "the provider is asked too often";
        refuse_to_wait(self.device_throttle.charge(sign_in, now), why)?;
        refuse_to_wait(self.device_source_throttle.charge(SourceNetwork::from_address(source), now), why)
    }

    /// Counts a request of a credential, or refuses it because the credential has sent too many of its kind.
    pub(crate) fn charge_credential(
        &self,
        credential: &AuditText,
        rate: RequestRate,
        now: Instant,
    ) -> Result<(), ApiError> {
        let (limiter, what, setting) = match rate {
            RequestRate::Boots => (&self.boot_rate, "boots", "boots_per_minute"),
            RequestRate::Writes => (&self.write_rate, "changes", "writes_per_minute"),
            RequestRate::Exports => (&self.export_rate, "exports", "exports_per_minute"),
        };
        let Some(wait) = limiter.charge(credential.clone(), now) else { return Ok(()) };
        let detail = format!("too many {what} were requested with this credential");
        let hint = format!("wait, and send fewer requests; the operator can raise limits.{setting}");
        Err(ApiError::new(Code::RateLimited, detail).hint(hint).retry_after(wait))
    }

    /// Counts a wrong passphrase or key file of `source`.
    pub(crate) fn count_wrong_passphrase(&self, source: Option<IpAddr>, now: Instant) {
        self.passphrase_throttle.count(SourceNetwork::from_address(source), now);
    }
}

fn refuse_to_wait(wait: Option<Duration>, detail: &str) -> Result<(), ApiError> {
    match wait {
        None => Ok(()),
        Some(wait) => Err(ApiError::new(Code::RateLimited, detail).retry_after(wait)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_over_a_limit_is_refused_at_once() {
        let limits = RequestLimits::new(LimitSettings {
            in_flight: 1,
            body_memory: 4096,
            stranger_memory: 16 * 1024,
            guesses: 1,
            ..LimitSettings::default()
        });
        let first = limits.admit().unwrap();
        assert_eq!(limits.in_flight(), 1);
        assert_eq!(limits.admit().err().unwrap().code(), Code::Overloaded);
        drop(first);
        assert!(limits.admit().is_ok());

        let stranger = BodyOwner::Stranger(SourceNetwork::Socket);
        assert_eq!(limits.reserve_body(BodyOwner::Operator, 5000).err().unwrap().code(), Code::Overloaded);
        let body = limits.reserve_body(stranger, 5000).unwrap();
        assert_eq!(limits.reserve_body(stranger, 5000).err().unwrap().code(), Code::Overloaded);
        drop(body);
        assert!(limits.reserve_body(stranger, 5000).is_ok());

        let now = Instant::now();
        assert!(limits.charge_failure(None, now).is_ok());
        assert_eq!(limits.charge_failure(None, now).unwrap_err().code(), Code::RateLimited);
        assert!(limits.check_passphrase_throttle(None, now).is_ok(), "wrong tokens do not count");
        limits.count_wrong_passphrase(None, now);
        assert_eq!(limits.check_passphrase_throttle(None, now).unwrap_err().code(), Code::RateLimited);
    }

    #[test]
    fn a_request_that_waits_for_its_body_gives_its_place_up() {
        let limits = RequestLimits::new(LimitSettings { in_flight: 1, ..LimitSettings::default() });
        let slow = limits.admit().unwrap();
        slow.pause();
        let other = limits.admit().unwrap();
        assert_eq!(slow.resume().unwrap_err().code(), Code::Overloaded);
        drop(other);
        assert!(slow.resume().is_ok());
    }
}
