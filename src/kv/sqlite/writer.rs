//! Commits: one thread makes all waiting commits durable in one transaction. It checks each by the state that the earlier
//! ones left, and answers only after the transaction is on the disk. It also empties SQLite's log.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Error, OptionalExtension};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::LastOutcome;
use super::fault::SqliteFault;
use super::file::REVISION;
use super::wal::WriteAheadLog;
use crate::kv::{CommitError, Outage, Precondition, Revision, Write};

const FIND: &str = "SELECT revision FROM kv WHERE key = ?1";
const PUT: &str = "REPLACE INTO kv(key, value, revision) VALUES (?1, ?2, ?3)";
const DELETE: &str = "DELETE FROM kv WHERE key = ?1";
const ADVANCE: &str = "UPDATE kv SET revision = ?1 WHERE key = x''";

/// The bounds of one transaction: more would delay the first commit by more than it saves the last one.
const GROUP_COMMITS: usize = 256;
const GROUP_BYTES: usize = 16 << 20;

/// KiB of commits that may wait for the writer; further callers wait. Each commit counts for at least one.
const WAITING_KIB: usize = 32 << 10;

/// The channel to the writer's thread.
pub(crate) struct SqliteWriter {
    /// `None` once closed. The thread ends after everything that was sent before.
    requests: Mutex<Option<Sender<CommitRequest>>>,
    waiting: Arc<Semaphore>,
    /// Its sender lives as long as the thread does.
    running: watch::Receiver<()>,
}

struct CommitRequest {
    preconditions: Vec<Precondition>,
    writes: Vec<Write>,
    bytes: usize,
    answer: oneshot::Sender<Result<Revision, CommitError>>,
    _permit: OwnedSemaphorePermit,
}

/// The state of the writer's thread.
struct WriterThread {
    connection: Connection,
    requests: Receiver<CommitRequest>,
    idle: Duration,
    log: WriteAheadLog,
    last_outcome: Arc<LastOutcome>,
}

impl SqliteWriter {
    pub(crate) fn start(
        connection: Connection,
        idle: Duration,
        last_outcome: Arc<LastOutcome>,
    ) -> Result<SqliteWriter, std::io::Error> {
        let (sender, requests) = mpsc::channel();
        let (alive, running) = watch::channel(());
        let thread = WriterThread { connection, requests, idle, log: WriteAheadLog::default(), last_outcome };
        std::thread::Builder::new().name("kv-writer".to_owned()).spawn(move || {
            let _alive = alive;
            thread.run();
        })?;
        Ok(SqliteWriter {
            requests: Mutex::new(Some(sender)),
            waiting: Arc::new(Semaphore::new(WAITING_KIB)),
            running,
        })
    }

    pub(crate) async fn commit(
        &self,
        preconditions: Vec<Precondition>,
        writes: Vec<Write>,
    ) -> Result<Revision, CommitError> {
        // By size and not by number, because this is what bounds the memory of waiting commits.
        let bytes = size(&preconditions, &writes);
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.waiting).acquire_many_owned(kib).await;
        let closed = CommitError::Unavailable(Outage::Closed);
        let Ok(permit) = permit else { return Err(closed) };

