//! `dropsafe re-encrypt`: encrypts the same values under fresh keys.

use std::time::Duration;

use clap::{ArgGroup, Args};

use super::context::CliContext;
use super::error::CommandResult;
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
/// it, and deletes the old generation (operator). The old generation signs the
/// new one, so that clients accept it. After that, old copies of the
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
    /// With --all: somebody else may know the old keys. The old generation does
    /// not sign the new one, and everybody who deposited before has to accept it
    #[arg(long, requires = "all")]
    pub(crate) compromised: bool,
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
                let secret = client.reencrypt_secret(secret.id).await?;
                context.output.json_or_line(self.json, &secret, || {
                    format!("{} is re-encrypted; its version is still {}", secret.name, secret.version)
                })?;
            }
            None => return self.reencrypt_all(context, &mut client, &address).await,
        }
        Ok(Exit::Success)
    }

    async fn reencrypt_all(
        &self,
        context: &mut CliContext,
        client: &mut Client,
        address: &StoreAddress,
    ) -> CommandResult {
        // This call starts the work, or joins what another one started.
        let mut progress = client.reencrypt_all(self.compromised).await?;
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
        pinned_keys::pin(context, address, status.store, &status.fingerprint)?;
        let exit = match progress.left + progress.damaged {
            0 => Exit::Success,
            _ => Exit::Failed,
        };
        if self.json {
            context.output.json(&progress)?;
            return Ok(exit);
        }
        context.output.line(summarize(&progress))?;
        context.output.line(format!("new deposit key: {}", status.fingerprint))?;
        if !progress.endorsed {
            context.output.note(
                "other people who deposited before must accept this key: dropsafe login --deposit-key FINGERPRINT",
            );
        }
        Ok(exit)
    }
}

fn summarize(progress: &ReencryptView) -> String {
    let generation = progress.generation;
    if progress.running {
        // The total is unknown until the server has counted.
        let total = progress.total.map(|total| format!(" of {total}")).unwrap_or_default();
        return format!(
            "re-encryption is running: {}{total} secrets are encrypted under generation {generation}",
            progress.done
        );
    }
    let (left, damaged) = (progress.left, progress.damaged);
    if left + damaged == 0 {
        return format!(
            "everything is encrypted under generation {generation}, and the old keys are deleted"
        );
    }
    let mut lines =
        vec![format!("generation {generation} is created, but not everything is encrypted under it")];
    if left > 0 {
        lines.push(format!(
            "values that do not open and stay as they are: {left}; `dropsafe status` names them to those who may see them, who \
             deposit them again or delete them"
        ));
    }
    if damaged > 0 {
        lines.push(format!(
            "damaged records: {damaged}; restore them from a backup, and run this command again"
        ));
    }
    if !progress.kept.is_empty() {
        lines.push(format!("old keys that are kept for them: generation {}", list(&progress.kept)));
    }
    lines.join("\n")
}

/// Numbers, separated by commas.
pub(crate) fn list(numbers: &[u32]) -> String {
    let texts: Vec<String> = numbers.iter().map(u32::to_string).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_left_something_is_not_reported_as_done() {
        let ended = |left, damaged, kept: &[u32]| {
            let view = ReencryptView {
                running: false,
                generation: 3,
                done: 9,
                total: Some(9),
                left,
                damaged,
                kept: kept.to_vec(),
                endorsed: true,
            };
            summarize(&view)
        };
        assert!(ended(0, 0, &[]).starts_with("everything is encrypted under generation 3"));
        for text in [ended(2, 0, &[1]), ended(0, 1, &[1, 2]), ended(1, 1, &[1, 2])] {
            assert!(text.contains("not everything") && !text.contains("deleted"), "{text}");
            assert!(text.contains("old keys that are kept for them: generation 1"), "{text}");
        }
        assert!(ended(2, 0, &[1]).contains("do not open and stay as they are: 2"));
    }
}
