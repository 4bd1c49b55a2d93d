//! The attributes of secrets on the command line: the flags that set them, and how they are printed.

use clap::Args;

use super::error::CliError;
use super::set::named;
use crate::domain::attributes::{Attributes, AttributesPatch, FieldPatch};
use crate::domain::name::{Category, NameError, PluginName};

/// The flags of `set` and `edit`.
#[derive(Debug, Args)]
pub(crate) struct AttributeArgs {
    /// Give it to every boot in scope
    #[arg(long, group = "attribute")]
    pub(crate) install: bool,
    /// Keep it back from boots that do not name it
    #[arg(long, conflicts_with = "install", group = "attribute")]
    pub(crate) no_install: bool,
    /// The plugin that needs it, or none
    #[arg(long, value_name = "PLUGIN", group = "attribute")]
    pub(crate) plugin: Option<String>,
    /// The category that it is shown under, or none
    #[arg(long, value_name = "CATEGORY", group = "attribute")]
    pub(crate) category: Option<String>,
}

/// What clears an attribute. No plugin or category is called so.
const NONE: &str = "none";

impl AttributeArgs {
    /// What they change.
    pub(crate) fn patch(&self) -> Result<AttributesPatch, CliError> {
        let Self { install, no_install, plugin, category } = self;
        Ok(AttributesPatch {
            auto_install: (*install || *no_install).then_some(*install),
            plugin: read("--plugin", plugin.as_deref(), PluginName::parse)?,
            category: read("--category", category.as_deref(), Category::parse)?,
        })
    }
}

fn read<T>(
    flag: &str,
    text: Option<&str>,
    parse: fn(&str) -> Result<T, NameError>,
) -> Result<FieldPatch<T>, CliError> {
    match text {
        None => Ok(FieldPatch::Keep),
        Some(NONE) => Ok(FieldPatch::Clear),
        Some(text) => named(parse(text), flag).map(FieldPatch::Set),
    }
}

/// As `show` prints them, one a line.
pub(crate) fn fields(attributes: Attributes) -> [(&'static str, String); 3] {
    let Attributes { auto_install, plugin, category } = attributes;
    let install = if auto_install { "on" } else { "off: only for boots that name it" };
    [
        ("auto-install", install.to_owned()),
        ("plugin", plugin.map(|plugin| plugin.to_string()).unwrap_or_default()),
        ("category", category.map(|category| category.to_string()).unwrap_or_default()),
    ]
}

/// The columns of `list`.
pub(crate) const COLUMNS: [&str; 3] = ["INSTALL", "PLUGIN", "CATEGORY"];

/// The cells of [`COLUMNS`].
pub(crate) fn cells(attributes: Attributes) -> [String; 3] {
    let Attributes { auto_install, plugin, category } = attributes;
    [
        if auto_install { "on" } else { "off" }.to_owned(),
        plugin.map(|plugin| plugin.to_string()).unwrap_or_default(),
        category.map(|category| category.to_string()).unwrap_or_default(),
    ]
}
