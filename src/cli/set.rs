//! `dropsafe set`: a value in. It is read from a hidden prompt, standard input or a file, never from the command line, and
//! it leaves this process sealed.

use std::path::PathBuf;

use clap::Args;

/// Deposit a secret, or replace its value
///
/// The value is read from standard input when that is not a terminal, from
/// --file, or else from a hidden prompt; never from the command line, which other
/// processes and the shell's history see. It is stored as given, byte for byte:
/// `printf %s` adds no newline. A secret is sealed before it is sent; a --plain
/// setting is not.
///
/// Attributes that are not given keep their value when a secret is replaced.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Set {
    /// The secret's name: ASCII letters, digits and - _ . : /
    #[arg(value_name = "NAME")]
    pub name: String,
    /// For your own boots only (default)
    #[arg(long)]
    pub private: bool,
    /// For every boot of the organization
    #[arg(long, conflicts_with = "private")]
    pub shared: bool,
    /// Not sensitive: the value may be shown, and the store can read it
    #[arg(long)]
    pub plain: bool,
    /// Keep it back from boots that do not name it
    #[arg(long)]
    pub no_install: bool,
    /// The plugin that needs it
    #[arg(long, value_name = "PLUGIN")]
    pub plugin: Option<String>,
    /// The category that it is shown under
    #[arg(long, value_name = "CATEGORY")]
    pub category: Option<String>,
    /// Export it under exactly this name
    #[arg(long = "as", value_name = "ENV")]
    pub env: Option<String>,
    /// Read the value from a file
    #[arg(long, value_name = "PATH")]
    pub file: Option<PathBuf>,
    /// Deliver it as a file, whose path the workload finds in the variable
    #[arg(long)]
    pub as_file: bool,
    /// Allow an exported name that changes how programs load or run (administrator)
    #[arg(long)]
    pub allow_refused: bool,
    /// Replace this version only, and fail when there is another
    #[arg(long, value_name = "VERSION")]
    pub if_version: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
