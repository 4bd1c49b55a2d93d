//! `dropsafe keyslot`: the passphrases and key files that unlock the store.

use std::path::PathBuf;

use clap::Args;
use clap::Subcommand;

/// Add, list and remove what unlocks the store (operator)
#[derive(Debug, Subcommand)]
pub enum Keyslot {
    Add(Add),
    List(List),
    Remove(Remove),
}

/// Add a passphrase or a key file
///
/// The store must be unlocked. Without a flag a passphrase is asked for, or read
/// from standard input.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Add {
    /// Read the new passphrase from FILE
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Add the key file FILE
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_file")]
    pub key_file: Option<PathBuf>,
    /// Make a new key file FILE, which must not exist, and add it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["passphrase_file", "key_file"])]
    pub new_key_file: Option<PathBuf>,
    /// The key file is kept as a systemd credential (shown in the list)
    #[arg(long, conflicts_with = "passphrase_file")]
    pub credential: bool,
    /// What people call it
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// List the key slots
#[derive(Debug, Args)]
pub struct List {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Remove a key slot
///
/// The last one stays. An old copy of the byte store still opens with a removed
/// passphrase or key file: only `dropsafe re-encrypt --all` afterwards makes them
/// worthless.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Remove {
    /// The slot's id (slot_…)
    #[arg(value_name = "SLOT")]
    pub slot: String,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
