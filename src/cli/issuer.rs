//! `dropsafe issuer`: who signs the tokens of machines.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::context::CliContext;
use super::error::{CliError, CommandResult};
use super::output::JsonArgs;
use super::paged_list::PagedList;
use super::table::{cell, print_fields};
use super::{connect, files};
use crate::client::Client;
use crate::process::Exit;
use crate::wire::{IssuerView, PutIssuerRequest};

/// The store refuses longer documents.
const MAX_DOCUMENT: usize = 64 << 10;

/// Manage the issuers whose tokens prove the identities of machines
///
/// An issuer is an OpenID Connect provider: a Kubernetes cluster, a CI system or a
/// cloud. Public ones (github, gitlab, gcp) need not be added.
#[derive(Debug, Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum IssuerCommand {
    /// List the issuers
    List(JsonArgs),
    /// Show an issuer
    Show(IssuerNameArgs),
    Set(IssuerSetArgs),
    /// Remove an issuer: machines with identities that rely on it can no longer boot (administrator)
    Remove(IssuerRemoveArgs),
}

#[derive(Debug, Args)]
pub(crate) struct IssuerNameArgs {
    /// Name of the issuer
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Add or change an issuer (administrator)
///
/// After a change of its URL, CA certificates or keys, identities that act for
/// people are suspended until these people confirm it with dropsafe identity confirm.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct IssuerSetArgs {
    /// Name of the issuer: a-z, 0-9 and . _ - @
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// URL of the issuer, exactly as in the iss claim of its tokens
    #[arg(long, value_name = "URL")]
    pub(crate) url: String,
    /// Signature algorithm to accept, such as RS256; may be repeated (default:
    /// RS256 and ES256)
    #[arg(long, value_name = "ALGORITHM")]
    pub(crate) algorithm: Vec<String>,
    /// File with the CA certificates (PEM) for the issuer's server (default: those
    /// of the store's system)
    #[arg(long = "ca", value_name = "FILE")]
    pub(crate) authorities: Option<PathBuf>,
    /// File with the issuer's public keys (a JSON Web Key Set), if the store cannot
    /// reach it
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct IssuerRemoveArgs {
    /// Name of the issuer
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Do not ask for confirmation
    #[arg(long)]
    pub(crate) yes: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl IssuerCommand {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        match self {
            Self::List(JsonArgs { json }) => {
                let mut client = connect::open_client(context)?;
                let headings = ["NAME", "URL", "ALGORITHMS", "KEYS", "UPDATED"];
                return PagedList { json, limit: None, headings, row, empty: "no issuers" }
                    .print(context, &mut client, Client::issuers())
                    .await;
            }
            Self::Show(IssuerNameArgs { name, json }) => {
                let issuer = connect::open_client(context)?.issuer(&name).await?;
                match json {
                    true => context.output.json(&issuer)?,
                    false => print_fields(&mut context.output, &fields(&issuer))?,
                }
            }
            Self::Set(args) => args.run(context).await?,
            Self::Remove(IssuerRemoveArgs { name, yes, json }) => {
                let question = format!(
                    "Remove the issuer {name}? Machines with identities that rely on it can no longer boot."
                );
                context.confirm(yes, &question, "nothing is removed")?;
                connect::open_client(context)?.remove_issuer(&name).await?;
                let document = serde_json::json!({ "name": name, "removed": true });
                context.output.json_or_line(json, &document, || format!("removed the issuer {name}"))?;
            }
        }
        Ok(Exit::Success)
    }
}

impl IssuerSetArgs {
    async fn run(self, context: &mut CliContext) -> Result<(), CliError> {
        let request = PutIssuerRequest {
            url: self.url,
            algorithms: self.algorithm,
            authorities: self.authorities.as_deref().map(read_document).transpose()?,
            keys: self.keys.as_deref().map(read_document).transpose()?,
        };
        let issuer = connect::open_client(context)?.put_issuer(&self.name, &request).await?;
        context.output.json_or_line(self.json, &issuer, || format!("saved the issuer {}", issuer.name))
    }
}

fn read_document(path: &Path) -> Result<String, CliError> {
    let bytes = files::read(path, MAX_DOCUMENT)?;
    let text = str::from_utf8(&bytes);
    text.map(str::to_owned).map_err(|_| CliError::failed(format_args!("{} is not text", path.display())))
}

fn row(issuer: IssuerView) -> [String; 5] {
    let keys = if issuer.keys.is_some() { "given" } else { "fetched" };
    let algorithms = issuer.algorithms.join(",");
    [issuer.name.to_string(), issuer.url, algorithms, keys.to_owned(), issuer.updated_at.to_string()]
}

fn fields(issuer: &IssuerView) -> Vec<(&'static str, String)> {
    let given = |document: &Option<String>, otherwise: &str| match document {
        Some(text) => format!("given ({} bytes)", text.len()),
        None => otherwise.to_owned(),
    };
    vec![
        ("Name", issuer.name.to_string()),
        ("URL", issuer.url.clone()),
        ("Settings", issuer.digest.clone()),
        ("Algorithms", issuer.algorithms.join(", ")),
        ("Authorities", given(&issuer.authorities, "those of the store's system")),
        ("Keys", given(&issuer.keys, "fetched from the issuer")),
        ("Updated", cell(Some(issuer.updated_at))),
    ]
}
