//! `dropsafe unlock` and `dropsafe lock`: the release key into the server's memory, and out of it.

use std::path::PathBuf;

use clap::Args;

use super::error::CommandResult;
use super::{CliContext, connect, input};
use crate::process::Exit;
use crate::wire;
use crate::wire::UnlockText;

/// Unlock the store, so that it answers boots (operator)
#[derive(Debug, Args)]
pub(crate) struct UnlockArgs {
    /// Read the passphrase from FILE; otherwise it is asked for, or read from standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Unlock with the key file FILE
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_file")]
    pub(crate) key_file: Option<PathBuf>,
}

/// Lock the store: it refuses boots and takes everything else (operator)
#[derive(Debug, Args)]
pub(crate) struct LockArgs {}

impl UnlockArgs {
    /// Runs it.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::client(context)?;
        let secret = match &self.key_file {
            Some(path) => wire::UnlockRequest {
                passphrase: None,
                key_file: Some(UnlockText(inner(input::key_file(path)?))),
            },
            None => {
                let text =
                    input::passphrase(context, self.passphrase_file.as_deref(), "Passphrase (hidden): ")?;
                wire::UnlockRequest { passphrase: Some(UnlockText(inner(text))), key_file: None }
            }
        };
        let unlocked = client.unlock(&secret).await?;
        context.output.line(format!("unlocked by {}", unlocked.slot))?;
        Ok(Exit::Success)
    }
}

impl LockArgs {
    /// Runs it.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        connect::client(context)?.lock().await?;
        context.output.line("locked: boots are refused, deposits are taken")?;
        Ok(Exit::Success)
    }
}

/// The text for the wire, whose type wipes it as well.
pub(crate) fn inner(mut text: zeroize::Zeroizing<String>) -> String {
    std::mem::take(&mut *text)
}
