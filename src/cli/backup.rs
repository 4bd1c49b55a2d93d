//! `dropsafe backup`: the byte store, encrypted as it is, into one file.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::exit::Exit;
use super::failure::Outcome;
use super::files::Pending;
use super::progress::Progress;
use super::{Context, connect};

/// Copy the store's records into FILE, encrypted as they are (operator)
///
/// The record key is not in it: keep a copy of DIR/record.key apart. Without that
/// key, and without what unlocks a key slot, a backup opens for nobody. FILE
/// appears when it is complete; an existing one stays.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Backup {
    /// The new file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl Backup {
    /// Runs it.
    pub async fn run(self, context: &mut Context) -> Outcome {
        let mut client = connect::client(context)?;
        let mut pending = Pending::create(&self.file)?;
        let bar = Progress::bytes("backing up");
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
