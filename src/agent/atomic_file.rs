//! Replaces a file atomically: no reader sees half of it, and at no moment does it have another mode than 0600.
#![expect(clippy::disallowed_methods, reason = "writes and renames a file")]

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::{fs, io};

/// Replaces the file at `path`. With `durable`, a machine that loses power has the old or the new content afterwards.
pub(crate) fn replace(path: &Path, bytes: &[u8], durable: bool) -> io::Result<()> {
    // With the process's number: two boots with one ticket may write at the same time.
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary);
    let written = opened.and_then(|mut file| {
        file.write_all(bytes)?;
        if durable {
            // Before the rename, or after a power failure the new name could have no content. The folder is not synced: if the
            // rename is lost, the old content is still there.
            file.sync_data()?;
        }
        fs::rename(&temporary, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}
