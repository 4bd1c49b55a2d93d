//! Reattempts until a deadline: which address is next, and how long to wait before it.
//!
//! A refusal is never retried. Waits are randomized, so that a thousand machines that lost the same store do not return
//! to it at the same moment.

use std::time::Duration;

use tracing::warn;

use super::error::{CallError, CallOutage, CallRefusal};
use super::timer::Timer;

/// The wait after the first round. Each further wait is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait that the store did not ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Reserved before the deadline for a last attempt, however long the wait before it would be.
const LAST_ATTEMPT: Duration = Duration::from_millis(500);

/// An outage that lasts longer is logged, once for each message. A restart of the store is shorter.
const WARN_AFTER: Duration = Duration::from_secs(1);

/// One attempt: the address to use, and the time left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetryAttempt {
    /// Index of the address in the caller's list.
    pub(crate) address: usize,
    /// Until the deadline.
    pub(crate) remaining: Duration,
}

/// Why a retried call failed in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RetryError {
    Refused(CallRefusal),
    Deadline { last: CallOutage, attempts: u32 },
}

/// Calls `attempt` for each of `addresses` in turn, round after round, until it succeeds or is refused, or until `deadline`
/// (in `timer`'s time). It calls `attempt` at least once.
pub(crate) async fn until<T, P: Timer>(
    timer: &mut P,
    deadline: Duration,
    addresses: usize,
    mut attempt: impl AsyncFnMut(&mut P, RetryAttempt) -> Result<T, CallError>,
) -> Result<T, RetryError> {
    // A short deadline must not consist of the reserve alone.
    let reserve = LAST_ATTEMPT.min(deadline.saturating_sub(timer.now()) / 4);
    let mut round = BackoffRound::first();
    let mut attempts = 0;
    let started = timer.now();
    let mut last_warning = String::new();
    loop {
        for address in 0..addresses.max(1) {
            // Also once after the deadline: an attempt that was never made could not even report why it failed.
            let remaining = deadline.saturating_sub(timer.now());
            let outage = match attempt(timer, RetryAttempt { address, remaining }).await {
                Ok(output) => return Ok(output),
                Err(CallError::Refused(refused)) => return Err(RetryError::Refused(refused)),
                Err(CallError::Outage(outage)) => outage,
            };
            attempts += 1;
            round.note_retry_after(outage.retry_after());

            let remaining = deadline.saturating_sub(timer.now());
            // Before the next address: an attempt without time would replace a useful error with a timeout.
            if remaining.is_zero() {
                return Err(RetryError::Deadline { last: outage, attempts });
            }
            // Another address may be well while this one is not, so waiting comes only after a whole round.
            if address + 1 < addresses {
                continue;
            }
            // Inside the reserve: this was the last attempt.
            let Some(longest) = remaining.checked_sub(reserve).filter(|longest| !longest.is_zero()) else {
                return Err(RetryError::Deadline { last: outage, attempts });
            };
            let why = outage.to_string();
            if timer.now().saturating_sub(started) >= WARN_AFTER && why != last_warning {
                warn!("{why}; retrying for up to {} seconds", remaining.as_secs());
                last_warning = why;
            }
            let wait = round.wait(timer.random()).min(longest);
            timer.sleep(wait).await;
        }
        round = round.next();
    }
}

/// Decides the wait after a round.
struct BackoffRound {
    backoff: Duration,
    /// The shortest `Retry-After` of the round: the next one starts as soon as any address is ready for it.
    retry_after: Option<Duration>,
}

impl BackoffRound {
    fn first() -> Self {
        Self { backoff: FIRST_WAIT, retry_after: None }
    }

    fn next(self) -> Self {
        Self { backoff: (self.backoff * 2).min(LONGEST_WAIT), retry_after: None }
    }

    fn note_retry_after(&mut self, wait: Option<Duration>) {
        // An address that names no time is ready at once.
        let wait = wait.unwrap_or_default();
        self.retry_after = Some(self.retry_after.map_or(wait, |shortest| shortest.min(wait)));
    }

    /// Returns the longer of two waits: half of the backoff plus a random part of the other half, and `Retry-After` plus up
    /// to a quarter of it.
    fn wait(&self, random: u64) -> Duration {
        let own = self.backoff / 2 + part(self.backoff / 2, random);
        // On top, never below: the store refuses an earlier return. It gave the same time to everyone who came together, so
        // they have to be spread again.
        let retry_after = self.retry_after.unwrap_or_default();
        own.max(retry_after + part(retry_after / 4, random))
    }
}

/// Scales `whole` by `random`, as a fraction of its range.
fn part(whole: Duration, random: u64) -> Duration {
    // Rounding does not matter: the result only has to differ between machines.
    whole.mul_f64(random as f64 / u64::MAX as f64)
}

