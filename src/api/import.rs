//! `/v1/import`: a `.env` file, with each line's fate. Stores all of it or nothing.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Authenticated;
use super::body::{JsonBody, LARGE_BODY};
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::problem::{ApiError, FieldErrors};
use super::query::{NoParams, QueryParams};
use super::secrets::checked_attributes;
use crate::domain::import::ImportOutcome;
use crate::store;
use crate::wire::{Code, ImportLineView, ImportRequest, ImportResponse, paths};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(import))
}

error_responses! {
    ImportErrors = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::NameInvalid, Code::Unprocessable]];
}

/// Deposits a `.env` file
///
/// In one commit, or nothing of it. Ask with `preview` first: the answer says what would become of each line.
#[utoipa::path(post, path = paths::IMPORT, tag = "secrets", operation_id = "import", request_body = ImportRequest,
    responses((status = 200, body = ImportResponse, description = "It is stored, durably; or it was a preview."), ImportErrors),
    security(("member" = [])))]
async fn import(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<ImportRequest, LARGE_BODY>,
) -> Result<Json<ImportResponse>, ApiError> {
    let attributes = checked_attributes(body.attributes.parse())?;
    let ask = store::ImportAsk {
        text: body.env.into_secret(),
        scope: body.scope,
        existing: body.existing,
        kind: body.kind,
        attributes,
    };
    let report = api.store().import(&caller, ask, body.preview).await?;
    if !report.stored && !body.preview {
        return Err(not_stored(&report.lines));
    }
    Ok(Json(ImportResponse { stored: report.stored, lines: report.lines.into_iter().map(view).collect() }))
}

fn not_stored(lines: &[store::ImportLine]) -> ApiError {
    let mut errors = FieldErrors::default();
    for line in lines.iter().filter(|line| line.fate == ImportOutcome::Refused) {
        let why = line.why.clone().unwrap_or_default();
        errors.add_as(Code::Unprocessable, &format!("env line {}", line.line), why);
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

fn view(line: store::ImportLine) -> ImportLineView {
    ImportLineView {
        line: line.line,
        name: line.name.map(|name| name.to_string()),
        env: line.env.map(|env| env.to_string()),
        fate: line.fate,
        why: line.why,
        warnings: line.warnings.iter().map(ToString::to_string).collect(),
        secret: line.secret.map(|id| id.to_string()),
    }
}
