//! Rate limit of wrong credentials per source, in a table of bounded size. Holds addresses and times, never a credential.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The largest number of sources in the table. The others share one entry: an attacker with more addresses than this
/// slows strangers, and gains nothing.
const MAX_SOURCES: usize = 16_384;
/// The shortest time between two searches of the table for entries to drop.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// A source: an IPv4 address, an IPv6 network of 64 bits (one household or machine), or the Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum ThrottleKey {
    Address([u8; 16]),
    Socket,
    Rest,
}

impl ThrottleKey {
    fn from_address(address: Option<IpAddr>) -> Self {
        match address {
            None => Self::Socket,
            Some(IpAddr::V4(v4)) => Self::Address(v4.to_ipv6_mapped().octets()),
            Some(IpAddr::V6(v6)) => match v6.to_ipv4_mapped() {
                // A dual-stack listener reports IPv4 peers as `::ffff:a.b.c.d` (RFC 4291 section 2.5.5.2).
                Some(v4) => Self::Address(v4.to_ipv6_mapped().octets()),
                // Anyone with IPv6 has a whole /64 (RFC 6177), so single addresses cost an attacker nothing.
                None => Self::Address(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).octets()),
            },
        }
    }
}

/// A generic cell rate algorithm per source: `burst` wrong credentials at once, then one per `interval`.
pub(crate) struct AuthThrottle {
    burst: Duration,
    interval: Duration,
    table: Mutex<ThrottleTable>,
}

struct ThrottleTable {
    /// When each source has paid for all of its wrong credentials.
    paid_until: HashMap<ThrottleKey, Instant>,
    swept_at: Option<Instant>,
}

impl AuthThrottle {
    pub(crate) fn new(burst: u32, interval: Duration) -> Self {
        let table = ThrottleTable { paid_until: HashMap::new(), swept_at: None };
        Self { burst: interval * burst.max(1), interval, table: Mutex::new(table) }
    }

    /// Returns how long `source` has to wait before its next credential is checked, or `None` if it need not wait.
    pub(crate) fn wait(&self, source: Option<IpAddr>, now: Instant) -> Option<Duration> {
        let table = self.lock();
        let source = ThrottleKey::from_address(source);
        let paid_until = match table.paid_until.get(&source) {
            Some(paid_until) => paid_until,
            None if table.is_full() => table.paid_until.get(&ThrottleKey::Rest)?,
            None => return None,
        };
        let debt = paid_until.saturating_duration_since(now) + self.interval;
        let wait = debt.saturating_sub(self.burst);
        (!wait.is_zero()).then_some(wait)
    }

    /// Counts a wrong credential of `source`.
    pub(crate) fn count(&self, source: Option<IpAddr>, now: Instant) {
        let mut table = self.lock();
        let mut source = ThrottleKey::from_address(source);
        if !table.paid_until.contains_key(&source) && table.is_full() {
            table.sweep(now);
            if table.is_full() {
                source = ThrottleKey::Rest;
            }
        }
        let paid_until = table.paid_until.entry(source).or_insert(now);
        // The debt stops growing at twice the burst, so that no source is shut out for long.
        *paid_until = ((*paid_until).max(now) + self.interval).min(now + self.burst * 2);
    }

    fn lock(&self) -> MutexGuard<'_, ThrottleTable> {
        // No update leaves the table half done, so a panic elsewhere is no reason to stop counting.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ThrottleTable {
    fn is_full(&self) -> bool {
        self.paid_until.len() >= MAX_SOURCES
    }

    fn sweep(&mut self, now: Instant) {
        if self.swept_at.is_some_and(|at| now.saturating_duration_since(at) < SWEEP_INTERVAL) {
            return;
        }
        self.swept_at = Some(now);
        self.paid_until.retain(|_, paid_until| *paid_until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(n: u32) -> Option<IpAddr> {
        Some(IpAddr::from(n.to_be_bytes()))
    }

    #[test]
    fn a_burst_is_free_and_then_each_guess_costs_time() {
        let throttle = AuthThrottle::new(3, SECOND);
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
        assert_eq!(throttle.wait(address(1), now), Some(SECOND * 4), "and never for long");
    }

    #[test]
    fn an_ipv6_network_is_one_source_and_a_mapped_address_is_its_ipv4_one() {
        let parse = |text: &str| ThrottleKey::from_address(Some(text.parse().unwrap()));
        assert_eq!(parse("2001:db8:1:2:3::1"), parse("2001:db8:1:2:ffff::9"));
        assert_ne!(parse("2001:db8:1:2::1"), parse("2001:db8:1:3::1"));
        assert_eq!(parse("::ffff:192.0.2.1"), parse("192.0.2.1"));
        assert_ne!(parse("192.0.2.2"), parse("192.0.2.1"));
    }

    #[test]
    fn the_table_stays_bounded_and_forgets_who_stopped() {
        let throttle = AuthThrottle::new(1, SECOND);
        let now = Instant::now();
        for n in 0..40_000 {
            throttle.count(address(n), now);
        }
        assert!(throttle.table.lock().unwrap().paid_until.len() <= MAX_SOURCES + 1);
        assert!(throttle.wait(address(39_999), now).is_some(), "the rest share one entry");
        let later = now + SECOND * 10;
        throttle.count(address(50_000), later);
        assert_eq!(throttle.table.lock().unwrap().paid_until.len(), 1);
    }
}
