//! Adding the secrets of a known platform: the preset names the fields, and each becomes a secret of its own.

use askama::Template;
use axum::response::{IntoResponse as _, Redirect};

use super::display::capitalize;
use super::layout::{ErrorNotice, Layout, render};
use super::members::managed_services;
use super::multipart::MultipartForm;
use super::redirect;
use super::secret_form::{FormScope, SecretForm};
use super::secret_row::{CategoryTag, CategoryTags};
use super::session::{BrowserSession, CsrfForm, PageResult};
use crate::api::body::LARGE_BODY;
use crate::api::problem::ApiError;
use crate::api::query::{FormQueryParams, FromQuery, QueryReader};
use crate::api::secrets::parse_new_secret;
use crate::domain::catalog::{Preset, PresetField};
use crate::domain::name::SecretName;
use crate::domain::role::{Action, ScopeSubject};
use crate::domain::value::Kind;
use crate::store;
use crate::wire::{AttributesRequest, Code};

/// The form of one preset.
#[derive(Template)]
#[template(path = "preset.html", config = "src/api/console/askama.toml")]
struct PresetPage {
    layout: Layout,
    id: String,
    title: String,
    /// The category that all its secrets get.
    category: CategoryTag,
    fields: Vec<PresetFieldRow>,
    form: PresetForm,
    may_share: bool,
    services: Vec<String>,
    error: Option<ErrorNotice>,
}

/// What the form holds, without the values.
#[derive(Clone, Default)]
struct PresetForm {
    scope: FormScope,
    /// Whether the secrets are exported under the names that the platform's own tools read.
    usual: bool,
}

impl PresetForm {
    fn new(form: &MultipartForm) -> Self {
        Self { scope: FormScope::new(form), usual: form.has("usual") }
    }
}

/// A field of the preset.
struct PresetFieldRow {
    /// Names the field in the form: `value.KEY`.
    key: String,
    label: String,
    name: String,
    /// What the secret is exported as by default.
    env: String,
    /// The name that the platform's own tools read; empty if there is none.
    usual: String,
    plain: bool,
    /// How values of this field begin, separated by blanks. A script warns about others.
    prefixes: String,
    placeholder: String,
}

impl PresetFieldRow {
    fn new(preset: &Preset, field: &PresetField) -> Result<Self, ApiError> {
        let name = secret_name(preset, field)?;
        Ok(Self {
            key: field.key.to_string(),
            label: if field.optional {
                format!("{} (optional)", field.label)
            } else {
                field.label.to_string()
            },
            env: name.export().to_string(),
            name: name.to_string(),
            usual: field.usual.as_ref().map(ToString::to_string).unwrap_or_default(),
            plain: field.kind == Kind::Plain,
            prefixes: field.prefixes.iter().map(|prefix| &**prefix).collect::<Vec<_>>().join(" "),
            placeholder: field.prefixes.first().map_or_else(String::new, |prefix| format!("{prefix}…")),
        })
    }
}

/// The preset to display.
pub(crate) struct PresetQuery {
    preset: Option<String>,
}

impl FromQuery for PresetQuery {
    const NAMES: &'static [&'static str] = &["preset"];

    fn read(query: &mut QueryReader) -> Self {
        Self { preset: query.text("preset", 100) }
    }
}

/// Displays the form of a preset.
pub(crate) async fn show_form(
    session: BrowserSession,
    FormQueryParams(query): FormQueryParams<PresetQuery>,
) -> PageResult {
    match query.preset {
        Some(id) => render_form(&session, find_preset(&session, &id)?, PresetForm::default(), None).await,
        // The first choice, "Custom secret", is empty.
        None => Ok(Redirect::to("/console/secrets/new").into_response()),
    }
}

fn find_preset<'a>(session: &'a BrowserSession, id: &str) -> Result<&'a Preset, ApiError> {
    let found = session.store().presets().find(id);
    found.ok_or_else(|| ApiError::new(Code::NotFound, "this preset does not exist"))
}

