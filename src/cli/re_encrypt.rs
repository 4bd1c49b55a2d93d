//! `dropsafe re-encrypt`: encrypts the same values under fresh keys.

use std::time::Duration;

use clap::{ArgGroup, Args};

use super::context::CliContext;
use super::error::{CliError, CommandResult};
use super::pinned_keys::StoreAddress;
use super::progress::ProgressIndicator;
use super::selector::ScopeArgs;
use super::{connect, pinned_keys, selector};
use crate::client::Client;
use crate::process::Exit;
use crate::wire::ReencryptView;

/// Re-encrypt secrets under fresh keys, without changing values or versions
///
/// With --all, creates a new generation of the store's keys, moves everything to
/// it, and deletes the old generation (operator). After that, old copies of the
/// byte store can no longer be opened with any key that the store still has. The
/// work continues after a restart of the server; run the command again to follow
/// it.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, group = ArgGroup::new("what").required(true).args(["name", "all"]))]
pub(crate) struct ReencryptArgs {
    /// Name or exported name of the secret
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Re-encrypt everything under a new generation of keys
    #[arg(long, conflicts_with_all = ["shared", "private", "owner", "id"])]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    /// With --all: start the work and do not wait for its end
    #[arg(long, requires = "all")]
    pub(crate) no_wait: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const POLL_INTERVAL: Duration = Duration::from_millis(250);

impl ReencryptArgs {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let (mut client, address) = connect::open_client_with_address(context)?;
        match &self.name {
            Some(name) => {
                let secret = selector::find(&mut client, name, &self.scope).await?;
                let secret = client.reencrypt_secret(&secret.id).await?;
                context.output.json_or_line(self.json, &secret, || {
                    format!("{} is re-encrypted; its version is still {}", secret.name, secret.version)
                })?;
            }
            None => self.reencrypt_all(context, &mut client, &address).await?,
        }
        Ok(Exit::Success)
    }

    async fn reencrypt_all(
        &self,
        context: &mut CliContext,
        client: &mut Client,
        address: &StoreAddress,
    ) -> Result<(), CliError> {
        // This call starts the work, or joins what another one started.
        let mut progress = client.reencrypt_all().await?;
        if !self.no_wait {
            let bar = ProgressIndicator::steps("re-encrypting", progress.total.unwrap_or(0));
            while progress.running {
                bar.set_position(progress.done, progress.total);
                tokio::time::sleep(POLL_INTERVAL).await;
                progress = client.reencrypt_progress().await?;
            }
        }
        // This user caused the new key, and so needs nobody to confirm it.
        let status = client.status().await?;
        pinned_keys::pin(context, address, &status.store, &status.fingerprint)?;
        if self.json {
            return context.output.json(&progress);
        }
        context.output.line(summarize(&progress))?;
        context.output.line(format!("new deposit key: {}", status.fingerprint))?;
        context.output.note(
            "other people who deposited before must accept this key: dropsafe login --deposit-key FINGERPRINT",
        );
        Ok(())
    }
}

fn summarize(progress: &ReencryptView) -> String {
    let generation = progress.generation;
    if !progress.running {
        return format!(
            "everything is encrypted under generation {generation}, and the old keys are deleted"
        );
    }
    // The total is unknown until the server has counted.
    let total = progress.total.map(|total| format!(" of {total}")).unwrap_or_default();
    format!(
        "re-encryption is running: {}{total} secrets are encrypted under generation {generation}",
        progress.done
    )
}
