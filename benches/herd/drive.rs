//! Many machines that boot. Each is the agent's client with a TLS connection, a machine name and a kernel boot id of its own;
//! it checks the size of the release and sends the report, as before an exec.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dropsafe::client::{self, BootOptions, SystemTimer, Timer};
use dropsafe::domain::ticket::BootTicket;
use dropsafe::domain::time::Timestamp;
use dropsafe::wire::{BootRequest, ReportBootRequest};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

/// When the machines boot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrival {
    /// All at once, as after a power failure.
    AtOnce,
    /// This many per second, evenly spread.
    PerSecond(f64),
    /// At most this many at the same time.
    AtMost(usize),
}

/// The machines of one run.
pub struct Herd {
    /// The machines use these in turn.
    pub tickets: Vec<Arc<BootTicket>>,
    pub agents: usize,
    pub arrival: Arrival,
    pub deadline: Duration,
    /// Entries of a complete release.
    pub entries: u32,
}

/// The result of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Sorted times of the machines that received everything, from the first step to the end of the report.
    pub times: Vec<Duration>,
    /// The number of the other machines by error message.
    pub failed: BTreeMap<String, usize>,
    /// Retries, after refusals because of overload or failed connections.
    pub retries: u64,
    /// From the first machine's start to the last one's end.
    pub wall: Duration,
}

impl Outcome {
    /// The time in which this share of the machines booted.
    pub fn percentile(&self, share: f64) -> Duration {
        let last = self.times.len().saturating_sub(1);
        self.times.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
    }

    /// Boots per second.
    pub fn rate(&self) -> f64 {
        self.times.len() as f64 / self.wall.as_secs_f64()
    }
}

/// The time of a boot or its error, and the number of retries.
type BootResult = (Result<Duration, String>, u64);

/// The system's timer, which also counts the waits.
struct CountingTimer {
    timer: SystemTimer,
    waits: u64,
}

impl Timer for CountingTimer {
    fn now(&self) -> Duration {
        self.timer.now()
    }

    fn sleep(&mut self, time: Duration) -> impl Future<Output = ()> + Send {
        self.waits += 1;
        self.timer.sleep(time)
    }

    fn wall_clock(&self) -> Timestamp {
        self.timer.wall_clock()
    }

    fn random(&mut self) -> u64 {
        self.timer.random()
    }
}

/// Threads that run the machines. Each machine stays on one thread, as its program would.
const THREADS: usize = 2;

impl Herd {
    /// Boots the machines and waits for the last one.
    pub fn run(self) -> Outcome {
        // Each machine needs a file descriptor of this process.
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
        let herd = Arc::new(self);
        let started = Instant::now();
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let herd = Arc::clone(&herd);
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    LocalSet::new().block_on(&runtime, herd.run_thread(thread, started))
                })
            })
            .collect();
        let mut outcome = Outcome::default();
        for (result, retries) in threads.into_iter().flat_map(|thread| thread.join().unwrap()) {
            outcome.retries += retries;
            match result {
                Ok(time) => outcome.times.push(time),
                Err(why) => *outcome.failed.entry(why).or_default() += 1,
            }
        }
        outcome.wall = started.elapsed();
        outcome.times.sort();
        outcome
    }

    /// Boots the machines of one thread.
    async fn run_thread(self: Arc<Self>, thread: usize, started: Instant) -> Vec<BootResult> {
        let slots = match self.arrival {
            Arrival::AtMost(most) => Some(Arc::new(Semaphore::new(most.div_ceil(THREADS)))),
            Arrival::AtOnce | Arrival::PerSecond(_) => None,
        };
        let mut machines = JoinSet::new();
        for number in (thread..self.agents).step_by(THREADS) {
            if let Arrival::PerSecond(rate) = self.arrival {
                let at = started + Duration::from_secs_f64(number as f64 / rate);
                tokio::time::sleep_until(at.into()).await;
            }
            let permit = match &slots {
                Some(slots) => Some(Arc::clone(slots).acquire_owned().await.unwrap()),
                None => None,
            };
            let herd = Arc::clone(&self);
            machines.spawn_local(async move {
                let _permit = permit;
                herd.boot(number).await
            });
        }
        machines.join_all().await
    }

    async fn boot(&self, number: usize) -> BootResult {
        let started = Instant::now();
        let mut timer = CountingTimer { timer: SystemTimer::start(), waits: 0 };
        let request = BootRequest {
            machine: Some(format!("machine-{number}")),
            kernel_boot: Some(format!("{:032x}", u128::from(timer.random()))),
            host: Some(format!("host-{number}")),
            agent: Some(env!("CARGO_PKG_VERSION").to_owned()),
            ..BootRequest::default()
        };
        let options = BootOptions { deadline: self.deadline, authorities: None };
        let ticket = &*self.tickets[number % self.tickets.len()];
        let result = match client::boot(ticket, &request, &options, &mut timer).await {
            Err(error) => Err(error.to_string()),
            Ok((release, _)) if release.count != self.entries => Err("a release of another size".to_owned()),
            Ok((release, session)) => {
                let report =
                    ReportBootRequest { digest: release.digest.to_string().into(), variables: release.count };
                session.report_nowait(&report).await;
                Ok(started.elapsed())
            }
        };
        (result, timer.waits)
    }
}
