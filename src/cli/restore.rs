//! `dropsafe restore`: a store from a backup, without a running server.

use std::path::PathBuf;

use clap::Args;

/// Make a store from a backup
///
/// Works on the files in DIR, with no server running there; needs no token. The
/// record key of the store that the backup was made of is DIR/record.key, or FILE
/// of --record-key, which is copied there. A certificate authority, a certificate
/// and server.yaml are made when DIR has none; tickets from before then carry
/// another pin.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Restore {
    /// The folder of the new store; made when missing
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The record key, when it is not in DIR
    #[arg(long, value_name = "FILE")]
    pub record_key: Option<PathBuf>,
    /// The backup
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
