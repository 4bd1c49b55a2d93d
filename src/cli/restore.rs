//! `dropsafe restore`: creates a store from a backup, without a running server.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use zeroize::Zeroizing;

use super::context::CliContext;
use super::error::{CliError, CommandResult, format_chain, invalid_name};
use super::files;
use super::progress::ProgressIndicator;
use crate::domain::name::{MemberName, OrgName};
use crate::process::Exit;
use crate::server;
use crate::server::{AdvertisedUrl, DataDirError, InitOptions, ServerRestoreError, UnlockSecret, data_dir};

/// Create a store from a backup
///
/// Works on the files in DIR while no server runs there; needs no token. The
/// backup's record key must be DIR/record.key, or --record-key, which is copied
/// there. If DIR contains neither certificates nor server.yaml, new ones are
/// created; the TLS key's pin in earlier tickets is then no longer valid.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct RestoreArgs {
    /// Data folder of the new store; created if it does not exist
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Record key of the backup (default: DIR/record.key)
    #[arg(long, value_name = "FILE")]
    pub(crate) record_key: Option<PathBuf>,
    /// Where to keep the records: sqlite:FILE or etcd://… (default: DIR/store.db)
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<server::Url>,
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7373")]
    pub(crate) listen: SocketAddr,
    /// Name or address under which clients reach the server; may be repeated
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) advertise: Vec<AdvertisedUrl>,
    /// Backup to restore
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl RestoreArgs {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let file =
            tokio::fs::File::open(&self.file).await.map_err(|error| files::read_error(&self.file, &error))?;
        // Streamed: a backup may be larger than the memory.
        let mut backup = tokio::io::BufReader::new(file);
        let bar = ProgressIndicator::steps("restoring", 0);
        let mut progress = |records| bar.set_position(records, None);
        let result =
            server::restore(self.options()?, self.record_key.clone(), &mut backup, &mut progress).await;
        // The bar would be drawn over the message of a failure.
        drop(bar);
        let restored = result?;
        let document = serde_json::json!({
            "store": restored.store.to_string(),
            "records": restored.records,
            "revision": restored.revision,
        });
        context.output.json_or_line(self.json, &document, || {
            format!("restored {}: {} records", restored.store, restored.records)
        })?;
        if !self.json {
            context.output.note(format!(
                "Next: dropsafe serve --data {}\n\
                 Its passphrases, key files and tokens are those that were valid when the backup was made.",
                self.data.display()
            ));
        }
        Ok(Exit::Success)
    }

    fn options(&self) -> Result<InitOptions, CliError> {
        Ok(InitOptions {
            data: self.data.clone(),
            store: self.store.clone(),
            listen: self.listen,
            advertise: self.advertise.clone(),
            // A restored store has its key slots, organizations and members already; these are never used.
            secret: UnlockSecret::Passphrase(Zeroizing::default()),
            san: Vec::new(),
            org: OrgName::parse("default").map_err(invalid_name("the organization"))?,
            admin: MemberName::parse("admin").map_err(invalid_name("the administrator"))?,
        })
    }
}

impl From<ServerRestoreError> for CliError {
    fn from(error: ServerRestoreError) -> Self {
        let exit = match &error {
            ServerRestoreError::Make(_) | ServerRestoreError::Data(_) | ServerRestoreError::RecordKey(_) => {
                Exit::Configuration
            }
            ServerRestoreError::Restore(_) => Exit::Failed,
        };
        let hint = match &error {
            // The folder's own hint is to run `init`, which would make another store with another key.
            ServerRestoreError::Data(DataDirError::Io { path, .. })
                if path.ends_with(data_dir::RECORD_KEY) =>
            {
                Some("provide the record key with --record-key, or copy it there".to_owned())
            }
            other => other.hint(),
        };
        Self::new(exit, format_chain(&error)).optional_hint(hint)
    }
}
