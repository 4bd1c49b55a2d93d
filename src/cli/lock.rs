//! `dropsafe unlock` and `dropsafe lock`: load the release key into the server's memory, and wipe it.

use std::path::PathBuf;

use clap::Args;

use super::context::CliContext;
use super::error::CommandResult;
use super::{connect, input};
use crate::process::Exit;
use crate::wire::UnlockKind;

/// Unlock the store, so that machines can boot (operator)
#[derive(Debug, Args)]
pub(crate) struct UnlockArgs {
    /// Read the passphrase from FILE (default: prompt, or standard input)
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Unlock with the key file FILE
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_file")]
    pub(crate) key_file: Option<PathBuf>,
}

/// Lock the store: it refuses boots and accepts everything else (operator)
#[derive(Debug, Args)]
pub(crate) struct LockArgs {}

impl UnlockArgs {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::open_client(context)?;
        let (kind, text) = match &self.key_file {
            Some(path) => (UnlockKind::KeyFile, input::read_key_file(path)?),
            None => {
                (UnlockKind::Passphrase, input::read_passphrase(context, self.passphrase_file.as_deref())?)
            }
        };
        let unlocked = client.unlock(kind, &text).await?;
        // Which slot: an operator who rotates passphrases sees whether the old one still works.
        context.output.line(format!("unlocked with key slot {}", unlocked.slot))?;
        Ok(Exit::Success)
    }
}

impl LockArgs {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        connect::open_client(context)?.lock().await?;
        context.output.line("locked: boots are refused, deposits are accepted")?;
        Ok(Exit::Success)
    }
}
