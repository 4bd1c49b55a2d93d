//! Boots wait here for their turn: so many at once, the organizations in turn, and none that would wait for longer than a
//! machine is likely to. Decides before anything of a boot is done, so that what is shed spends no use of its ticket.
//!
//! The line is fair queueing with one queue for each organization (Nagle, "On Packet Switches With Infinite Storage",
//! RFC 970, section 4); where all of it is full, the newcomer with the shorter queue takes the place of the last of the
//! longest. How long somebody would wait follows from the boots ahead and the rate at which boots were done lately
//! (Little's law), so that nobody has to know how fast the machine, its disk or its etcd are.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::problem::ApiError;
use crate::domain::id::OrgId;
use crate::wire::Code;

/// Boots at once: enough to fill a commit of the byte store while the one before is made, and few enough that those of
/// another organization are never behind more.
const AT_ONCE: usize = 128;
/// How long the rate is measured before it counts.
const WINDOW: Duration = Duration::from_secs(1);
/// What the newest measurement counts for.
const NEWEST: f64 = 0.5;
/// The longest time to come back after that is told: agents wait for 30 s in all, unless they are told otherwise, and what
/// was measured may be over by then.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The line, and who is through. Clones share it.
#[derive(Clone)]
pub struct Admission(Arc<AdmissionInner>);

struct AdmissionInner {
    /// Boots that may wait, at most.
    waiting: usize,
    /// The longest wait that is let begin.
    patience: Duration,
    state: Mutex<AdmissionState>,
}

#[derive(Default)]
struct AdmissionState {
    at_once: usize,
    /// Who waits, the first in front. No queue is empty.
    queues: BTreeMap<OrgId, VecDeque<oneshot::Sender<()>>>,
    /// Whose turn it is, and whose after that: each organization that has a queue, once.
    turns: VecDeque<OrgId>,
    waiting: usize,
    throughput: ThroughputEstimate,
}

/// How fast boots are done while some wait.
#[derive(Default)]
struct ThroughputEstimate {
    /// Each second; none before the first measurement.
    rate: Option<f64>,
    began: Option<Instant>,
    done: u32,
}

/// A boot that is let do its work. The next is let in when it is dropped.
pub struct BootPermit(Admission);

/// Somebody who waits, and may go away at any time.
struct QueuedBoot {
    admission: Admission,
    called: Option<oneshot::Receiver<()>>,
}

// === impl Admission ===

impl Admission {
    /// Nobody waits. At most `waiting` boots may, and none begins to whose wait is likely to be longer than `patience`.
    pub fn new(waiting: usize, patience: Duration) -> Self {
        Self(Arc::new(AdmissionInner { waiting, patience, state: Mutex::default() }))
    }

    /// Waits until a boot of `org` may do its work.
    ///
    /// # Errors
    /// `overloaded`, with the time after which it is worth coming back.
    pub async fn enter(&self, org: OrgId) -> Result<BootPermit, ApiError> {
        let called = {
            let mut state = self.lock();
            if state.at_once < AT_ONCE && state.waiting == 0 {
                state.at_once += 1;
                return Ok(BootPermit(self.clone()));
            }
            state.join(org, self.0.waiting, self.0.patience, Instant::now()).map_err(shed)?
        };
        let mut queued = QueuedBoot { admission: self.clone(), called: Some(called) };
        let answer = match &mut queued.called {
            Some(called) => called.await,
            None => return Err(shed(Duration::ZERO)),
        };
        queued.called = None;
        match answer {
            Ok(()) => Ok(BootPermit(self.clone())),
            // Somebody with a shorter queue has its queued.
            Err(_) => Err(shed(self.0.patience)),
        }
    }

    /// Boots that do their work, and boots that wait.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.lock();
        (state.at_once, state.waiting)
    }

    fn lock(&self) -> MutexGuard<'_, AdmissionState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shed(wait: Duration) -> ApiError {
    let pause = wait.clamp(Duration::from_secs(1), LONGEST_PAUSE);
    ApiError::new(Code::Overloaded, "more boots wait than can be done in time").retry_after(pause)
}

// === impl AdmissionState ===

