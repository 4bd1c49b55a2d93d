//! `/api/secrets`: variables by name, redacted, with the plugins that use them; several set at once.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Api;
use crate::api::auth::Authenticated;
use crate::api::body::{JsonBody, LARGE_BODY};
use crate::api::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use crate::api::problem::{ApiError, FieldErrors};
use crate::api::query::{NoParams, QueryParams};
use crate::store::{Variable, VariableAssignment};
use crate::wire::{Code, SetVariablesRequest, SetVariablesResponse, VariableView, VariablesView, paths};

/// The text in place of a value without a stored hint.
const REDACTED: &str = "****";

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list_variables, set_variables))
}

error_responses! {
    ReadVariablesErrors = [AUTHENTICATED];
    SetVariablesErrors = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::NameInvalid, Code::Unprocessable]];
}

/// List the variables, redacted
///
/// The variables that the caller's own boots receive, where private overrides shared, and those that declared plugins
/// need.
#[utoipa::path(get, path = paths::FACE_SECRETS, tag = "compat", operation_id = "compat_variables",
    responses((status = 200, body = VariablesView, description = "The variables by name."), ReadVariablesErrors), security(("member" = [])))]
async fn list_variables(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<VariablesView>, ApiError> {
    let variables = api.store().variables(&caller).await?;
    let secrets: BTreeMap<String, VariableView> =
        variables.into_iter().map(|(env, variable)| (env.to_string(), variable_view(variable))).collect();
    Ok(Json(VariablesView { secrets }))
}

/// Set and clear variables
///
/// All of them in one commit, or none. A name means the secret that the list shows under it. A variable that is not set
/// becomes a private secret of the caller. An empty text clears the variable. A variable that another member stored as plain, and so
/// readable, is not set.
#[utoipa::path(put, path = paths::FACE_SECRETS, tag = "compat", operation_id = "set_compat_variables", request_body = SetVariablesRequest,
    responses((status = 200, body = SetVariablesResponse, description = "The variables are set. They are durable."), SetVariablesErrors), security(("member" = [])))]
async fn set_variables(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<SetVariablesRequest, LARGE_BODY>,
) -> Result<Json<SetVariablesResponse>, ApiError> {
    let mut errors = FieldErrors::default();
    let mut assignments = Vec::with_capacity(body.secrets.len());
    for (name, value) in body.secrets {
        // A text that is no name may be a value in the wrong place, so the fault does not repeat it.
        let Some(env) = errors.check_name("secrets", &name) else { continue };
        let value = Some(value.into_secret()).filter(|value| !value.is_empty());
        assignments.push(VariableAssignment { env, value });
    }
    errors.into_result()?;
    let set = api.store().set_variables(&caller, assignments).await?;
    let mut errors = FieldErrors::default();
    // The names are valid here, so the faults may repeat them.
    for (env, why) in set.refused {
        errors.add_as(Code::Unprocessable, &format!("secrets.{env}"), why);
    }
    errors.hint(Some("nothing is stored"));
    errors.into_result()?;
    Ok(Json(SetVariablesResponse { ok: true }))
}

fn variable_view(variable: Variable) -> VariableView {
    let set = variable.is_set();
    let hint = variable.secret.and_then(|secret| secret.hint).map(|hint| hint.to_string());
    VariableView {
        // A value without a hint still shows that it is set.
        value: if set { hint.unwrap_or_else(|| REDACTED.to_owned()) } else { String::new() },
        set,
        plugin_id: variable.plugin.map(|plugin| plugin.to_string()).unwrap_or_default(),
        plugin_enabled: variable.plugin_enabled,
    }
}
