//! Attributes in requests, as text: the server parses them, and reports every fault of a request at once.

use serde::{Deserialize, Serialize};

use super::unparsed::{CategoryText, DescriptionText, PluginNameText};
use super::yes;
use crate::domain::attributes::{Attributes, AttributesPatch, FieldPatch, InvalidAttribute};
use crate::domain::name::{Category, PluginName};

/// The attributes of a new secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct AttributesRequest {
    /// Whether every boot in scope gets it; default: true.
    #[serde(default = "yes")]
    pub auto_install: bool,
    /// The plugin that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PluginNameText>,
    /// The category that it is listed under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<CategoryText>,
    /// What people should know about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<DescriptionText>,
}

/// `PATCH /v1/secrets/{id}`: an absent attribute stays, an empty text clears it.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UpdateSecretRequest {
    /// Whether every boot in scope gets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_install: Option<bool>,
    /// The plugin that it is for; empty for none.
    #[cfg_attr(feature = "server", schema(max_length = 100, pattern = r"^[A-Za-z0-9@/._:-]*$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// The category; empty for none.
    #[cfg_attr(feature = "server", schema(max_length = 50, pattern = r"^[a-z0-9_-]*$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// The description; empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<DescriptionText>,
}

/// An attribute that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeError {
    /// The name of the field.
    pub field: &'static str,
    /// What is wrong with it.
    pub error: InvalidAttribute,
}

impl Default for AttributesRequest {
    fn default() -> Self {
        Self::from(&Attributes::default())
    }
}

impl AttributesRequest {
    /// The attributes, or every fault.
    pub fn parse(&self) -> Result<Attributes, Vec<AttributeError>> {
        let Self { auto_install, plugin, category, description } = self;
        let mut errors = Vec::new();
        let plugin = plugin.as_deref().map(PluginName::parse).transpose();
        let category = category.as_deref().map(Category::parse).transpose();
        let description = description.as_deref().filter(|text| !text.is_empty()).map(str::parse).transpose();
        let attributes = Attributes {
            auto_install: *auto_install,
            plugin: note("plugin", plugin, &mut errors),
            category: note("category", category, &mut errors),
            description: note("description", description, &mut errors),
        };
        if errors.is_empty() { Ok(attributes) } else { Err(errors) }
    }
}

impl UpdateSecretRequest {
    /// The patch, or every fault.
    pub fn parse(&self) -> Result<AttributesPatch, Vec<AttributeError>> {
        let Self { auto_install, plugin, category, description } = self;
        let mut errors = Vec::new();
        let plugin = FieldPatch::read(plugin.as_deref(), PluginName::parse);
        let category = FieldPatch::read(category.as_deref(), Category::parse);
        let description = FieldPatch::read(description.as_deref(), str::parse);
        let patch = AttributesPatch {
            auto_install: *auto_install,
            plugin: note("plugin", plugin, &mut errors),
            category: note("category", category, &mut errors),
            description: note("description", description, &mut errors),
        };
        if errors.is_empty() { Ok(patch) } else { Err(errors) }
    }
}

/// The value, or its default with the fault noted.
fn note<T: Default, E: Into<InvalidAttribute>>(
    field: &'static str,
    read: Result<T, E>,
    errors: &mut Vec<AttributeError>,
) -> T {
    // The default takes its place, so that the faults of the other fields are found too.
    read.unwrap_or_else(|error| {
        errors.push(AttributeError { field, error: error.into() });
        T::default()
    })
}

impl From<&Attributes> for AttributesRequest {
    fn from(attributes: &Attributes) -> Self {
        let Attributes { auto_install, plugin, category, description } = attributes;
        Self {
            auto_install: *auto_install,
            plugin: plugin.as_ref().map(|name| name.as_str().into()),
            category: category.as_ref().map(|name| name.as_str().into()),
            description: description.as_ref().map(|text| text.as_str().into()),
        }
    }
}

impl From<&AttributesPatch> for UpdateSecretRequest {
    fn from(patch: &AttributesPatch) -> Self {
        let AttributesPatch { auto_install, plugin, category, description } = patch;
        Self {
            auto_install: *auto_install,
            plugin: plugin.to_text(),
            category: category.to_text(),
            description: description.to_text().map(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::CreateSecretRequest;

    #[test]
    fn flattened_attributes_stand_among_the_other_fields_and_unknown_ones_are_refused() {
        let read = |text: &str| serde_json::from_str::<CreateSecretRequest>(text);
        let attributes = read(r#"{"name":"a","plugin":"p!","category":"C"}"#).unwrap().attributes;
        assert!(attributes.auto_install);
        let fields: Vec<_> = attributes.parse().unwrap_err().iter().map(|error| error.field).collect();
        assert_eq!(fields, ["plugin", "category"]);
        assert!(read(r#"{"name":"a","plugins":"p"}"#).is_err());
        assert!(read(r#"{"name":"a","plugin":"p","plugin":"q"}"#).is_err());
    }

    /// Each way to leave out, set and clear an attribute, and what is none.
    #[test]
    fn a_patch_takes_only_texts() {
        let read = |text: &str| serde_json::from_str::<UpdateSecretRequest>(text);
        let plugin = |text: &str| read(text).unwrap().parse().map(|patch| patch.plugin);
        let name = PluginName::parse("p").unwrap();
        assert_eq!(plugin("{}"), Ok(FieldPatch::Keep));
        assert_eq!(plugin(r#"{"plugin":null}"#), Ok(FieldPatch::Keep));
        assert_eq!(plugin(r#"{"plugin":""}"#), Ok(FieldPatch::Clear));
        assert_eq!(plugin(r#"{"plugin":"p"}"#), Ok(FieldPatch::Set(name)));
        for text in ["p!", " ", r"\u0000", r"p\n"] {
            let error = plugin(&format!("{{\"plugin\":\"{text}\"}}")).unwrap_err();
            assert_eq!(error.iter().map(|error| error.field).collect::<Vec<_>>(), ["plugin"], "{text}");
        }
        for text in [
            r#"{"plugin":0}"#,
            r#"{"plugin":false}"#,
            r#"{"plugin":["p"]}"#,
            r#"{"plugin":{"set":"p"}}"#,
            r#"{"plugin":"p","plugin":"p"}"#,
            r#"{"plugin":null,"plugin":"p"}"#,
            r#"{"auto_install":"true"}"#,
            r#"{"Plugin":"p"}"#,
            r#"["p"]"#,
        ] {
            assert!(
                serde_json::from_str::<crate::wire::Object<UpdateSecretRequest>>(text).is_err(),
                "{text}"
            );
        }
        assert_eq!(read(r#"{"auto_install":null}"#).unwrap().parse(), Ok(AttributesPatch::default()));
    }

    #[test]
    fn an_empty_text_clears() {
        let request: UpdateSecretRequest = serde_json::from_str(r#"{"plugin":""}"#).unwrap();
        let patch = request.parse().unwrap();
        assert_eq!(patch, AttributesPatch { plugin: FieldPatch::Clear, ..AttributesPatch::default() });
        assert_eq!(serde_json::to_string(&UpdateSecretRequest::from(&patch)).unwrap(), r#"{"plugin":""}"#);
    }
}
