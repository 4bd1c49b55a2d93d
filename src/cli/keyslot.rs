//! `dropsafe keyslot`: the passphrases and key files that unlock the store.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::error::{CliError, CommandResult};
use super::lock::inner;
use super::paged_list::PagedList;
use super::{CliContext, connect, files, input, paged_list};
use crate::client::Client;
use crate::crypto::keyfile::UnlockKey;
use crate::crypto::random::Kernel;
use crate::process::Exit;
use crate::wire::{AddKeyslotRequest, KeyslotView, UnlockText};

/// Add, list and remove what unlocks the store (operator)
#[derive(Debug, Subcommand)]
pub(crate) enum KeyslotCommand {
    Add(KeyslotAddArgs),
    List(KeyslotListArgs),
    Remove(KeyslotRemoveArgs),
}

/// Add a passphrase or a key file
///
/// The store must be unlocked. Without a flag a passphrase is asked for, or read
/// from standard input.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct KeyslotAddArgs {
    /// Read the new passphrase from FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Add the key file FILE
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_file")]
    pub(crate) key_file: Option<PathBuf>,
    /// Make a new key file FILE, which must not exist, and add it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["passphrase_file", "key_file"])]
    pub(crate) new_key_file: Option<PathBuf>,
    /// The key file is kept as a systemd credential (shown in the list)
    #[arg(long, conflicts_with = "passphrase_file")]
    pub(crate) credential: bool,
    /// What people call it
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// List the key slots
#[derive(Debug, Args)]
pub(crate) struct KeyslotListArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Remove a key slot
///
/// The last one stays. An old copy of the byte store still opens with a removed
/// passphrase or key file: only `dropsafe re-encrypt --all` afterwards makes them
/// worthless.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct KeyslotRemoveArgs {
    /// The slot's id (slot_…)
    #[arg(value_name = "SLOT")]
    pub(crate) slot: String,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl KeyslotCommand {
    /// Runs it.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        match self {
            Self::Add(add) => add.run(context).await,
            Self::List(list) => list.run(context).await,
            Self::Remove(remove) => remove.run(context).await,
        }
    }
}

impl KeyslotAddArgs {
    async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::client(context)?;
        let (passphrase, key_file) = match (&self.key_file, &self.new_key_file) {
            (Some(path), _) => (None, Some(input::key_file(path)?)),
            (_, Some(path)) => {
                let text = UnlockKey::generate(&mut Kernel).to_text();
                files::create_private(path, &[text.as_bytes(), b"\n"])?;
                (None, Some(text))
            }
            _ => (Some(input::new_passphrase(context, self.passphrase_file.as_deref())?), None),
        };
        let secret = |text| UnlockText(inner(text));
        let new = AddKeyslotRequest {
            passphrase: passphrase.map(secret),
            key_file: key_file.map(secret),
            credential: self.credential,
            label: self.label,
        };
        let added = client.add_keyslot(&new).await.inspect_err(|_| {
            if let Some(path) = &self.new_key_file {
                files::remove(path).ok();
            }
        })?;
        if self.json {
            context.output.json(&added)?;
        } else {
            context.output.line(format!("added {} ({})", added.id, added.kind))?;
        }
        Ok(Exit::Success)
    }
}

impl KeyslotListArgs {
    async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::client(context)?;
        let headings = ["ID", "KIND", "LABEL", "ADDED"];
        let shown = PagedList { json: self.json, limit: None, headings, row, empty: "no key slots" };
        paged_list::print(context, &mut client, Client::keyslots(), shown).await
    }
}

fn row(slot: KeyslotView) -> [String; 4] {
    [slot.id, slot.kind, slot.label.unwrap_or_default(), slot.created_at]
}

impl KeyslotRemoveArgs {
    async fn run(self, context: &mut CliContext) -> CommandResult {
        let question = "Remove the key slot? What opens it will not unlock the store any more.";
        if !self.yes && context.terminal.can_ask() && !context.terminal.confirm(question)? {
            return Err(CliError::refused("nothing is removed"));
        }
        connect::client(context)?.remove_keyslot(&self.slot).await?;
        if self.json {
            context.output.json(&serde_json::json!({ "id": self.slot, "removed": true }))?;
        } else {
            context.output.line(format!("removed {}", self.slot))?;
        }
        context.output.note(
            "this is not a revocation: an old copy of the byte store, a backup for one, still opens with it\n\
             if it was disclosed: dropsafe re-encrypt --all",
        );
        Ok(Exit::Success)
    }
}
