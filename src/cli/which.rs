//! Which secret is meant: a name is looked for among the caller's private secrets first, then among the shared ones.

use clap::Args;

/// Which secret.
#[derive(Debug, Args)]
pub struct Which {
    /// The secret: its name, or the name it is exported as
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The shared secret of that name
    #[arg(long)]
    pub shared: bool,
    /// Your private secret of that name
    #[arg(long, conflicts_with = "shared")]
    pub private: bool,
    /// NAME is an id (sec_…)
    #[arg(long, conflicts_with_all = ["shared", "private"])]
    pub id: bool,
}
