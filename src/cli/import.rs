//! `dropsafe import`: a file of NAME=VALUE lines. Everything that can be checked is checked before the first is stored.

use std::path::PathBuf;

use clap::Args;

/// Deposit the lines of a .env file
///
/// Shows what becomes of each line, and stores either none of them or, unless the
/// store fails on the way, all. A name may be any that `dropsafe set` takes.
/// Nothing is expanded: what programs would read differently is refused with its
/// line; 'single quotes' keep a value as it stands, also over several lines.
///
/// A comment of the form `# dropsafe: WORD …` sets attributes of the next line's
/// secret: no-install, plain, allow-refused, plugin=NAME, category=NAME.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Import {
    /// The file; - for standard input
    #[arg(value_name = "FILE.env")]
    pub file: PathBuf,
    /// For every boot of the organization
    #[arg(long)]
    pub shared: bool,
    /// For your own boots only (default)
    #[arg(long, conflicts_with = "shared")]
    pub private: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
