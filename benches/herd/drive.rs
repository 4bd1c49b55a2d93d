//! Many machines that boot: each the client of the agent, with a TLS connection, a machine's name and a kernel's boot of
//! its own, the release checked for its size, and the report sent as before an exec.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dropsafe::client::{self, BootOptions, SystemTimer, Timer};
use dropsafe::domain::ticket::BootTicket;
use dropsafe::wire::{BootRequest, ReportBootRequest};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

/// When they come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrival {
    /// All at the same moment, as after a power failure.
    AtOnce,
    /// So many each second, evenly.
    PerSecond(f64),
    /// So many at any time, each after another is done.
    AtMost(usize),
}

/// Machines and what they expect.
pub struct Herd {
    /// The machines take these in turn.
    pub tickets: Vec<Arc<BootTicket>>,
    pub agents: usize,
    pub arrival: Arrival,
    pub deadline: Duration,
    /// Entries of a whole release.
    pub entries: u32,
}

/// How it went.
#[derive(Debug, Default)]
pub struct Outcome {
    /// From a machine's first step to the end of its report, of those that were given everything, ascending.
    pub took: Vec<Duration>,
    /// The others, by the words of their errors.
    pub failed: BTreeMap<String, usize>,
    /// Tries that were put off: sheds, and connections that came to nothing.
    pub put_off: u64,
    /// From the first arrival to the last end.
    pub wall: Duration,
}

impl Outcome {
    /// The time within which that share of the machines had booted.
    pub fn percentile(&self, share: f64) -> Duration {
        let last = self.took.len().saturating_sub(1);
        self.took.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
    }

    /// Boots for each second of the whole.
    pub fn rate(&self) -> f64 {
        self.took.len() as f64 / self.wall.as_secs_f64()
    }
}

/// The time that a boot took or why it failed, and how often it was put off.
type Booted = (Result<Duration, String>, u64);

/// As the machine's own, and counts how often it is asked to wait.
struct CountingTimer {
    pace: SystemTimer,
    waits: u64,
}

impl Timer for CountingTimer {
    fn now(&self) -> Duration {
        self.pace.now()
    }

    fn sleep(&mut self, time: Duration) -> impl Future<Output = ()> + Send {
        self.waits += 1;
        self.pace.sleep(time)
    }

    fn random(&mut self) -> u64 {
        self.pace.random()
    }
}

/// Threads that the machines are on; each machine stays on one, as its program would.
const THREADS: usize = 2;

impl Herd {
    /// Lets them come, and waits for the last.
    pub fn run(self) -> Outcome {
        // Each machine is a connection of this process.
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
        let herd = Arc::new(self);
        let began = Instant::now();
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let herd = Arc::clone(&herd);
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    LocalSet::new().block_on(&runtime, herd.run_thread(thread, began))
                })
            })
            .collect();
        let mut outcome = Outcome::default();
        for (result, put_off) in threads.into_iter().flat_map(|thread| thread.join().unwrap()) {
            outcome.put_off += put_off;
            match result {
                Ok(took) => outcome.took.push(took),
                Err(why) => *outcome.failed.entry(why).or_default() += 1,
            }
        }
        outcome.wall = began.elapsed();
        outcome.took.sort();
        outcome
    }

    /// The machines of one thread.
    async fn run_thread(self: Arc<Self>, thread: usize, began: Instant) -> Vec<Booted> {
        let slots = match self.arrival {
            Arrival::AtMost(most) => Some(Arc::new(Semaphore::new(most.div_ceil(THREADS)))),
            Arrival::AtOnce | Arrival::PerSecond(_) => None,
        };
        let mut machines = JoinSet::new();
        for number in (thread..self.agents).step_by(THREADS) {
            if let Arrival::PerSecond(rate) = self.arrival {
                let at = began + Duration::from_secs_f64(number as f64 / rate);
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

    async fn boot(&self, number: usize) -> Booted {
        let began = Instant::now();
        let mut pace = CountingTimer { pace: SystemTimer::start(), waits: 0 };
        let request = BootRequest {
            machine: Some(format!("machine-{number}")),
            kernel_boot: Some(format!("{:032x}", u128::from(pace.random()))),
            host: Some(format!("host-{number}")),
            agent: Some(env!("CARGO_PKG_VERSION").to_owned()),
            ..BootRequest::default()
        };
        let options = BootOptions { deadline: self.deadline, authorities: None };
        let ticket = &self.tickets[number % self.tickets.len()];
        let result = match client::boot(ticket, &request, &options, &mut pace).await {
            Err(error) => Err(error.to_string()),
            Ok((release, _)) if release.count != self.entries => Err("a release of another size".to_owned()),
            Ok((release, session)) => {
                let report = ReportBootRequest { digest: release.digest, variables: release.count };
                session.report_nowait(&report).await;
                Ok(began.elapsed())
            }
        };
        (result, pace.waits)
    }
}
