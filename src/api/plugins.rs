//! `/v1/plugins`: plugins, the secrets that they need, and which of those are missing.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Authenticated;
use super::body::JsonBody;
use super::extract::PathParam;
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::page::whole_list;
use super::problem::{ApiError, FieldErrors};
use super::query::{NoParams, QueryParams};
use crate::domain::name::{PluginName, SecretName};
use crate::store;
use crate::wire::{
    Code, DeclarePluginRequest, NeedView, PageView, PluginView, Unparsed, UpdatePluginRequest, paths,
};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list_plugins)).routes(routes!(
        plugin,
        put_plugin,
        change_plugin,
        remove_plugin
    ))
}

error_responses! {
    ListPluginsErrors = [AUTHENTICATED];
    ReadPluginErrors = [AUTHENTICATED, &[Code::NotFound]];
    DeclarePluginErrors = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::NameInvalid, Code::Unprocessable]];
    UpdatePluginErrors = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::NotFound]];
    RemovePluginErrors = [AUTHENTICATED, WRITE, &[Code::NotFound]];
}

/// List the plugins
///
/// Declared plugins, and undeclared ones that a secret visible to the caller names. One page, in order of name.
#[utoipa::path(get, path = paths::PLUGINS, tag = "catalog", operation_id = "list_plugins",
    responses((status = 200, body = PageView<PluginView>, description = "All plugins."), ListPluginsErrors), security(("member" = [])))]
async fn list_plugins(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<PageView<PluginView>>, ApiError> {
    let all = api.store().plugins(&caller).await?;
    Ok(Json(whole_list(all, plugin_view)))
}

/// Get a plugin
#[utoipa::path(get, path = paths::PLUGIN, tag = "catalog", operation_id = "plugin",
    params(("name" = PluginName, Path)),
    responses((status = 200, body = PluginView, description = "The plugin."), ReadPluginErrors), security(("member" = [])))]
async fn plugin(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<PluginName>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<PluginView>, ApiError> {
    Ok(Json(plugin_view(api.store().plugin(&caller, &name).await?)))
}

/// Declare a plugin
///
/// Replaces an earlier declaration. For admins.
#[utoipa::path(put, path = paths::PLUGIN, tag = "catalog", operation_id = "put_plugin", request_body = DeclarePluginRequest,
    params(("name" = PluginName, Path)),
    responses((status = 200, body = PluginView, description = "The declared plugin."), DeclarePluginErrors), security(("member" = [])))]
async fn put_plugin(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<PluginName>,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<DeclarePluginRequest>,
) -> Result<Json<PluginView>, ApiError> {
    let mut errors = FieldErrors::default();
    // All fields are parsed before the result is checked, so that every fault is reported.
    let title = body.title.as_deref().and_then(|title| errors.check_name("title", title));
    let required = parse_names(&mut errors, "required", &body.required);
    let optional = parse_names(&mut errors, "optional", &body.optional);
    errors.into_result()?;
    let new = store::NewPlugin { name, title, required, optional, enabled: body.enabled };
    Ok(Json(plugin_view(api.store().put_plugin(&caller, new).await?)))
}

/// Enable or disable a plugin
///
/// No boot receives the secrets of a disabled plugin. For admins.
#[utoipa::path(patch, path = paths::PLUGIN, tag = "catalog", operation_id = "change_plugin", request_body = UpdatePluginRequest,
    params(("name" = PluginName, Path)),
    responses((status = 200, body = PluginView, description = "The plugin with the new state."), UpdatePluginErrors), security(("member" = [])))]
async fn change_plugin(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<PluginName>,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<UpdatePluginRequest>,
) -> Result<Json<PluginView>, ApiError> {
    Ok(Json(plugin_view(api.store().set_plugin_enabled(&caller, &name, body.enabled).await?)))
}

/// Remove the declaration of a plugin
///
/// Its secrets keep the name of the plugin. If the plugin was disabled, boots receive them again. For admins.
#[utoipa::path(delete, path = paths::PLUGIN, tag = "catalog", operation_id = "remove_plugin",
    params(("name" = PluginName, Path)),
    responses((status = 200, body = PluginView, description = "The removed declaration."), RemovePluginErrors),
    security(("member" = [])))]
async fn remove_plugin(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<PluginName>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<PluginView>, ApiError> {
    Ok(Json(plugin_view(api.store().remove_plugin(&caller, &name).await?)))
}

fn parse_names(errors: &mut FieldErrors, field: &str, texts: &[Unparsed<SecretName>]) -> Vec<SecretName> {
    let each = texts.iter().enumerate();
    // With its index, since the faults of a list would otherwise look alike.
    each.filter_map(|(index, text)| errors.check_name(&format!("{field}[{index}]"), text)).collect()
}

fn plugin_view(plugin: store::PluginState) -> PluginView {
    let need = |need: store::Need| NeedView {
        name: need.name,
        env: need.env,
        secret: need.met.map(|(id, _)| id),
        scope: need.met.map(|(_, scope)| scope),
    };
    PluginView {
        name: plugin.name,
        title: plugin.title,
        enabled: plugin.enabled,
        declared: plugin.declared,
        required: plugin.required.into_iter().map(need).collect(),
        optional: plugin.optional.into_iter().map(need).collect(),
        missing: plugin.missing,
        secrets: plugin.secrets,
        updated_at: plugin.updated_at,
    }
}