impl AdmissionState {
    /// A place at the end of the organization's queue, or the wait that is too long.
    fn join(
        &mut self,
        org: OrgId,
        most: usize,
        patience: Duration,
        now: Instant,
    ) -> Result<oneshot::Receiver<()>, Duration> {
        self.throughput.look(self.waiting > 0, now);
        let own = self.queues.get(&org).map_or(0, VecDeque::len);
        let queues = self.queues.len() + usize::from(own == 0);
        let wait = self.throughput.wait((own + 1) * queues);
        if wait > patience {
            return Err(wait);
        }
        if self.waiting >= most && !self.give_up_one(own) {
            return Err(wait);
        }
        let (call, called) = oneshot::channel();
        if own == 0 {
            self.turns.push_back(org);
        }
        self.queues.entry(org).or_default().push_back(call);
        self.waiting += 1;
        Ok(called)
    }

    /// Makes room by the last of the longest queue, if that is longer by more than one than the newcomer's `own`.
    fn give_up_one(&mut self, own: usize) -> bool {
        let longest = self.queues.values_mut().max_by_key(|queue| queue.len());
        match longest.filter(|queue| queue.len() > own + 1) {
            Some(queue) => {
                // Its sender is dropped, which tells it.
                queue.pop_back();
                self.waiting -= 1;
                true
            }
            None => false,
        }
    }

    /// One is done, or went away before it began: calls those whose turn it is, as long as there is room.
    fn leave(&mut self, done: bool, now: Instant) {
        self.at_once -= 1;
        if self.waiting > 0 {
            self.throughput.done += u32::from(done);
        }
        self.throughput.look(self.waiting > 0, now);
        while self.at_once < AT_ONCE
            && let Some(org) = self.turns.pop_front()
        {
            let Some(queue) = self.queues.get_mut(&org) else { continue };
            let next = queue.pop_front();
            if queue.is_empty() {
                self.queues.remove(&org);
            } else {
                self.turns.push_back(org);
            }
            let Some(next) = next else { continue };
            self.waiting -= 1;
            // Who went away meanwhile takes no turn.
            self.at_once += usize::from(next.send(()).is_ok());
        }
    }
}

// === impl ThroughputEstimate ===

impl ThroughputEstimate {
    /// Ends a measurement that was long enough. Times in which nobody waits say nothing about what could be done.
    fn look(&mut self, busy: bool, now: Instant) {
        if !busy {
            (self.began, self.done) = (None, 0);
            return;
        }
        let began = *self.began.get_or_insert(now);
        let time = now.saturating_duration_since(began);
        if time >= WINDOW {
            let newest = f64::from(self.done) / time.as_secs_f64();
            let before = self.rate.unwrap_or(newest);
            self.rate = Some(before + (newest - before) * NEWEST);
            (self.began, self.done) = (Some(now), 0);
        }
    }

    /// How long `ahead` boots are likely to take; nothing before anything was measured.
    fn wait(&self, ahead: usize) -> Duration {
        match self.rate {
            None => Duration::ZERO,
            Some(rate) => Duration::try_from_secs_f64(ahead as f64 / rate).unwrap_or(Duration::MAX),
        }
    }
}

// === impl BootPermit, QueuedBoot ===

impl Drop for BootPermit {
    fn drop(&mut self) {
        self.0.lock().leave(true, Instant::now());
    }
}

