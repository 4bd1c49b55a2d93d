//! `dropsafe audit`: the trail, newest first, and the proof that it is whole.

use clap::Args;
use clap::Subcommand;

/// Show the audit trail, newest first, or verify it
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Audit {
    #[command(subcommand)]
    pub command: Option<AuditCommand>,
    /// Only entries with this in their action, actor or target
    #[arg(long, value_name = "TEXT")]
    pub text: Option<String>,
    /// Only this action, such as secret.create, or this kind, such as secret
    #[arg(long, value_name = "ACTION")]
    pub action: Option<String>,
    /// Only by this actor
    #[arg(long, value_name = "NAME")]
    pub actor: Option<String>,
    /// At most this many entries
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What else than to show it.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    Verify(Verify),
}

/// Check that no entry was changed, removed or cut off
#[derive(Debug, Args)]
pub struct Verify {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
