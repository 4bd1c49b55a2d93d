//! `dropsafe show`: all about one secret but its value.

use clap::Args;

use super::which::Which;

/// Show a secret's attributes; its value only when it is plain
#[derive(Debug, Args)]
pub struct Show {
    #[command(flatten)]
    pub which: Which,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
