//! `dropsafe edit`: changes attributes of a secret. The value and its version stay.

use clap::{ArgGroup, Args};

use super::context::CliContext;
use super::error::{CliError, CommandResult, invalid_name};
use super::selector::{SelectorArgs, find};
use super::{connect, show, table};
use crate::domain::name::{Category, PluginName};
use crate::process::Exit;
use crate::wire::UpdateSecretRequest;

/// Change a secret's attributes without changing its value
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args(["install", "no_install", "plugin", "category"]))]
pub(crate) struct EditArgs {
    #[command(flatten)]
    pub(crate) selector: SelectorArgs,
    /// Auto-install it: every boot in scope receives it
    #[arg(long)]
    pub(crate) install: bool,
    /// Do not auto-install it: only boots that request it by name receive it
    #[arg(long, conflicts_with = "install")]
    pub(crate) no_install: bool,
    /// Plugin that needs it, or `none`
    #[arg(long, value_name = "PLUGIN")]
    pub(crate) plugin: Option<String>,
    /// Category to group it under, or `none`
    #[arg(long, value_name = "CATEGORY")]
    pub(crate) category: Option<String>,
    /// Fail if the current version is not VERSION
    #[arg(long, value_name = "VERSION")]
    pub(crate) if_version: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Clears an attribute. A plugin or a category of this name cannot be chosen here.
const NONE: &str = "none";

impl EditArgs {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let change = self.change()?;
        let mut client = connect::open_client(context)?;
        let secret = find(&mut client, &self.selector.name, &self.selector.scope).await?;
        let changed = client.change_secret(&secret.id, &change, self.if_version.as_deref()).await?;
        if self.json {
            context.output.json(&changed)?;
        } else {
            table::print_fields(&mut context.output, &show::fields(changed))?;
        }
        Ok(Exit::Success)
    }

    fn change(&self) -> Result<UpdateSecretRequest, CliError> {
        // In the API an absent field keeps its value, and an empty text clears it.
        let plugin = match self.plugin.as_deref() {
            Some(NONE) => Some(String::new()),
            Some(name) => {
                Some(PluginName::parse(name).map_err(invalid_name("--plugin"))?.as_str().to_owned())
            }
            None => None,
        };
        let category = match self.category.as_deref() {
            Some(NONE) => Some(String::new()),
            Some(name) => {
                Some(Category::parse(name).map_err(invalid_name("--category"))?.as_str().to_owned())
            }
            None => None,
        };
        let auto_install = (self.install || self.no_install).then_some(self.install);
        Ok(UpdateSecretRequest { auto_install, plugin, category })
    }
}
