//! The one way in which this process changes the byte store: a queue of operations, committed in batches.
//!
//! An operation is a closure over the records that it names. The journal runs those that wait against one view, chains
//! their audit entries and makes one durable commit with a precondition on every record they relied on; when that
//! conflicts (another process), it reads anew and runs them again. So operations of this process never conflict, a
//! change and its audit entry are one commit, and a caller that goes away leaves all of its operation or nothing.

mod batch;
mod tx;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};
pub(crate) use tx::{Halt, Stop, Tx};

use self::batch::Writer;
use crate::domain::audit::AuditEvent;
use crate::store::engine::clock::Clock;
use crate::store::engine::failure::Failure;
use crate::store::engine::records::Records;

/// Operations that may wait. A boot is a few KiB while it waits, so this bounds memory to some tens of MiB; at the
/// rate of one disk it is less than a second of work.
pub(crate) const QUEUE: usize = 4096;

/// Operations in one commit, at most.
const BATCH: usize = 256;

/// What rules add to each commit beside what its operations write. The journal asks, so that no operation can forget it.
pub(crate) trait CommitHook: Send + Sync {
    /// Returns the key of the stamp that a change at `key` must rewrite. None if there is none.
    fn stamp_key(&self, key: &[u8]) -> Option<Vec<u8>>;

    /// Returns the plaintext of a stamp.
    fn stamp(&self) -> Result<Vec<u8>, Failure>;
}

/// The journal of a process; clones feed the same.
#[derive(Clone)]
pub(crate) struct Journal {
    queue: mpsc::Sender<Message>,
    closing: Arc<AtomicBool>,
    /// Audit entries that were stored.
    entries: Arc<AtomicU64>,
}

enum Message {
    Run(Box<dyn Operation>),
    Close(oneshot::Sender<()>),
}

/// A closure and whoever waits for its answer, without their types.
trait Operation: Send {
    /// Keys that it will ask for, as far as known.
    fn reads(&self) -> &[Vec<u8>];
    /// Whether nobody waits any more.
    fn abandoned(&self) -> bool;
    /// Runs it against a view. It may be run again against another.
    fn run(&mut self, tx: &mut Tx<'_>) -> Ran;
    /// Gives the answer of the last run.
    fn finish(self: Box<Self>, committed: Result<(), Failure>);
}

/// How a run went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ran {
    /// Its writes stand.
    Done,
    /// It refused: nothing of it but its audit entries of denials stands.
    Refused,
    /// It needs more records than the view has.
    Missing,
}

struct Pending<F, T, E> {
    reads: Vec<Vec<u8>>,
    operation: F,
    answer: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl Journal {
    /// Starts the journal of this process on the current runtime.
    pub(crate) fn start(records: Arc<Records>, clock: Arc<dyn Clock>, hook: Arc<dyn CommitHook>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let closing = Arc::new(AtomicBool::new(false));
        let entries = Arc::new(AtomicU64::new(0));
        tokio::spawn(work(Writer::new(records, clock, hook, Arc::clone(&entries)), waiting));
        Self { queue, closing, entries }
    }

    /// Runs `operation` and answers once its writes are durable. `reads` are the keys it is known to need; others cost
    /// another round. It may be run several times, so that it must not keep anything of an earlier run.
    pub(crate) async fn run<T, E, F>(&self, reads: Vec<Vec<u8>>, operation: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Failure> + Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, Stop<E>> + Send + 'static,
    {
        if self.closing.load(Ordering::Acquire) {
            return Err(Failure::Unavailable.into());
        }
        let (reply, answer) = oneshot::channel();
        let pending = Pending { reads, operation, answer: None, reply };
        self.queue.try_send(Message::Run(Box::new(pending))).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Failure::Overloaded,
            mpsc::error::TrySendError::Closed(_) => Failure::Unavailable,
        })?;
        answer.await.unwrap_or_else(|_| Err(Failure::Unavailable.into()))
    }

    /// Records events alone, durably.
    pub(crate) async fn record(&self, events: Vec<AuditEvent>) -> Result<(), Failure> {
        self.run(Vec::new(), move |tx| {
            for event in &events {
                tx.audit(event.clone());
            }
            Ok::<_, Stop<Failure>>(())
        })
        .await
    }

    /// How many operations wait.
    pub(crate) fn waiting(&self) -> usize {
        QUEUE - self.queue.capacity()
    }

    /// How many audit entries this process has stored.
    pub(crate) fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// Finishes what waits, ends the audit chain, and refuses everything after.
    pub(crate) async fn close(&self) {
        if self.closing.swap(true, Ordering::AcqRel) {
            return;
        }
        let (reply, done) = oneshot::channel();
        // Behind all that was accepted before.
        if self.queue.send(Message::Close(reply)).await.is_ok() {
            let _ = done.await;
        }
    }
}

async fn work(mut writer: Writer, mut waiting: mpsc::Receiver<Message>) {
    let mut batch: VecDeque<Box<dyn Operation>> = VecDeque::new();
    let mut close = None;
    loop {
        if batch.is_empty() {
            match waiting.recv().await {
                Some(Message::Run(operation)) => batch.push_back(operation),
                Some(Message::Close(reply)) => close = Some(reply),
                None => return,
            }
        }
        while batch.len() < BATCH && close.is_none() {
            match waiting.try_recv() {
                Ok(Message::Run(operation)) => batch.push_back(operation),
                Ok(Message::Close(reply)) => close = Some(reply),
                Err(_) => break,
            }
        }
        if !batch.is_empty() {
            writer.commit(&mut batch).await;
        } else if let Some(reply) = close.take() {
            // Nothing is accepted any more; what slipped in beside the closing is answered `unavailable` by its drop.
            waiting.close();
            writer.end().await;
            let _ = reply.send(());
            return;
        }
    }
}

// === impl Operation ===

impl<F, T, E> Operation for Pending<F, T, E>
where
    T: Send + 'static,
    E: From<Failure> + Send + 'static,
    F: FnMut(&mut Tx<'_>) -> Result<T, Stop<E>> + Send + 'static,
{
    fn reads(&self) -> &[Vec<u8>] {
        &self.reads
    }

    fn abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Ran {
        self.answer = None;
        let operation = std::panic::AssertUnwindSafe(|| (self.operation)(tx));
        // A defect in one operation must not stop the journal for all others.
        match std::panic::catch_unwind(operation) {
            Ok(Ok(value)) => {
                self.answer = Some(Ok(value));
                Ran::Done
            }
            Ok(Err(Stop::Missing)) => Ran::Missing,
            Ok(Err(Stop::Refused(error))) => {
                self.answer = Some(Err(error));
                Ran::Refused
            }
            Ok(Err(Stop::Failed(failure))) => {
                self.answer = Some(Err(failure.into()));
                Ran::Refused
            }
            Err(_) => {
                self.answer = Some(Err(Failure::Internal.into()));
                Ran::Refused
            }
        }
    }

    fn finish(self: Box<Self>, committed: Result<(), Failure>) {
        let answer = match (committed, self.answer) {
            (Ok(()), Some(Ok(value))) => Ok(value),
            // A refusal stays one, whether or not its entry could be stored.
            (_, Some(Err(error))) => Err(error),
            (Ok(()), None) => Err(Failure::Internal.into()),
            (Err(failure), _) => Err(failure.into()),
        };
        let _ = self.reply.send(answer);
    }
}
