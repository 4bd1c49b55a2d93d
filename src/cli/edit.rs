//! `dropsafe edit`: attributes of a secret; the value and its version stay.

use clap::{ArgGroup, Args};

use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::set::named;
use super::which::{Which, find};
use super::{Context, connect, show, table};
use crate::domain::name::{Category, PluginName};
use crate::wire::SecretChange;

/// Change a secret's attributes; its value stays
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args(["install", "no_install", "plugin", "category"]))]
pub struct Edit {
    #[command(flatten)]
    pub which: Which,
    /// Give it to every boot in scope
    #[arg(long)]
    pub install: bool,
    /// Keep it back from boots that do not name it
    #[arg(long, conflicts_with = "install")]
    pub no_install: bool,
    /// The plugin that needs it, or none
    #[arg(long, value_name = "PLUGIN")]
    pub plugin: Option<String>,
    /// The category that it is shown under, or none
    #[arg(long, value_name = "CATEGORY")]
    pub category: Option<String>,
    /// Change this version only, and fail when there is another
    #[arg(long, value_name = "VERSION")]
    pub if_version: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What clears an attribute. No plugin or category is called so.
const NONE: &str = "none";

impl Edit {
    /// Runs it.
    pub async fn run(self, context: &mut Context) -> Outcome {
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
    fn change(&self) -> Result<SecretChange, Failure> {
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
        Ok(SecretChange { auto_install, plugin, category })
    }
}
