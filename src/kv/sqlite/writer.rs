//! Commits: one thread that makes all that wait durable in one transaction, judges each by the state that those before it
//! left, and answers only after the transaction is on the disk. Also empties SQLite's log.

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

/// What one transaction may hold: more would keep the first waiting longer than it saves the last.
const GROUP_COMMITS: usize = 256;
const GROUP_BYTES: usize = 16 << 20;

/// What may wait for the writer, in KiB; who comes later waits to be let in. Each commit counts for at least one.
const WAITING_KIB: usize = 32 << 10;

/// The way to the writer's thread.
pub(crate) struct SqliteWriter {
    /// `None` once closed. The thread ends when it has done everything that was sent before.
    requests: Mutex<Option<Sender<CommitRequest>>>,
    room: Arc<Semaphore>,
    /// Its sender lives as long as the thread.
    running: watch::Receiver<()>,
}

struct CommitRequest {
    preconditions: Vec<Precondition>,
    writes: Vec<Write>,
    bytes: usize,
    answer: oneshot::Sender<Result<Revision, CommitError>>,
    _room: OwnedSemaphorePermit,
}

/// The thread's own.
struct WriterThread {
    connection: Connection,
    requests: Receiver<CommitRequest>,
    idle: Duration,
    log: WriteAheadLog,
    last_outcome: Arc<LastOutcome>,
}

// === impl SqliteWriter ===

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
            room: Arc::new(Semaphore::new(WAITING_KIB)),
            running,
        })
    }

    pub(crate) async fn commit(
        &self,
        preconditions: Vec<Precondition>,
        writes: Vec<Write>,
    ) -> Result<Revision, CommitError> {
        let bytes = size(&preconditions, &writes);
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(kib).await;
        let closed = CommitError::Unavailable(Outage::Closed);
        let Ok(room) = room else { return Err(closed) };

        let (answer, answered) = oneshot::channel();
        let request = CommitRequest { preconditions, writes, bytes, answer, _room: room };
        match self.lock().as_ref() {
            None => return Err(closed),
            Some(requests) => requests.send(request).map_err(|_| CommitError::Unavailable(Outage::Io))?,
        }
        // No answer: the thread ended in the middle.
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
        self.room.close();
        // The only change that there will be is the sender's end.
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

// === impl WriterThread ===

impl WriterThread {
    fn run(mut self) {
        loop {
            let first = if self.log.is_empty() {
                self.requests.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                self.requests.recv_timeout(self.idle)
            };
            match first {
                Ok(first) => {
                    let group = self.gather(first);
                    match self.serve(group) {
                        // What the log holds twice makes room for others.
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

    /// The first, and those that came while the last group was made durable.
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

    /// Answers every commit of a group. Fails with what kept all of them from happening.
    fn serve(&self, group: Vec<CommitRequest>) -> Result<(), SqliteFault> {
        let mut answers = Vec::with_capacity(group.len());
        let mut work = Vec::with_capacity(group.len());
        for request in group {
            answers.push((request.answer, request._room));
            work.push((request.preconditions, request.writes));
        }
        let done = self.transaction(work).map_err(SqliteFault::from);
        self.last_outcome.met(done.as_ref().map(drop).map_err(|fault| *fault));
        match done {
            Ok(outcomes) => {
                for ((answer, _), outcome) in answers.into_iter().zip(outcomes) {
                    // Whoever asked may be gone.
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

    /// All of a group in one transaction. An error undoes all of it.
    fn transaction(&self, work: Vec<(Vec<Precondition>, Vec<Write>)>) -> Result<Outcomes, Error> {
        self.run_sql("BEGIN IMMEDIATE")?;
        let outcomes = judge(&self.connection, work).and_then(|outcomes| {
            self.run_sql("COMMIT")?;
            Ok(outcomes)
        });
        // SQLite undoes some failed transactions by itself.
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

fn judge(connection: &Connection, work: Vec<(Vec<Precondition>, Vec<Write>)>) -> Result<Outcomes, Error> {
    let before: Revision = connection.prepare_cached(REVISION)?.query_row((), |row| row.get(0))?;
    let mut revision = before;
    let mut outcomes = Vec::with_capacity(work.len());
    for (preconditions, writes) in work {
        let failed = failed_preconditions(connection, &preconditions)?;
        if !failed.is_empty() {
            outcomes.push(Err(CommitError::Conflict { failed }));
            continue;
        }
        if write(connection, writes, revision + 1)? {
            revision += 1;
        }
        outcomes.push(Ok(revision));
    }
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
