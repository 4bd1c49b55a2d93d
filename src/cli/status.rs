//! `dropsafe status`.

use clap::Args;

/// Show the state of the store, and who you are to it
#[derive(Debug, Args)]
pub struct Status {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
