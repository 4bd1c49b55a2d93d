//! How many boots the store completes per second, measured while some wait.

use std::time::{Duration, Instant};

/// The length of one measurement.
const WINDOW: Duration = Duration::from_secs(1);
/// The weight of the newest measurement in the moving average.
const NEWEST_WEIGHT: f64 = 0.5;

/// An exponential moving average of the rate.
#[derive(Default)]
pub(crate) struct ThroughputEstimate {
    /// Boots per second; `None` before the first measurement ends.
    rate: Option<f64>,
    window_start: Option<Instant>,
    completed: u32,
}

impl ThroughputEstimate {
    /// Counts a completed boot.
    pub(crate) fn count(&mut self) {
        self.completed += 1;
    }

    /// Ends the measurement if it was long enough. `busy` says whether a boot waits.
    pub(crate) fn update(&mut self, busy: bool, now: Instant) {
        if !busy {
            // A time in which nobody waits shows the demand, not what the store can do.
            (self.window_start, self.completed) = (None, 0);
            return;
        }
        let start = *self.window_start.get_or_insert(now);
        let elapsed = now.saturating_duration_since(start);
        if elapsed >= WINDOW {
            let newest = f64::from(self.completed) / elapsed.as_secs_f64();
            // The first measurement counts fully: zero would refuse everyone.
            let before = self.rate.unwrap_or(newest);
            self.rate = Some(before + (newest - before) * NEWEST_WEIGHT);
            (self.window_start, self.completed) = (Some(now), 0);
        }
    }

    /// Estimates the time for `boots` boots; zero before the first measurement.
    pub(crate) fn estimate(&self, boots: usize) -> Duration {
        match self.rate {
            None => Duration::ZERO,
            // A store that has stopped has rate 0, and the quotient is infinite.
            Some(rate) => Duration::try_from_secs_f64(boots as f64 / rate).unwrap_or(Duration::MAX),
        }
    }

    #[cfg(test)]
    pub(crate) fn rate(&self) -> Option<f64> {
        self.rate
    }
}
