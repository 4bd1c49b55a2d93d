//! Tests of the admission of boots.

use super::*;

const LIMITS: QueueLimits = QueueLimits { length: 1000, wait: Duration::from_secs(10) };

fn org(number: u8) -> OrgId {
    OrgId::from_bytes([number; 16])
}

/// Fills all places. Returns their permits.
async fn full(admission: &Admission) -> Vec<BootPermit> {
    let mut turns = Vec::new();
    for _ in 0..MAX_IN_FLIGHT {
        turns.push(admission.acquire(org(0)).await.unwrap());
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
        let Ok(turn) = admission.acquire(org(number)).await else { return false };
        order.lock().unwrap().push(number);
        settle().await;
        drop(turn);
        true
    })
}

#[tokio::test]
async fn organizations_take_turns_however_long_their_queues_are() {
    let admission = Admission::new(LIMITS);
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
    assert_eq!(admission.counts(), (MAX_IN_FLIGHT, 103));
    turns.pop();
    while admission.counts().1 > 90 {
        settle().await;
    }
    assert_eq!(order.lock().unwrap()[..7], [1, 2, 3, 1, 2, 1, 1]);
}

#[tokio::test]
async fn a_full_line_gives_up_the_last_of_the_longest_queue() {
    let admission = Admission::new(QueueLimits { length: 10, ..LIMITS });
    let turns = full(&admission).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let many: Vec<_> = (0..10).map(|_| wait_in_line(&admission, 1, &order)).collect();
    settle().await;
    // The longest may not grow, and others take from it until they are as long.
    assert_eq!(admission.acquire(org(1)).await.err().unwrap().code(), Code::Overloaded);
    let few: Vec<_> = (0..5).map(|_| wait_in_line(&admission, 2, &order)).collect();
    settle().await;
    assert!(admission.acquire(org(2)).await.is_err());
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
    let admission = Admission::new(LIMITS);
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
    turns.push(admission.acquire(org(0)).await.unwrap());
    let late = wait_in_line(&admission, 3, &order);
    settle().await;
    admission.lock().release(true, Instant::now());
    late.abort();
    drop(late.await);
    assert_eq!(admission.counts(), (MAX_IN_FLIGHT - 1, 0));
    std::mem::forget(turns.pop());
    drop(turns);
    assert_eq!(admission.counts(), (0, 0));
}

#[test]
fn a_wait_that_is_too_long_for_the_measured_rate_does_not_begin() {
    let (mut state, mut now) =
        (AdmissionState { in_flight: MAX_IN_FLIGHT, ..AdmissionState::default() }, Instant::now());
    // Before anything is known, the length of the line is the only bound.
    let mut line: Vec<_> = (0..100).map(|_| state.join(org(1), &LIMITS, now).unwrap()).collect();
    for _ in 0..50 {
        // 40 each second.
        now += Duration::from_millis(25);
        state.release(true, now);
    }
    assert!((35.0..=45.0).contains(&state.throughput.rate().unwrap()), "{:?}", state.throughput.rate());
    let refused = loop {
        match state.join(org(1), &LIMITS, now) {
            Ok(place) => line.push(place),
            Err(wait) => break wait,
        }
    };
    assert!(refused > LIMITS.wait && refused < LIMITS.wait * 2, "{refused:?}");
    let waiting = state.waiting;
    assert!((350..450).contains(&waiting), "{waiting}");
    // One of another organization waits for as long as the turns take: two for each of its own.
    assert!(state.join(org(2), &LIMITS, now).is_ok());
    // A store that has stopped lets nobody begin to wait.
    for _ in 0..10 {
        now += Duration::from_secs(1);
        state.throughput.update(true, now);
    }
    assert!(state.join(org(3), &LIMITS, now).is_err());
}
