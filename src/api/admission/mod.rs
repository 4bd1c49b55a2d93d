//! Admission of boots. A limited number runs at once, the organizations take turns, and a boot with too long an expected
//! wait is refused. This happens before the boot begins, so that a refused boot spends no use of its ticket.
//!
//! This is fair queueing with one queue per organization (Nagle, "On Packet Switches With Infinite Storage", RFC 970,
//! section 4). If all queues together are full, a newcomer with a shorter queue replaces the last of the longest. The
//! expected wait follows from the boots ahead and the measured throughput (Little's law), so that nobody has to
//! configure how fast the machine, its disk or its etcd are.

mod throughput;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use self::throughput::ThroughputEstimate;
use super::problem::ApiError;
use crate::domain::id::OrgId;
use crate::wire::Code;

/// Boots in flight: enough to fill a commit of the byte store while the one before is made, and few enough that the
/// boots of another organization are never behind more.
const MAX_IN_FLIGHT: usize = 128;
/// The largest `Retry-After`: agents wait for 30 s in all by default, and the overload may be over by then.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// The limits of the queues.
#[derive(Clone, Copy)]
pub(crate) struct QueueLimits {
    /// The largest number of boots that wait.
    pub(crate) length: usize,
    /// A boot with a longer expected wait is refused at once.
    pub(crate) wait: Duration,
}

/// The queues, and the boots in flight. Clones share them.
#[derive(Clone)]
pub(crate) struct Admission(Arc<AdmissionInner>);

struct AdmissionInner {
    limits: QueueLimits,
    state: Mutex<AdmissionState>,
}

#[derive(Default)]
struct AdmissionState {
    in_flight: usize,
    /// The waiting boots of each organization, oldest first. No queue is empty.
    queues: BTreeMap<OrgId, VecDeque<oneshot::Sender<()>>>,
    /// The order of turns: each organization that has a queue, once.
    turns: VecDeque<OrgId>,
    waiting: usize,
    throughput: ThroughputEstimate,
}

/// The right of one boot to proceed. Dropping it admits the next.
pub(crate) struct BootPermit(Admission);

/// A boot in a queue, whose connection may close at any time.
struct QueuedBoot {
    admission: Admission,
    admitted: Option<oneshot::Receiver<()>>,
}

impl Admission {
    pub(crate) fn new(limits: QueueLimits) -> Self {
        Self(Arc::new(AdmissionInner { limits, state: Mutex::default() }))
    }

    /// Waits until a boot of `org` may proceed.
    ///
    /// # Errors
    /// `overloaded`, with the time after which a retry is likely to succeed.
    pub(crate) async fn acquire(&self, org: OrgId) -> Result<BootPermit, ApiError> {
        let limits = self.0.limits;
        // In a block, since the guard must not live across the await below.
        let admitted = {
            let mut state = self.lock();
            // A newcomer does not overtake: a free place belongs to the boots that already wait.
            if state.in_flight < MAX_IN_FLIGHT && state.waiting == 0 {
                state.in_flight += 1;
                return Ok(BootPermit(self.clone()));
            }
            state.join(org, &limits, Instant::now()).map_err(overloaded)?
        };
        let mut queued = QueuedBoot { admission: self.clone(), admitted: Some(admitted) };
        let answer = match &mut queued.admitted {
            Some(admitted) => admitted.await,
            // Never: it was set in the line above.
            None => return Err(overloaded(Duration::ZERO)),
        };
        // From here on the permit frees the place, so `QueuedBoot` must not.
        queued.admitted = None;
        match answer {
            Ok(()) => Ok(BootPermit(self.clone())),
            // The sender was dropped: a newcomer with a shorter queue has the place.
            Err(_) => Err(overloaded(limits.wait)),
        }
    }

    /// The numbers of boots in flight and of boots that wait.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let state = self.lock();
        (state.in_flight, state.waiting)
    }

    fn lock(&self) -> MutexGuard<'_, AdmissionState> {
        // No update can panic halfway, so the counts are right even after a panic elsewhere.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn overloaded(wait: Duration) -> ApiError {
    let pause = wait.clamp(Duration::from_secs(1), MAX_PAUSE);
    ApiError::new(Code::Overloaded, "more boots wait than the store can answer in time").retry_after(pause)
}

impl AdmissionState {
    /// Appends to the organization's queue, or returns the expected wait if that is too long.
    fn join(
        &mut self,
        org: OrgId,
        limits: &QueueLimits,
        now: Instant,
    ) -> Result<oneshot::Receiver<()>, Duration> {
        // Before the estimate below, so that a store that has just stopped is not estimated by its past.
        self.throughput.update(self.waiting > 0, now);
        let own = self.queues.get(&org).map_or(0, VecDeque::len);
        let queues = self.queues.len() + usize::from(own == 0);
        // The organizations take turns, so as many boots of each other one go first as there are in this queue.
        let wait = self.throughput.estimate((own + 1) * queues);
        if wait > limits.wait || (self.waiting >= limits.length && !self.evict_longer_than(own + 1)) {
            return Err(wait);
        }
        let (admit, admitted) = oneshot::channel();
        if own == 0 {
            self.turns.push_back(org);
        }
        self.queues.entry(org).or_default().push_back(admit);
        self.waiting += 1;
        Ok(admitted)
    }

    /// Evicts the last of the longest queue, if that is longer than `length`. Returns whether it did.
    fn evict_longer_than(&mut self, length: usize) -> bool {
        let longest = self.queues.values_mut().max_by_key(|queue| queue.len());
        match longest.filter(|queue| queue.len() > length) {
            Some(queue) => {
                // Dropping the sender wakes the boot that waits.
                queue.pop_back();
                self.waiting -= 1;
                true
            }
            None => false,
        }
    }

    /// Frees a place, and admits the next boots. `completed` is false if the boot's connection closed before it began.
    fn release(&mut self, completed: bool, now: Instant) {
        self.in_flight -= 1;
        if completed && self.waiting > 0 {
            self.throughput.count();
        }
        self.throughput.update(self.waiting > 0, now);
        while self.in_flight < MAX_IN_FLIGHT
            && let Some(org) = self.turns.pop_front()
        {
            // Every turn has a queue, so this skips nothing.
            let Some(queue) = self.queues.get_mut(&org) else { continue };
            let next = queue.pop_front();
            if queue.is_empty() {
                self.queues.remove(&org);
            } else {
                self.turns.push_back(org);
            }
            let Some(next) = next else { continue };
            self.waiting -= 1;
            // `send` fails if the boot's connection has closed; then it needs no place.
            self.in_flight += usize::from(next.send(()).is_ok());
        }
    }
}

impl Drop for BootPermit {
    fn drop(&mut self) {
        self.0.lock().release(true, Instant::now());
    }
}

impl Drop for QueuedBoot {
    fn drop(&mut self) {
        let Some(mut admitted) = self.admitted.take() else { return };
        // Closing first makes a later `send` fail, so the check below misses no admission.
        admitted.close();
        if admitted.try_recv().is_ok() {
            self.admission.lock().release(false, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests;
