//! `dropsafe backup`: the records of the byte store, encrypted as they are, in one file.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::connect;
use super::context::CliContext;
use super::error::CommandResult;
use super::files::{self, AtomicFile};
use super::progress::ProgressIndicator;
use crate::process::Exit;

/// Back up the store to FILE (operator)
///
/// The records stay encrypted. The backup does not contain the record key: keep a
/// copy of DIR/record.key separately. Without that key and without a passphrase or
/// key file of a key slot, nobody can read the backup. FILE appears only once the
/// backup is complete. A file that exists is never replaced.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct BackupArgs {
    /// File to write
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl BackupArgs {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::open_client(context)?;
        // Before the call: a path that cannot be written must not cost the store a whole backup.
        files::refuse_existing(&self.file)?;
        let mut file = AtomicFile::create(&self.file)?;
        let bar = ProgressIndicator::bytes("backing up");
        let mut written: u64 = 0;
        let mut sink = |piece: &[u8]| {
            // Counted here and not on the file at the end: another process could have replaced it by then.
            written += piece.len() as u64;
            bar.advance(piece.len() as u64);
            file.write_all(piece)
        };
        let result = client.backup(&mut sink).await;
        // The bar would be drawn over the message of a failure.
        drop(bar);
        result?;
        file.publish_new()?;
        let path = self.file.to_string_lossy();
        context.output.json_or_line(
            self.json,
            &serde_json::json!({ "file": path, "bytes": written }),
            || format!("{}: {written} bytes", self.file.display()),
        )?;
        if !self.json {
            context.output.note(
                "the backup does not contain the record key: keep a copy of record.key from the data folder separately",
            );
        }
        Ok(Exit::Success)
    }
}
