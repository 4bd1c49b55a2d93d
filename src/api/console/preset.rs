//! Adding the secrets of a known platform: its fields by name, each deposited as a secret of its own.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::layout::{Shell, Trouble, sentence, show};
use super::multipart::{Form, carried};
use super::redirect;
use super::secret_row::{Tag, Tags};
use super::session::{Posted, Visitor};
use crate::api::Api;
use crate::api::body::LARGE_BODY;
use crate::api::problem::ApiError;
use crate::api::query::{FormQueryParams, FromQuery, QueryReader};
use crate::api::secrets::new_of;
use crate::domain::catalog::Preset;
use crate::domain::name::SecretName;
use crate::domain::role::Action;
use crate::domain::secret::{Scope, ScopeKind};
use crate::domain::value::{Delivery, Kind, SecretValue};
use crate::wire;
use crate::wire::Code;

/// A preset to choose.
pub(crate) struct Choice {
    pub(crate) id: String,
    pub(crate) title: String,
}

impl Choice {
    pub(crate) fn all(api: &Api) -> Vec<Self> {
        let all = api.store().presets().all().iter();
        all.map(|preset| Self { id: preset.id.to_string(), title: preset.title.to_string() }).collect()
    }
}

/// The public beginnings of keys that presets know, with blanks between them.
pub(crate) fn prefixes(api: &Api) -> String {
    let fields = api.store().presets().all().iter().flat_map(|preset| &preset.fields);
    let known = fields.filter(|field| field.kind == Kind::Encrypted).flat_map(|field| &field.prefixes);
    known.map(|prefix| &**prefix).collect::<Vec<_>>().join(" ")
}

#[derive(Template)]
#[template(path = "preset.html", config = "src/api/console/askama.toml")]
struct PresetPage {
    shell: Shell,
    id: String,
    title: String,
    category: Tag,
    fields: Vec<Entry>,
    shared: bool,
    usual: bool,
    may_share: bool,
    trouble: Option<Trouble>,
}

struct Entry {
    key: String,
    label: String,
    name: String,
    env: String,
    usual: String,
    optional: bool,
    plain: bool,
    prefixes: String,
    placeholder: String,
}

/// Which preset.
pub(crate) struct Ask {
    preset: Option<String>,
}

impl FromQuery for Ask {
    const NAMES: &'static [&'static str] = &["preset"];

    fn read(query: &mut QueryReader) -> Self {
        Self { preset: query.text("preset", 100) }
    }
}

/// The form of a preset.
pub(crate) async fn page(
    State(api): State<Api>,
    visitor: Visitor,
    FormQueryParams(ask): FormQueryParams<Ask>,
) -> Result<Response, ApiError> {
    match ask.preset {
        Some(id) => shown(&api, &visitor, find(&api, &id)?, (false, false), None).await,
        None => Ok(redirect::to("/console/secrets/new")),
    }
}

fn find<'a>(api: &'a Api, id: &str) -> Result<&'a Preset, ApiError> {
    api.store().presets().find(id).ok_or_else(|| ApiError::new(Code::NotFound, "there is no such preset"))
}

async fn shown(
    api: &Api,
    visitor: &Visitor,
    preset: &Preset,
    (shared, usual): (bool, bool),
    trouble: Option<Trouble>,
) -> Result<Response, ApiError> {
    let entries = preset.fields.iter().map(|field| {
        let name = name_of(preset, field)?;
        Ok(Entry {
            key: field.key.to_string(),
            label: if field.optional {
                format!("{} (optional)", field.label)
            } else {
                field.label.to_string()
            },
            env: name.export().to_string(),
            name: name.to_string(),
            usual: field.usual.as_ref().map(ToString::to_string).unwrap_or_default(),
            optional: field.optional,
            plain: field.kind == Kind::Plain,
            prefixes: field.prefixes.iter().map(|prefix| &**prefix).collect::<Vec<_>>().join(" "),
            placeholder: field.prefixes.first().map_or_else(String::new, |prefix| format!("{prefix}…")),
        })
    });
    let entries = entries.collect::<Result<Vec<_>, ApiError>>()?;
    let page = PresetPage {
        shell: Shell::new(visitor, &format!("Add {}", preset.title), "/console/secrets").cli([
            format!("dropsafe set --preset {} --shared", preset.id),
            "dropsafe preset list".to_owned(),
        ]),
        id: preset.id.to_string(),
        title: preset.title.to_string(),
        category: Tags::of(api, visitor).await?.find(preset.category.as_str()),
        fields: entries,
        shared,
        usual,
        may_share: visitor.may(Action::Deposit(Scope::Shared)),
        trouble,
    };
    Ok(show(Trouble::status(page.trouble.as_ref()), &page))
}

