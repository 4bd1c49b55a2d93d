//! `/v1/import`: the lines of a `.env` file, as text or sealed by the client, and the result of each.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Authenticated;
use super::body::{JsonBody, LARGE_BODY};
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::problem::{ApiError, FieldErrors, parse_name};
use super::query::{NoParams, QueryParams};
use super::secrets::{DEPOSIT, checked_attributes, parse_import_items};
use crate::domain::import::ImportOutcome;
use crate::store::{ImportAsk, ImportLineReport, ImportSource};
use crate::wire::{Code, ImportLineView, ImportRequest, ImportResponse, paths};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(import))
}

error_responses! {
    ImportErrors = [AUTHENTICATED, WITH_BODY, WRITE, DEPOSIT];
}

/// Import several secrets
///
/// Takes the text of a `.env` file, or parsed lines with values that the client has sealed. Stores all lines, or none if one
/// of them is refused. `preview` returns what would become of each line, by the same plan. Many lines take several commits: if
/// the request fails between two of them, repeat it.
#[utoipa::path(post, path = paths::IMPORT, tag = "secrets", operation_id = "import", request_body = ImportRequest,
    responses((status = 200, body = ImportResponse, description = "The result of each line. Unless it is a preview, it is durable."), ImportErrors),
    security(("member" = [])))]
async fn import(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<ImportRequest, LARGE_BODY>,
) -> Result<Json<ImportResponse>, ApiError> {
    let ImportRequest { env, items, scope, owner, existing, kind, attributes, preview } = body;
    let attributes = checked_attributes(attributes.parse())?;
    let owner = owner.map(|owner| parse_name("owner", &owner)).transpose()?;
    let (part, source) = match (env, items) {
        (Some(env), None) => ("env line", ImportSource::Text(env.into_secret())),
        (None, Some(items)) => ("item", ImportSource::Items(parse_import_items(items)?)),
        _ => {
            let mut errors = FieldErrors::default();
            errors.add("env", "expected exactly one of env and items");
            errors.into_result()?;
            return Err(ApiError::incomplete());
        }
    };
    if let ImportSource::Items(items) = &source
        && !preview
        && items.iter().any(|item| item.deposit.is_none())
    {
        // Such a body conforms to the schema, which cannot tie one field to another.
        let mut errors = FieldErrors::default();
        errors.add_as(Code::Unprocessable, "items", "an item without a value is for a preview only");
        errors.into_result()?;
    }
    let ask = ImportAsk { source, scope, owner, existing, kind, attributes };
    let report = api.store().import(&caller, ask, preview).await?;
    if !report.stored && !preview {
        return Err(not_stored(part, &report.lines));
    }
    Ok(Json(ImportResponse {
        stored: report.stored,
        lines: report.lines.into_iter().map(line_view).collect(),
    }))
}

fn not_stored(part: &str, lines: &[ImportLineReport]) -> ApiError {
    let mut errors = FieldErrors::default();
    for line in lines.iter().filter(|line| line.fate == ImportOutcome::Refused) {
        let why = line.why.clone().unwrap_or_default();
        errors.add_as(Code::Unprocessable, &format!("{part} {}", line.line), why);
    }
    if lines.is_empty() {
        errors.add_as(Code::Unprocessable, "env", "it has no assignment");
    }
    errors.hint(Some("nothing is stored; preview shows what would become of each line"));
    match errors.into_result() {
        Err(refused) => refused,
        Ok(()) => ApiError::new(Code::Unprocessable, "nothing is stored"),
    }
}

fn line_view(line: ImportLineReport) -> ImportLineView {
    let secret = line.secret.as_ref();
    ImportLineView {
        line: line.line,
        name: line.name,
        env: line.env,
        fate: line.fate,
        why: line.why,
        warnings: line.warnings.iter().map(ToString::to_string).collect(),
        secret: secret.map(|secret| secret.id),
        version: secret.map(|secret| secret.version),
        kind: secret.map(|secret| secret.kind),
        delivery: secret.map(|secret| secret.delivery),
        same_settings: line.same_settings,
    }
}