#[cfg(all(test, feature = "server"))]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    /// A clock that advances only when a test sleeps or sets it.
    struct FakeTimer {
        now: Duration,
        random: u64,
        slept: Vec<u128>,
    }

    impl FakeTimer {
        fn new(random: u64) -> Self {
            Self { now: Duration::ZERO, random, slept: Vec::new() }
        }
    }

    impl Timer for FakeTimer {
        fn now(&self) -> Duration {
            self.now
        }

        fn sleep(&mut self, time: Duration) -> impl Future<Output = ()> + Send {
            self.now += time;
            self.slept.push(time.as_millis());
            std::future::ready(())
        }

        fn wall_clock(&self) -> Timestamp {
            Timestamp::from_millis(0)
        }

        fn random(&mut self) -> u64 {
            self.random
        }
    }

    fn busy(retry_after: Option<u64>) -> CallError {
        let retry_after = retry_after.map(Duration::from_secs);
        CallOutage::Status { address: "store".into(), status: 503, problem: None, retry_after }.into()
    }

    const DEADLINE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn waits_double_and_a_last_attempt_follows() {
        let mut timer = FakeTimer::new(u64::MAX);
        let mut at = Vec::new();
        let result = until(&mut timer, DEADLINE, 1, async |timer: &mut FakeTimer, _| {
            at.push(timer.now.as_millis());
            Err::<(), _>(busy(None))
        })
        .await;
        assert!(matches!(result, Err(RetryError::Deadline { attempts: 12, .. })), "{result:?}");
        assert_eq!(timer.slept[..7], [100, 200, 400, 800, 1600, 3200, 5000]);
        assert_eq!(at.last(), Some(&29_500));
    }

    #[tokio::test]
    async fn randomness_shortens_a_wait_by_at_most_half() {
        let mut timer = FakeTimer::new(0);
        until(&mut timer, DEADLINE, 1, async |_: &mut FakeTimer, _| Err::<(), _>(busy(None))).await.ok();
        assert_eq!(timer.slept[..3], [50, 100, 200]);
    }

    #[tokio::test]
    async fn retry_after_is_honored_up_to_the_deadline() {
        let mut timer = FakeTimer::new(0);
        let mut attempts = 0;
        let result = until(&mut timer, DEADLINE, 1, async |_: &mut FakeTimer, _| {
            attempts += 1;
            Err::<(), _>(busy(Some(if attempts == 1 { 7 } else { 3600 })))
        })
        .await;
        assert_eq!(timer.slept, [7_000, 22_500]);
        assert!(matches!(result, Err(RetryError::Deadline { attempts: 3, .. })));
    }

    #[tokio::test]
    async fn clients_with_the_same_retry_after_return_at_different_times() {
        let mut timer = FakeTimer::new(u64::MAX);
        until(&mut timer, DEADLINE, 1, async |_: &mut FakeTimer, _| Err::<(), _>(busy(Some(8)))).await.ok();
        assert_eq!(timer.slept[0], 10_000);
    }

    #[tokio::test]
    async fn the_addresses_are_tried_in_turn_without_a_wait_between_them() {
        let mut timer = FakeTimer::new(0);
        let mut order = Vec::new();
        let result = until(&mut timer, DEADLINE, 3, async |timer: &mut FakeTimer, this: RetryAttempt| {
            order.push(this.address);
            assert_eq!(this.remaining, DEADLINE - timer.now);
            // Two addresses ask for a long wait; the third, which asks for none, decides.
            if order.len() < 5 { Err(busy((this.address < 2).then_some(20))) } else { Ok(order.len()) }
        })
        .await;
        assert_eq!(result, Ok(5));
        assert_eq!(order, [0, 1, 2, 0, 1]);
        assert_eq!(timer.slept, [50]);
    }

    #[tokio::test]
    async fn a_refusal_is_not_retried() {
        let mut timer = FakeTimer::new(0);
        let result = until(&mut timer, DEADLINE, 2, async |_: &mut FakeTimer, _| {
            Err::<(), _>(CallRefusal::Redirect { address: "store".into(), status: 302 }.into())
        })
        .await;
        assert!(matches!(result, Err(RetryError::Refused(CallRefusal::Redirect { .. }))));
        assert!(timer.slept.is_empty());
    }

    #[tokio::test]
    async fn a_deadline_in_the_past_allows_one_attempt() {
        let mut timer = FakeTimer::new(0);
        let result =
            until(&mut timer, Duration::ZERO, 2, async |_: &mut FakeTimer, _| Err::<(), _>(busy(None))).await;
        assert!(matches!(result, Err(RetryError::Deadline { attempts: 1, .. })));
    }

    #[tokio::test]
    async fn an_attempt_that_uses_up_the_time_is_the_last() {
        let mut timer = FakeTimer::new(0);
        let result = until(&mut timer, DEADLINE, 1, async |timer: &mut FakeTimer, this: RetryAttempt| {
            timer.now += this.remaining;
            Err::<(), _>(busy(None))
        })
        .await;
        assert!(matches!(result, Err(RetryError::Deadline { attempts: 1, .. })));
    }
}
