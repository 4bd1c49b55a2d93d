//! The Plugins page: what each plugin needs and lacks, with a field to fill in what is missing where it is missed.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::deposit::{no_value, told};
use super::layout::{Shell, Trouble, show};
use super::multipart::{Form, carried};
use super::redirect;
use super::session::{Posted, Visitor};
use crate::api::Api;
use crate::api::body::LARGE_BODY;
use crate::api::problem::ApiError;
use crate::api::problem::parse_name;
use crate::api::secrets::new_of;
use crate::domain::name::{PluginName, SecretName};
use crate::domain::role::Action;
use crate::domain::secret::{Scope, ScopeKind};
use crate::domain::value::{Delivery, Kind};
use crate::store::{NewPlugin, PluginState};
use crate::wire::Code;
use crate::{store, wire};

#[derive(Template)]
#[template(path = "plugins.html", config = "src/api/console/askama.toml")]
struct PluginsPage {
    shell: Shell,
    plugins: Vec<Plugin>,
    may_declare: bool,
    may_deposit: bool,
    may_share: bool,
    trouble: Option<Trouble>,
}

struct Plugin {
    name: String,
    title: String,
    enabled: bool,
    declared: bool,
    missing: usize,
    secrets: usize,
    needs: Vec<Need>,
    required: String,
    optional: String,
}

struct Need {
    name: String,
    env: String,
    optional: bool,
    met: Option<Met>,
}

struct Met {
    id: String,
    scope: &'static str,
}

impl Plugin {
    fn of(state: PluginState) -> Self {
        let lines = |needs: &[store::Need]| {
            needs.iter().map(|need| need.name.to_string()).collect::<Vec<_>>().join("\n")
        };
        let (required, optional) = (lines(&state.required), lines(&state.optional));
        let need = |need: store::Need, optional: bool| Need {
            name: need.name.to_string(),
            env: need.env.to_string(),
            optional,
            met: need.met.map(|(id, scope)| Met { id: id.to_string(), scope: scope.as_str() }),
        };
        let needs = state.required.into_iter().map(|required| need(required, false));
        let needs = needs.chain(state.optional.into_iter().map(|optional| need(optional, true))).collect();
        Self {
            title: state.title.map_or_else(|| state.name.to_string(), |title| title.to_string()),
            name: state.name.to_string(),
            enabled: state.enabled,
            declared: state.declared,
            missing: state.missing.len(),
            secrets: state.secrets,
            needs,
            required,
            optional,
        }
    }
}

/// The names of all plugins, for the fields that take one.
pub(crate) async fn names(api: &Api, visitor: &Visitor) -> Result<Vec<String>, ApiError> {
    let plugins = api.store().plugins(&visitor.caller).await?;
    Ok(plugins.into_iter().map(|plugin| plugin.name.to_string()).collect())
}

/// The page.
pub(crate) async fn page(State(api): State<Api>, visitor: Visitor) -> Result<Response, ApiError> {
    shown(&api, &visitor, None).await
}

async fn shown(api: &Api, visitor: &Visitor, trouble: Option<Trouble>) -> Result<Response, ApiError> {
    let plugins = api.store().plugins(&visitor.caller).await?.into_iter().map(Plugin::of).collect();
    let own = visitor.caller.member().map(|(id, _)| Scope::Private(id));
    let page = PluginsPage {
        shell: Shell::new(visitor, "Plugins", "/console/plugins").cli([
            "dropsafe plugin list",
            "dropsafe plugin set NAME --required SECRET --optional SECRET",
            "dropsafe plugin disable NAME",
        ]),
        plugins,
        may_declare: visitor.may(Action::EditCatalog),
        may_deposit: own.is_some_and(|own| visitor.may(Action::Deposit(own))),
        may_share: visitor.may(Action::Deposit(Scope::Shared)),
        trouble,
    };
    Ok(show(Trouble::status(page.trouble.as_ref()), &page))
}

