//! The newest revision of each store that this machine has seen: one line for each store in a file of the cache's folder. It is how
//! a machine notices that a store was rolled back. Beside it is the newest checkpoint of each store's audit log, which proves that to
//! others; it is kept unread. No secret is in these files.
#![expect(clippy::disallowed_methods, reason = "reads and removes the files")]

use std::fs;
use std::path::{Path, PathBuf};

use tracing::{debug, warn};

use super::folder::{FileAccess, Folder};
use crate::domain::id::StoreId;

const FILE: &str = "revisions";
/// The most stores that are remembered, the last one first. A line has at most 52 bytes.
const MAX_STORES: usize = 16;
const MAX_BYTES: u64 = 1024;
/// Several times as much as a checkpoint of one chain has.
const MAX_CHECKPOINT: usize = 4096;

/// What the machine had seen when this was read.
pub(crate) struct SeenRevisions {
    path: PathBuf,
    text: String,
}

impl SeenRevisions {
    /// Reads what the machine has seen. The caller does so before it asks the store: what another boot of this machine writes after
    /// that may be newer than the answer.
    pub(crate) fn read(folder: &Path) -> Self {
        let path = folder.join(FILE);
        // A boot must not depend on the file: one that is missing, damaged or another user's counts as empty.
        let read = Folder::open(folder).and_then(|folder| folder.read_own(FILE.as_ref(), MAX_BYTES));
        let text =
            read.ok().and_then(|bytes| str::from_utf8(&bytes).ok().map(str::to_owned)).unwrap_or_default();
        Self { path, text }
    }

    /// Warns if the store has answered with a lower revision than before, and returns whether it has. It stops nothing.
    pub(crate) fn warn_if_rolled_back(&self, store: StoreId, revision: u64) -> bool {
        let id = store.to_string();
        let seen = self.text.lines().find_map(|line| line.strip_prefix(&*id)?.trim().parse().ok());
        let Some(seen) = seen.filter(|seen: &u64| *seen > revision) else { return false };
        let checkpoint = self.checkpoint_path(&id);
        let proof = if checkpoint.exists() {
            format!(", for whom {} is a proof", checkpoint.display())
        } else {
            String::new()
        };
        warn!(
            "the store has gone back: it is at revision {revision}, and this machine has seen {seen}. It was restored from a backup, \
             or somebody replaced its records by older ones: secrets may be old, and deleted ones may be back. Ask the store's \
             operator{proof}; after an intended restore, delete {}",
            self.path.display()
        );
        true
    }

    /// Where the checkpoint of a store is.
    fn checkpoint_path(&self, store: &str) -> PathBuf {
        self.path.with_file_name(format!("{store}.checkpoint"))
    }

    /// Remembers the revision and the checkpoint, if there is a folder for them.
    pub(crate) fn remember(&self, store: StoreId, revision: u64, checkpoint: Option<&str>) {
        let id = store.to_string();
        let mut text = format!("{id} {revision}\n");
        for (place, line) in self.text.lines().filter(|line| !line.starts_with(&*id)).enumerate() {
            if place < MAX_STORES - 1 {
                text.push_str(line);
                text.push('\n');
            } else if let Some(forgotten) = line.split(' ').next().and_then(|id| id.parse::<StoreId>().ok()) {
                let _ = fs::remove_file(self.checkpoint_path(&forgotten.to_string()));
            }
        }
        // Not synced, which would cost a boot more than all else here. A machine that loses power may forget its last boots; the
        // boot after that compares with an older revision, or with none.
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let checkpoint = checkpoint.filter(|text| text.len() <= MAX_CHECKPOINT);
        let written = Folder::open(folder).and_then(|folder| {
            folder.replace(FILE.as_ref(), text.as_bytes(), FileAccess::OWNER, false)?;
            checkpoint.map_or(Ok(()), |text| {
                let path = self.checkpoint_path(&id);
                let name = path.file_name().unwrap_or_default();
                folder.replace(name, text.as_bytes(), FileAccess::OWNER, false)
            })
        });
        if let Err(error) = written {
            debug!("the store's revision is not remembered in {}: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const ONE: StoreId = StoreId::from_bytes([1; 16]);

    #[test]
    fn the_newest_revision_of_each_store_counts() {
        let folder = tempfile::tempdir().unwrap();
        let other = StoreId::from_bytes([2; 16]);
        let seen = || SeenRevisions::read(folder.path());
        assert!(!seen().warn_if_rolled_back(ONE, 0));
        seen().remember(ONE, 7, None);
        seen().remember(other, u64::MAX, None);
        assert!(
            seen().warn_if_rolled_back(ONE, 6)
                && !seen().warn_if_rolled_back(ONE, 7)
                && !seen().warn_if_rolled_back(ONE, 8)
        );
        assert!(seen().warn_if_rolled_back(other, 6));
        seen().remember(ONE, 9, None);
        assert_eq!(fs::read_to_string(&seen().path).unwrap(), format!("{ONE} 9\n{other} {}\n", u64::MAX));
        assert_eq!(fs::metadata(&seen().path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_checkpoint_is_kept_as_it_is_and_one_that_is_too_long_replaces_none() {
        let folder = tempfile::tempdir().unwrap();
        let kept = || fs::read_to_string(folder.path().join(format!("{ONE}.checkpoint"))).unwrap();
        let long = "x".repeat(MAX_CHECKPOINT + 1);
        for (sent, expected) in
            [(Some("one\n"), "one\n"), (Some(&*long), "one\n"), (None, "one\n"), (Some("two\n"), "two\n")]
        {
            SeenRevisions::read(folder.path()).remember(ONE, 1, sent);
            assert_eq!(kept(), expected);
        }
    }

    #[test]
    fn another_boot_at_the_same_time_is_no_alarm() {
        let folder = tempfile::tempdir().unwrap();
        let slow = SeenRevisions::read(folder.path());
        SeenRevisions::read(folder.path()).remember(ONE, 9, None);
        assert!(!slow.warn_if_rolled_back(ONE, 8));
    }

    #[test]
    fn the_file_stays_small_and_damage_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let seen = || SeenRevisions::read(folder.path());
        for id in 0..40 {
            seen().remember(StoreId::from_bytes([id; 16]), u64::MAX, Some("checkpoint"));
        }
        // One checkpoint for each line.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1 + MAX_STORES);
        let last = |id| seen().warn_if_rolled_back(StoreId::from_bytes([id; 16]), 1);
        assert!(last(39) && last(24) && !last(23));
        assert!(fs::metadata(&seen().path).unwrap().len() <= MAX_BYTES);
        for damaged in [&b"\xff\xfe"[..], b"sto_", &[b'x'; 5000], format!("{ONE} canary").as_bytes(), b""] {
            fs::write(&seen().path, damaged).unwrap();
            assert!(!seen().warn_if_rolled_back(ONE, 1));
            seen().remember(ONE, 5, None);
            assert!(seen().warn_if_rolled_back(ONE, 1));
        }
        // Neither is there a folder, nor does one appear.
        let nowhere = SeenRevisions::read(&folder.path().join("none"));
        nowhere.remember(ONE, 5, Some("checkpoint"));
        assert!(!nowhere.warn_if_rolled_back(ONE, 1) && !folder.path().join("none").exists());
    }
}
