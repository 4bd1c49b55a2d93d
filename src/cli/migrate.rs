//! `dropsafe migrate`: moves a store to another byte store, without a running server.

use std::path::PathBuf;

use clap::Args;
use data_encoding::HEXLOWER;

use super::context::CliContext;
use super::error::{CliError, CommandResult, format_chain};
use super::progress::ProgressIndicator;
use crate::process::Exit;
use crate::server;
use crate::server::{Moving, ServerMigrateError};

/// Move a store to another byte store
///
/// Stop all servers of the store first. The records are copied without decrypting
/// them and compared by count and digest; then the old byte store no longer holds a
/// store. If interrupted, run the same command again to continue.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct MigrateArgs {
    /// Data folder of the store
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Where the records are (default: DIR/store.db)
    #[arg(long, value_name = "URL")]
    pub(crate) from: Option<server::Url>,
    /// Where to move them: sqlite:FILE or etcd://…
    #[arg(long, value_name = "URL")]
    pub(crate) to: server::Url,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl MigrateArgs {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let bar = ProgressIndicator::steps("moving", 0);
        let mut total = 0;
        let mut progress = |moving| match moving {
            // Nobody knows how many records there are until all are copied. Comparing goes over them again.
            Moving::Copied(done) => {
                total = done;
                bar.set_position(done, None);
            }
            Moving::Compared(done) => bar.set_position(done, Some(total)),
        };
        // Kept for the advice at the end: the move consumes the address.
        let to = self.to.to_string();
        let result = server::migrate(&self.data, self.from, self.to, &mut progress).await;
        drop(bar);
        let migrated = result?;
        let digest = HEXLOWER.encode(&migrated.digest);
        let document = serde_json::json!({
            "store": migrated.store.to_string(),
            "records": migrated.records,
            "digest": digest,
        });
        context.output.json_or_line(self.json, &document, || {
            format!("moved {}: {} records, {digest}", migrated.store, migrated.records)
        })?;
        if !self.json {
            // Not written for the person: the file may be managed by a configuration tool, or shared by several servers.
            context.output.note(format!(
                "Next: set `store: \"{to}\"` in {}, then run dropsafe serve --data {}",
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
        Self::new(exit, format_chain(&error)).optional_hint(hint)
    }
}
