//! `dropsafe migrate`: a store to another byte store, without a running server.

use std::path::PathBuf;

use clap::Args;
use data_encoding::HEXLOWER;

use super::CliContext;
use super::error::{CliError, CommandResult, chain};
use super::progress::ProgressIndicator;
use crate::process::Exit;
use crate::server;
use crate::server::{Moving, ServerMigrateError};

/// Move a store to another byte store
///
/// Stop all servers of the store first. Its records are copied as they are,
/// encrypted, and compared by count and digest; then the old place holds no store
/// any more. A move that was cut short is gone on with by the same command.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct MigrateArgs {
    /// The folder that `dropsafe init` made
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Where the records are; DIR/store.db unless said
    #[arg(long, value_name = "URL")]
    pub(crate) from: Option<server::Url>,
    /// Where they go
    #[arg(long, value_name = "URL")]
    pub(crate) to: server::Url,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl MigrateArgs {
    /// Runs it.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let copying = ProgressIndicator::steps("moving", 0);
        let mut total = 0;
        let mut progress = |moving| match moving {
            Moving::Copied(done) => {
                total = done;
                copying.at(done, None);
            }
            Moving::Compared(done) => copying.at(done, Some(total)),
        };
        let to = self.to.to_string();
        let migrated = server::migrate(&self.data, self.from, self.to, &mut progress).await;
        drop(copying);
        let migrated = migrated?;
        let digest = HEXLOWER.encode(&migrated.digest);
        if self.json {
            context.output.json(&serde_json::json!({
                "store": migrated.store.to_string(),
                "records": migrated.records,
                "digest": digest,
            }))?;
        } else {
            context
                .output
                .line(format!("moved {}: {} records, {digest}", migrated.store, migrated.records))?;
            context.output.note(format!(
                "Next: write `store: \"{to}\"` into {}, then dropsafe serve --data {}",
                self.data.join(server::data_dir::CONFIG).display(),
                self.data.display()
            ));
        }
        Ok(Exit::Success)
    }
}

impl From<ServerMigrateError> for CliError {
    fn from(error: ServerMigrateError) -> Self {
        let exit = match &error {
            ServerMigrateError::Data(_) | ServerMigrateError::RecordKey(_) | ServerMigrateError::Same => {
                Exit::Configuration
            }
            ServerMigrateError::Kv(_) | ServerMigrateError::Migrate(_) => Exit::Failed,
        };
        let hint = error.hint();
        Self::new(exit, chain(&error)).maybe_hint(hint)
    }
}
