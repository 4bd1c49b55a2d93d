//! `dropsafe delete`: future boots no longer get it; who still has it is told.

use clap::Args;

use super::which::Which;

/// Delete a secret
///
/// Boots from now on do not get it. What already runs keeps it: those boots are
/// listed. Asks first, on a terminal.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Delete {
    #[command(flatten)]
    pub which: Which,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Delete this version only, and fail when there is another
    #[arg(long, value_name = "VERSION")]
    pub if_version: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
