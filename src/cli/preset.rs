//! `dropsafe preset`, and the deposits that `dropsafe set --preset` makes: each field of a platform, all of them read
//! before the first is stored.

use std::collections::BTreeMap;
use std::path::Path;

use clap::{Args, Subcommand};

use super::deposit::{DepositClient, DepositSpec};
use super::error::{CliError, CommandResult};
use super::paged_list::PagedList;
use super::set::{told, warn};
use super::table::{TextTable, fields};
use super::{CliContext, connect, files, input, paged_list};
use crate::client::Client;
use crate::domain::import;
use crate::domain::name::{Category, EnvName, SecretName};
use crate::domain::value::{SecretValue, ValueWarning};
use crate::process::Exit;
use crate::wire::{PresetFieldView, PresetView};

/// List the presets of well-known platforms, and show their fields
#[derive(Debug, Subcommand)]
pub(crate) enum PresetCommand {
    List(PresetListArgs),
    Show(PresetShowArgs),
}

/// List the presets
#[derive(Debug, Args)]
pub(crate) struct PresetListArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show the fields of a preset
#[derive(Debug, Args)]
pub(crate) struct PresetShowArgs {
    /// The preset
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl PresetCommand {
    /// Runs it.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::client(context)?;
        match self {
            Self::List(list) => {
                let headings = ["NAME", "TITLE", "CATEGORY", "FIELDS"];
                let shown = PagedList { json: list.json, limit: None, headings, row, empty: "no presets" };
                paged_list::print(context, &mut client, Client::presets(), shown).await
            }
            Self::Show(show) => {
                let preset = find(&mut client, &show.name).await?;
                if show.json {
                    context.output.json(&preset)?;
                    return Ok(Exit::Success);
                }
                let about = [
                    ("name", preset.id.clone()),
                    ("title", preset.title.clone()),
                    ("category", preset.category.clone()),
                ];
                fields(&mut context.output, &about)?;
                let row = |field: &PresetFieldView| {
                    let required = if field.optional { "no" } else { "yes" };
                    [
                        field.key.clone(),
                        field.label.clone(),
                        required.to_owned(),
                        field.kind.to_string(),
                        field.prefixes.join(" "),
                        field.name.clone(),
                        field.usual.clone().unwrap_or_default(),
                    ]
                };
                let rows: Vec<_> = preset.fields.iter().map(row).collect();
                let headings = ["FIELD", "TITLE", "REQUIRED", "TYPE", "BEGINS WITH", "SECRET", "USUALLY"];
                TextTable::new(headings).rows(&mut context.output, &rows)?;
                Ok(Exit::Success)
            }
        }
    }
}

fn row(preset: PresetView) -> [String; 4] {
    let field = |field: &PresetFieldView| match field.optional {
        true => format!("{}?", field.key),
        false => field.key.clone(),
    };
    let fields: Vec<String> = preset.fields.iter().map(field).collect();
    [preset.id, preset.title, preset.category, fields.join(" ")]
}

async fn find(client: &mut Client, name: &str) -> Result<PresetView, CliError> {
    let all = Client::presets().all(client).await?;
    all.into_iter().find(|preset| preset.id == name).ok_or_else(|| {
        CliError::refused("there is no such preset").hint("dropsafe preset list shows all of them")
    })
}

/// What `dropsafe set --preset` was told.
pub(crate) struct PresetDeposit<'a> {
    /// The preset.
    pub(crate) preset: &'a str,
    /// What goes for each field unless the preset says so.
    pub(crate) like: DepositSpec,
    /// Whether they are exported as programs usually expect them.
    pub(crate) usual_names: bool,
    /// Where the values are; absent: standard input or prompts.
    pub(crate) file: Option<&'a Path>,
    /// As JSON.
    pub(crate) json: bool,
}

