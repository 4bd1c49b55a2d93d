//! Trying again until one deadline: which address is next, and how long to wait before it.
//!
//! A refusal is never tried again. Waiting is spread by chance, so that a thousand machines that lost the same store do
//! not come back to it as one.

use std::time::Duration;

use tracing::warn;

use super::error::{CallError, CallOutage, CallRefusal};
use super::timer::Timer;

/// The wait after the first round; it doubles from there.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait that is not asked for by the store.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Kept back from a longer wait for one last try before the deadline.
const LAST_TRY: Duration = Duration::from_millis(500);

/// An outage that lasts longer is worth a line, once for each reason: a store that restarts is not.
const TOLD_AFTER: Duration = Duration::from_secs(1);

/// One try: which of the addresses, and how much time there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetryAttempt {
    /// Index of the address.
    pub(crate) address: usize,
    /// Until the deadline.
    pub(crate) remaining: Duration,
}

/// Why a call that is tried again failed in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RetryError {
    Refused(CallRefusal),
    Deadline { last: CallOutage, tries: u32 },
}

/// Calls `attempt` with each of `addresses` (at least one) in turn, round after round, until it succeeds, is refused, or
/// `deadline` (in `timer`'s time) has come. It is always called once.
pub(crate) async fn until<T, P: Timer>(
    pace: &mut P,
    deadline: Duration,
    addresses: usize,
    mut attempt: impl AsyncFnMut(&mut P, RetryAttempt) -> Result<T, CallError>,
) -> Result<T, RetryError> {
    let last_try = LAST_TRY.min(deadline.saturating_sub(pace.now()) / 4);
    let mut round = BackoffRound::first();
    let mut tries = 0;
    let started = pace.now();
    let mut told = String::new();
    loop {
        for address in 0..addresses.max(1) {
            let remaining = deadline.saturating_sub(pace.now());
            let outage = match attempt(pace, RetryAttempt { address, remaining }).await {
                Ok(done) => return Ok(done),
                Err(CallError::Refused(refused)) => return Err(RetryError::Refused(refused)),
                Err(CallError::Outage(outage)) => outage,
            };
            tries += 1;
            round.asked(outage.retry_after());

            let remaining = deadline.saturating_sub(pace.now());
            if remaining.is_zero() {
                return Err(RetryError::Deadline { last: outage, tries });
            }
            if address + 1 < addresses {
                continue;
            }
            let Some(room) = remaining.checked_sub(last_try).filter(|room| !room.is_zero()) else {
                return Err(RetryError::Deadline { last: outage, tries });
            };
            let why = outage.to_string();
            if pace.now().saturating_sub(started) >= TOLD_AFTER && why != told {
                warn!("{why}; trying again for {} seconds", remaining.as_secs());
                told = why;
            }
            let wait = round.wait(pace.random()).min(room);
            pace.sleep(wait).await;
        }
        round = round.next();
    }
}

/// What decides the wait after a round.
struct BackoffRound {
    backoff: Duration,
    /// The shortest wait that an address asked for: the next round may begin as soon as one of them is willing.
    asked: Option<Duration>,
}

impl BackoffRound {
    fn first() -> Self {
        Self { backoff: FIRST_WAIT, asked: None }
    }

    fn next(self) -> Self {
        Self { backoff: (self.backoff * 2).min(LONGEST_WAIT), asked: None }
    }

    fn asked(&mut self, wait: Option<Duration>) {
        let wait = wait.unwrap_or_default();
        self.asked = Some(self.asked.map_or(wait, |shortest| shortest.min(wait)));
    }

    /// Half of the backoff and a random part of its other half; or what was asked for and a random part on top, as all
    /// who asked at the same time were told the same.
    fn wait(&self, random: u64) -> Duration {
        let own = self.backoff / 2 + part(self.backoff / 2, random);
        let asked = self.asked.unwrap_or_default();
        own.max(asked + part(asked / 4, random))
    }
}

/// A part of `whole` as large as `random` is of its range.
fn part(whole: Duration, random: u64) -> Duration {
    whole.mul_f64(random as f64 / u64::MAX as f64)
}

#[cfg(all(test, feature = "server"))]
mod tests {
    use super::*;

    /// Time that passes only when it is slept or spent.
    struct Fake {
        now: Duration,
        random: u64,
        slept: Vec<u128>,
    }

    impl Fake {
        fn new(random: u64) -> Self {
            Self { now: Duration::ZERO, random, slept: Vec::new() }
        }
    }

