//! Limits the denials in the audit log: a flood of guesses must not fill the disk. Dropped denials are counted.

use std::sync::{Mutex, PoisonError};

use crate::domain::time::Timestamp;

/// Entries at once after a quiet time.
const BURST: f64 = 200.0;
/// Entries a second in the long run.
const RATE: f64 = 20.0;

/// A token bucket.
pub(crate) struct DenialLimiter(Mutex<Bucket>);

struct Bucket {
    left: f64,
    at: Timestamp,
    dropped: u64,
}

impl DenialLimiter {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self(Mutex::new(Bucket { left: BURST, at: now, dropped: 0 }))
    }

    /// Takes a token. Returns how many denials were dropped since the last entry, or `None` if this one is dropped too.
    pub(crate) fn admit(&self, now: Timestamp) -> Option<u64> {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Refilled when it is used, so that no timer is needed.
        bucket.left = BURST.min(bucket.left + now.since(bucket.at).as_secs_f64() * RATE);
        bucket.at = now;
        if bucket.left < 1.0 {
            bucket.dropped += 1;
            return None;
        }
        // Whole tokens only, although they are refilled in fractions.
        bucket.left -= 1.0;
        Some(std::mem::take(&mut bucket.dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted() {
        let start = Timestamp::from_millis(0);
        let denials = DenialLimiter::new(start);
        let taken = (0..1000).filter(|_| denials.admit(start).is_some()).count();
        assert_eq!(taken, 200);
        assert_eq!(denials.admit(Timestamp::from_millis(100)), Some(800));
        assert_eq!(denials.admit(Timestamp::from_millis(100)), Some(0));
        assert_eq!(denials.admit(Timestamp::from_millis(100)), None);
    }
}
