//! `dropsafe init`: creates a store in a new folder and prints its first two tokens, which exist nowhere else.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::context::CliContext;
use super::error::{CliError, CommandResult, format_chain, invalid_name};
use super::input;
use crate::domain::name::{MemberName, OrgName};
use crate::process::Exit;
use crate::server;
use crate::server::{AdvertisedUrl, InitOptions, SetupError, UnlockSecret};

/// Create a store
///
/// Creates the database, the record key, a certificate authority, the server's
/// certificate and server.yaml in DIR. Prints the tokens of the operator and of
/// the first administrator; they are shown only once.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct InitArgs {
    /// Data folder of the store; created if it does not exist
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Read the passphrase of the first key slot from FILE (default: prompt, or standard input)
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Accept a passphrase that can be guessed
    #[arg(long, conflicts_with = "key_file")]
    pub(crate) allow_weak_passphrase: bool,
    /// Use the key file FILE for the first key slot instead of a passphrase
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_file")]
    pub(crate) key_file: Option<PathBuf>,
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7373")]
    pub(crate) listen: SocketAddr,
    /// Name or address under which clients reach the server; may be repeated
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) advertise: Vec<AdvertisedUrl>,
    /// Additional name or address for the certificate; may be repeated
    #[arg(long, value_name = "HOST")]
    pub(crate) san: Vec<String>,
    /// Where to keep the records: sqlite:FILE or etcd://… (default: DIR/store.db)
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<server::Url>,
    /// Name of the first organization
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) org: String,
    /// Name of the first administrator
    #[arg(long, value_name = "NAME", default_value = "admin")]
    pub(crate) admin: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl InitArgs {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        // Before the passphrase is asked for: nobody types it twice because of a wrong name.
        let org = OrgName::parse(&self.org).map_err(invalid_name("--org"))?;
        let admin = MemberName::parse(&self.admin).map_err(invalid_name("--admin"))?;
        let secret = match &self.key_file {
            Some(path) => UnlockSecret::KeyFile(input::read_key_file(path)?),
            None => UnlockSecret::Passphrase(input::read_new_passphrase(
                context,
                self.passphrase_file.as_deref(),
                self.allow_weak_passphrase,
            )?),
        };
        let options = InitOptions {
            data: self.data.clone(),
            store: self.store,
            secret,
            listen: self.listen,
            advertise: self.advertise,
            san: self.san,
            org,
            admin,
        };
        let created = server::init(options).await?;
        if self.json {
            // Without the advice below: with --json somebody's program reads this, and standard error stays empty.
            context.output.json(&serde_json::json!({
                "url": created.url_with_pin,
                "pin": created.pin.to_string(),
                "ca": created.ca,
                "operator_token": *created.operator_token,
                "admin_token": *created.admin_token,
            }))?;
            return Ok(Exit::Success);
        }
        let data = self.data.display();
        context.output.line(format!("url             {}", created.url_with_pin))?;
        context.output.line(format!("operator token  {}", *created.operator_token))?;
        context.output.line(format!("admin token     {}", *created.admin_token))?;
        // On standard error: the three lines above are what a script stores.
        context.output.note(format!(
            "These tokens are shown only once. The operator unlocks and backs up the store and manages its keys.\n\
             The first administrator is {} of the organization {}.\n\
             Next:\n  dropsafe serve --data {data}\n  dropsafe login {}\n\
             Keep a copy of {data}/record.key apart from backups: without it, a backup cannot be read.",
            self.admin, self.org, created.url_with_pin
        ));
        Ok(Exit::Success)
    }
}

impl From<SetupError> for CliError {
    fn from(error: SetupError) -> Self {
        let exit = match &error {
            SetupError::Data(_) | SetupError::Tls(_) => Exit::Configuration,
            SetupError::Kv(_) | SetupError::Store(_) => Exit::Failed,
        };
        Self::new(exit, format_chain(&error)).optional_hint(error.hint())
    }
}
