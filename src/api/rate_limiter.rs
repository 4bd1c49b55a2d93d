//! Rate limits: of failed attempts per source, and of requests per credential, in tables of bounded size. Holds addresses, ids
//! and times, never a credential.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The largest number of keys in a table.
const MAX_KEYS: usize = 16_384;
/// The shortest time between two searches of the table for entries to drop.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// A generic cell rate algorithm per key: `burst` events at once, then one per `interval`.
pub(crate) struct RateLimiter<K> {
    burst: Duration,
    interval: Duration,
    /// Whether the keys for which the table has no room share one entry. Otherwise they are not limited.
    shares_rest: bool,
    table: Mutex<RateTable<K>>,
}

struct RateTable<K> {
    /// When each key has paid for all of its events. `None` stands for the keys for which there is no room.
    paid_until: HashMap<Option<K>, Instant>,
    swept_at: Option<Instant>,
}

impl<K: Eq + Hash> RateLimiter<K> {
    /// For keys that anybody can have many of: an attacker with more addresses than the table has room for slows strangers,
    /// and gains nothing.
    pub(crate) fn new(burst: u32, interval: Duration) -> Self {
        // A burst of 0 would refuse the first event of every key.
        let table = RateTable { paid_until: HashMap::new(), swept_at: None };
        Self { burst: interval * burst.max(1), interval, shares_rest: true, table: Mutex::new(table) }
    }

    /// For keys that others must not slow, such as credentials: `count` events at once, and as many in each minute.
    pub(crate) fn per_minute(count: u32) -> Self {
        let interval = Duration::from_secs(60) / count.max(1);
        Self { shares_rest: false, ..Self::new(count, interval) }
    }

    /// Returns how long `key` has to wait before its next event, or `None` if it need not wait.
    pub(crate) fn wait(&self, key: K, now: Instant) -> Option<Duration> {
        self.lock().wait(self, &Some(key), now)
    }

    /// Counts an event of `key`, or returns how long it has to wait because it has had too many.
    pub(crate) fn charge(&self, key: K, now: Instant) -> Option<Duration> {
        let (mut table, key) = (self.lock(), Some(key));
        let wait = table.wait(self, &key, now);
        // What is refused is not counted: a client that keeps trying gets through once in a while.
        if wait.is_none() {
            table.count(self, key, now);
        }
        wait
    }

    /// Counts an event of `key`.
    pub(crate) fn count(&self, key: K, now: Instant) {
        self.lock().count(self, Some(key), now);
    }

    fn lock(&self) -> MutexGuard<'_, RateTable<K>> {
        // No update leaves the table half done, so a panic elsewhere is no reason to stop counting.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> RateTable<K> {
    fn wait(&self, limiter: &RateLimiter<K>, key: &Option<K>, now: Instant) -> Option<Duration> {
        let paid_until = match self.paid_until.get(key) {
            Some(paid_until) => paid_until,
            None if self.is_full() => self.paid_until.get(&None)?,
            None => return None,
        };
        // The next event costs as much as the others, so its cost is added before the comparison.
        let debt = paid_until.saturating_duration_since(now) + limiter.interval;
        let wait = debt.saturating_sub(limiter.burst);
        (!wait.is_zero()).then_some(wait)
    }

    fn count(&mut self, limiter: &RateLimiter<K>, mut key: Option<K>, now: Instant) {
        // Only keys with events enter the table, so visitors who never fail cost no memory.
        if self.is_full() && !self.paid_until.contains_key(&key) {
            self.sweep(now);
            if self.is_full() {
                if !limiter.shares_rest {
                    return;
                }
                key = None;
            }
        }
        let paid_until = self.paid_until.entry(key).or_insert(now);
        // The debt stops growing at twice the burst, so that no source is shut out for long.
        *paid_until = ((*paid_until).max(now) + limiter.interval).min(now + limiter.burst * 2);
    }

    fn is_full(&self) -> bool {
        self.paid_until.len() >= MAX_KEYS
    }

    fn sweep(&mut self, now: Instant) {
        // A sweep reads the whole table under the lock, so no attacker may cause one for each request.
        if self.swept_at.is_some_and(|at| now.saturating_duration_since(at) < SWEEP_INTERVAL) {
            return;
        }
        self.swept_at = Some(now);
        self.paid_until.retain(|_, paid_until| *paid_until > now);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(n: u32) -> Option<IpAddr> {
        Some(IpAddr::from(n.to_be_bytes()))
    }

    #[test]
    fn a_burst_is_free_and_then_each_guess_costs_time() {
        let throttle = RateLimiter::new(3, SECOND);
        let now = Instant::now();
        for _ in 0..3 {
            assert_eq!(throttle.wait(address(1), now), None);
            throttle.count(address(1), now);
        }
        assert_eq!(throttle.wait(address(1), now), Some(SECOND));
        assert_eq!(throttle.wait(address(2), now), None, "others are not slowed");
        assert_eq!(throttle.wait(None, now), None);
        assert_eq!(throttle.wait(address(1), now + SECOND), None);
        for _ in 0..1000 {
            throttle.count(address(1), now);
        }
        assert_eq!(throttle.wait(address(1), now), Some(SECOND * 4), "the debt is bounded");
    }

    #[test]
    fn the_table_stays_bounded_and_drops_quiet_sources() {
        let throttle = RateLimiter::new(1, SECOND);
        let now = Instant::now();
        for n in 0..40_000 {
            throttle.count(address(n), now);
        }
        assert!(throttle.table.lock().unwrap().paid_until.len() <= MAX_KEYS + 1);
        assert!(throttle.wait(address(39_999), now).is_some(), "the rest share one entry");
        let later = now + SECOND * 10;
        throttle.count(address(50_000), later);
        assert_eq!(throttle.table.lock().unwrap().paid_until.len(), 1);
    }

    #[test]
    fn a_credential_has_its_count_each_minute_and_a_full_table_slows_nobody_else() {
        let limiter = RateLimiter::per_minute(60);
        let now = Instant::now();
        for _ in 0..60 {
            assert_eq!(limiter.charge(0, now), None);
        }
        assert_eq!(limiter.charge(0, now), Some(SECOND));
        assert_eq!(limiter.charge(0, now + SECOND), None);
        for n in 1..40_000 {
            assert_eq!(limiter.charge(n, now), None);
        }
        assert!((0..100).all(|_| limiter.charge(50_000, now).is_none()));
        assert!(limiter.table.lock().unwrap().paid_until.len() <= MAX_KEYS);
    }
}
