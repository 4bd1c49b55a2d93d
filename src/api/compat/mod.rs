//! Two faces for clients that know other stores: thin translations onto what the rest of the API does, with the same
//! credentials, decisions and audit entries. Like everything else here they never give a value out.

mod variables;
mod vault;
mod vault_log;

use utoipa_axum::router::OpenApiRouter;

use super::Api;

/// The routes of both.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().merge(variables::routes()).merge(vault::routes()).merge(vault_log::routes())
}
