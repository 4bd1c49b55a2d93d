//! The attributes of secrets on the command line: the flags that set them, and how they are printed.

use clap::Args;

use super::error::CliError;
use crate::domain::attributes::{Attributes, AttributesPatch, FieldPatch, InvalidAttribute};
use crate::domain::name::{Category, PluginName};

/// The flags of `set` and `edit`.
#[derive(Debug, Args)]
pub(crate) struct AttributeArgs {
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
    /// What people should know about it (at most 200 characters), or `none`
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
}

/// Clears an attribute. A plugin or a category of this name cannot be chosen here.
const NONE: &str = "none";

impl AttributeArgs {
    /// The change that the flags ask for.
    pub(crate) fn patch(&self) -> Result<AttributesPatch, CliError> {
        let Self { install, no_install, plugin, category, description } = self;
        Ok(AttributesPatch {
            auto_install: (*install || *no_install).then_some(*install),
            plugin: parse("--plugin", plugin.as_deref(), PluginName::parse)?,
            category: parse("--category", category.as_deref(), Category::parse)?,
            description: parse("--description", description.as_deref(), str::parse)?,
        })
    }
}

fn parse<T, E: Into<InvalidAttribute>>(
    flag: &str,
    text: Option<&str>,
    parse: fn(&str) -> Result<T, E>,
) -> Result<FieldPatch<T>, CliError> {
    // In the API an empty text clears. Here it is an error, as an empty shell variable would be.
    match text {
        None => Ok(FieldPatch::Keep),
        Some(NONE) => Ok(FieldPatch::Clear),
        Some(text) => parse(text).map(FieldPatch::Set).map_err(|error| {
            let error: InvalidAttribute = error.into();
            CliError::failed(error).context(flag).optional_hint(error.hint())
        }),
    }
}

/// The attributes as `show` prints them.
pub(crate) fn fields(attributes: &Attributes) -> [(&'static str, String); 4] {
    let Attributes { auto_install, plugin, category, description } = attributes;
    let install = if *auto_install { "on" } else { "off: only boots that request it by name receive it" };
    [
        ("auto-install", install.to_owned()),
        ("plugin", text(plugin)),
        ("category", text(category)),
        ("description", text(description)),
    ]
}

/// The columns of `list`.
pub(crate) const COLUMNS: [&str; 4] = ["AUTO-INSTALL", "PLUGIN", "CATEGORY", "DESCRIPTION"];

/// The cells of [`COLUMNS`].
pub(crate) fn cells(attributes: &Attributes) -> [String; 4] {
    let Attributes { auto_install, plugin, category, description } = attributes;
    [if *auto_install { "on" } else { "off" }.to_owned(), text(plugin), text(category), text(description)]
}

fn text<T: ToString>(attribute: &Option<T>) -> String {
    attribute.as_ref().map(T::to_string).unwrap_or_default()
}
