//! How much is taken on at once: requests, bytes of bodies, and guesses at credentials. What is over a limit is refused
//! at once with a time to come back, before it costs memory. Never waits.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::auth_throttle::AuthThrottle;
use super::problem::ApiError;
use crate::wire::Code;

/// Unit in which the memory of bodies is counted.
const BODY_UNIT: usize = 1024;

/// The limits' sizes.
#[derive(Clone, Debug)]
pub struct LimitSettings {
    /// Requests being worked on, boots and their reports apart.
    pub in_flight: usize,
    /// Boots that wait for their turn.
    pub boots_waiting: usize,
    /// The longest that a boot may wait for its turn.
    pub boot_wait: Duration,
    /// Bytes of bodies being read, in all.
    pub body_memory: usize,
    /// Bytes of a request's headers, names and values.
    pub header_bytes: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How long a request may take, from its headers to the answer's headers.
    pub request_timeout: Duration,
    /// AuthThrottle at credentials that one source has free.
    pub guesses: u32,
    /// One more guess comes back after each such time.
    pub guess_interval: Duration,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            // What people ask takes about a millisecond of one core: this is a queue of about a second.
            in_flight: 1024,
            // As many as there may be connections; what bounds them is the time they would wait.
            boots_waiting: 4096,
            // A third of the time that agents have unless they are told otherwise.
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

/// The limits and what is used of them.
pub struct RequestLimits {
    settings: LimitSettings,
    requests: Arc<Semaphore>,
    boots: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    guesses: AuthThrottle,
}

impl RequestLimits {
    /// Nothing used.
    pub fn new(settings: LimitSettings) -> Self {
        Self {
            requests: Arc::new(Semaphore::new(settings.in_flight)),
            boots: Arc::new(Semaphore::new(settings.in_flight + settings.boots_waiting)),
            bodies: Arc::new(Semaphore::new(settings.body_memory / BODY_UNIT)),
            guesses: AuthThrottle::new(settings.guesses, settings.guess_interval),
            settings,
        }
    }

    /// The sizes.
    pub fn settings(&self) -> &LimitSettings {
        &self.settings
    }

    /// Room for one more request, until the permit is dropped.
    pub fn admit(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        Arc::clone(&self.requests)
            .try_acquire_owned()
            .map_err(|_| ApiError::new(Code::Overloaded, "too many requests are being worked on"))
    }

    /// As [`admit`](Self::admit), for a boot or its report: they wait in a line of their own, and neither keep people out
    /// nor are kept out by them.
    pub fn admit_boot(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        Arc::clone(&self.boots)
            .try_acquire_owned()
            .map_err(|_| ApiError::new(Code::Overloaded, "too many boots are being worked on"))
    }

    /// Room for a body of that many bytes, until the permit is dropped.
    pub fn reserve_body(&self, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        let units = u32::try_from(bytes.div_ceil(BODY_UNIT)).unwrap_or(u32::MAX);
        Arc::clone(&self.bodies)
            .try_acquire_many_owned(units)
            .map_err(|_| ApiError::new(Code::Overloaded, "too many large bodies are being read"))
    }

    /// Requests being worked on.
    pub fn in_flight(&self) -> usize {
        let LimitSettings { in_flight, boots_waiting, .. } = self.settings;
        let room = self.requests.available_permits() + self.boots.available_permits();
        (2 * in_flight + boots_waiting).saturating_sub(room)
    }

    /// Refuses a source that has guessed too often; asked before its next credential is looked at.
    pub fn check_auth_throttle(&self, source: Option<IpAddr>, now: Instant) -> Result<(), ApiError> {
        self.guesses.wait(source, now).map_or(Ok(()), |wait| {
            let refused =
                ApiError::new(Code::RateLimited, "too many wrong credentials came from this address");
            Err(refused.retry_after(wait))
        })
    }

    /// Counts a wrong credential or passphrase from `source`.
    pub fn count_guess(&self, source: Option<IpAddr>, now: Instant) {
        self.guesses.count(source, now);
    }
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
