//! The form for a secret, without its value. The pages that create, edit or complete a secret share it, so that a new
//! attribute needs one field here and one in the macro `secret_attributes`.

use super::display::capitalize;
use super::multipart::{MultipartForm, encode_value};
use super::secret_row::SecretRow;
use crate::api::query::{FromQuery, QueryReader};
use crate::domain::secret::ScopeKind;
use crate::domain::value::{Delivery, Kind, SecretValue};
use crate::store::Written;
use crate::wire;
use crate::wire::AttributesRequest;

/// What the fields hold. It never has the value: a refused form comes back with everything else filled in.
#[derive(Default)]
pub(crate) struct SecretForm {
    pub(crate) name: String,
    /// The exported name; empty for the one that the store derives.
    pub(crate) env: String,
    pub(crate) scope: FormScope,
    pub(crate) plain: bool,
    pub(crate) file: bool,
    pub(crate) attributes: AttributesRequest,
    /// Whether an administrator allows an exported name that is refused otherwise.
    pub(crate) allow_refused: bool,
}

/// A link can fill in the fields of a new secret.
impl FromQuery for SecretForm {
    const NAMES: &'static [&'static str] = &["name", "plugin", "category", "scope"];

    fn read(query: &mut QueryReader) -> Self {
        let attributes = AttributesRequest {
            plugin: query.text("plugin", 200).map(Into::into),
            category: query.text("category", 200).map(Into::into),
            ..AttributesRequest::default()
        };
        let mut text = |name| query.text(name, 200).unwrap_or_default();
        Self { name: text("name"), scope: FormScope::parse(&text("scope")), attributes, ..Self::default() }
    }
}

impl SecretForm {
    /// Reads a form that was sent.
    pub(crate) fn new(form: &MultipartForm) -> Self {
        Self {
            name: form.text_or_empty("name"),
            env: form.text_or_empty("as"),
            scope: FormScope::new(form),
            plain: form.text_or_empty("type") == "plain",
            file: form.text_or_empty("delivery") == "file",
            attributes: AttributesRequest {
                auto_install: form.has("auto_install"),
                plugin: form.text("plugin").map(Into::into),
                category: form.text("category").map(Into::into),
                description: form.text("description").map(Into::into),
            },
            allow_refused: form.has("allow_refused"),
        }
    }

    /// Fills in the attributes of an existing secret, to edit them.
    pub(crate) fn from_row(row: &SecretRow) -> Self {
        // The rest changes only with a new value (type, exported name), or never (name, scope).
        Self { attributes: row.attributes.clone(), ..Self::default() }
    }

    /// Returns the request that deposits a new secret.
    pub(crate) fn create_request(&self, value: &SecretValue) -> wire::CreateSecretRequest {
        let (text, base64) = encode_value(value);
        wire::CreateSecretRequest {
            name: self.name.as_str().into(),
            env: (!self.env.is_empty()).then(|| self.env.as_str().into()),
            scope: self.scope.kind(),
            owner: self.scope.service.as_deref().map(Into::into),
            // Encrypted unless plain was chosen: a damaged form must not make a value readable.
            kind: if self.plain { Kind::Plain } else { Kind::Encrypted },
            delivery: if self.file { Delivery::File } else { Delivery::Variable },
            attributes: self.attributes.clone(),
            value: text,
            value_base64: base64,
            // Sealing in the browser would need a script. The server seals the value before it stores it.
            sealed: None,
            hint: None,
            allow_refused: self.allow_refused,
        }
    }

    /// Returns the request that changes the attributes of an existing secret. An empty text clears an attribute.
    pub(crate) fn change_request(&self) -> wire::UpdateSecretRequest {
        let AttributesRequest { auto_install, plugin, category, description } = self.attributes.clone();
        wire::UpdateSecretRequest {
            // The form always contains all attributes, so a box that is not ticked means off, not unchanged.
            auto_install: Some(auto_install),
            plugin: Some(plugin.unwrap_or_default().to_string()),
            category: Some(category.unwrap_or_default().to_string()),
            description: Some(description.unwrap_or_default()),
        }
    }
}

/// The scope that a form chooses.
#[derive(Clone, Default)]
pub(crate) struct FormScope {
    pub(crate) shared: bool,
    /// The service whose private scope it is. Absent: shared, or the member's own.
    pub(crate) service: Option<String>,
}

impl FormScope {
    /// Reads the scope of a form that was sent.
    pub(crate) fn new(form: &MultipartForm) -> Self {
        Self::parse(&form.text_or_empty("scope"))
    }

    /// Parses `private`, `shared` or `service:NAME`. Anything else means private: the safer reading of a damaged form.
    fn parse(text: &str) -> Self {
        Self { shared: text == "shared", service: text.strip_prefix("service:").map(str::to_owned) }
    }

    pub(crate) fn kind(&self) -> ScopeKind {
        if self.shared { ScopeKind::Shared } else { ScopeKind::Private }
    }
}

/// Describes a deposit: the names, and what the store warns about.
pub(crate) fn summarize(written: &Written) -> String {
    let meta = &written.secret.meta;
    // Both names: the second is what the workload reads, and the store may have derived it.
    let mut summary = format!("Saved {}. It is exported as {}.", meta.name, meta.env);
    for warning in &written.warnings {
        summary.push(' ');
        summary.push_str(&capitalize(&warning.to_string()));
    }
    summary
}
