//! Time and randomness of the retries: a parameter, so that no test sleeps.
#![expect(clippy::disallowed_methods, reason = "the time of day is a parameter everywhere else")]

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::domain::time::Timestamp;

/// A clock, a sleep, and a source of randomness.
pub trait Timer: Send {
    /// Time since some fixed moment. It never goes back.
    fn now(&self) -> Duration;

    /// Waits for `time`.
    fn sleep(&mut self, time: Duration) -> impl Future<Output = ()> + Send;

    /// The time of day, by which a proof is dated.
    fn wall_clock(&self) -> Timestamp;

    /// A uniformly distributed number. It spreads the retries of many machines; nothing secret depends on it.
    fn random(&mut self) -> u64;
}

/// The machine's monotonic clock and the kernel's randomness.
#[derive(Clone, Copy, Debug)]
pub struct SystemTimer {
    started: Instant,
}

impl SystemTimer {
    /// Starts a clock at zero.
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }
}

impl Timer for SystemTimer {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&mut self, time: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(time)
    }

    fn wall_clock(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn random(&mut self) -> u64 {
        // Without randomness the retries are merely not spread, which is no reason to fail a boot.
        getrandom::u64().unwrap_or_default()
    }
}
