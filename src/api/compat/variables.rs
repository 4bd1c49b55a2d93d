//! `/api/secrets`: variables by name, redacted, with the plugins that use them; several set at once.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Api;
use crate::api::auth::Authenticated;
use crate::api::extract::{JsonBody, LARGE_BODY};
use crate::api::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use crate::api::plugins::named;
use crate::api::problem::{ApiError, FieldErrors};
use crate::api::query::{NoParams, QueryParams};
use crate::store::{Assignment, Variable};
use crate::wire::{Code, SetVariablesRequest, SetVariablesResponse, VariableView, VariablesView, paths};

/// Shown for a value of which no redacted form is kept.
const HIDDEN: &str = "****";

/// The routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(face_secrets, set_face_secrets))
}

error_responses! {
    Reading = [AUTHENTICATED];
    Setting = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::NameInvalid, Code::Unprocessable]];
}

/// All variables, redacted
///
/// Those that the caller's own boots get, private before shared, and those that declared plugins ask for.
#[utoipa::path(get, path = paths::FACE_SECRETS, tag = "faces", operation_id = "face_secrets",
    responses((status = 200, body = VariablesView, description = "All of them."), Reading), security(("member" = [])))]
async fn face_secrets(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<VariablesView>, ApiError> {
    let variables = api.store().variables(&caller).await?;
    let secrets: BTreeMap<String, VariableView> =
        variables.into_iter().map(|(env, variable)| (env.to_string(), view(variable))).collect();
    Ok(Json(VariablesView { secrets }))
}

/// Sets and clears variables
///
/// In one commit, or none of them. Each means the secret that the list shows under its name; a variable that is not set
/// becomes a private secret of the caller. An empty text clears.
#[utoipa::path(put, path = paths::FACE_SECRETS, tag = "faces", operation_id = "set_face_secrets", request_body = SetVariablesRequest,
    responses((status = 200, body = SetVariablesResponse, description = "They are set, durably."), Setting), security(("member" = [])))]
async fn set_face_secrets(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<SetVariablesRequest, LARGE_BODY>,
) -> Result<Json<SetVariablesResponse>, ApiError> {
    let mut errors = FieldErrors::default();
    let mut assignments = Vec::with_capacity(body.secrets.len());
    for (name, value) in body.secrets {
        // A text that is no name may be a value, so it is not repeated.
        let Some(env) = named(&mut errors, "secrets", &name) else { continue };
        let value = Some(value.into_secret()).filter(|value| !value.is_empty());
        assignments.push(Assignment { env, value });
    }
    errors.into_result()?;
    let set = api.store().set_variables(&caller, assignments).await?;
    let mut errors = FieldErrors::default();
    for (env, why) in set.refused {
        errors.add_as(Code::Unprocessable, &format!("secrets.{env}"), why);
    }
    errors.hint(Some("nothing is stored"));
    errors.into_result()?;
    Ok(Json(SetVariablesResponse { ok: true }))
}

fn view(variable: Variable) -> VariableView {
    let set = variable.is_set();
    let hint = variable.secret.and_then(|secret| secret.hint).map(|hint| hint.to_string());
    VariableView {
        value: if set { hint.unwrap_or_else(|| HIDDEN.to_owned()) } else { String::new() },
        set,
        plugin_id: variable.plugin.map(|plugin| plugin.to_string()).unwrap_or_default(),
        plugin_enabled: variable.plugin_enabled,
    }
}