async fn finished(
    api: &Api,
    visitor: &Visitor,
    done: Result<String, ApiError>,
) -> Result<Response, ApiError> {
    match done {
        Ok(what) => Ok(redirect::done(visitor, "/console/plugins", &what)),
        Err(refused) => shown(api, visitor, Some(refused.into())).await,
    }
}

/// Declares a plugin, or changes what is declared.
pub(crate) async fn declare(State(api): State<Api>, posted: Posted) -> Result<Response, ApiError> {
    let Posted { visitor, form } = posted;
    let done = declared(&api, &visitor, &form).await;
    finished(&api, &visitor, done).await
}

async fn declared(api: &Api, visitor: &Visitor, form: &Form) -> Result<String, ApiError> {
    let secrets = |field: &str| -> Result<Vec<SecretName>, ApiError> {
        let text = form.text(field).unwrap_or_default();
        let names = text.split(|c: char| c.is_whitespace() || c == ',').filter(|name| !name.is_empty());
        names.map(|name| parse_name(field, name)).collect()
    };
    let title = form.text("title").map(|title| title.parse()).transpose();
    let new = NewPlugin {
        name: plugin_of(form)?,
        title: title.map_err(|_| ApiError::new(Code::Unprocessable, "title: has at most 100 characters"))?,
        required: secrets("required")?,
        optional: secrets("optional")?,
        enabled: None,
    };
    let plugin = api.store().put_plugin(&visitor.caller, new).await?;
    Ok(format!("{} is declared.", plugin.name))
}

fn plugin_of(form: &Form) -> Result<PluginName, ApiError> {
    parse_name("plugin", &form.text("plugin").unwrap_or_default())
}

/// Enables or disables.
pub(crate) async fn enable(State(api): State<Api>, posted: Posted) -> Result<Response, ApiError> {
    let Posted { visitor, form } = posted;
    let on = form.text("enabled").as_deref() == Some("on");
    let done = async {
        let plugin = api.store().set_plugin_enabled(&visitor.caller, &plugin_of(&form)?, on).await?;
        Ok(match on {
            true => format!("{} is enabled: boots get its secrets.", plugin.name),
            false => format!("{} is disabled: future boots do not get its secrets.", plugin.name),
        })
    };
    finished(&api, &visitor, done.await).await
}

/// Forgets what was declared.
pub(crate) async fn remove(State(api): State<Api>, posted: Posted) -> Result<Response, ApiError> {
    let Posted { visitor, form } = posted;
    let done = async {
        let plugin = api.store().remove_plugin(&visitor.caller, &plugin_of(&form)?).await?;
        Ok(format!("{} is not declared any more; its secrets stay.", plugin.name))
    };
    finished(&api, &visitor, done.await).await
}

/// Deposits a secret that a plugin needs.
pub(crate) async fn fill(State(api): State<Api>, posted: Posted<LARGE_BODY>) -> Result<Response, ApiError> {
    let Posted { visitor, mut form } = posted;
    let done = filled(&api, &visitor, &mut form).await;
    finished(&api, &visitor, done).await
}

async fn filled(api: &Api, visitor: &Visitor, form: &mut Form) -> Result<String, ApiError> {
    let value = form.value("value", "value_file")?.ok_or_else(no_value)?;
    let (text, base64) = carried(&value);
    let shared = form.text("scope").as_deref() == Some("shared");
    let body = wire::CreateSecretRequest {
        name: form.text("name").unwrap_or_default(),
        env: None,
        scope: if shared { ScopeKind::Shared } else { ScopeKind::Private },
        kind: Kind::Encrypted,
        delivery: Delivery::Variable,
        auto_install: true,
        plugin: form.text("plugin"),
        category: None,
        value: text,
        value_base64: base64,
        sealed: None,
        hint: None,
        allow_refused: false,
    };
    Ok(told(&api.store().create_secret(&visitor.caller, new_of(body)?, None).await?))
}
