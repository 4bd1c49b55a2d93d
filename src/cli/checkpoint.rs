//! `dropsafe audit checkpoint`, and the comparison of its files: with the store, or of two files without a store.

use std::path::{Path, PathBuf};

use clap::Args;

use super::context::CliContext;
use super::error::{CliError, CommandResult};
use super::table::TextTable;
use super::{connect, files};
use crate::crypto::checkpoint_file::{ChainComparison, CheckpointFile, Continuity};
use crate::crypto::signed_note::NoteKey;
use crate::process::Exit;
use crate::wire::{ChainSizeRequest, CheckpointRequest};

/// The largest file that is read: tens of thousands of chains.
const MAX_FILE: usize = 16 << 20;

/// Print a signed checkpoint of every chain, to keep outside the store
///
/// Two of them prove offline whether the store was rolled back in between, if the
/// second one was made with --since and the first: audit verify --checkpoint FIRST
/// --with SECOND --key VKEY. VKEY is in the second line of each.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct AuditCheckpointArgs {
    /// Add the proofs that the log continues the checkpoints in FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) since: Option<PathBuf>,
}

/// Checkpoints, and where they are from.
struct NamedCheckpoints {
    name: String,
    file: CheckpointFile,
}

impl AuditCheckpointArgs {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let old = self.since.as_deref().map(NamedCheckpoints::read).transpose()?;
        let text = fetch(context, old.as_ref()).await?;
        context.output.bytes(text.as_bytes())?;
        // After the output: if the store was rolled back, the new file is the evidence.
        let new = NamedCheckpoints::of_store(&text)?;
        // The key that the old file names is the one that its owner has relied on.
        let key = old.as_ref().map_or(&new.file.key, |old| &old.file.key);
        new.require_signatures(key)?;
        if let Some(old) = &old {
            old.require_signatures(key)?;
            old.require_continuation(&old.file.compare(&new.file))?;
        }
        Ok(Exit::Success)
    }
}

/// Verifies the checkpoints at `old` with those at `with`, or with the store.
pub(crate) async fn verify(
    context: &mut CliContext,
    old: &Path,
    with: Option<&Path>,
    key: Option<&str>,
    json: bool,
) -> CommandResult {
    let key = key.map(|key| key.parse::<NoteKey>().map_err(|error| CliError::usage(error).context("--key")));
    let key = key.transpose()?;
    let old = NamedCheckpoints::read(old)?;
    // Before the store is asked: a damaged file must not become a request.
    old.require_signatures(key.as_ref().unwrap_or(&old.file.key))?;
    let new = match with {
        Some(path) => NamedCheckpoints::read(path)?,
        None => NamedCheckpoints::of_store(&fetch(context, Some(&old)).await?)?,
    };
    // A store says which key is its own; two files alone say nothing.
    let key = key.as_ref().unwrap_or(&new.file.key);
    old.require_signatures(key)?;
    new.require_signatures(key)?;
    if !new.file.has_all_chains() {
        // Its other chains are not missing from the store.
        let message = format!("{} is a machine's checkpoint, of one chain", new.name);
        return Err(CliError::failed(message)
            .hint("use it with --checkpoint, and a file of `dropsafe audit checkpoint` with --with"));
    }
    let chains = old.file.compare(&new.file);
    if json {
        context.output.json(&chains)?;
    } else {
        let row = |chain: &ChainComparison| {
            let new = chain.new.map_or_else(String::new, |size| size.to_string());
            [chain.chain.clone(), chain.old.to_string(), new, chain.state.as_str().to_owned()]
        };
        TextTable::new(["CHAIN", "CHECKPOINT", "NOW", "STATE"])
            .rows(&mut context.output, chains.iter().map(row))?;
    }
    old.require_continuation(&chains)?;
    if !json {
        context.output.line(if old.file.has_all_chains() {
            format!("checkpoint verified: the log continues all {} chains", chains.len())
        } else {
            "checkpoint verified: the log continues this chain; a machine's checkpoint says nothing of the others".to_owned()
        })?;
    }
    Ok(Exit::Success)
}

async fn fetch(context: &mut CliContext, old: Option<&NamedCheckpoints>) -> Result<String, CliError> {
    let chains = old.iter().flat_map(|old| &old.file.chains);
    let since = chains.map(|(chain, known)| ChainSizeRequest { chain: chain.clone(), size: known.head.size });
    let request = CheckpointRequest { since: old.is_some().then(|| since.collect()) };
    Ok(connect::open_client(context)?.checkpoint_audit(&request).await?)
}

impl NamedCheckpoints {
    fn read(path: &Path) -> Result<Self, CliError> {
        let bytes = files::read(path, MAX_FILE)?;
        Self::parse(path.display().to_string(), &String::from_utf8_lossy(&bytes))
    }

    fn of_store(text: &str) -> Result<Self, CliError> {
        Self::parse("the answer of the store".to_owned(), text)
    }

    fn parse(name: String, text: &str) -> Result<Self, CliError> {
        match CheckpointFile::parse(text) {
            Ok(file) => Ok(Self { name, file }),
            Err(fault) => Err(CliError::failed(format_args!("{name}: {fault}"))
                .hint("use a file that `dropsafe audit checkpoint` wrote, unchanged")),
        }
    }

    fn require_signatures(&self, key: &NoteKey) -> Result<(), CliError> {
        let Self { name, file } = self;
        if file.key != *key {
            let message = format!("{name} is signed with the key {}; expected {key}", file.key);
            return Err(CliError::failed(message)
                .hint("each store has its own key: compare checkpoints of the same store"));
        }
        match file.find_unsigned(key) {
            Some(chain) => Err(CliError::failed(format_args!("{name}: the signature of {chain} is wrong"))
                .hint("somebody changed or forged the file: use another copy of it")),
            None => Ok(()),
        }
    }

    fn require_continuation(&self, chains: &[ChainComparison]) -> Result<(), CliError> {
        let broken: Vec<&ChainComparison> =
            chains.iter().filter(|chain| chain.state != Continuity::Continued).collect();
        let name = &self.name;
        // Evidence first: a chain without a proof may be one of a file that was made without --since.
        let first = broken.iter().find(|chain| chain.state != Continuity::Unproven).or(broken.first());
        let Some(ChainComparison { chain, old, new, state }) = first else { return Ok(()) };
        let what = match (state, new) {
            (Continuity::Unproven, _) => {
                let message = format!("there is no proof that chain {chain} continues {name}");
                return Err(CliError::failed(message)
                    .hint(format!("make the newer file with `dropsafe audit checkpoint --since {name}`")));
            }
            // The proof is not signed, so that whoever stores the file may have damaged it.
            (Continuity::Different, Some(new)) if new != old => {
                let message = format!(
                    "the proof that chain {chain} continues {name} is wrong: the store was rolled back, or the newer file is damaged"
                );
                return Err(CliError::failed(message).hint(format!(
                    "make the newer file again with `dropsafe audit checkpoint --since {name}`: if that fails too, the store was rolled back"
                )));
            }
            (Continuity::Different, _) => format!("now has {old} different ones"),
            (Continuity::Shorter, Some(new)) => format!("now has only {new}"),
            _ => "is missing".to_owned(),
        };
        let message = format!(
            "the store was rolled back: {} of {} chains do not continue {name}; chain {chain} had {old} entries and {what}",
            broken.len(),
            chains.len()
        );
        // Checkpoints have no time: nothing else tells a rollback from files in the wrong order.
        Err(CliError::failed(message).hint(format!(
            "if {name} is the older file and nobody restored a backup, keep both files and a copy of the byte store as evidence"
        )))
    }
}
