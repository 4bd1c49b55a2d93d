//! `/v1/plugins`: what needs secrets, and what of that is missing. Only an admin changes them.

use axum::Json as Answer;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Asked;
use super::extract::{InPath, Json};
use super::openapi::{ASKED, BODY, WRITING, refusals};
use super::problem::{Faults, Refused};
use super::query::{NoParams, Params};
use crate::domain::name::{NameError, PluginName, SecretName};
use crate::store;
use crate::wire::{Code, DeclarePluginRequest, NeedView, PageView, PluginView, UpdatePluginRequest, paths};

/// The routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list_plugins)).routes(routes!(
        plugin,
        put_plugin,
        change_plugin,
        remove_plugin
    ))
}

refusals! {
    Listing = [ASKED];
    Reading = [ASKED, &[Code::NotFound]];
    Declaring = [ASKED, BODY, WRITING, &[Code::NameInvalid, Code::Unprocessable]];
    Changing = [ASKED, BODY, WRITING, &[Code::NotFound]];
    Removing = [ASKED, WRITING, &[Code::NotFound]];
}

/// Plugins
///
/// Those that are declared and those that secrets in the caller's scope are tied to, by name, in one page.
#[utoipa::path(get, path = paths::PLUGINS, tag = "catalog", operation_id = "list_plugins",
    responses((status = 200, body = PageView<PluginView>, description = "All of them."), Listing), security(("member" = [])))]
async fn list_plugins(
    State(api): State<Api>,
    Asked(caller): Asked,
    Params(NoParams): Params<NoParams>,
) -> Result<Answer<PageView<PluginView>>, Refused> {
    let all = api.store().plugins(&caller).await?;
    Ok(Answer(PageView { items: all.into_iter().map(view).collect(), next: None }))
}

/// One plugin
#[utoipa::path(get, path = paths::PLUGIN, tag = "catalog", operation_id = "plugin",
    params(("name" = PluginName, Path)),
    responses((status = 200, body = PluginView, description = "The plugin."), Reading), security(("member" = [])))]
async fn plugin(
    State(api): State<Api>,
    Asked(caller): Asked,
    InPath(name): InPath<PluginName>,
    Params(NoParams): Params<NoParams>,
) -> Result<Answer<PluginView>, Refused> {
    Ok(Answer(view(api.store().plugin(&caller, &name).await?)))
}

/// Declares a plugin
///
/// What was declared before is replaced.
#[utoipa::path(put, path = paths::PLUGIN, tag = "catalog", operation_id = "put_plugin", request_body = DeclarePluginRequest,
    params(("name" = PluginName, Path)),
    responses((status = 200, body = PluginView, description = "It is declared."), Declaring), security(("member" = [])))]
async fn put_plugin(
    State(api): State<Api>,
    Asked(caller): Asked,
    InPath(name): InPath<PluginName>,
    Params(NoParams): Params<NoParams>,
    Json(body): Json<DeclarePluginRequest>,
) -> Result<Answer<PluginView>, Refused> {
    let mut faults = Faults::default();
    let title = body.title.as_deref().and_then(|title| named(&mut faults, "title", title));
    let required = names(&mut faults, "required", &body.required);
    let optional = names(&mut faults, "optional", &body.optional);
    faults.refusal()?;
    let new = store::NewPlugin { name, title, required, optional, enabled: body.enabled };
    Ok(Answer(view(api.store().put_plugin(&caller, new).await?)))
}

/// Enables or disables a plugin
///
/// No boot is given the secrets that are tied to a disabled one.
#[utoipa::path(patch, path = paths::PLUGIN, tag = "catalog", operation_id = "change_plugin", request_body = UpdatePluginRequest,
    params(("name" = PluginName, Path)),
    responses((status = 200, body = PluginView, description = "It is changed."), Changing), security(("member" = [])))]
async fn change_plugin(
    State(api): State<Api>,
    Asked(caller): Asked,
    InPath(name): InPath<PluginName>,
    Params(NoParams): Params<NoParams>,
    Json(body): Json<UpdatePluginRequest>,
) -> Result<Answer<PluginView>, Refused> {
    Ok(Answer(view(api.store().set_plugin_enabled(&caller, &name, body.enabled).await?)))
}

/// Removes a plugin's declaration
///
/// Secrets stay tied to its name, and are released again if it was disabled.
#[utoipa::path(delete, path = paths::PLUGIN, tag = "catalog", operation_id = "remove_plugin",
    params(("name" = PluginName, Path)),
    responses((status = 200, body = PluginView, description = "It is removed; this is what it was."), Removing),
    security(("member" = [])))]
async fn remove_plugin(
    State(api): State<Api>,
    Asked(caller): Asked,
    InPath(name): InPath<PluginName>,
    Params(NoParams): Params<NoParams>,
) -> Result<Answer<PluginView>, Refused> {
    Ok(Answer(view(api.store().remove_plugin(&caller, &name).await?)))
}

fn names(faults: &mut Faults, field: &str, texts: &[String]) -> Vec<SecretName> {
    let each = texts.iter().enumerate();
    each.filter_map(|(index, text)| named(faults, &format!("{field}[{index}]"), text)).collect()
}

/// A name out of a body, or a fault.
pub(crate) fn named<T>(faults: &mut Faults, field: &str, text: &str) -> Option<T>
where
    T: std::str::FromStr<Err = NameError>,
{
    let read = text.parse::<T>();
    if let Err(error) = &read {
        faults.hint(error.hint());
    }
    faults.take_as(Code::NameInvalid, field, read)
}

fn view(plugin: store::PluginState) -> PluginView {
    let need = |need: store::Need| NeedView {
        name: need.name.to_string(),
        env: need.env.to_string(),
        secret: need.met.map(|(id, _)| id.to_string()),
        scope: need.met.map(|(_, scope)| scope),
    };
    PluginView {
        name: plugin.name.to_string(),
        title: plugin.title.map(|title| title.to_string()),
        enabled: plugin.enabled,
        declared: plugin.declared,
        required: plugin.required.into_iter().map(need).collect(),
        optional: plugin.optional.into_iter().map(need).collect(),
        missing: plugin.missing.iter().map(ToString::to_string).collect(),
        secrets: plugin.secrets,
        updated_at: plugin.updated_at.map(|at| at.to_string()),
    }
}
