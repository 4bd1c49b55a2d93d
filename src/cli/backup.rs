//! `dropsafe backup`: the byte store, encrypted as it is, into one file.

use std::path::PathBuf;

use clap::Args;

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
