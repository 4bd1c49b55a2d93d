//! Checks a name while it is typed: what it is exported as, whether it is refused, and whether it is taken. Accepts names
//! only: no value is ever sent here.

use axum::Json;
use serde::Serialize;

use super::session::BrowserSession;
use crate::api::problem::ApiError;
use crate::api::query::{FormQueryParams, FromQuery, QueryReader};
use crate::domain::name::{EnvName, NameError, SecretName, refused};
use crate::domain::secret::ScopeKind;
use crate::store;

/// The fields of the form that decide about its name.
pub(crate) struct NameCheckQuery {
    name: Option<String>,
    /// The exported name, if it is not derived from `name`.
    env: Option<String>,
    scope: Option<ScopeKind>,
}

impl FromQuery for NameCheckQuery {
    const NAMES: &'static [&'static str] = &["name", "as", "scope"];

    fn read(query: &mut QueryReader) -> Self {
        // Longer than any valid name, so that the answer is why the name is invalid, not that the query is.
        Self { name: query.text("name", 1000), env: query.text("as", 1000), scope: query.parsed("scope") }
    }
}

/// The result, which `live.js` displays beside the field.
#[derive(Default, Serialize)]
pub(crate) struct NameCheckResponse {
    /// The exported name, if the name is valid.
    env: Option<String>,
    /// ReleaseReason the store would refuse it.
    fault: Option<String>,
    /// What to do about it.
    hint: Option<String>,
    /// Whether an administrator can allow it anyway.
    refused: bool,
    /// The existing secret that has this name or exported name.
    taken: Option<String>,
}

/// Checks a name as a deposit would.
pub(crate) async fn check_name(
    session: BrowserSession,
    FormQueryParams(query): FormQueryParams<NameCheckQuery>,
) -> Result<Json<NameCheckResponse>, ApiError> {
    let Some(name) = query.name else { return Ok(Json(NameCheckResponse::default())) };
    let (name, env) = match parse_names(&name, query.env.as_deref()) {
        Ok(names) => names,
        Err(error) => {
            // Not an error of the request: most names are invalid until the last letter is typed.
            return Ok(Json(NameCheckResponse {
                fault: Some(error.to_string()),
                hint: error.hint().map(str::to_owned),
                ..NameCheckResponse::default()
            }));
        }
    };
    let scope = query.scope.unwrap_or(ScopeKind::Private);
    let mut response = NameCheckResponse { env: Some(env.to_string()), ..NameCheckResponse::default() };
    if let Some(refusal) = refused(&env) {
        response.refused = true;
        response.fault = Some(format!("the name {env} is refused: {}", refusal.why));
        response.hint =
            Some("choose another exported name, or ask an administrator to allow this one".to_owned());
    }
    // The store finds a secret by name before it looks at exported names, so one search can miss the other match.
    for wanted in [env.as_str(), name.as_str()] {
        match session.store().find_secret(&session.caller, wanted, scope, None).await {
            Ok(found) if found.meta.env == env || found.meta.name == name => {
                response.taken = Some(found.meta.name.to_string());
                break;
            }
            Ok(_) | Err(store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Json(response))
}

fn parse_names(name: &str, env: Option<&str>) -> Result<(SecretName, EnvName), NameError> {
    let name = SecretName::parse(name.trim())?;
    let env = env.map(|env| EnvName::parse(env.trim())).transpose()?;
    let env = env.unwrap_or_else(|| name.export());
    Ok((name, env))
}
