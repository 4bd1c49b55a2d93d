//! `dropsafe serve`: the server, until a signal.

use std::path::PathBuf;

use clap::Args;
use clap::ValueEnum;

/// Serve a store until SIGTERM or SIGINT
///
/// Starts locked unless told what opens a key slot: a locked store takes
/// deposits, edits and deletions, and refuses boots. What `init` wrote to
/// DIR/server.yaml holds, unless a flag says otherwise.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Serve {
    /// The folder that `dropsafe init` made
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Unlock with the passphrase in FILE
    #[arg(long, value_name = "FILE", conflicts_with = "unlock_key_file")]
    pub unlock_passphrase_file: Option<PathBuf>,
    /// Unlock with the key file FILE, such as a systemd credential
    #[arg(long, value_name = "FILE")]
    pub unlock_key_file: Option<PathBuf>,
    /// Listen on this address
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// An address that new tickets carry, as https://HOST:PORT; may be repeated
    #[arg(long, value_name = "URL")]
    pub advertise: Vec<String>,
    /// Keep the records here instead of in DIR/store.db
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// How to log
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// Forms of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}