    impl Timer for Fake {
        fn now(&self) -> Duration {
            self.now
        }

        fn sleep(&mut self, time: Duration) -> impl Future<Output = ()> + Send {
            self.now += time;
            self.slept.push(time.as_millis());
            std::future::ready(())
        }

        fn random(&mut self) -> u64 {
            self.random
        }
    }

    fn busy(retry_after: Option<u64>) -> CallError {
        let retry_after = retry_after.map(Duration::from_secs);
        CallOutage::Status { to: "store".into(), status: 503, problem: None, retry_after }.into()
    }

    const DEADLINE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn waits_longer_each_time_and_ends_with_a_last_try() {
        let mut pace = Fake::new(u64::MAX);
        let mut at = Vec::new();
        let result = until(&mut pace, DEADLINE, 1, async |pace: &mut Fake, _| {
            at.push(pace.now.as_millis());
            Err::<(), _>(busy(None))
        })
        .await;
        assert!(matches!(result, Err(RetryError::Deadline { tries: 12, .. })), "{result:?}");
        assert_eq!(pace.slept[..7], [100, 200, 400, 800, 1600, 3200, 5000]);
        assert_eq!(at.last(), Some(&29_500));
    }

    #[tokio::test]
    async fn chance_takes_at_most_half_of_a_wait() {
        let mut pace = Fake::new(0);
        until(&mut pace, DEADLINE, 1, async |_: &mut Fake, _| Err::<(), _>(busy(None))).await.ok();
        assert_eq!(pace.slept[..3], [50, 100, 200]);
    }

    #[tokio::test]
    async fn a_wait_that_is_asked_for_is_kept_but_not_beyond_the_deadline() {
        let mut pace = Fake::new(0);
        let mut tries = 0;
        let result = until(&mut pace, DEADLINE, 1, async |_: &mut Fake, _| {
            tries += 1;
            Err::<(), _>(busy(Some(if tries == 1 { 7 } else { 3600 })))
        })
        .await;
        assert_eq!(pace.slept, [7_000, 22_500]);
        assert!(matches!(result, Err(RetryError::Deadline { tries: 3, .. })));
    }

    #[tokio::test]
    async fn those_who_were_told_the_same_come_back_spread() {
        let mut pace = Fake::new(u64::MAX);
        until(&mut pace, DEADLINE, 1, async |_: &mut Fake, _| Err::<(), _>(busy(Some(8)))).await.ok();
        assert_eq!(pace.slept[0], 10_000);
    }

    #[tokio::test]
    async fn the_addresses_are_tried_in_turn_without_a_wait_between_them() {
        let mut pace = Fake::new(0);
        let mut order = Vec::new();
        let result = until(&mut pace, DEADLINE, 3, async |pace: &mut Fake, this: RetryAttempt| {
            order.push(this.address);
            assert_eq!(this.remaining, DEADLINE - pace.now);
            // Two ask for a long time; the willing third decides.
            if order.len() < 5 { Err(busy((this.address < 2).then_some(20))) } else { Ok(order.len()) }
        })
        .await;
        assert_eq!(result, Ok(5));
        assert_eq!(order, [0, 1, 2, 0, 1]);
        assert_eq!(pace.slept, [50]);
    }

    #[tokio::test]
    async fn a_refusal_ends_it_at_once() {
        let mut pace = Fake::new(0);
        let result = until(&mut pace, DEADLINE, 2, async |_: &mut Fake, _| {
            Err::<(), _>(CallRefusal::Redirect { to: "store".into(), status: 302 }.into())
        })
        .await;
        assert!(matches!(result, Err(RetryError::Refused(CallRefusal::Redirect { .. }))));
        assert!(pace.slept.is_empty());
    }

    #[tokio::test]
    async fn a_deadline_that_has_come_still_allows_one_try() {
        let mut pace = Fake::new(0);
        let result =
            until(&mut pace, Duration::ZERO, 2, async |_: &mut Fake, _| Err::<(), _>(busy(None))).await;
        assert!(matches!(result, Err(RetryError::Deadline { tries: 1, .. })));
    }

    #[tokio::test]
    async fn a_try_that_takes_all_the_time_is_the_last() {
        let mut pace = Fake::new(0);
        let result = until(&mut pace, DEADLINE, 1, async |pace: &mut Fake, this: RetryAttempt| {
            pace.now += this.remaining;
            Err::<(), _>(busy(None))
        })
        .await;
        assert!(matches!(result, Err(RetryError::Deadline { tries: 1, .. })));
    }
}