impl PresetDeposit<'_> {
    /// Reads a value for each field, then stores them one after the other.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let (mut client, place) = connect::known(context)?;
        let preset = find(&mut client, self.preset).await?;
        let mut values = self.values(context, &preset)?;
        let mut plan = Vec::new();
        for field in &preset.fields {
            if let Some(value) = values.remove(field.key.as_str()) {
                plan.push((self.wanted(&preset, field)?, field, value));
            }
        }
        for (wanted, _, _) in &plan {
            wanted.check_refusal()?;
        }
        let mut deposits = DepositClient::open(context, client, &place).await?;
        let mut all = Vec::new();
        for (wanted, field, value) in plan {
            let existing = deposits.existing(&wanted.name, wanted.scope).await?;
            let mut stored = match &existing {
                Some(existing) => deposits.replace(existing, &wanted, &value, None).await?,
                None => deposits.create(&wanted, &value).await?,
            };
            // What the program knows of was said already; the operator's own presets are the store's to tell.
            stored.warnings.extend(unusual(field, &value).filter(|said| !stored.warnings.contains(said)));
            warn(&stored);
            if !self.json {
                context.output.line(told(&stored, existing.is_none()))?;
            }
            all.push(stored);
        }
        if self.json {
            context.output.json(&all)?;
        }
        Ok(Exit::Success)
    }

    fn wanted(&self, preset: &PresetView, field: &PresetFieldView) -> Result<DepositSpec, CliError> {
        let unknown =
            |_| CliError::new(Exit::Unreachable, "the store described a preset that cannot be used");
        let name = SecretName::parse(&field.name).map_err(unknown)?;
        let env = field.usual.as_deref().filter(|_| self.usual_names);
        let category = Category::parse(&preset.category).map_err(unknown)?;
        let mut attributes = self.like.attributes.clone();
        attributes.category = attributes.category.or_set(category);
        Ok(DepositSpec {
            name,
            env: env.map(EnvName::parse).transpose().map_err(unknown)?,
            kind: self.like.kind.or(Some(field.kind)),
            attributes,
            ..self.like.clone()
        })
    }

    /// The values by the fields' keys. Those of required fields are there.
    fn values(
        &self,
        context: &CliContext,
        preset: &PresetView,
    ) -> Result<BTreeMap<String, SecretValue>, CliError> {
        let values = match self.file {
            None if context.terminal.input => asked(context, preset)?,
            None => listed(&input::standard_input(LONGEST)?, preset)?,
            Some(path) => listed(&files::read(path, LONGEST)?, preset)?,
        };
        let lacking = preset.fields.iter().filter(|field| !field.optional);
        let lacking: Vec<&str> = lacking
            .map(|field| field.key.as_str())
            .filter(|key| values.get(*key).is_none_or(SecretValue::is_empty))
            .collect();
        if lacking.is_empty() {
            return Ok(values);
        }
        Err(CliError::refused(format_args!("nothing is stored: {} needs {}", preset.id, lacking.join(", ")))
            .hint("give each as a line FIELD=VALUE on standard input or in --file, or at the prompts of a terminal"))
    }
}

/// Larger than any preset's values.
const LONGEST: usize = 1 << 20;

fn asked(context: &CliContext, preset: &PresetView) -> Result<BTreeMap<String, SecretValue>, CliError> {
    let mut values = BTreeMap::new();
    for field in &preset.fields {
        let form = match field.prefixes.first() {
            Some(prefix) => format!(" ({prefix}...)"),
            None => String::new(),
        };
        let may = if field.optional { ", empty for none" } else { "" };
        let prompt = format!("{} {}{form} (hidden{may}): ", preset.title, field.label);
        let line = context.terminal.hidden(&prompt)?;
        if !line.is_empty() {
            values.insert(field.key.clone(), SecretValue::new(line.as_bytes().to_vec()));
        }
    }
    Ok(values)
}

/// Lines `FIELD=VALUE`, quoted as in a .env file.
fn listed(bytes: &[u8], preset: &PresetView) -> Result<BTreeMap<String, SecretValue>, CliError> {
    let known: Vec<&str> = preset.fields.iter().map(|field| field.key.as_str()).collect();
    let mut values = BTreeMap::new();
    let mut faults = String::new();
    for import::ImportLine { line, name, value } in import::lines(bytes) {
        let fault = match (name, value) {
            (Some(name), Ok(value)) if known.contains(&name.as_str()) => {
                if !value.is_empty() {
                    values.insert(name.to_string(), value);
                }
                continue;
            }
            (_, Err(fault)) => fault.to_string(),
            (_, Ok(_)) => format!("there is no such field; known are {}", known.join(", ")),
        };
        faults.push_str(&format!("\n  line {line}: {fault}"));
    }
    if faults.is_empty() {
        return Ok(values);
    }
    Err(CliError::refused(format_args!("nothing is stored:{faults}")))
}

fn unusual(field: &PresetFieldView, value: &SecretValue) -> Option<String> {
    let begins = |prefix: &String| value.expose().starts_with(prefix.as_bytes());
    if field.prefixes.is_empty() || field.prefixes.iter().any(begins) {
        return None;
    }
    let expected = field.prefixes.join(" or ").into();
    Some(ValueWarning::UnusualForm { expected }.to_string())
}