async fn render_form(
    session: &BrowserSession,
    preset: &Preset,
    form: PresetForm,
    error: Option<ErrorNotice>,
) -> PageResult {
    let fields = preset.fields.iter().map(|field| PresetFieldRow::new(preset, field));
    let page = PresetPage {
        layout: Layout::new(session, &format!("Add {}", preset.title), "/console/secrets").with_cli([
            format!("dropsafe set --preset {} --shared", preset.id),
            "dropsafe preset list".to_owned(),
        ]),
        id: preset.id.to_string(),
        title: preset.title.to_string(),
        category: CategoryTags::load(session).await?.lookup(preset.category.as_str()),
        fields: fields.collect::<Result<Vec<_>, ApiError>>()?,
        form,
        may_share: session.may(Action::Deposit(ScopeSubject::Shared)),
        services: managed_services(session).await?,
        error,
    };
    Ok(render(ErrorNotice::status(page.error.as_ref()), &page))
}

/// Deposits the fields that are filled in.
pub(crate) async fn create(CsrfForm { session, mut form }: CsrfForm<LARGE_BODY>) -> PageResult {
    let preset = find_preset(&session, &form.text_or_empty("preset"))?;
    let choices = PresetForm::new(&form);
    // All fields are checked before the first one is stored.
    let result = match read_fields(preset, &choices, &mut form) {
        Ok(secrets) => deposit_all(&session, preset, secrets).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(message) => Ok(redirect::with_message(&session, "/console/secrets", &message)),
        Err(error) => render_form(&session, preset, choices, Some(error.into())).await,
    }
}

/// Converts the fields that are filled in to secrets.
fn read_fields(
    preset: &Preset,
    choices: &PresetForm,
    form: &mut MultipartForm,
) -> Result<Vec<store::NewSecret>, ApiError> {
    let mut secrets = Vec::new();
    for field in &preset.fields {
        match form.take_value(&format!("value.{}", field.key), &format!("file.{}", field.key))? {
            Some(value) => {
                let env = field.usual.as_ref().filter(|_| choices.usual);
                let fields = SecretForm {
                    name: secret_name(preset, field)?.to_string(),
                    env: env.map(ToString::to_string).unwrap_or_default(),
                    scope: choices.scope.clone(),
                    plain: field.kind == Kind::Plain,
                    // A platform's secrets are for all boots. A machine that needs only some excludes the others.
                    attributes: AttributesRequest {
                        category: Some(preset.category.as_str().into()),
                        ..AttributesRequest::default()
                    },
                    ..SecretForm::default()
                };
                secrets.push(parse_new_secret(fields.create_request(&value))?);
            }
            // An empty optional field is how people say that they do not need that secret.
            None if field.optional => {}
            None => {
                let detail = format!("{} is missing", field.label);
                return Err(ApiError::new(Code::ValueInvalid, detail).hint("fill in every required field"));
            }
        }
    }
    Ok(secrets)
}

/// Deposits the secrets one after the other and describes the result.
async fn deposit_all(
    session: &BrowserSession,
    preset: &Preset,
    secrets: Vec<store::NewSecret>,
) -> Result<String, ApiError> {
    let mut stored: Vec<String> = Vec::new();
    let mut warnings = String::new();
    // One after the other: the first refusal must stop the rest.
    for new in secrets {
        let name = new.name.to_string();
        match session.store().create_secret(&session.caller, new, None).await {
            Ok(written) => {
                for warning in &written.warnings {
                    warnings.push_str(&format!(" {}: {}", name, capitalize(&warning.to_string())));
                }
                stored.push(written.secret.meta.env.to_string());
            }
            Err(error) if stored.is_empty() => return Err(error.into()),
            // Each secret is a commit of its own, so the ones before stay. The message must say so: a second attempt
            // with them would be refused because their names are taken.
            Err(error) => {
                let error = ApiError::from(error);
                let reason = &error.problem().detail;
                let detail = format!("saved {}, but not {name}: {reason}", stored.join(", "));
                let hint = "leave the saved fields empty and try again with the rest";
                return Err(ApiError::new(error.code(), detail).hint(hint));
            }
        }
    }
    Ok(format!("Saved {}. It is exported as {}.{warnings}", preset.title, stored.join(", ")))
}

/// Returns the name of a field's secret.
fn secret_name(preset: &Preset, field: &PresetField) -> Result<SecretName, ApiError> {
    // Presets with a name that is invalid are refused when the server reads them, so this is not reached.
    preset.name_of(field).map_err(|error| ApiError::new(Code::NameInvalid, error.to_string()))
}
