//! `dropsafe boots`: who was given what, and who still holds a secret.

use clap::Args;

/// List boots, newest first; with NAME, those that were given that secret
///
/// A boot holds what it was given until a later boot of the same machine shows
/// that it is over. A secret that was deleted or replaced since is marked: that
/// boot still has the old value.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Boots {
    /// Only boots that were given this secret: its name, exported name or id; also after its deletion
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Only boots for this member
    #[arg(long, value_name = "MEMBER")]
    pub member: Option<String>,
    /// Only boots that are not known to be over
    #[arg(long)]
    pub live: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
