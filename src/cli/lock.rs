//! `dropsafe unlock` and `dropsafe lock`: the release key into the server's memory, and out of it.

use std::path::PathBuf;

use clap::Args;

/// Unlock the store, so that it answers boots (operator)
#[derive(Debug, Args)]
pub struct Unlock {
    /// Read the passphrase from FILE; otherwise it is asked for, or read from standard input
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Unlock with the key file FILE
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_file")]
    pub key_file: Option<PathBuf>,
}

/// Lock the store: it refuses boots and takes everything else (operator)
#[derive(Debug, Args)]
pub struct Lock {}
