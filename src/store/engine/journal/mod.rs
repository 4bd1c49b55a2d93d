//! The only way in which this process changes the byte store: a queue of operations, committed in batches.
//!
//! An operation is a closure over the records that it names. The journal runs those that wait against one view, chains
//! their audit entries and makes one durable commit with a precondition on every record they relied on; when that
//! conflicts (another process), it reads again and runs them again. So operations of this process never conflict, a
//! change and its audit entry are one commit, and if a caller disconnects, its operation is done completely or not at all.

mod batch;
mod draft;
mod tx;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};
pub(crate) use tx::{Halt, Stop, Tx};

use self::batch::Writer;
use crate::domain::audit::AuditEvent;
use crate::store::engine::audit::chain::Reached;
use crate::store::engine::audit::rows::RowChange;
use crate::store::engine::clock::Clock;
use crate::store::engine::failure::Failure;
use crate::store::engine::records::Records;

/// Operations that may wait. A boot is a few KiB while it waits, so this bounds memory to some tens of MiB; at the
/// rate of one disk it is less than a second of work.
pub(crate) const QUEUE: usize = 4096;

/// The most operations in one commit.
const BATCH: usize = 256;

/// Stamps, which the journal rewrites with every change of the rows that they cover, so that no operation can forget it.
pub(crate) trait CommitHook: Send + Sync {
    /// Returns the key of the stamp that covers the row at `key`. `None` if no stamp does.
    fn stamp_key(&self, key: &[u8]) -> Option<Vec<u8>>;

    /// Whether `key` is the key of a stamp.
    fn is_stamp(&self, key: &[u8]) -> bool;

    /// Compares a stored stamp with what this process has seen of it, and remembers it. `None` if there is none.
    ///
    /// # Errors
    /// `RolledBack` if it is older.
    fn accept(&self, key: &[u8], stamp: Option<&[u8]>) -> Result<(), Failure>;

    /// Returns the plaintext of a stamp after `changes` of the rows that it covers. `before` is its plaintext until then.
    fn stamp(
        &self,
        records: &Records,
        before: Option<&[u8]>,
        changes: &[&RowChange],
    ) -> Result<Vec<u8>, Failure>;
}

/// The journal of a process. Clones share one queue.
#[derive(Clone)]
pub(crate) struct Journal {
    queue: mpsc::Sender<Message>,
    closing: Arc<AtomicBool>,
    /// The number of stored audit entries.
    entries: Arc<AtomicU64>,
    head: Arc<OwnHead>,
}

/// The audit chain of this process, as of the last commit.
pub(crate) type OwnHead = Mutex<Option<Arc<Reached>>>;

enum Message {
    Run(Box<dyn Operation>),
    Close(oneshot::Sender<()>),
}

/// A type-erased operation with the channel for its result.
trait Operation: Send {
    /// The keys that it is known to read.
    fn reads(&self) -> &[Vec<u8>];
    /// Whether the caller has stopped waiting.
    fn abandoned(&self) -> bool;
    /// Runs it against a view. It may run again against another.
    fn run(&mut self, tx: &mut Tx<'_>) -> Ran;
    /// Sends the result of the last run.
    fn finish(self: Box<Self>, committed: Result<(), Failure>);
}

/// The outcome of a run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ran {
    /// It succeeded.
    Done,
    /// It refused. Only its audit entries about denials are kept.
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
        // Bounded, so that a slow disk shows as `overloaded` and not as growing memory.
        let (queue, waiting) = mpsc::channel(QUEUE);
        let closing = Arc::new(AtomicBool::new(false));
        let entries = Arc::new(AtomicU64::new(0));
        let head = Arc::new(OwnHead::default());
        let writer = Writer::new(records, clock, hook, Arc::clone(&entries), Arc::clone(&head));
        tokio::spawn(work(writer, waiting));
        Self { queue, closing, entries, head }
    }

    /// Runs `operation` and returns its result once its writes are durable. `reads` are the keys that it is known to read; any
    /// other key costs another round. It may run several times, so it must not keep state between runs.
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
        // Refused at once when the queue is full: waiting here would hide the overload from the caller.
        self.queue.try_send(Message::Run(Box::new(pending))).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Failure::Overloaded,
            mpsc::error::TrySendError::Closed(_) => Failure::Unavailable,
        })?;
        // The reply is dropped unsent only if the journal ended before it ran the operation.
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

    /// The number of waiting operations.
    pub(crate) fn waiting(&self) -> usize {
        QUEUE - self.queue.capacity()
    }

    /// The number of audit entries that this process has stored.
    pub(crate) fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// The audit chain of this process, its head and the tree of its entries, as of the last commit. `None` before the first.
    pub(crate) fn own_head(&self) -> Option<Arc<Reached>> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Finishes the queued operations, ends the audit chain, and refuses later ones.
    pub(crate) async fn close(&self) {
        if self.closing.swap(true, Ordering::AcqRel) {
            return;
        }
        let (reply, done) = oneshot::channel();
        // After all operations that were accepted before.
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
        // Takes what is queued and waits for nothing more: batches grow while the last commit is under way.
        while batch.len() < BATCH && close.is_none() {
            match waiting.try_recv() {
                Ok(Message::Run(operation)) => batch.push_back(operation),
                Ok(Message::Close(reply)) => close = Some(reply),
                Err(_) => break,
            }
        }
        if !batch.is_empty() {
            // Operations that did not fit the commit stay in front, so that none starves.
            writer.commit(&mut batch).await;
        } else if let Some(reply) = close.take() {
            // Nothing is accepted from here on. An operation that was queued during the close gets `unavailable` when it
            // is dropped.
            waiting.close();
            writer.end().await;
            let _ = reply.send(());
            return;
        }
    }
}

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
        // The result of an earlier run was decided on a view that is outdated.
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
        // The caller may have disconnected since. Its operation stays committed.
        let _ = self.reply.send(answer);
    }
}
