//! Wrong credentials counted per source, in a table of bounded size. Holds addresses and times, never what was guessed.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Sources remembered at once. The rest share one entry: an attacker with more addresses than this slows strangers,
/// and gains nothing.
const MAX_SOURCES: usize = 16_384;
/// How often at most the table is searched for entries that are over.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Who is counted: an IPv4 address, an IPv6 network of 64 bits (one household or machine), or the Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum ThrottleKey {
    Address([u8; 16]),
    Socket,
    Rest,
}

impl ThrottleKey {
    fn of(address: Option<IpAddr>) -> Self {
        match address {
            None => Self::Socket,
            Some(IpAddr::V4(v4)) => Self::Address(v4.to_ipv6_mapped().octets()),
            Some(IpAddr::V6(v6)) => match v6.to_ipv4_mapped() {
                Some(v4) => Self::Address(v4.to_ipv6_mapped().octets()),
                None => Self::Address(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).octets()),
            },
        }
    }
}

/// A generic cell rate algorithm per source: `burst` guesses at once, then one per `interval`.
pub struct AuthThrottle {
    burst: Duration,
    interval: Duration,
    table: Mutex<ThrottleTable>,
}

struct ThrottleTable {
    /// When the source's guesses are all paid for.
    paid_at: HashMap<ThrottleKey, Instant>,
    swept_at: Option<Instant>,
}

impl AuthThrottle {
    /// Nobody has guessed.
    pub fn new(burst: u32, interval: Duration) -> Self {
        let table = ThrottleTable { paid_at: HashMap::new(), swept_at: None };
        Self { burst: interval * burst.max(1), interval, table: Mutex::new(table) }
    }

    /// How long `source` has to wait before its next credential is looked at, if it has to.
    pub fn wait(&self, source: Option<IpAddr>, now: Instant) -> Option<Duration> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let source = ThrottleKey::of(source);
        let paid_at = match table.paid_at.get(&source) {
            Some(paid_at) => paid_at,
            None if table.is_full() => table.paid_at.get(&ThrottleKey::Rest)?,
            None => return None,
        };
        let debt = paid_at.saturating_duration_since(now) + self.interval;
        let wait = debt.saturating_sub(self.burst);
        (!wait.is_zero()).then_some(wait)
    }

    /// Counts one more.
    pub fn count(&self, source: Option<IpAddr>, now: Instant) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let mut source = ThrottleKey::of(source);
        if !table.paid_at.contains_key(&source) && table.is_full() {
            table.sweep(now);
            if table.is_full() {
                source = ThrottleKey::Rest;
            }
        }
        let paid_at = table.paid_at.entry(source).or_insert(now);
        // Debt stops growing at twice the burst, so that no source is shut out for long.
        *paid_at = ((*paid_at).max(now) + self.interval).min(now + self.burst * 2);
    }
}

impl ThrottleTable {
    fn is_full(&self) -> bool {
        self.paid_at.len() >= MAX_SOURCES
    }

    fn sweep(&mut self, now: Instant) {
        if self.swept_at.is_some_and(|at| now.saturating_duration_since(at) < SWEEP_EVERY) {
            return;
        }
        self.swept_at = Some(now);
        self.paid_at.retain(|_, paid_at| *paid_at > now);
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
        let guesses = AuthThrottle::new(3, SECOND);
        let now = Instant::now();
        for _ in 0..3 {
            assert_eq!(guesses.wait(address(1), now), None);
            guesses.count(address(1), now);
        }
        assert_eq!(guesses.wait(address(1), now), Some(SECOND));
        assert_eq!(guesses.wait(address(2), now), None, "others are not slowed");
        assert_eq!(guesses.wait(None, now), None);
        assert_eq!(guesses.wait(address(1), now + SECOND), None);
        for _ in 0..1000 {
            guesses.count(address(1), now);
        }
        assert_eq!(guesses.wait(address(1), now), Some(SECOND * 4), "and never for long");
    }

    #[test]
    fn an_ipv6_network_is_one_source_and_a_mapped_address_is_its_ipv4_one() {
        let parse = |text: &str| ThrottleKey::of(Some(text.parse().unwrap()));
        assert_eq!(parse("2001:db8:1:2:3::1"), parse("2001:db8:1:2:ffff::9"));
        assert_ne!(parse("2001:db8:1:2::1"), parse("2001:db8:1:3::1"));
        assert_eq!(parse("::ffff:192.0.2.1"), parse("192.0.2.1"));
        assert_ne!(parse("192.0.2.2"), parse("192.0.2.1"));
    }

    #[test]
    fn the_table_stays_bounded_and_forgets_who_stopped() {
        let guesses = AuthThrottle::new(1, SECOND);
        let now = Instant::now();
        for n in 0..40_000 {
            guesses.count(address(n), now);
        }
        assert!(guesses.table.lock().unwrap().paid_at.len() <= MAX_SOURCES + 1);
        assert!(guesses.wait(address(39_999), now).is_some(), "the rest share one entry");
        let later = now + SECOND * 10;
        guesses.count(address(50_000), later);
        assert_eq!(guesses.table.lock().unwrap().paid_at.len(), 1);
    }
}
