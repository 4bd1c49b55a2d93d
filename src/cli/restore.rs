//! `dropsafe restore`: a store from a backup, without a running server.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use zeroize::Zeroizing;

use super::error::{CliError, CommandResult, chain};
use super::progress::ProgressIndicator;
use super::set::named;
use super::{CliContext, files};
use crate::domain::name::{MemberName, OrgName};
use crate::process::Exit;
use crate::server;
use crate::server::AdvertisedUrl;
use crate::server::DataDirError;
use crate::server::{InitOptions, ServerRestoreError, UnlockSecret, data_dir};

/// Make a store from a backup
///
/// Works on the files in DIR, with no server running there; needs no token. The
/// record key of the store that the backup was made of is DIR/record.key, or FILE
/// of --record-key, which is copied there. A certificate authority, a certificate
/// and server.yaml are made when DIR has none; tickets from before then carry
/// another pin.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct RestoreArgs {
    /// The folder of the new store; made when missing
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The record key, when it is not in DIR
    #[arg(long, value_name = "FILE")]
    pub(crate) record_key: Option<PathBuf>,
    /// Keep the records here instead of in DIR/store.db
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<server::Url>,
    /// Listen on this address
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7373")]
    pub(crate) listen: SocketAddr,
    /// A name or address under which clients reach the server; may be repeated
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) advertise: Vec<AdvertisedUrl>,
    /// The backup
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl RestoreArgs {
    /// Runs it.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let file =
            tokio::fs::File::open(&self.file).await.map_err(|error| files::unreadable(&self.file, &error))?;
        let mut backup = tokio::io::BufReader::new(file);
        let bar = ProgressIndicator::steps("restoring", 0);
        let mut progress = |records| bar.at(records, None);
        let restored =
            server::restore(self.options()?, self.record_key.clone(), &mut backup, &mut progress).await;
        drop(bar);
        let restored = restored?;
        if self.json {
            context.output.json(&serde_json::json!({
                "store": restored.store.to_string(),
                "records": restored.records,
                "revision": restored.revision,
            }))?;
        } else {
            context.output.line(format!("restored {}: {} records", restored.store, restored.records))?;
            context.output.note(format!(
                "Next: dropsafe serve --data {}\nIts passphrases, key files and tokens are those from when the backup was made.",
                self.data.display()
            ));
        }
        Ok(Exit::Success)
    }

    /// Where it goes. What says how to serve is used only when the folder has no configuration yet; the rest never is.
    fn options(&self) -> Result<InitOptions, CliError> {
        Ok(InitOptions {
            data: self.data.clone(),
            store: self.store.clone(),
            secret: UnlockSecret::Passphrase(Zeroizing::default()),
            listen: self.listen,
            advertise: self.advertise.clone(),
            san: Vec::new(),
            org: named(OrgName::parse("default"), "the organization")?,
            admin: named(MemberName::parse("admin"), "the administrator")?,
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
            ServerRestoreError::Data(DataDirError::Io { path, .. })
                if path.ends_with(data_dir::RECORD_KEY) =>
            {
                Some("name the record key with --record-key, or put it there".to_owned())
            }
            other => other.hint(),
        };
        Self::new(exit, chain(&error)).maybe_hint(hint)
    }
}
