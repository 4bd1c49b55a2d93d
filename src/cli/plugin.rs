//! `dropsafe plugin`: the secrets that plugins need, which of them are missing, and which plugins are disabled.

use clap::{Args, Subcommand};

use super::connect;
use super::context::CliContext;
use super::error::CommandResult;
use super::output::JsonArgs;
use super::paged_list::PagedList;
use super::table::{TextTable, cell, print_fields};
use crate::client::Client;
use crate::process::Exit;
use crate::wire::{DeclarePluginRequest, NeedView, PluginView, UpdatePluginRequest};

/// Declare plugins, see which of their secrets are missing, enable and disable them
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// List the plugins and the secrets that they lack
    List(JsonArgs),
    /// Show the secrets that a plugin needs, and which of your secrets provide them
    Show(PluginNameArgs),
    Set(PluginSetArgs),
    /// Enable a plugin: boots receive its secrets again (administrator)
    Enable(PluginNameArgs),
    /// Disable a plugin: no boot receives its secrets (administrator)
    ///
    /// Its secrets are those with this plugin as attribute. Running workloads keep
    /// what they have.
    #[command(verbatim_doc_comment)]
    Disable(PluginNameArgs),
    Remove(PluginRemoveArgs),
}

#[derive(Debug, Args)]
pub(crate) struct PluginNameArgs {
    /// Name of the plugin
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Declare a plugin (administrator)
///
/// Replaces an earlier declaration. The plugin stays enabled or disabled.
#[derive(Debug, Args)]
pub(crate) struct PluginSetArgs {
    /// Name of the plugin: ASCII letters, digits and @ / . _ - :
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Title to display
    #[arg(long, value_name = "TEXT")]
    pub(crate) title: Option<String>,
    /// Secret that the plugin requires; may be repeated
    #[arg(long, value_name = "SECRET")]
    pub(crate) required: Vec<String>,
    /// Secret that the plugin uses if it exists; may be repeated
    #[arg(long, value_name = "SECRET")]
    pub(crate) optional: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Remove a plugin's declaration (administrator)
///
/// Its secrets stay. If it was disabled, boots receive them again.
#[derive(Debug, Args)]
pub(crate) struct PluginRemoveArgs {
    /// Name of the plugin
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

impl PluginCommand {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::open_client(context)?;
        match self {
            Self::List(JsonArgs { json }) => {
                let headings = ["NAME", "TITLE", "STATE", "NEEDS", "SECRETS", "MISSING"];
                PagedList { json, limit: None, headings, row: plugin_row, empty: "no plugins" }
                    .print(context, &mut client, Client::plugins())
                    .await
            }
            Self::Show(PluginNameArgs { name, json }) => {
                let plugin = client.plugin(&name).await?;
                show(context, json, &plugin)
            }
            Self::Set(PluginSetArgs { name, title, required, optional, json }) => {
                // Without a state: a new version of a disabled plugin must not enable it.
                let texts = |names: Vec<String>| names.into_iter().map(Into::into).collect();
                let request = DeclarePluginRequest {
                    title: title.map(Into::into),
                    required: texts(required),
                    optional: texts(optional),
                    enabled: None,
                };
                let plugin = client.put_plugin(&name, &request).await?;
                report_change(context, json, &plugin, "is declared")
            }
            Self::Enable(PluginNameArgs { name, json }) => {
                let plugin = client.change_plugin(&name, &UpdatePluginRequest { enabled: true }).await?;
                report_change(context, json, &plugin, "is enabled")
            }
            Self::Disable(PluginNameArgs { name, json }) => {
                let plugin = client.change_plugin(&name, &UpdatePluginRequest { enabled: false }).await?;
                report_change(context, json, &plugin, "is disabled")
            }
            Self::Remove(PluginRemoveArgs { name }) => {
                client.remove_plugin(&name).await?;
                context.output.line(format!("removed {name}"))?;
                Ok(Exit::Success)
            }
        }
    }
}

fn plugin_row(plugin: PluginView) -> [String; 6] {
    let needs = match (plugin.required.len(), plugin.optional.len()) {
        (0, 0) => String::new(),
        (required, 0) => required.to_string(),
        (required, optional) => format!("{required} and {optional} optional"),
    };
    [
        plugin.name.to_string(),
        cell(plugin.title.as_ref()),
        state(&plugin).to_owned(),
        needs,
        plugin.secrets.to_string(),
        plugin.missing.join(" "),
    ]
}

fn state(plugin: &PluginView) -> &'static str {
    match (plugin.declared, plugin.enabled) {
        // Secrets can name a plugin that nobody has declared.
        (false, _) => "not declared",
        (true, true) => "enabled",
        (true, false) => "disabled",
    }
}

fn show(context: &mut CliContext, json: bool, plugin: &PluginView) -> CommandResult {
    if json {
        context.output.json(plugin)?;
        return Ok(Exit::Success);
    }
    let about = [
        ("name", plugin.name.to_string()),
        ("title", cell(plugin.title.as_ref())),
        ("state", state(plugin).to_owned()),
        ("secrets", plugin.secrets.to_string()),
    ];
    print_fields(&mut context.output, &about)?;
    let row = |need: &NeedView, required: &str| {
        let met = need.scope.map_or_else(|| "missing".to_owned(), |scope| scope.to_string());
        [need.name.to_string(), need.env.to_string(), required.to_owned(), met]
    };
    let required = plugin.required.iter().map(|need| row(need, "yes"));
    let rows = required.chain(plugin.optional.iter().map(|need| row(need, "no")));
    TextTable::new(["NEEDS", "EXPORTED AS", "REQUIRED", "MET BY"]).rows(&mut context.output, rows)?;
    Ok(Exit::Success)
}

fn report_change(context: &mut CliContext, json: bool, plugin: &PluginView, change: &str) -> CommandResult {
    context.output.json_or_line(json, plugin, || format!("{} {change}", plugin.name))?;
    if json {
        return Ok(Exit::Success);
    }
    // Now, while somebody sets the plugin up, and not at the first boot that fails.
    for need in plugin.required.iter().filter(|need| need.secret.is_none()) {
        context.output.note(format!("missing: {}; to deposit it: dropsafe set {}", need.env, need.name));
    }
    Ok(Exit::Success)
}
