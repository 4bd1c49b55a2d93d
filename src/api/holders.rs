//! `/v1/holders`: which running boots hold a secret. Holds no values.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Authenticated;
use super::extract::PathParam;
use super::openapi::{AUTHENTICATED, error_responses};
use super::page::{PageQuery, Paged};
use super::problem::{ApiError, FieldErrors};
use super::query::{FromQuery, QueryParams, QueryReader};
use crate::store;
use crate::store::HoldersAsk;
use crate::wire::{
    Code, HolderCountsView, HolderView, HoldersResponse, NamedSecretView, UnusableSecretsView, paths,
};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(holders))
}

/// The longest name or id, in characters.
const MAX_NAME: usize = 256;

error_responses! {
    ReadHoldersErrors = [AUTHENTICATED, &[Code::NotFound, Code::Unprocessable]];
}

#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct HoldersQuery {
    /// `true`: list only boots that hold an outdated version. The numbers count all.
    outdated: Option<bool>,
}

impl FromQuery for HoldersQuery {
    const NAMES: &'static [&'static str] = &["outdated"];

    fn read(query: &mut QueryReader) -> Self {
        Self { outdated: query.flag("outdated") }
    }
}

/// Count and list the boots that hold a secret
///
/// `id` is an id, a name or an exported name, also of a deleted secret that a running boot received. A name stands for the
/// secrets that have it now and for those that a running boot received under it: shared ones, the caller's own and those of the
/// services that it manages. Private secrets of other members count, for callers who may see them, only if there is none of
/// these; otherwise `other_private` says how many boots hold one. After a value was replaced or deleted, its old version is no
/// longer used when `outdated` and `lapsed` are 0.
#[utoipa::path(get, path = paths::HOLDERS, tag = "boots", operation_id = "holders",
    params(("id" = String, Path, min_length = 1, max_length = 256), HoldersQuery, PageQuery),
    responses((status = 200, body = HoldersResponse, description = "The numbers, and a page of the boots."), ReadHoldersErrors),
    security(("member" = [])))]
async fn holders(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(secret): PathParam<String>,
    QueryParams(Paged { filter, page }): QueryParams<Paged<HoldersQuery>>,
) -> Result<Json<HoldersResponse>, ApiError> {
    let mut errors = FieldErrors::default();
    if secret.chars().count() > MAX_NAME || secret.chars().any(char::is_control) {
        errors.add_as(
            Code::Unprocessable,
            "id",
            "expected at most 256 characters without control characters",
        );
    }
    errors.into_result()?;
    let ask = HoldersAsk { secret, outdated: filter.outdated == Some(true) };
    let found = api.store().holders(&caller, &ask, page).await?;
    Ok(Json(HoldersResponse {
        secrets: found.secrets.into_iter().map(named_secret_view).collect(),
        counts: counts_view(found.counts),
        at: found.at,
        items: found.items.into_iter().map(holder_view).collect(),
        next: found.next.map(|next| next.to_string()),
    }))
}

pub(crate) fn counts_view(counts: store::HolderCounts) -> HolderCountsView {
    HolderCountsView {
        current: counts.current,
        outdated: counts.outdated,
        without_end: counts.without_end,
        last_lifetime_end: counts.last_lifetime_end,
        lapsed: counts.lapsed,
        other_private: counts.other_private,
        incomplete: counts.incomplete,
    }
}

pub(crate) fn named_secret_view(secret: store::NamedSecret) -> NamedSecretView {
    let store::NamedSecret { id, name, env, scope, deleted } = secret;
    NamedSecretView { id, name, env, scope, deleted }
}

pub(crate) fn unusable_view(unusable: store::UnusableSecrets) -> UnusableSecretsView {
    let store::UnusableSecrets { count, secrets } = unusable;
    UnusableSecretsView { count, secrets: secrets.into_iter().map(named_secret_view).collect() }
}

pub(crate) fn holder_view(holder: store::Holder) -> HolderView {
    HolderView {
        boot: holder.boot,
        member: holder.member,
        at: holder.at,
        host: holder.host,
        state: holder.status,
        reports_end: holder.reports_end,
        lifetime_ends_at: holder.lifetime_ends_at,
        secret: holder.held.secret,
        env: holder.held.env,
        version: holder.held.version,
        current: holder.held.current,
    }
}
