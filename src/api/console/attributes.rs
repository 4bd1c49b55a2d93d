//! A secret's attributes in forms. The fields of the forms are in `macros.html`.

use super::multipart::Form;
use crate::api::query::QueryReader;
use crate::wire::{AttributesRequest, UpdateSecretRequest};

/// The parameters that fill in a form.
pub(crate) const QUERY_NAMES: [&str; 2] = ["plugin", "category"];

/// Of a new secret, as a body of the API. An empty field is an absent one.
pub(crate) fn read_form(form: &Form) -> AttributesRequest {
    AttributesRequest {
        auto_install: form.has("auto_install"),
        plugin: form.text("plugin"),
        category: form.text("category"),
    }
}

/// Of a secret that is edited: the form shows all attributes, so an empty field clears one.
pub(crate) fn read_edit_form(form: &Form) -> UpdateSecretRequest {
    let AttributesRequest { auto_install, plugin, category } = read_form(form);
    UpdateSecretRequest {
        auto_install: Some(auto_install),
        plugin: Some(plugin.unwrap_or_default()),
        category: Some(category.unwrap_or_default()),
    }
}

/// What the address says of a form that is not filled in yet.
pub(crate) fn read_query(query: &mut QueryReader) -> AttributesRequest {
    let [plugin, category] = QUERY_NAMES.map(|name| query.text(name, 200));
    AttributesRequest { plugin, category, ..AttributesRequest::default() }
}
