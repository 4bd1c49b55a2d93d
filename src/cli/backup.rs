//! `dropsafe backup`: the byte store, encrypted as it is, into one file.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::error::CommandResult;
use super::files::AtomicFile;
use super::progress::ProgressIndicator;
use super::{CliContext, connect};
use crate::process::Exit;

/// Copy the store's records into FILE, encrypted as they are (operator)
///
/// The record key is not in it: keep a copy of DIR/record.key apart. Without that
/// key, and without what unlocks a key slot, a backup opens for nobody. FILE
/// appears when it is complete; an existing one stays.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct BackupArgs {
    /// The new file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl BackupArgs {
    /// Runs it.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::client(context)?;
        let mut pending = AtomicFile::create(&self.file)?;
        let bar = ProgressIndicator::bytes("backing up");
        let mut written: u64 = 0;
        let mut sink = |piece: &[u8]| {
            written += piece.len() as u64;
            bar.advance(piece.len() as u64);
            pending.write_all(piece)
        };
        let streamed = client.backup(&mut sink).await;
        drop(bar);
        streamed?;
        pending.finish()?;
        if self.json {
            let file = self.file.to_string_lossy();
            context.output.json(&serde_json::json!({ "file": file, "bytes": written }))?;
        } else {
            context.output.line(format!("{}: {written} bytes", self.file.display()))?;
            context
                .output
                .note("the record key is not in it: keep a copy of the data folder's record.key apart");
        }
        Ok(Exit::Success)
    }
}