        let (answer, answered) = oneshot::channel();
        let request = CommitRequest { preconditions, writes, bytes, answer, _permit: permit };
        match self.lock().as_ref() {
            None => return Err(closed),
            Some(requests) => requests.send(request).map_err(|_| CommitError::Unavailable(Outage::Io))?,
        }
        // No answer means that the thread ended in the middle of its work.
        answered.await.unwrap_or(Err(CommitError::Unavailable(Outage::Io)))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().is_none()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.has_changed().is_ok()
    }

    pub(crate) async fn close(&self) {
        drop(self.lock().take());
        // Callers that wait for a place in the queue fail now, before the thread ends.
        self.waiting.close();
        // The sender sends nothing. The only change is that it is dropped.
        let _ended = self.running.clone().changed().await;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Sender<CommitRequest>>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(preconditions: &[Precondition], writes: &[Write]) -> usize {
    let keys = preconditions.iter().map(Precondition::key).chain(writes.iter().map(Write::key));
    let values = writes.iter().map(|write| if let Write::Put(_, value) = write { value.len() } else { 0 });
    keys.map(<[u8]>::len).chain(values).sum()
}

impl WriterThread {
    fn run(mut self) {
        loop {
            // An empty log needs no timer.
            let first = if self.log.is_empty() {
                self.requests.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                self.requests.recv_timeout(self.idle)
            };
            match first {
                Ok(first) => {
                    let group = self.gather(first);
                    match self.serve(group) {
                        // Emptying the log frees the space of the pages that are also in the file.
                        Err(SqliteFault::Full) => self.log.empty(&self.connection),
                        Ok(()) | Err(_) => self.log.after_commit(&self.connection),
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.log.empty(&self.connection),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.log.empty(&self.connection);
    }

    /// Returns the first commit and those that arrived while the last group was written.
    fn gather(&self, first: CommitRequest) -> Vec<CommitRequest> {
        let mut bytes = first.bytes;
        let mut group = vec![first];
        while group.len() < GROUP_COMMITS && bytes < GROUP_BYTES {
            let Ok(next) = self.requests.try_recv() else { break };
            bytes += next.bytes;
            group.push(next);
        }
        group
    }

    /// Answers every commit of a group. Fails if the whole transaction does.
    fn serve(&self, group: Vec<CommitRequest>) -> Result<(), SqliteFault> {
        let mut answers = Vec::with_capacity(group.len());
        let mut work = Vec::with_capacity(group.len());
        for request in group {
            answers.push((request.answer, request._permit));
            work.push((request.preconditions, request.writes));
        }
        let outcomes = self.transaction(work).map_err(SqliteFault::from);
        self.last_outcome.set(outcomes.as_ref().map(drop).map_err(|fault| *fault));
        match outcomes {
            Ok(outcomes) => {
                for ((answer, _), outcome) in answers.into_iter().zip(outcomes) {
                    // Sending fails if the caller was dropped: the commit is durable anyway.
                    let _ = answer.send(outcome);
                }
                Ok(())
            }
            Err(fault) => {
                for (answer, _) in answers {
                    let _ = answer.send(Err(fault.into()));
                }
                Err(fault)
            }
        }
    }

    /// Commits a group in one transaction. An error rolls all of it back.
    fn transaction(&self, work: Vec<(Vec<Precondition>, Vec<Write>)>) -> Result<Outcomes, Error> {
        // IMMEDIATE takes the write lock at once. A read lock that is upgraded later can fail in the middle.
        self.run_sql("BEGIN IMMEDIATE")?;
        let outcomes = apply(&self.connection, work).and_then(|outcomes| {
            self.run_sql("COMMIT")?;
            Ok(outcomes)
        });
        // SQLite rolls back by itself after some errors, and then a ROLLBACK would fail: https://sqlite.org/lang_transaction.html
        if outcomes.is_err() && !self.connection.is_autocommit() {
            self.run_sql("ROLLBACK")?;
        }
        outcomes
    }

    fn run_sql(&self, sql: &str) -> Result<(), Error> {
        self.connection.prepare_cached(sql)?.execute(()).map(drop)
    }
}

/// The answers to the commits of a group, in their order.
type Outcomes = Vec<Result<Revision, CommitError>>;

fn apply(connection: &Connection, work: Vec<(Vec<Precondition>, Vec<Write>)>) -> Result<Outcomes, Error> {
    let before: Revision = connection.prepare_cached(REVISION)?.query_row((), |row| row.get(0))?;
    let mut revision = before;
    let mut outcomes = Vec::with_capacity(work.len());
    for (preconditions, writes) in work {
        let failed = failed_preconditions(connection, &preconditions)?;
        if !failed.is_empty() {
            outcomes.push(Err(CommitError::Conflict { failed }));
            continue;
        }
        // A commit that changes nothing takes no revision.
        if write(connection, writes, revision + 1)? {
            revision += 1;
        }
        outcomes.push(Ok(revision));
    }
    // Once for the group: only the last revision is read after the transaction.
    if revision != before {
        connection.prepare_cached(ADVANCE)?.execute([revision])?;
    }
    Ok(outcomes)
}

/// The preconditions that do not hold.
fn failed_preconditions(
    connection: &Connection,
    preconditions: &[Precondition],
) -> Result<Vec<usize>, Error> {
    let mut find = connection.prepare_cached(FIND)?;
    let mut failed = Vec::new();
    for (index, precondition) in preconditions.iter().enumerate() {
        // Inside the transaction, so that earlier commits of the group count.
        let found = find.query_row([precondition.key()], |row| row.get(0)).optional()?;
        if !precondition.holds(found) {
            failed.push(index);
        }
    }
    Ok(failed)
}

/// Makes the changes, and returns whether any of them changed something.
fn write(connection: &Connection, writes: Vec<Write>, revision: Revision) -> Result<bool, Error> {
    let mut changed = 0;
    for write in writes {
        changed += match write {
            Write::Put(key, value) => connection.prepare_cached(PUT)?.execute((&key, &value, revision))?,
            Write::Delete(key) => connection.prepare_cached(DELETE)?.execute([&key])?,
        };
    }
    Ok(changed > 0)
}
