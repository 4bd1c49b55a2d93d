//! `dropsafe edit`: attributes of a secret; the value and its version stay.

use clap::{ArgGroup, Args};

use super::error::{CliError, CommandResult};
use super::selector::{SelectorArgs, find};
use super::set::named;
use super::{CliContext, connect, show, table};
use crate::domain::name::{Category, PluginName};
use crate::process::Exit;
use crate::wire::UpdateSecretRequest;

/// Change a secret's attributes; its value stays
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args(["install", "no_install", "plugin", "category"]))]
pub(crate) struct EditArgs {
    #[command(flatten)]
    pub(crate) which: SelectorArgs,
    /// Give it to every boot in scope
    #[arg(long)]
    pub(crate) install: bool,
    /// Keep it back from boots that do not name it
    #[arg(long, conflicts_with = "install")]
    pub(crate) no_install: bool,
    /// The plugin that needs it, or none
    #[arg(long, value_name = "PLUGIN")]
    pub(crate) plugin: Option<String>,
    /// The category that it is shown under, or none
    #[arg(long, value_name = "CATEGORY")]
    pub(crate) category: Option<String>,
    /// Change this version only, and fail when there is another
    #[arg(long, value_name = "VERSION")]
    pub(crate) if_version: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What clears an attribute. No plugin or category is called so.
const NONE: &str = "none";

impl EditArgs {
    /// Runs it.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let change = self.change()?;
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

    /// In the wire's terms: an empty text clears.
    fn change(&self) -> Result<UpdateSecretRequest, CliError> {
        let plugin = match self.plugin.as_deref() {
            Some(NONE) => Some(String::new()),
            Some(name) => Some(named(PluginName::parse(name), "--plugin")?.as_str().to_owned()),
            None => None,
        };
        let category = match self.category.as_deref() {
            Some(NONE) => Some(String::new()),
            Some(name) => Some(named(Category::parse(name), "--category")?.as_str().to_owned()),
            None => None,
        };
        let auto_install = (self.install || self.no_install).then_some(self.install);
        Ok(UpdateSecretRequest { auto_install, plugin, category })
    }
}
