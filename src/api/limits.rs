//! Limits on requests, on the memory of bodies, and on wrong credentials. A request over a limit is refused at once, with
//! `Retry-After` and before it costs memory. Nothing here waits.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::auth_throttle::AuthThrottle;
use super::problem::ApiError;
use crate::wire::Code;

/// The unit in which the memory of bodies is counted: a semaphore has at most 2^29 permits on a 32-bit machine.
const BODY_UNIT: usize = 1024;

/// The values of the limits.
#[derive(Clone, Debug)]
pub struct LimitSettings {
    /// Requests in flight, without boots and their reports.
    pub in_flight: usize,
    /// Boots that may wait for a permit.
    pub boots_waiting: usize,
    /// The longest time that a boot may wait for a permit.
    pub boot_wait: Duration,
    /// Bytes of all bodies that are being read.
    pub body_memory: usize,
    /// Bytes of a request's headers, names and values.
    pub header_bytes: usize,
    /// The longest time that a body may take to arrive.
    pub body_timeout: Duration,
    /// The longest time from a request's headers to its response's headers.
    pub request_timeout: Duration,
    /// Wrong credentials that one source may send at once.
    pub guesses: u32,
    /// The time after which a source may send one more.
    pub guess_interval: Duration,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            // What people ask takes about a millisecond of one core: this is a queue of about a second.
            in_flight: 1024,
            // As many as there may be connections; the time that they would wait bounds them.
            boots_waiting: 4096,
            // A third of the default timeout of agents.
            boot_wait: Duration::from_secs(10),
            body_memory: 64 * 1024 * 1024,
            // Our own clients send less than 1 KiB; proxies add some.
            header_bytes: 16 * 1024,
            body_timeout: Duration::from_secs(30),
            // Covers the slowest answer: a passphrase's derivation behind two others on a small machine.
            request_timeout: Duration::from_secs(120),
            // A person's retries fit in; 256 random bits are out of reach at any rate, a passphrase is not.
            guesses: 20,
            guess_interval: Duration::from_secs(3),
        }
    }
}

/// The limits of one process, and how much of each is in use.
pub(crate) struct RequestLimits {
    settings: LimitSettings,
    requests: Arc<Semaphore>,
    boots: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    throttle: AuthThrottle,
}

impl RequestLimits {
    pub(crate) fn new(settings: LimitSettings) -> Self {
        Self {
            requests: Arc::new(Semaphore::new(settings.in_flight)),
            boots: Arc::new(Semaphore::new(settings.in_flight + settings.boots_waiting)),
            bodies: Arc::new(Semaphore::new(settings.body_memory / BODY_UNIT)),
            throttle: AuthThrottle::new(settings.guesses, settings.guess_interval),
            settings,
        }
    }

    pub(crate) fn settings(&self) -> &LimitSettings {
        &self.settings
    }

    /// Admits one more request, until the permit is dropped.
    pub(crate) fn admit(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        acquire(&self.requests, 1, "too many requests are in flight")
    }

    /// Admits a boot or its report. These have a limit of their own: people and machines do not keep each other out.
    pub(crate) fn admit_boot(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        acquire(&self.boots, 1, "too many boots are in flight")
    }

    /// Reserves memory for a body of `bytes`, until the permit is dropped.
    pub(crate) fn reserve_body(&self, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        acquire(&self.bodies, bytes.div_ceil(BODY_UNIT), "too many large bodies are being read")
    }

    /// The number of requests in flight.
    pub(crate) fn in_flight(&self) -> usize {
        let LimitSettings { in_flight, boots_waiting, .. } = self.settings;
        let free = self.requests.available_permits() + self.boots.available_permits();
        // Two loads are no snapshot: a request that ends between them would make the difference negative.
        (2 * in_flight + boots_waiting).saturating_sub(free)
    }

    /// Refuses a source that has sent too many wrong credentials. Runs before the next credential is read.
    pub(crate) fn check_auth_throttle(&self, source: Option<IpAddr>, now: Instant) -> Result<(), ApiError> {
        match self.throttle.wait(source, now) {
            None => Ok(()),
            Some(wait) => {
                let detail = "too many wrong credentials came from this address";
                Err(ApiError::new(Code::RateLimited, detail).retry_after(wait))
            }
        }
    }

    /// Counts a wrong credential or passphrase of `source`.
    pub(crate) fn count_guess(&self, source: Option<IpAddr>, now: Instant) {
        self.throttle.count(source, now);
    }
}

fn acquire(semaphore: &Arc<Semaphore>, units: usize, detail: &str) -> Result<OwnedSemaphorePermit, ApiError> {
    let units = u32::try_from(units).unwrap_or(u32::MAX);
    let permit = Arc::clone(semaphore).try_acquire_many_owned(units);
    permit.map_err(|_| ApiError::new(Code::Overloaded, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_a_limit_is_refused_at_once() {
        let limits = RequestLimits::new(LimitSettings {
            in_flight: 1,
            body_memory: 4096,
            guesses: 1,
            ..LimitSettings::default()
        });
        let first = limits.admit().unwrap();
        assert_eq!(limits.in_flight(), 1);
        assert_eq!(limits.admit().unwrap_err().code(), Code::Overloaded);
        drop(first);
        assert!(limits.admit().is_ok());

        let body = limits.reserve_body(3000).unwrap();
        assert_eq!(limits.reserve_body(3000).unwrap_err().code(), Code::Overloaded);
        drop(body);
        assert!(limits.reserve_body(4096).is_ok());

        let now = Instant::now();
        limits.count_guess(None, now);
        assert_eq!(limits.check_auth_throttle(None, now).unwrap_err().code(), Code::RateLimited);
    }
}
