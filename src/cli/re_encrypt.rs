//! `dropsafe re-encrypt`: the same values under fresh keys.

use std::time::Duration;

use clap::{ArgGroup, Args};

use super::error::{CliError, CommandResult};
use super::pinned_keys::StoreAddress;
use super::progress::ProgressIndicator;
use super::selector::ScopeArgs;
use super::{CliContext, connect, pinned_keys, selector};
use crate::client::Client;
use crate::process::Exit;
use crate::wire::ReencryptView;

/// Seal values again with fresh keys; the values and versions stay
///
/// With --all, a new generation of the store's keys: everything is moved to it,
/// and the old one is dropped (operator). What old copies of the byte store hold
/// then opens with nothing that the store still has. It goes on after a restart;
/// run the command again to follow it.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, group = ArgGroup::new("what").required(true).args(["name", "all"]))]
pub(crate) struct ReencryptArgs {
    /// The secret: its name, or the name it is exported as
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Everything, under a new generation of keys
    #[arg(long, conflicts_with_all = ["shared", "private", "owner", "id"])]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    /// With --all: start it, and do not wait for its end
    #[arg(long, requires = "all")]
    pub(crate) no_wait: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(250);

impl ReencryptArgs {
    /// Runs it.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let (mut client, place) = connect::known(context)?;
        match &self.name {
            Some(name) => {
                let secret = selector::find(&mut client, name, &self.scope).await?;
                let sealed = client.reencrypt_secret(&secret.id).await?;
                if self.json {
                    context.output.json(&sealed)?;
                } else {
                    context.output.line(format!(
                        "{} is sealed again; its version stays {}",
                        sealed.name, sealed.version
                    ))?;
                }
            }
            None => self.all(context, &mut client, &place).await?,
        }
        Ok(Exit::Success)
    }

    async fn all(
        &self,
        context: &mut CliContext,
        client: &mut Client,
        place: &StoreAddress,
    ) -> Result<(), CliError> {
        let mut progress = client.reencrypt_all().await?;
        if !self.no_wait {
            let bar = ProgressIndicator::steps("re-encrypting", progress.total.unwrap_or(0));
            while progress.running {
                bar.at(progress.done, progress.total);
                tokio::time::sleep(LOOK).await;
                progress = client.reencrypt_progress().await?;
            }
        }
        // This user caused the new key, and needs nobody to vouch for it.
        let status = client.status().await?;
        pinned_keys::remember(context, place, &status.store, &status.fingerprint)?;
        if self.json {
            return context.output.json(&progress);
        }
        context.output.line(told(&progress))?;
        context.output.line(format!("the deposit key now: {}", status.fingerprint))?;
        context.output.note(
            "whoever deposited before is told that the key has changed, and accepts this fingerprint with \
             dropsafe login --deposit-key",
        );
        Ok(())
    }
}

fn told(progress: &ReencryptView) -> String {
    let generation = progress.generation;
    if !progress.running {
        return format!("everything is sealed under generation {generation}, and the old keys are gone");
    }
    let total = progress.total.map(|total| format!(" of {total}")).unwrap_or_default();
    format!("re-encryption is under way: {}{total} secrets under generation {generation}", progress.done)
}
