//! SQLite's write-ahead log: when its pages go into the file. Keeps it small while commits come, and empty while none do,
//! because what was deleted stays readable in it.

use std::time::Duration;

use rusqlite::{Connection, Error};

use super::file::WRITE_TIMEOUT;

/// Pages (of 4 KiB) in the log from which they are copied into the file. SQLite's own default.
const COPY: i64 = 1000;
/// Pages from which readers of the log are waited for, so that it can start anew even if there always is one.
const WAIT: i64 = 4000;
/// How long. Commits wait meanwhile.
const TIMEOUT: Duration = Duration::from_millis(100);

/// What is known of the log.
#[derive(Default)]
pub(crate) struct WriteAheadLog {
    /// Pages in it.
    pages: i64,
    /// Pages in it when they were copied last.
    copied: i64,
}

// === impl WriteAheadLog ===

impl WriteAheadLog {
    pub(crate) fn is_empty(&self) -> bool {
        self.pages == 0
    }

    /// To be called when a transaction was made and answered.
    pub(crate) fn after_commit(&mut self, connection: &Connection) {
        self.run(connection, "PRAGMA wal_checkpoint(NOOP)");
        if self.pages < self.copied {
            // It started anew.
            self.copied = 0;
        }
        // A reader that stays, such as a backup, is waited for once for so many pages, not at every commit.
        if self.pages - self.copied >= COPY {
            if self.pages >= WAIT {
                self.empty(connection);
            } else {
                self.run(connection, "PRAGMA wal_checkpoint(PASSIVE)");
                self.copied = self.pages;
            }
        }
    }

    /// Copies everything into the file and cuts the log to nothing, unless a reader still needs it.
    pub(crate) fn empty(&mut self, connection: &Connection) {
        // Setting a time to wait does not fail; if it did, the wait would be longer.
        let _ = connection.busy_timeout(TIMEOUT);
        self.run(connection, "PRAGMA wal_checkpoint(TRUNCATE)");
        let _ = connection.busy_timeout(WRITE_TIMEOUT);
        self.copied = self.pages;
    }

    /// A failure is logged and not more: what was committed is in the log, and safe.
    fn run(&mut self, connection: &Connection, pragma: &'static str) {
        let pages: Result<i64, Error> = connection
            .prepare_cached(pragma)
            .and_then(|mut statement| statement.query_row((), |row| row.get(1)));
        match pages {
            Ok(pages) => self.pages = pages.max(0),
            Err(error) => {
                let code = error.sqlite_error().map(|failure| failure.extended_code);
                tracing::warn!(code, "sqlite's log could not be copied into its file");
            }
        }
    }
}
