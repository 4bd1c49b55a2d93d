//! `dropsafe init`: makes a store in a new folder and tells the first two tokens, once.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::error::{CliError, CommandResult, chain};
use super::set::named;
use super::{CliContext, input};
use crate::domain::name::{MemberName, OrgName};
use crate::process::Exit;
use crate::server;
use crate::server::AdvertisedUrl;
use crate::server::{InitOptions, SetupError, UnlockSecret};

/// Make a new store
///
/// Makes the byte store, the record key, a certificate authority and the server's
/// certificate in DIR, and prints the operator's and the first administrator's
/// token. They are shown this once.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct InitArgs {
    /// The folder of the store; made when missing
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Read the passphrase of the first key slot from FILE; otherwise it is asked for, or read from standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Let the key file FILE open the first key slot, instead of a passphrase
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_file")]
    pub(crate) key_file: Option<PathBuf>,
    /// Listen on this address
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7373")]
    pub(crate) listen: SocketAddr,
    /// A name or address under which clients reach the server; may be repeated
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) advertise: Vec<AdvertisedUrl>,
    /// One more name or address for the certificate; may be repeated
    #[arg(long, value_name = "HOST")]
    pub(crate) san: Vec<String>,
    /// Keep the records here instead of in DIR/store.db
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<server::Url>,
    /// Name of the first organization
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) org: String,
    /// Name of its first administrator
    #[arg(long, value_name = "NAME", default_value = "admin")]
    pub(crate) admin: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl InitArgs {
    /// Runs it.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let org = named(OrgName::parse(&self.org), "--org")?;
        let admin = named(MemberName::parse(&self.admin), "--admin")?;
        let secret = match &self.key_file {
            Some(path) => UnlockSecret::KeyFile(input::key_file(path)?),
            None => {
                UnlockSecret::Passphrase(input::new_passphrase(context, self.passphrase_file.as_deref())?)
            }
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
        let made = server::init(options).await?;
        if self.json {
            context.output.json(&serde_json::json!({
                "url": made.url_with_pin,
                "pin": made.pin.to_string(),
                "ca": made.ca,
                "operator_token": *made.operator_token,
                "admin_token": *made.admin_token,
            }))?;
            return Ok(Exit::Success);
        }
        let data = self.data.display();
        context.output.line(format!("url             {}", made.url_with_pin))?;
        context.output.line(format!("operator token  {}", *made.operator_token))?;
        context.output.line(format!("admin token     {}", *made.admin_token))?;
        context.output.note(format!(
            "The tokens are shown this once. The operator unlocks, backs up and manages keys; the first administrator is {} of {}.\n\
             Next:\n  dropsafe serve --data {data}\n  dropsafe login {}\n\
             Keep a copy of {data}/record.key apart from backups: without it a backup is noise.",
            self.admin, self.org, made.url_with_pin
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
        Self::new(exit, chain(&error)).maybe_hint(error.hint())
    }
}
