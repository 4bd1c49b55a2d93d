//! `dropsafe restore`: creates a store from a backup, without a running server.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use zeroize::Zeroizing;

use super::context::CliContext;
use super::error::{CliError, CommandResult, format_chain, invalid_name};
use super::progress::ProgressIndicator;
use super::{files, serve};
use crate::domain::name::{MemberName, OrgName};
use crate::process::Exit;
use crate::server;
use crate::server::{
    AdvertisedUrl, DataDirError, EndedByRestore, InitOptions, RestoreError, Restored, RestoredStore,
    ServeFlags, ServerRestoreError, UnlockSecret, data_dir,
};

/// Create a store from a backup
///
/// Works on the files in DIR while no server runs there; needs no token. The
/// backup's record key must be DIR/record.key, or --record-key, which is copied
/// there. If DIR contains neither certificates nor server.yaml, new ones are
/// created, and tickets that were created before the restore no longer work. To
/// keep them working, put a copy of the server's tls/ and server.yaml in DIR first.
/// After an interruption, run it again. A store.db with records is never replaced.
///
/// Signs out all sessions, expires unredeemed enrolment links and revokes tickets
/// with limited uses. Other servers of the store have to accept the epoch that this
/// prints (dropsafe serve --accept-restore EPOCH).
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
            server::restore(self.options(context)?, self.record_key.clone(), &mut backup, &mut progress)
                .await;
        // The bar would be drawn over the message of a failure.
        drop(bar);
        let RestoredStore { restored, ended } = result?;
        // Printed in any case: the other servers need it.
        self.print(context, &restored, ended.as_ref().ok())?;
        match ended {
            Ok(_) => Ok(Exit::Success),
            Err(error) => {
                let hint = format!(
                    "start a server on it with --accept-restore {}: it completes the restore before it serves anything",
                    restored.epoch
                );
                let message = format!("the backup is restored, but {}", format_chain(&error));
                Err(CliError::failed(message).hint(hint))
            }
        }
    }

    fn print(
        &self,
        context: &mut CliContext,
        restored: &Restored,
        ended: Option<&EndedByRestore>,
    ) -> Result<(), CliError> {
        let ended_document = ended.map(|EndedByRestore { sessions, enrolments, tickets }| {
            serde_json::json!({ "sessions": sessions, "enrolments": enrolments, "tickets": tickets })
        });
        let document = serde_json::json!({
            "store": restored.store.to_string(),
            "records": restored.records,
            "revision": restored.revision,
            "newest": restored.newest,
            "epoch": restored.epoch.to_string(),
            "ended": ended_document,
        });
        context.output.json_or_line(self.json, &document, || {
            let mut text = format!(
                "restored {}: {} records up to {}, epoch {}",
                restored.store,
                restored.records,
                restored.newest.map_or_else(|| "an unknown time".to_owned(), |at| at.to_string()),
                restored.epoch
            );
            if let Some(EndedByRestore { sessions, enrolments, tickets }) = ended {
                let _ = write!(
                    text,
                    "\nlimited tickets revoked: {tickets}; enrolment links expired: {enrolments}; sessions signed out: {sessions}"
                );
            }
            text
        })?;
        if !self.json && ended.is_some() {
            context.output.note(format!(
                "Next: dropsafe serve --data {}\n\
                 Each other server of this store: dropsafe serve --accept-restore {}\n\
                 Then follow \"After a restore\" in docs/operating.md.\n\
                 Its passphrases, key files, tokens and unlimited tickets are those that were valid when the backup was made.",
                self.data.display(),
                restored.epoch
            ));
        }
        Ok(())
    }

    /// Where the records go: what server.yaml in the folder says, or else --store.
    fn store(&self, context: &CliContext) -> Result<Option<server::Url>, CliError> {
        let path = self.data.join(data_dir::CONFIG);
        if !path.exists() {
            return Ok(self.store.clone());
        }
        // Absolute, so that the folder is not put in front of its places once more.
        let data = std::path::absolute(&self.data).map_err(|error| files::read_error(&self.data, &error))?;
        let configured = serve::read_config(context, &data, &ServeFlags::default())?.store;
        match &self.store {
            Some(store) if store.clone().in_folder(&data) != configured => {
                let message = format!("{} keeps the records in another place than --store", path.display());
                Err(CliError::configuration(message)
                    .hint("leave out --store, or change `store` in that file"))
            }
            _ => Ok(Some(configured)),
        }
    }

    fn options(&self, context: &CliContext) -> Result<InitOptions, CliError> {
        Ok(InitOptions {
            data: self.data.clone(),
            store: self.store(context)?,
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
            ServerRestoreError::Make(_)
            | ServerRestoreError::Data(_)
            | ServerRestoreError::RecordKey(_)
            | ServerRestoreError::OtherRecordKey { .. } => Exit::Configuration,
            ServerRestoreError::Restore(RestoreError::NotEmpty) => Exit::Configuration,
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
