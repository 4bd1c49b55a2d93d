//! `dropsafe edit`: attributes of a secret; the value and its version stay.

use clap::ArgGroup;
use clap::Args;

use super::which::Which;

/// Change a secret's attributes; its value stays
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args(["install", "no_install", "plugin", "category"]))]
pub struct Edit {
    #[command(flatten)]
    pub which: Which,
    /// Give it to every boot in scope
    #[arg(long)]
    pub install: bool,
    /// Keep it back from boots that do not name it
    #[arg(long, conflicts_with = "install")]
    pub no_install: bool,
    /// The plugin that needs it, or none
    #[arg(long, value_name = "PLUGIN")]
    pub plugin: Option<String>,
    /// The category that it is shown under, or none
    #[arg(long, value_name = "CATEGORY")]
    pub category: Option<String>,
    /// Change this version only, and fail when there is another
    #[arg(long, value_name = "VERSION")]
    pub if_version: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
