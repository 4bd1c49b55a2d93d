//! What SQLite alone must do, and the suite of all backends.
#![expect(clippy::disallowed_methods, reason = "tests damage files and start processes to kill")]

mod crash;
mod damage;
mod opening;
mod room;
mod sharing;
mod wal;

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use super::Sqlite;
use crate::kv::conformance::{Place, suite};
use crate::kv::{BoxFuture, Kv};

/// A folder with a store.
struct Folder(TempDir);

impl Default for Folder {
    fn default() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }
}

impl Folder {
    fn path(&self) -> PathBuf {
        self.0.path().join("store.db")
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        self.0.path().join(format!("store.db{suffix}"))
    }

    fn store(&self) -> Sqlite {
        Sqlite::open(&self.path()).unwrap()
    }

    /// The file, as another program opens it.
    fn raw(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }
}

impl Place for Folder {
    const KEEPS: bool = true;

    fn open(&self) -> BoxFuture<'_, Arc<dyn Kv>> {
        Box::pin(async { Arc::new(self.store()) as Arc<dyn Kv> })
    }
}

mod conformance {
    super::suite!(crate::kv::sqlite::tests::Folder);
}

/// Runs one ignored test of this binary in a new process, started by the command `before`. The test reads the path of `folder`
/// from `KV_TEST_FOLDER`.
fn in_a_process(before: &[&str], test: &str, folder: &std::path::Path) -> Command {
    let this = std::env::current_exe().unwrap();
    let mut words = before.iter().map(std::ffi::OsStr::new).chain([this.as_os_str()]);
    let mut command = Command::new(words.next().unwrap());
    let name = format!("kv::sqlite::tests::{test}");
    command.args(words).args([&name, "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("KV_TEST_FOLDER", folder);
    command
}

/// The folder that was given to this process; `None` if the test was started by hand.
fn given_folder() -> Option<PathBuf> {
    std::env::var_os("KV_TEST_FOLDER").map(PathBuf::from)
}
