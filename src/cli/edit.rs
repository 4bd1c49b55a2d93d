//! `dropsafe edit`: changes attributes of a secret. The value and its version stay.

use clap::Args;

use super::attributes::AttributeArgs;
use super::context::CliContext;
use super::error::CommandResult;
use super::selector::{SelectorArgs, find};
use super::{connect, show, table};
use crate::process::Exit;
use crate::wire::UpdateSecretRequest;

/// Change a secret's attributes without changing its value
#[derive(Debug, Args)]
#[command(mut_group("AttributeArgs", |group| group.required(true)))]
pub(crate) struct EditArgs {
    #[command(flatten)]
    pub(crate) selector: SelectorArgs,
    #[command(flatten)]
    pub(crate) attributes: AttributeArgs,
    /// Fail if the current version is not VERSION
    #[arg(long, value_name = "VERSION")]
    pub(crate) if_version: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl EditArgs {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        // Before the first call, so that a wrong name costs none.
        let change = UpdateSecretRequest::from(&self.attributes.patch()?);
        let mut client = connect::open_client(context)?;
        let secret = find(&mut client, &self.selector.name, &self.selector.scope).await?;
        let changed = client.change_secret(secret.id, &change, self.if_version.as_deref()).await?;
        if self.json {
            context.output.json(&changed)?;
        } else {
            table::print_fields(&mut context.output, &show::fields(changed))?;
        }
        Ok(Exit::Success)
    }
}
