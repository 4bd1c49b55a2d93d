//! `dropsafe edit`: attributes of a secret; the value and its version stay.

use clap::Args;

use super::attributes::AttributeArgs;
use super::error::CommandResult;
use super::selector::{SelectorArgs, find};
use super::{CliContext, connect, show, table};
use crate::process::Exit;
use crate::wire::UpdateSecretRequest;

/// Change a secret's attributes; its value stays
#[derive(Debug, Args)]
#[command(mut_group("AttributeArgs", |group| group.required(true)))]
pub(crate) struct EditArgs {
    #[command(flatten)]
    pub(crate) which: SelectorArgs,
    #[command(flatten)]
    pub(crate) attributes: AttributeArgs,
    /// Change this version only, and fail when there is another
    #[arg(long, value_name = "VERSION")]
    pub(crate) if_version: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl EditArgs {
    /// Runs it.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let change = UpdateSecretRequest::from(&self.attributes.patch()?);
        let mut client = connect::client(context)?;
        let secret = find(&mut client, &self.which.name, &self.which.scope).await?;
        let changed = client.change_secret(&secret.id, &change, self.if_version.as_deref()).await?;
        if self.json {
            context.output.json(&changed)?;
        } else {
            table::fields(&mut context.output, &show::fields(changed))?;
        }
        Ok(Exit::Success)
    }
}
