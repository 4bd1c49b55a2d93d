//! Two compatibility APIs for clients of other stores: thin translations onto the rest of the API, with the same
//! credentials, decisions and audit entries. Like the rest, they never return a value.

mod variables;
mod vault;
mod vault_log;
mod vault_org;
mod vault_rotation;

use utoipa_axum::router::OpenApiRouter;

use super::Api;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .merge(variables::routes())
        .merge(vault::routes())
        .merge(vault_rotation::routes())
        .merge(vault_log::routes())
}
