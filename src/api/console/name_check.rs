//! What a form asks while it is filled in: what a name is exported as, whether it is refused, and whether it is taken.
//! Takes names only: no value is ever sent here.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::session::Visitor;
use crate::api::Api;
use crate::api::problem::ApiError;
use crate::api::query::{FormQueryParams, FromQuery, QueryReader};
use crate::domain::name::{EnvName, SecretName, refused};
use crate::domain::secret::ScopeKind;
use crate::store;

/// What is asked.
pub(crate) struct Ask {
    name: Option<String>,
    env: Option<String>,
    scope: Option<ScopeKind>,
}

impl FromQuery for Ask {
    const NAMES: &'static [&'static str] = &["name", "as", "scope"];

    fn read(query: &mut QueryReader) -> Self {
        Self { name: query.text("name", 1000), env: query.text("as", 1000), scope: query.parsed("scope") }
    }
}

/// The answer.
#[derive(Default, Serialize)]
pub(crate) struct Told {
    /// The exported name.
    env: Option<String>,
    /// Why it cannot be deposited so.
    fault: Option<String>,
    /// What to do about it.
    hint: Option<String>,
    /// Whether an admin may allow it all the same.
    refused: bool,
    /// The secret that has the name already.
    taken: Option<String>,
}

/// Judges a name as the deposit will.
pub(crate) async fn name(
    State(api): State<Api>,
    visitor: Visitor,
    FormQueryParams(ask): FormQueryParams<Ask>,
) -> Result<Json<Told>, ApiError> {
    let Some(name) = ask.name else { return Ok(Json(Told::default())) };
    let (name, env) = (SecretName::parse(name.trim()), ask.env.map(|env| EnvName::parse(env.trim())));
    let (name, env) = match (name, env.transpose()) {
        (Ok(name), Ok(env)) => {
            let env = env.unwrap_or_else(|| name.export());
            (name, env)
        }
        (Err(error), _) | (_, Err(error)) => {
            let told = Told {
                fault: Some(error.to_string()),
                hint: error.hint().map(str::to_owned),
                ..Told::default()
            };
            return Ok(Json(told));
        }
    };
    let scope = ask.scope.unwrap_or(ScopeKind::Private);
    let mut told = Told { env: Some(env.to_string()), ..Told::default() };
    if let Some(refusal) = refused(&env) {
        told.refused = true;
        told.fault = Some(format!("the name {env} is refused: {}", refusal.why));
        told.hint = Some("export it under another name; an admin may allow this one".to_owned());
    }
    for wanted in [env.as_str(), name.as_str()] {
        match api.store().find_secret(&visitor.caller, wanted, scope, None).await {
            Ok(found) if found.meta.env == env || found.meta.name == name => {
                told.taken = Some(found.meta.name.to_string());
                break;
            }
            Ok(_) | Err(store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Json(told))
}
