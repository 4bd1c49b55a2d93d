//! How many denials the audit trail takes: a flood of guesses must not fill the disk. What was left out is counted.

use std::sync::{Mutex, PoisonError};

use crate::domain::time::Timestamp;

/// Entries at once after a quiet time.
const BURST: f64 = 200.0;
/// Entries a second in the long run.
const RATE: f64 = 20.0;

/// A token bucket.
pub(crate) struct Denials(Mutex<Bucket>);

struct Bucket {
    left: f64,
    at: Timestamp,
    left_out: u64,
}

impl Denials {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self(Mutex::new(Bucket { left: BURST, at: now, left_out: 0 }))
    }

    /// Whether one more is taken; then also how many before it were not.
    pub(crate) fn admit(&self, now: Timestamp) -> Option<u64> {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.left = BURST.min(bucket.left + now.since(bucket.at).as_secs_f64() * RATE);
        bucket.at = now;
        if bucket.left < 1.0 {
            bucket.left_out += 1;
            return None;
        }
        bucket.left -= 1.0;
        Some(std::mem::take(&mut bucket.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted() {
        let start = Timestamp::from_millis(0);
        let denials = Denials::new(start);
        let taken = (0..1000).filter(|_| denials.admit(start).is_some()).count();
        assert_eq!(taken, 200);
        assert_eq!(denials.admit(Timestamp::from_millis(100)), Some(800));
        assert_eq!(denials.admit(Timestamp::from_millis(100)), Some(0));
        assert_eq!(denials.admit(Timestamp::from_millis(100)), None);
    }
}
