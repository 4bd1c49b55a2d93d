//! `/v1/categories`, `/v1/presets` and `/v1/statistics`.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Authenticated;
use super::body::JsonBody;
use super::extract::PathParam;
use super::holders::{named_secret_view, unusable_view};
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::page::whole_list;
use super::problem::{ApiError, FieldErrors};
use super::query::{NoParams, QueryParams};
use crate::domain::catalog::{CategoryForm, Preset};
use crate::domain::name::Category;
use crate::store;
use crate::wire::{
    CategoryView, Code, DeclareCategoryRequest, HolderStatisticsView, OutdatedSecretView, PageView,
    PresetFieldView, PresetView, StatisticsView, paths,
};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_categories))
        .routes(routes!(put_category, remove_category))
        .routes(routes!(list_presets))
        .routes(routes!(statistics))
}

error_responses! {
    ReadCatalogErrors = [AUTHENTICATED];
    DeclareCategoryErrors = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::NameInvalid, Code::Unprocessable]];
    RemoveCategoryErrors = [AUTHENTICATED, WRITE, &[Code::NotFound]];
}

/// List the categories
///
/// First the five that every organization has, then those that it declared, then undeclared ones that a secret names. One
/// page.
#[utoipa::path(get, path = paths::CATEGORIES, tag = "catalog", operation_id = "list_categories",
    responses((status = 200, body = PageView<CategoryView>, description = "All categories."), ReadCatalogErrors), security(("member" = [])))]
async fn list_categories(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<PageView<CategoryView>>, ApiError> {
    let all = api.store().categories(&caller).await?;
    Ok(Json(whole_list(all, category_view)))
}

/// Declare a category
///
/// Sets its title, colour and description. One of the five built-in categories gets a new appearance. For admins.
#[utoipa::path(put, path = paths::CATEGORY, tag = "catalog", operation_id = "put_category", request_body = DeclareCategoryRequest,
    params(("name" = Category, Path)),
    responses((status = 200, body = CategoryView, description = "The declared category."), DeclareCategoryErrors), security(("member" = [])))]
async fn put_category(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<Category>,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<DeclareCategoryRequest>,
) -> Result<Json<CategoryView>, ApiError> {
    let mut errors = FieldErrors::default();
    // All three are parsed before the result is checked, so that every fault is reported.
    let title = errors.check_name("title", &body.title);
    let colour = errors.check("colour", body.colour.parse());
    let description = errors.check("description", body.description.parse());
    errors.into_result()?;
    let (Some(title), Some(colour), Some(description)) = (title, colour, description) else {
        return Err(ApiError::incomplete());
    };
    let new = store::NewCategory { name, form: CategoryForm { title, colour, description } };
    Ok(Json(category_view(api.store().put_category(&caller, new).await?)))
}

/// Remove the declaration of a category
///
/// Its secrets keep the name of the category. A built-in category gets its original appearance back. For admins.
#[utoipa::path(delete, path = paths::CATEGORY, tag = "catalog", operation_id = "remove_category",
    params(("name" = Category, Path)),
    responses((status = 200, body = CategoryView, description = "The category after the removal."), RemoveCategoryErrors), security(("member" = [])))]
async fn remove_category(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<Category>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<CategoryView>, ApiError> {
    Ok(Json(category_view(api.store().remove_category(&caller, &name).await?)))
}

/// List the presets
///
/// The names, category and format of the secrets of well-known platforms: the presets of this program, and those that the
/// operator added. One page.
#[utoipa::path(get, path = paths::PRESETS, tag = "catalog", operation_id = "list_presets",
    responses((status = 200, body = PageView<PresetView>, description = "All presets."), ReadCatalogErrors), security(("member" = [])))]
async fn list_presets(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<PageView<PresetView>>, ApiError> {
    let presets = api.store().presets_for(&caller).await?;
    Ok(Json(whole_list(presets.all(), preset_view)))
}

/// Count the secrets
///
/// The counts cover the secrets that the caller may see.
#[utoipa::path(get, path = paths::STATISTICS, tag = "catalog", operation_id = "statistics",
    responses((status = 200, body = StatisticsView, description = "The counts."), ReadCatalogErrors), security(("member" = [])))]
async fn statistics(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<StatisticsView>, ApiError> {
    let found = api.store().statistics(&caller).await?;
    let holders = api.store().holder_statistics(&caller).await?;
    Ok(Json(StatisticsView {
        total: found.total,
        encrypted: found.encrypted,
        plain: found.plain,
        shared: found.shared,
        private: found.private,
        auto_install: found.auto_install,
        not_auto_install: found.not_auto_install,
        files: found.files,
        by_plugin: found.by_plugin.into_iter().map(|(name, count)| (name.to_string(), count)).collect(),
        without_plugin: found.without_plugin,
        by_category: found.by_category.into_iter().map(|(name, count)| (name.to_string(), count)).collect(),
        without_category: found.without_category,
        holders: HolderStatisticsView {
            running: holders.running,
            outdated: holders.outdated,
            secrets: holders.secrets.into_iter().map(outdated_view).collect(),
            incomplete: holders.incomplete,
        },
        unusable: unusable_view(found.unusable),
    }))
}

fn outdated_view((secret, outdated): (store::NamedSecret, u64)) -> OutdatedSecretView {
    OutdatedSecretView { secret: named_secret_view(secret), outdated }
}

fn category_view(category: store::CategoryState) -> CategoryView {
    CategoryView {
        name: category.name,
        title: category.title,
        colour: category.colour,
        description: category.description.to_string(),
        builtin: category.builtin,
        declared: category.declared,
        secrets: category.secrets,
    }
}

fn preset_view(preset: &Preset) -> PresetView {
    let fields = preset.fields.iter().filter_map(|field| {
        let name = preset.name_of(field).ok()?;
        Some(PresetFieldView {
            key: field.key.clone(),
            label: field.label.clone(),
            env: name.export(),
            name,
            usual: field.usual.clone(),
            optional: field.optional,
            kind: field.kind,
            prefixes: field.prefixes.iter().map(|prefix| prefix.to_string()).collect(),
        })
    });
    PresetView {
        id: preset.id.clone(),
        title: preset.title.clone(),
        category: preset.category.clone(),
        fields: fields.collect(),
    }
}
