//! `/v1/categories`, `/v1/presets`, `/v1/statistics`: what secrets are grouped by, made from, and how many there are.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Authenticated;
use super::extract::{JsonBody, PathParam};
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::plugins::named;
use super::problem::{ApiError, FieldErrors};
use super::query::{NoParams, QueryParams};
use crate::domain::catalog::{CategoryForm, Preset};
use crate::domain::name::Category;
use crate::store;
use crate::wire::{
    CategoryView, Code, DeclareCategoryRequest, PageView, PresetFieldView, PresetView, StatisticsView, paths,
};

/// The routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_categories))
        .routes(routes!(put_category, remove_category))
        .routes(routes!(list_presets))
        .routes(routes!(statistics))
}

error_responses! {
    Reading = [AUTHENTICATED];
    Declaring = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::NameInvalid, Code::Unprocessable]];
    Removing = [AUTHENTICATED, WRITE, &[Code::NotFound]];
}

/// Categories
///
/// The five that every organization has come first, then its own and words that are only in use, in one page.
#[utoipa::path(get, path = paths::CATEGORIES, tag = "catalog", operation_id = "list_categories",
    responses((status = 200, body = PageView<CategoryView>, description = "All of them."), Reading), security(("member" = [])))]
async fn list_categories(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<PageView<CategoryView>>, ApiError> {
    let all = api.store().categories(&caller).await?;
    Ok(Json(PageView { items: all.into_iter().map(view).collect(), next: None }))
}

/// Declares a category
///
/// One of the five is shown otherwise from now on.
#[utoipa::path(put, path = paths::CATEGORY, tag = "catalog", operation_id = "put_category", request_body = DeclareCategoryRequest,
    params(("name" = Category, Path)),
    responses((status = 200, body = CategoryView, description = "It is declared."), Declaring), security(("member" = [])))]
async fn put_category(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<Category>,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<DeclareCategoryRequest>,
) -> Result<Json<CategoryView>, ApiError> {
    let mut errors = FieldErrors::default();
    let title = named(&mut errors, "title", &body.title);
    let colour = errors.check_as(Code::InvalidRequest, "colour", body.colour.parse());
    let description = errors.check_as(Code::InvalidRequest, "description", body.description.parse());
    errors.into_result()?;
    let (Some(title), Some(colour), Some(description)) = (title, colour, description) else {
        return Err(ApiError::new(Code::InvalidRequest, "the body is incomplete"));
    };
    let new = store::NewCategory { name, form: CategoryForm { title, colour, description } };
    Ok(Json(view(api.store().put_category(&caller, new).await?)))
}

/// Removes a category
///
/// Its secrets keep the word. One of the five cannot go: it is shown as it was at first.
#[utoipa::path(delete, path = paths::CATEGORY, tag = "catalog", operation_id = "remove_category",
    params(("name" = Category, Path)),
    responses((status = 200, body = CategoryView, description = "It is removed."), Removing), security(("member" = [])))]
async fn remove_category(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(name): PathParam<Category>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<CategoryView>, ApiError> {
    Ok(Json(view(api.store().remove_category(&caller, &name).await?)))
}

/// Presets
///
/// Names, category and form of well-known platforms' secrets: the program's, and those that its operator added.
#[utoipa::path(get, path = paths::PRESETS, tag = "catalog", operation_id = "list_presets",
    responses((status = 200, body = PageView<PresetView>, description = "All of them."), Reading), security(("member" = [])))]
async fn list_presets(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<PageView<PresetView>>, ApiError> {
    let presets = api.store().presets_for(&caller).await?;
    Ok(Json(PageView { items: presets.all().iter().map(preset_view).collect(), next: None }))
}

/// Counts of the secrets that the caller may see
#[utoipa::path(get, path = paths::STATISTICS, tag = "catalog", operation_id = "statistics",
    responses((status = 200, body = StatisticsView, description = "The counts."), Reading), security(("member" = [])))]
async fn statistics(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<StatisticsView>, ApiError> {
    let found = api.store().statistics(&caller).await?;
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
    }))
}

fn view(category: store::CategoryState) -> CategoryView {
    CategoryView {
        name: category.name.to_string(),
        title: category.title.to_string(),
        colour: category.colour.to_string(),
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
            key: field.key.to_string(),
            label: field.label.to_string(),
            env: name.export().to_string(),
            name: name.to_string(),
            usual: field.usual.as_ref().map(ToString::to_string),
            optional: field.optional,
            kind: field.kind,
            prefixes: field.prefixes.iter().map(|prefix| prefix.to_string()).collect(),
        })
    });
    PresetView {
        id: preset.id.to_string(),
        title: preset.title.to_string(),
        category: preset.category.to_string(),
        fields: fields.collect(),
    }
}