/// Deposits the fields that are filled in.
pub(crate) async fn create(State(api): State<Api>, posted: Posted<LARGE_BODY>) -> Result<Response, ApiError> {
    let Posted { visitor, mut form } = posted;
    let preset = find(&api, &form.text("preset").unwrap_or_default())?;
    let (shared, usual) = (form.text("scope").as_deref() == Some("shared"), form.has("usual"));
    match deposit(&api, &visitor, preset, (shared, usual), &mut form).await {
        Ok(told) => Ok(redirect::done(&visitor, "/console/secrets", &told)),
        Err(refused) => shown(&api, &visitor, preset, (shared, usual), Some(refused.into())).await,
    }
}

async fn deposit(
    api: &Api,
    visitor: &Visitor,
    preset: &Preset,
    (shared, usual): (bool, bool),
    form: &mut Form,
) -> Result<String, ApiError> {
    let mut bodies = Vec::new();
    for field in &preset.fields {
        let value = form.value(&format!("value.{}", field.key), &format!("file.{}", field.key))?;
        match value {
            Some(value) => bodies.push(body(preset, field, &value, shared, usual)?),
            None if field.optional => {}
            None => {
                let detail = format!("{} is missing", field.label);
                return Err(ApiError::new(Code::ValueInvalid, detail).hint("fill in what is not optional"));
            }
        }
    }
    let news = bodies.into_iter().map(new_of).collect::<Result<Vec<_>, _>>()?;
    let mut stored: Vec<String> = Vec::new();
    let mut warnings = String::new();
    for new in news {
        let name = new.name.to_string();
        match api.store().create_secret(&visitor.caller, new, None).await {
            Ok(written) => {
                for warning in &written.warnings {
                    warnings.push_str(&format!(" {}: {}", name, sentence(&warning.to_string())));
                }
                stored.push(written.secret.meta.env.to_string());
            }
            Err(error) if stored.is_empty() => return Err(error.into()),
            Err(error) => {
                let refused = ApiError::from(error);
                let why = &refused.problem().detail;
                let detail = format!("stored: {}; {name} is not: {why}", stored.join(", "));
                return Err(
                    ApiError::new(refused.code(), detail).hint("leave out what is stored and try again")
                );
            }
        }
    }
    Ok(format!("{} is stored, and exported as {}.{warnings}", preset.title, stored.join(", ")))
}

fn body(
    preset: &Preset,
    field: &crate::domain::catalog::PresetField,
    value: &SecretValue,
    shared: bool,
    usual: bool,
) -> Result<wire::CreateSecretRequest, ApiError> {
    let (text, base64) = carried(value);
    Ok(wire::CreateSecretRequest {
        name: name_of(preset, field)?.to_string(),
        env: field.usual.as_ref().filter(|_| usual).map(ToString::to_string),
        scope: if shared { ScopeKind::Shared } else { ScopeKind::Private },
        kind: field.kind,
        delivery: Delivery::Variable,
        auto_install: true,
        plugin: None,
        category: Some(preset.category.to_string()),
        value: text,
        value_base64: base64,
        sealed: None,
        hint: None,
        allow_refused: false,
    })
}

/// The name of a field's secret. Presets whose names cannot be are found when they are read.
fn name_of(preset: &Preset, field: &crate::domain::catalog::PresetField) -> Result<SecretName, ApiError> {
    preset.name_of(field).map_err(|error| ApiError::new(Code::NameInvalid, error.to_string()))
}
