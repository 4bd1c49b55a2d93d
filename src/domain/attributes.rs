//! A secret's attributes: what can change without a new value. The store, the API, the console, the command line and
//! import all use these types. Kind and delivery are not among them: a value is checked, and sealed or not, by them.

use serde::{Deserialize, Serialize};

use crate::domain::code::Code;
use crate::domain::description::{Description, DescriptionError};
use crate::domain::name::{Category, NameError, PluginName};

/// The attributes of one secret.
///
/// Binary formats store the fields in this order: add at the end only, with a new stored format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Attributes {
    /// Whether every boot in scope gets it, or only boots that name it.
    pub auto_install: bool,
    /// The plugin that it is for: only boots that run the plugin get it.
    pub plugin: Option<PluginName>,
    /// The category that it is listed under.
    pub category: Option<Category>,
    /// What people should know about it.
    pub description: Option<Description>,
}

impl Attributes {
    /// The names of the attributes that differ, as the API names them.
    #[cfg(feature = "server")]
    pub(crate) fn changes(&self, before: &Self) -> impl Iterator<Item = &'static str> {
        // Destructured, so that the audit log cannot miss an attribute that is added.
        let Self { auto_install, plugin, category, description } = self;
        [
            ("auto_install", *auto_install != before.auto_install),
            ("plugin", *plugin != before.plugin),
            ("category", *category != before.category),
            ("description", *description != before.description),
        ]
        .into_iter()
        .filter_map(|(name, changed)| changed.then_some(name))
    }
}

impl Default for Attributes {
    fn default() -> Self {
        Self { auto_install: true, plugin: None, category: None, description: None }
    }
}

/// Why a text is no value of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAttribute {
    /// It is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// It is no description.
    #[error(transparent)]
    Description(#[from] DescriptionError),
}

impl InvalidAttribute {
    /// The code of a request that contains it.
    pub fn code(&self) -> Code {
        match self {
            Self::Name(_) => Code::NameInvalid,
            Self::Description(_) => Code::InvalidRequest,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Name(error) => error.hint(),
            Self::Description(_) => None,
        }
    }
}

/// What to do with one optional attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FieldPatch<T> {
    /// Leave it as it is.
    #[default]
    Keep,
    /// Give it this value.
    Set(T),
    /// Remove its value.
    Clear,
}

impl<T> FieldPatch<T> {
    /// `None` keeps, an empty text clears, and `parse` reads any other.
    pub(crate) fn read<E>(text: Option<&str>, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<Self, E> {
        match text {
            None => Ok(Self::Keep),
            // Forms and command lines have no null, so the empty text stands for it.
            Some("") => Ok(Self::Clear),
            Some(text) => parse(text).map(Self::Set),
        }
    }

    /// This patch, or `Set(default)` where it keeps.
    #[must_use]
    #[cfg(feature = "server")]
    pub(crate) fn or_set(self, default: T) -> Self {
        if matches!(self, Self::Keep) { Self::Set(default) } else { self }
    }
}

impl<T: Clone> FieldPatch<T> {
    fn apply(&self, field: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Set(value) => *field = Some(value.clone()),
            Self::Clear => *field = None,
        }
    }
}

impl<T: ToString> FieldPatch<T> {
    /// The inverse of [`read`](Self::read).
    pub(crate) fn to_text(&self) -> Option<String> {
        match self {
            Self::Keep => None,
            Self::Set(value) => Some(value.to_string()),
            Self::Clear => Some(String::new()),
        }
    }
}

/// A change of attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttributesPatch {
    /// `None` keeps it.
    pub auto_install: Option<bool>,
    pub plugin: FieldPatch<PluginName>,
    pub category: FieldPatch<Category>,
    /// The description.
    pub description: FieldPatch<Description>,
}

impl AttributesPatch {
    /// Changes `attributes`.
    pub fn apply(&self, attributes: &mut Attributes) {
        // All fields by name, here and below: a new attribute does not compile until it is handled.
        let Self { auto_install, plugin, category, description } = self;
        attributes.auto_install = auto_install.unwrap_or(attributes.auto_install);
        plugin.apply(&mut attributes.plugin);
        category.apply(&mut attributes.category);
        description.apply(&mut attributes.description);
    }

    /// The attributes of a new secret.
    pub fn to_attributes(&self) -> Attributes {
        let mut attributes = Attributes::default();
        self.apply(&mut attributes);
        attributes
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Sets the attribute called `key` from its text form, as import's comments give it. False if there is none.
    pub(crate) fn set(&mut self, key: &str, text: &str) -> Result<bool, InvalidAttribute> {
        match key {
            "plugin" => self.plugin = FieldPatch::Set(PluginName::parse(text)?),
            "category" => self.category = FieldPatch::Set(Category::parse(text)?),
            "description" => self.description = FieldPatch::Set(text.trim().parse()?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_keeps_sets_and_clears() {
        let plugin = PluginName::parse("mcp:openai").unwrap();
        let mut attributes = Attributes { plugin: Some(plugin), ..Attributes::default() };
        let before = attributes.clone();
        AttributesPatch::default().apply(&mut attributes);
        assert_eq!(attributes, before);
        let category = FieldPatch::read(Some("api_key"), Category::parse).unwrap();
        let plugin = FieldPatch::read(Some(""), PluginName::parse).unwrap();
        AttributesPatch { auto_install: Some(false), plugin, category, ..AttributesPatch::default() }
            .apply(&mut attributes);
        let category = Category::parse("api_key").ok();
        assert_eq!(attributes, Attributes { auto_install: false, category, ..Attributes::default() });
    }

    #[test]
    fn a_patch_reads_its_own_text() {
        for text in [None, Some(""), Some("custom")] {
            assert_eq!(FieldPatch::read(text, Category::parse).unwrap().to_text().as_deref(), text);
        }
    }
}
