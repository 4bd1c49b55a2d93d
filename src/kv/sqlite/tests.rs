//! What SQLite alone must do, and the suite of all backends.

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

impl Place for Folder {
    const KEEPS: bool = true;

    fn open(&self) -> BoxFuture<'_, Arc<dyn Kv>> {
        Box::pin(async { Arc::new(Sqlite::open(&self.0.path().join("store.db")).unwrap()) as Arc<dyn Kv> })
    }
}

mod conformance {
    super::suite!(crate::kv::sqlite::tests::Folder);
}
