//! `dropsafe preset`: the presets of well-known platforms and their fields.

use clap::{Args, Subcommand};

use super::connect;
use super::context::CliContext;
use super::error::{CliError, CommandResult};
use super::output::JsonArgs;
use super::paged_list::PagedList;
use super::table::{TextTable, cell, print_fields};
use crate::client::Client;
use crate::process::Exit;
use crate::wire::{PresetFieldView, PresetView};

/// List the presets of well-known platforms and show their fields
#[derive(Debug, Subcommand)]
pub(crate) enum PresetCommand {
    /// List the presets
    List(JsonArgs),
    Show(PresetShowArgs),
}

/// Show the fields of a preset
#[derive(Debug, Args)]
pub(crate) struct PresetShowArgs {
    /// Name of the preset
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl PresetCommand {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::open_client(context)?;
        match self {
            Self::List(JsonArgs { json }) => {
                let headings = ["NAME", "TITLE", "CATEGORY", "FIELDS"];
                PagedList { json, limit: None, headings, row: preset_row, empty: "no presets" }
                    .print(context, &mut client, Client::presets())
                    .await
            }
            Self::Show(PresetShowArgs { name, json }) => {
                let preset = find(&mut client, &name).await?;
                if json {
                    context.output.json(&preset)?;
                    return Ok(Exit::Success);
                }
                let about = [
                    ("name", preset.id.to_string()),
                    ("title", preset.title.to_string()),
                    ("category", preset.category.to_string()),
                ];
                print_fields(&mut context.output, &about)?;
                let headings = ["FIELD", "TITLE", "REQUIRED", "TYPE", "PREFIX", "SECRET", "USUAL NAME"];
                TextTable::new(headings).rows(&mut context.output, preset.fields.iter().map(field_row))?;
                Ok(Exit::Success)
            }
        }
    }
}

fn preset_row(preset: PresetView) -> [String; 4] {
    // A question mark for an optional field, as in a grammar: the table has no room for another column.
    let fields: Vec<String> = preset
        .fields
        .iter()
        .map(|field| if field.optional { format!("{}?", field.key) } else { field.key.to_string() })
        .collect();
    [preset.id.to_string(), preset.title.to_string(), preset.category.to_string(), fields.join(" ")]
}

fn field_row(field: &PresetFieldView) -> [String; 7] {
    let required = if field.optional { "no" } else { "yes" };
    [
        field.key.to_string(),
        field.label.to_string(),
        required.to_owned(),
        field.kind.to_string(),
        field.prefixes.join(" "),
        field.name.to_string(),
        cell(field.usual.as_ref()),
    ]
}

/// Finds a preset by its name.
pub(crate) async fn find(client: &mut Client, name: &str) -> Result<PresetView, CliError> {
    // From the list: the API has no route for one preset, because all of them fit one page.
    let all = Client::presets().all(client).await?;
    all.into_iter().find(|preset| preset.id.as_str() == name).ok_or_else(|| {
        CliError::failed("there is no such preset").hint("dropsafe preset list shows all presets")
    })
}
