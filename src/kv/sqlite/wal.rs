//! SQLite's write-ahead log: when its pages are copied into the file. The log stays small under load and is emptied when
//! idle, because deleted data stays readable in it.

use std::time::Duration;

use rusqlite::{Connection, Error};

use super::file::WRITE_TIMEOUT;

/// Pages (of 4 KiB) in the log after which they are copied into the file. SQLite's own default.
const COPY_AFTER: i64 = 1000;
/// Pages after which the writer waits for readers, so that the log can restart even if there always is a reader.
const WAIT_AFTER: i64 = 4000;
/// How long the writer waits for readers. Commits wait meanwhile.
const TIMEOUT: Duration = Duration::from_millis(100);

/// The size of the log, as of the last commit.
#[derive(Default)]
pub(crate) struct WriteAheadLog {
    /// Pages in the log.
    pages: i64,
    /// Pages in the log at the last copy.
    copied: i64,
}

impl WriteAheadLog {
    pub(crate) fn is_empty(&self) -> bool {
        self.pages == 0
    }

    /// Copies the log into the file if it has grown enough. Call this after each transaction is answered.
    pub(crate) fn after_commit(&mut self, connection: &Connection) {
        self.run(connection, "PRAGMA wal_checkpoint(NOOP)");
        if self.pages < self.copied {
            // SQLite restarted the log at its beginning.
            self.copied = 0;
        }
        // By pages since the last copy, so that a long reader, such as a backup, delays one commit in a thousand and not
        // every one.
        if self.pages - self.copied >= COPY_AFTER {
            if self.pages >= WAIT_AFTER {
                self.empty(connection);
            } else {
                self.run(connection, "PRAGMA wal_checkpoint(PASSIVE)");
                self.copied = self.pages;
            }
        }
    }

    /// Copies everything into the file and truncates the log, unless a reader still needs it.
    pub(crate) fn empty(&mut self, connection: &Connection) {
        // Setting a timeout does not fail, and if it did, the wait would only be longer.
        let _ = connection.busy_timeout(TIMEOUT);
        self.run(connection, "PRAGMA wal_checkpoint(TRUNCATE)");
        let _ = connection.busy_timeout(WRITE_TIMEOUT);
        self.copied = self.pages;
    }

    fn run(&mut self, connection: &Connection, pragma: &'static str) {
        let pages: Result<i64, Error> = connection
            .prepare_cached(pragma)
            .and_then(|mut statement| statement.query_row((), |row| row.get(1)));
        match pages {
            Ok(pages) => self.pages = pages.max(0),
            // Only logged: what was committed is safe in the log, and the next commit tries again.
            Err(error) => {
                let code = error.sqlite_error().map(|failure| failure.extended_code);
                tracing::warn!(code, "sqlite's log could not be copied into its file");
            }
        }
    }
}
