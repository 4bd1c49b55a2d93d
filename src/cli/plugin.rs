//! `dropsafe plugin`: what needs secrets, what of that is missing, and what is kept back.

use clap::{Args, Subcommand};

use super::error::{CliError, CommandResult};
use super::paged_list::PagedList;
use super::table::{TextTable, fields};
use super::{CliContext, connect, paged_list};
use crate::client::Client;
use crate::process::Exit;
use crate::wire::{DeclarePluginRequest, NeedView, PluginView, UpdatePluginRequest};

/// Declare what plugins need, see what they lack, enable and disable them
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    List(PluginListArgs),
    Show(PluginShowArgs),
    Set(PluginSetArgs),
    Enable(PluginEnableArgs),
    Disable(PluginDisableArgs),
    Remove(PluginRemoveArgs),
}

/// List the plugins, with what is missing
#[derive(Debug, Args)]
pub(crate) struct PluginListArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show what a plugin needs, and which of your secrets meet that
#[derive(Debug, Args)]
pub(crate) struct PluginShowArgs {
    /// The plugin
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Declare a plugin (administrator)
///
/// What was declared before is replaced; whether it is enabled stays.
#[derive(Debug, Args)]
pub(crate) struct PluginSetArgs {
    /// Its name: ASCII letters, digits and @ / . _ - :
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// What people call it
    #[arg(long, value_name = "TEXT")]
    pub(crate) title: Option<String>,
    /// A secret without which it does not work; again for more
    #[arg(long, value_name = "SECRET")]
    pub(crate) required: Vec<String>,
    /// A secret that it uses when it is there; again for more
    #[arg(long, value_name = "SECRET")]
    pub(crate) optional: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Release a plugin's secrets again (administrator)
#[derive(Debug, Args)]
pub(crate) struct PluginEnableArgs {
    /// The plugin
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Keep a plugin's secrets back from every boot (administrator)
///
/// Those that are tied to it. What already runs keeps what it has.
#[derive(Debug, Args)]
pub(crate) struct PluginDisableArgs {
    /// The plugin
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Remove a plugin's declaration (administrator)
///
/// Secrets stay, tied to its name; if it was disabled, they are released again.
#[derive(Debug, Args)]
pub(crate) struct PluginRemoveArgs {
    /// The plugin
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

impl PluginCommand {
    /// Runs it.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::client(context)?;
        match self {
            Self::List(list) => list.run(context, &mut client).await,
            Self::Show(show) => {
                let plugin = client.plugin(&show.name).await?;
                shown(context, show.json, &plugin)
            }
            Self::Set(set) => {
                let PluginSetArgs { name, title, required, optional, json } = set;
                let declaration = DeclarePluginRequest { title, required, optional, enabled: None };
                let plugin = client.put_plugin(&name, &declaration).await?;
                told(context, json, &plugin, "is declared")
            }
            Self::Enable(of) => {
                let plugin = client.change_plugin(&of.name, &UpdatePluginRequest { enabled: true }).await?;
                told(context, of.json, &plugin, "is enabled")
            }
            Self::Disable(of) => {
                let plugin = client.change_plugin(&of.name, &UpdatePluginRequest { enabled: false }).await?;
                told(context, of.json, &plugin, "is disabled")
            }
            Self::Remove(remove) => {
                client.remove_plugin(&remove.name).await?;
                context.output.line(format!("removed {}", remove.name))?;
                Ok(Exit::Success)
            }
        }
    }
}

impl PluginListArgs {
    async fn run(self, context: &mut CliContext, client: &mut Client) -> CommandResult {
        let headings = ["NAME", "TITLE", "STATE", "NEEDS", "SECRETS", "MISSING"];
        let shown = PagedList { json: self.json, limit: None, headings, row, empty: "no plugins" };
        paged_list::print(context, client, Client::plugins(), shown).await
    }
}

fn row(plugin: PluginView) -> [String; 6] {
    let needs = match (plugin.required.len(), plugin.optional.len()) {
        (0, 0) => String::new(),
        (required, 0) => required.to_string(),
        (required, optional) => format!("{required} and {optional} optional"),
    };
    let state = state(&plugin).to_owned();
    let missing = plugin.missing.join(" ");
    [plugin.name, plugin.title.unwrap_or_default(), state, needs, plugin.secrets.to_string(), missing]
}

fn state(plugin: &PluginView) -> &'static str {
    match (plugin.declared, plugin.enabled) {
        (false, _) => "not declared",
        (true, true) => "enabled",
        (true, false) => "disabled",
    }
}

fn shown(context: &mut CliContext, json: bool, plugin: &PluginView) -> CommandResult {
    if json {
        context.output.json(plugin)?;
        return Ok(Exit::Success);
    }
    let about = [
        ("name", plugin.name.clone()),
        ("title", plugin.title.clone().unwrap_or_default()),
        ("state", state(plugin).to_owned()),
        ("secrets", plugin.secrets.to_string()),
    ];
    fields(&mut context.output, &about)?;
    let row = |need: &NeedView, required: &str| {
        let met = need.scope.map(|scope| scope.to_string()).unwrap_or_else(|| "missing".to_owned());
        [need.name.clone(), need.env.clone(), required.to_owned(), met]
    };
    let required = plugin.required.iter().map(|need| row(need, "yes"));
    let rows: Vec<_> = required.chain(plugin.optional.iter().map(|need| row(need, "no"))).collect();
    TextTable::new(["NEEDS", "EXPORTED AS", "REQUIRED", "MET BY"]).rows(&mut context.output, &rows)?;
    Ok(Exit::Success)
}

fn told(context: &mut CliContext, json: bool, plugin: &PluginView, done: &str) -> CommandResult {
    if json {
        context.output.json(plugin)?;
        return Ok(Exit::Success);
    }
    context.output.line(format!("{} {done}", plugin.name))?;
    note_missing(context, plugin)?;
    Ok(Exit::Success)
}

fn note_missing(context: &mut CliContext, plugin: &PluginView) -> Result<(), CliError> {
    let missing = plugin.required.iter().filter(|need| need.secret.is_none());
    for need in missing {
        context.output.note(format!("missing: {}; deposit it: dropsafe set {}", need.env, need.name));
    }
    Ok(())
}
