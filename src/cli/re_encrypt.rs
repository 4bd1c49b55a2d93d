//! `dropsafe re-encrypt`: the same values under fresh keys.

use clap::ArgGroup;
use clap::Args;

/// Seal values again with fresh keys; the values and versions stay
///
/// With --all, a new generation of the store's keys: everything is moved to it,
/// and the old one is dropped (operator). What old copies of the byte store hold
/// then opens with nothing that the store still has. It goes on after a restart;
/// run the command again to follow it.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, group = ArgGroup::new("what").required(true).args(["name", "all"]))]
pub struct ReEncrypt {
    /// The secret: its name, or the name it is exported as
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Everything, under a new generation of keys
    #[arg(long, conflicts_with_all = ["shared", "private", "id"])]
    pub all: bool,
    /// The shared secret of that name
    #[arg(long)]
    pub shared: bool,
    /// Your private secret of that name
    #[arg(long, conflicts_with = "shared")]
    pub private: bool,
    /// NAME is an id (sec_…)
    #[arg(long, conflicts_with_all = ["shared", "private"])]
    pub id: bool,
    /// With --all: start it, and do not wait for its end
    #[arg(long, requires = "all")]
    pub no_wait: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
