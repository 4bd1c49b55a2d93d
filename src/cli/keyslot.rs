//! `dropsafe keyslot`: the passphrases and key files that unlock the store.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::context::CliContext;
use super::error::CommandResult;
use super::output::JsonArgs;
use super::paged_list::PagedList;
use super::table::cell;
use super::{connect, files, input};
use crate::client::Client;
use crate::crypto::keyfile::UnlockKey;
use crate::crypto::random::Kernel;
use crate::process::Exit;
use crate::wire::{AddKeyslotRequest, KeyslotView, UnlockKind};

/// Manage the passphrases and key files that unlock the store (operator)
#[derive(Debug, Subcommand)]
pub(crate) enum KeyslotCommand {
    Add(KeyslotAddArgs),
    /// List the key slots
    List(JsonArgs),
    Remove(KeyslotRemoveArgs),
}

/// Add a passphrase or a key file
///
/// The store must be unlocked. Without a flag, the passphrase is read from a
/// prompt or from standard input.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct KeyslotAddArgs {
    /// Read the new passphrase from FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Accept a passphrase that can be guessed
    #[arg(long, conflicts_with_all = ["key_file", "new_key_file"])]
    pub(crate) allow_weak_passphrase: bool,
    /// Add the existing key file FILE
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_file")]
    pub(crate) key_file: Option<PathBuf>,
    /// Create the key file FILE and add it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["passphrase_file", "key_file"])]
    pub(crate) new_key_file: Option<PathBuf>,
    /// Record that the key file is kept as a systemd credential; the list shows it
    #[arg(long, conflicts_with = "passphrase_file")]
    pub(crate) credential: bool,
    /// Label to display
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Remove a key slot
///
/// The last key slot cannot be removed. Old copies of the store can still be opened
/// with a removed passphrase or key file. If it was disclosed, also run
/// `dropsafe re-encrypt --all --compromised`.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct KeyslotRemoveArgs {
    /// Id of the key slot (slot_…)
    #[arg(value_name = "SLOT")]
    pub(crate) slot: String,
    /// Do not ask for confirmation
    #[arg(long)]
    pub(crate) yes: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl KeyslotCommand {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        match self {
            Self::Add(args) => args.run(context).await,
            Self::List(JsonArgs { json }) => {
                let mut client = connect::open_client(context)?;
                let headings = ["ID", "KIND", "LABEL", "CREATED"];
                PagedList { json, limit: None, headings, row, empty: "no key slots" }
                    .print(context, &mut client, Client::keyslots())
                    .await
            }
            Self::Remove(args) => args.run(context).await,
        }
    }
}

impl KeyslotAddArgs {
    async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::open_client(context)?;
        let (kind, text) = match (&self.key_file, &self.new_key_file) {
            (Some(path), _) => (UnlockKind::KeyFile, input::read_key_file(path)?),
            (_, Some(path)) => {
                let text = UnlockKey::generate(&mut Kernel).to_text();
                // On disk before the store knows it: a slot whose key is lost could never unlock.
                files::create_private(path, &[text.as_bytes(), b"\n"])?;
                (UnlockKind::KeyFile, text)
            }
            _ => {
                let allow_weak = self.allow_weak_passphrase;
                let file = self.passphrase_file.as_deref();
                (UnlockKind::Passphrase, input::read_new_passphrase(context, file, allow_weak)?)
            }
        };
        // The client seals the text, and adds it to the request.
        let request = AddKeyslotRequest {
            passphrase: None,
            key_file: None,
            sealed: None,
            credential: self.credential,
            allow_weak: self.allow_weak_passphrase,
            label: self.label.map(Into::into),
        };
        let added = client.add_keyslot(kind, &text, &request).await.inspect_err(|_| {
            // A key file that opens nothing would only mislead, and would stop a second try.
            if let Some(path) = &self.new_key_file {
                files::remove(path).ok();
            }
        })?;
        context.output.json_or_line(self.json, &added, || format!("added {} ({})", added.id, added.kind))?;
        Ok(Exit::Success)
    }
}

fn row(slot: KeyslotView) -> [String; 4] {
    [slot.id.to_string(), slot.kind, cell(slot.label), slot.created_at.to_string()]
}

impl KeyslotRemoveArgs {
    async fn run(self, context: &mut CliContext) -> CommandResult {
        let question = "Remove the key slot? Its passphrase or key file will no longer unlock the store.";
        context.confirm(self.yes, question, "nothing is removed")?;
        connect::open_client(context)?.remove_keyslot(&self.slot).await?;
        let document = serde_json::json!({ "id": self.slot, "removed": true });
        context.output.json_or_line(self.json, &document, || format!("removed {}", self.slot))?;
        // Also with --json: people take this for a revocation, and it is none.
        context.output.note(
            "this does not revoke it: old copies of the store, such as backups, can still be opened with it\n\
             if it was disclosed: dropsafe re-encrypt --all --compromised",
        );
        Ok(Exit::Success)
    }
}
