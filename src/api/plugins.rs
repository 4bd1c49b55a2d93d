//! `/v1/plugins`: what needs secrets, and what of that is missing. Only an admin changes them.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Authenticated;
use super::extract::{JsonBody, PathParam};
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::problem::{ApiError, FieldErrors};
use super::query::{NoParams, QueryParams};
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

error_responses! {
    Listing = [AUTHENTICATED];
    Reading = [AUTHENTICATED, &[Code::NotFound]];
    Declaring = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::NameInvalid, Code::Unprocessable]];
    Changing = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::NotFound]];
    Removing = [AUTHENTICATED, WRITE, &[Code::NotFound]];
}

/// Plugins
///
/// Those that are declared and those that secrets in the caller's scope are tied to, by name, in one page.
#[utoipa::path(get, path = paths::PLUGINS, tag = "catalog", operation_id = "list_plugins",
    responses((status = 200, body = PageView<PluginView>, description = "All of them."), Listing), security(("member" = [])))]
async fn list_plugins(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<PageView<PluginView>>, ApiError> {
    let all = api.store().plugins(&caller).await?;
    Ok(Json(PageView { items: all.into_iter().map(view).collect(), next: None }))
}

/// One plugin
#[utoipa::path(get, path = paths::PLUGIN, tag = "catalog", operation_id = "plugin",
    params(("name" = PluginName, Path)),
    responses((status = 200, body = PluginView, description = "The plugin."), Reading), security(("member" = [])))]
async fn plugin(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<PluginName>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<PluginView>, ApiError> {
    Ok(Json(view(api.store().plugin(&caller, &name).await?)))
}

/// Declares a plugin
///
/// What was declared before is replaced.
#[utoipa::path(put, path = paths::PLUGIN, tag = "catalog", operation_id = "put_plugin", request_body = DeclarePluginRequest,
    params(("name" = PluginName, Path)),
    responses((status = 200, body = PluginView, description = "It is declared."), Declaring), security(("member" = [])))]
async fn put_plugin(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<PluginName>,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<DeclarePluginRequest>,
) -> Result<Json<PluginView>, ApiError> {
    let mut errors = FieldErrors::default();
    let title = body.title.as_deref().and_then(|title| named(&mut errors, "title", title));
    let required = names(&mut errors, "required", &body.required);
    let optional = names(&mut errors, "optional", &body.optional);
    errors.into_result()?;
    let new = store::NewPlugin { name, title, required, optional, enabled: body.enabled };
    Ok(Json(view(api.store().put_plugin(&caller, new).await?)))
}

/// Enables or disables a plugin
///
/// No boot is given the secrets that are tied to a disabled one.
#[utoipa::path(patch, path = paths::PLUGIN, tag = "catalog", operation_id = "change_plugin", request_body = UpdatePluginRequest,
    params(("name" = PluginName, Path)),
    responses((status = 200, body = PluginView, description = "It is changed."), Changing), security(("member" = [])))]
async fn change_plugin(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<PluginName>,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<UpdatePluginRequest>,
) -> Result<Json<PluginView>, ApiError> {
    Ok(Json(view(api.store().set_plugin_enabled(&caller, &name, body.enabled).await?)))
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
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<PluginName>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<PluginView>, ApiError> {
    Ok(Json(view(api.store().remove_plugin(&caller, &name).await?)))
}

fn names(errors: &mut FieldErrors, field: &str, texts: &[String]) -> Vec<SecretName> {
    let each = texts.iter().enumerate();
    each.filter_map(|(index, text)| named(errors, &format!("{field}[{index}]"), text)).collect()
}

/// A name out of a body, or a fault.
pub(crate) fn named<T>(errors: &mut FieldErrors, field: &str, text: &str) -> Option<T>
where
    T: std::str::FromStr<Err = NameError>,
{
    let read = text.parse::<T>();
    if let Err(error) = &read {
        errors.hint(error.hint());
    }
    errors.check_as(Code::NameInvalid, field, read)
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