impl Drop for QueuedBoot {
    fn drop(&mut self) {
        let Some(mut called) = self.called.take() else { return };
        called.close();
        // Called at the very moment: the turn is passed on.
        if called.try_recv().is_ok() {
            self.admission.lock().leave(false, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn org(number: u8) -> OrgId {
        OrgId::from_bytes([number; 16])
    }

    /// All places taken, and the turns that hold them.
    async fn full(admission: &Admission) -> Vec<BootPermit> {
        let mut turns = Vec::new();
        for _ in 0..AT_ONCE {
            turns.push(admission.enter(org(0)).await.unwrap());
        }
        turns
    }

    /// Lets tasks that can go on do so.
    async fn settle() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    fn wait_in_line(
        admission: &Admission,
        number: u8,
        order: &Arc<Mutex<Vec<u8>>>,
    ) -> tokio::task::JoinHandle<bool> {
        let (admission, order) = (admission.clone(), Arc::clone(order));
        tokio::spawn(async move {
            let Ok(turn) = admission.enter(org(number)).await else { return false };
            order.lock().unwrap().push(number);
            settle().await;
            drop(turn);
            true
        })
    }

    #[tokio::test]
    async fn organizations_take_turns_however_long_their_queues_are() {
        let admission = Admission::new(1000, PATIENCE);
        let mut turns = full(&admission).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        for _ in 0..100 {
            wait_in_line(&admission, 1, &order);
        }
        settle().await;
        for number in [2, 3, 2] {
            wait_in_line(&admission, number, &order);
        }
        settle().await;
        assert_eq!(admission.counts(), (AT_ONCE, 103));
        turns.pop();
        while admission.counts().1 > 90 {
            settle().await;
        }
        assert_eq!(order.lock().unwrap()[..7], [1, 2, 3, 1, 2, 1, 1]);
    }

    #[tokio::test]
    async fn a_full_line_gives_up_the_last_of_the_longest_queue() {
        let admission = Admission::new(10, PATIENCE);
        let turns = full(&admission).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let many: Vec<_> = (0..10).map(|_| wait_in_line(&admission, 1, &order)).collect();
        settle().await;
        // The longest may not grow, and others take from it until they are as long.
        assert_eq!(admission.enter(org(1)).await.err().unwrap().code(), Code::Overloaded);
        let few: Vec<_> = (0..5).map(|_| wait_in_line(&admission, 2, &order)).collect();
        settle().await;
        assert!(admission.enter(org(2)).await.is_err());
        assert_eq!(admission.counts().1, 10);
        drop(turns);
        let mut served = [0, 0];
        for one in many {
            served[0] += usize::from(one.await.unwrap());
        }
        for one in few {
            served[1] += usize::from(one.await.unwrap());
        }
        assert_eq!(served, [5, 5]);
        assert_eq!(admission.counts(), (0, 0));
    }

    #[tokio::test]
    async fn who_goes_away_takes_no_turn_and_leaves_none_behind() {
        let admission = Admission::new(1000, PATIENCE);
        let mut turns = full(&admission).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let gone: Vec<_> = (0..5).map(|_| wait_in_line(&admission, 1, &order)).collect();
        settle().await;
        gone.iter().for_each(tokio::task::JoinHandle::abort);
        settle().await;
        let stays = wait_in_line(&admission, 2, &order);
        settle().await;
        turns.pop();
        assert!(stays.await.unwrap());
        // Called, and gone before it heard of it.
        turns.push(admission.enter(org(0)).await.unwrap());
        let late = wait_in_line(&admission, 3, &order);
        settle().await;
        admission.lock().leave(true, Instant::now());
        late.abort();
        drop(late.await);
        assert_eq!(admission.counts(), (AT_ONCE - 1, 0));
        std::mem::forget(turns.pop());
        drop(turns);
        assert_eq!(admission.counts(), (0, 0));
    }

    #[test]
    fn a_wait_that_is_too_long_for_the_measured_rate_does_not_begin() {
        let (mut state, mut now) =
            (AdmissionState { at_once: AT_ONCE, ..AdmissionState::default() }, Instant::now());
        // Before anything is known, the length of the line is the only bound.
        let mut line: Vec<_> = (0..100).map(|_| state.join(org(1), 1000, PATIENCE, now).unwrap()).collect();
        for _ in 0..50 {
            // 40 each second.
            now += Duration::from_millis(25);
            state.leave(true, now);
        }
        assert!((35.0..=45.0).contains(&state.throughput.rate.unwrap()), "{:?}", state.throughput.rate);
        let refused = loop {
            match state.join(org(1), 1000, PATIENCE, now) {
                Ok(place) => line.push(place),
                Err(wait) => break wait,
            }
        };
        assert!(refused > PATIENCE && refused < PATIENCE * 2, "{refused:?}");
        let waiting = state.waiting;
        assert!((350..450).contains(&waiting), "{waiting}");
        // One of another organization waits for as long as the turns take: two for each of its own.
        assert!(state.join(org(2), 1000, PATIENCE, now).is_ok());
        // A store that has stopped lets nobody begin to wait.
        for _ in 0..10 {
            now += WINDOW;
            state.throughput.look(true, now);
        }
        assert!(state.join(org(3), 1000, PATIENCE, now).is_err());
    }
}
