//! `dropsafe plugin`: what needs secrets, what of that is missing, and what is kept back.

use clap::{Args, Subcommand};

use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::listing::Shown;
use super::table::{Table, fields};
use super::{Context, connect, listing};
use crate::client::Client;
use crate::wire::{NeedView, PluginChange, PluginDeclaration, PluginView};

/// Declare what plugins need, see what they lack, enable and disable them
#[derive(Debug, Subcommand)]
pub enum Plugin {
    List(List),
    Show(Show),
    Set(Set),
    Enable(Enable),
    Disable(Disable),
    Remove(Remove),
}

/// List the plugins, with what is missing
#[derive(Debug, Args)]
pub struct List {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Show what a plugin needs, and which of your secrets meet that
#[derive(Debug, Args)]
pub struct Show {
    /// The plugin
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Declare a plugin (administrator)
///
/// What was declared before is replaced; whether it is enabled stays.
#[derive(Debug, Args)]
pub struct Set {
    /// Its name: ASCII letters, digits and @ / . _ - :
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What people call it
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// A secret without which it does not work; again for more
    #[arg(long, value_name = "SECRET")]
    pub required: Vec<String>,
    /// A secret that it uses when it is there; again for more
    #[arg(long, value_name = "SECRET")]
    pub optional: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Release a plugin's secrets again (administrator)
#[derive(Debug, Args)]
pub struct Enable {
    /// The plugin
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Keep a plugin's secrets back from every boot (administrator)
///
/// Those that are tied to it. What already runs keeps what it has.
#[derive(Debug, Args)]
pub struct Disable {
    /// The plugin
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Remove a plugin's declaration (administrator)
///
/// Secrets stay, tied to its name; if it was disabled, they are released again.
#[derive(Debug, Args)]
pub struct Remove {
    /// The plugin
    #[arg(value_name = "NAME")]
    pub name: String,
}

impl Plugin {
    /// Runs it.
    pub async fn run(self, context: &mut Context) -> Outcome {
        let mut client = connect::client(context)?;
        match self {
            Self::List(list) => list.run(context, &mut client).await,
            Self::Show(show) => {
                let plugin = client.plugin(&show.name).await?;
                shown(context, show.json, &plugin)
            }
            Self::Set(set) => {
                let Set { name, title, required, optional, json } = set;
                let declaration = PluginDeclaration { title, required, optional, enabled: None };
                let plugin = client.put_plugin(&name, &declaration).await?;
                told(context, json, &plugin, "is declared")
            }
            Self::Enable(of) => {
                let plugin = client.change_plugin(&of.name, &PluginChange { enabled: true }).await?;
                told(context, of.json, &plugin, "is enabled")
            }
            Self::Disable(of) => {
                let plugin = client.change_plugin(&of.name, &PluginChange { enabled: false }).await?;
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

impl List {
    async fn run(self, context: &mut Context, client: &mut Client) -> Outcome {
        let headings = ["NAME", "TITLE", "STATE", "NEEDS", "SECRETS", "MISSING"];
        let shown = Shown { json: self.json, limit: None, headings, row, empty: "no plugins" };
        listing::print(context, client, Client::plugins(), shown).await
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

fn shown(context: &mut Context, json: bool, plugin: &PluginView) -> Outcome {
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
    Table::new(["NEEDS", "EXPORTED AS", "REQUIRED", "MET BY"]).rows(&mut context.output, &rows)?;
    Ok(Exit::Success)
}

fn told(context: &mut Context, json: bool, plugin: &PluginView, done: &str) -> Outcome {
    if json {
        context.output.json(plugin)?;
        return Ok(Exit::Success);
    }
    context.output.line(format!("{} {done}", plugin.name))?;
    note_missing(context, plugin)?;
    Ok(Exit::Success)
}

fn note_missing(context: &mut Context, plugin: &PluginView) -> Result<(), Failure> {
    let missing = plugin.required.iter().filter(|need| need.secret.is_none());
    for need in missing {
        context.output.note(format!("missing: {}; deposit it: dropsafe set {}", need.env, need.name));
    }
    Ok(())
}
