//! `dropsafe set --preset`: deposits a value for each field of a preset. All values are read before the first one is stored.

use std::collections::BTreeMap;
use std::path::Path;

use super::context::CliContext;
use super::deposit::{DepositClient, DepositSpec, note_holders, print_warnings, summarize};
use super::error::{CliError, CommandResult};
use super::{connect, files, input, preset};
use crate::domain::import;
use crate::domain::value::{SecretValue, ValueWarning};
use crate::process::Exit;
use crate::wire::{PresetFieldView, PresetView};

/// More than the values of any preset need.
const MAX_VALUES: usize = 1 << 20;

/// The arguments of `dropsafe set --preset`.
pub(crate) struct PresetDeposit<'a> {
    pub(crate) preset: &'a str,
    /// The attributes of every field's secret, where they take precedence over the preset's. The name is not used.
    pub(crate) attributes: DepositSpec,
    /// The service whose private scope gets them; `None` for the caller's.
    pub(crate) owner: Option<String>,
    /// Whether to export the secrets under the names that most programs expect.
    pub(crate) usual_names: bool,
    /// The file with the values; `None` reads standard input or prompts.
    pub(crate) file: Option<&'a Path>,
    pub(crate) json: bool,
}

impl PresetDeposit<'_> {
    /// Reads a value for each field, then stores one after the other.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let (mut client, address) = connect::open_client_with_address(context)?;
        let preset = preset::find(&mut client, self.preset).await?;
        let (mut values, owner) = (self.read_values(context, &preset)?, self.owner.clone());
        let mut plan = Vec::new();
        for field in &preset.fields {
            if let Some(value) = values.remove(field.key.as_str()) {
                let spec = self.spec(&preset, field)?;
                spec.check_refused_name()?;
                plan.push((spec, field, value));
            }
        }
        // Only now: nothing was sent before every value was read and every name was checked.
        let mut deposits = DepositClient::open(context, client, &address, owner).await?;
        let mut all = Vec::new();
        for (spec, field, value) in plan {
            let existing = deposits.find_existing(&spec.name, spec.scope).await?;
            let mut stored = match &existing {
                Some(existing) => deposits.replace(existing, &spec, &value, None).await?,
                None => deposits.create(&spec, &value).await?,
            };
            // This program warns about the prefixes of built-in presets on its own. Those of the operator's presets come
            // from the store, so the same warning can arise twice.
            stored
                .warnings
                .extend(unusual_prefix(field, &value).filter(|warning| !stored.warnings.contains(warning)));
            print_warnings(&stored.name, &stored.warnings);
            if !self.json {
                context.output.line(summarize(&stored, existing.is_none()))?;
                note_holders(context, &stored);
            }
            all.push(stored);
        }
        if self.json {
            context.output.json(&all)?;
        }
        Ok(Exit::Success)
    }

    fn spec(&self, preset: &PresetView, field: &PresetFieldView) -> Result<DepositSpec, CliError> {
        let mut attributes = self.attributes.attributes.clone();
        attributes.category = attributes.category.or_set(preset.category.clone());
        Ok(DepositSpec {
            name: field.name.clone(),
            env: field.usual.clone().filter(|_| self.usual_names),
            kind: self.attributes.kind.or(Some(field.kind)),
            attributes,
            ..self.attributes.clone()
        })
    }

    /// The values by field. Fails if a required one is missing.
    fn read_values(
        &self,
        context: &CliContext,
        preset: &PresetView,
    ) -> Result<BTreeMap<String, SecretValue>, CliError> {
        let values = match self.file {
            None if context.terminal.input => prompt_for_values(context, preset)?,
            None => parse_values(&input::read_stdin(MAX_VALUES)?, preset)?,
            Some(path) => parse_values(&files::read(path, MAX_VALUES)?, preset)?,
        };
        let required = preset.fields.iter().filter(|field| !field.optional);
        let missing: Vec<&str> = required
            .map(|field| field.key.as_str())
            .filter(|key| values.get(*key).is_none_or(SecretValue::is_empty))
            .collect();
        if missing.is_empty() {
            return Ok(values);
        }
        Err(CliError::failed(format_args!("nothing is stored: {} needs {}", preset.id, missing.join(", ")))
            .hint("provide each as a line FIELD=VALUE on standard input or in --file, or at the prompts of a terminal"))
    }
}

fn prompt_for_values(
    context: &CliContext,
    preset: &PresetView,
) -> Result<BTreeMap<String, SecretValue>, CliError> {
    let mut values = BTreeMap::new();
    for field in &preset.fields {
        // The prefix helps to tell the several keys of a platform apart, before one is pasted into the wrong field.
        let form = match field.prefixes.first() {
            Some(prefix) => format!(" ({prefix}...)"),
            None => String::new(),
        };
        let optional = if field.optional { ", empty to skip" } else { "" };
        let prompt = format!("{} {}{form} (hidden{optional}): ", preset.title, field.label);
        let line = context.terminal.prompt_hidden(&prompt)?;
        if !line.is_empty() {
            values.insert(field.key.to_string(), SecretValue::new(line.as_bytes().to_vec()));
        }
    }
    Ok(values)
}

/// Parses lines `FIELD=VALUE`, quoted as in a .env file.
fn parse_values(bytes: &[u8], preset: &PresetView) -> Result<BTreeMap<String, SecretValue>, CliError> {
    let fields: Vec<&str> = preset.fields.iter().map(|field| field.key.as_str()).collect();
    let mut values = BTreeMap::new();
    let mut faults = String::new();
    for import::ImportLine { line, name, value, .. } in import::lines(bytes) {
        let fault = match (name, value) {
            (Some(name), Ok(value)) if fields.contains(&name.as_str()) => {
                // As at a prompt: empty means left out, so that a template can list every field.
                if !value.is_empty() {
                    values.insert(name.to_string(), value);
                }
                continue;
            }
            (_, Err(fault)) => fault.to_string(),
            // Without the name that was found: it may be a value.
            (_, Ok(_)) => format!("unknown field; the fields are {}", fields.join(", ")),
        };
        faults.push_str(&format!("\n  line {line}: {fault}"));
    }
    if faults.is_empty() {
        return Ok(values);
    }
    Err(CliError::failed(format_args!("nothing is stored:{faults}")))
}

fn unusual_prefix(field: &PresetFieldView, value: &SecretValue) -> Option<String> {
    let begins = |prefix: &String| value.expose().starts_with(prefix.as_bytes());
    if field.prefixes.is_empty() || field.prefixes.iter().any(begins) {
        return None;
    }
    let expected = field.prefixes.join(" or ").into();
    Some(ValueWarning::UnusualForm { expected }.to_string())
}
