//! `dropsafe list`: what is in the store, page by page; no value of a secret.

use clap::Args;

/// List the secrets that you may see
#[derive(Debug, Args)]
pub struct List {
    /// Only those with this in their name or exported name
    #[arg(value_name = "TEXT")]
    pub text: Option<String>,
    /// Only shared ones
    #[arg(long)]
    pub shared: bool,
    /// Only private ones
    #[arg(long, conflicts_with = "shared")]
    pub private: bool,
    /// Only those of this plugin
    #[arg(long, value_name = "PLUGIN")]
    pub plugin: Option<String>,
    /// Only those of this category
    #[arg(long, value_name = "CATEGORY")]
    pub category: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
