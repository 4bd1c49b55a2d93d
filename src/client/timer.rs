//! Time as the retries see it: now, sleeping, and chance. A parameter, so that no test waits.

use std::time::Duration;

use tokio::time::Instant;

/// A clock, a way to wait, and a source of chance.
pub trait Timer: Send {
    /// Time since some fixed moment. It never goes back.
    fn now(&self) -> Duration;

    /// Waits for `time`.
    fn sleep(&mut self, time: Duration) -> impl Future<Output = ()> + Send;

    /// A uniformly random number. It spreads the retries of many machines and protects nothing.
    fn random(&mut self) -> u64;
}

/// The machine's monotonic clock and the kernel's randomness.
#[derive(Clone, Copy, Debug)]
pub struct SystemTimer {
    started: Instant,
}

impl SystemTimer {
    /// Its time starts at zero now.
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

    fn random(&mut self) -> u64 {
        // Without randomness the retries are merely not spread.
        getrandom::u64().unwrap_or_default()
    }
}
