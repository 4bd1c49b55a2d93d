//! `GET /v1/backup`: the byte store's records as they are, encrypted, as a stream. A stream that fails breaks off, so
//! that nobody takes it for a whole one.

use std::io;

use axum::extract::State;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::header;
use tracing::Instrument as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Authenticated;
use super::openapi::{AUTHENTICATED, error_responses};
use super::problem::ApiError;
use super::query::{NoParams, QueryParams};
use super::stream::BodySender;
use super::{Api, stream};
use crate::store::Backup;
use crate::wire::{Code, paths};

/// The route of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(backup))
}

error_responses! {
    BackingUp = [AUTHENTICATED, &[Code::StoreFull]];
}

/// A backup: all records, encrypted as they are
///
/// BufferedBody only with its trailer. To restore it, the record key is needed, and to unlock it a key slot's secret.
#[utoipa::path(get, path = paths::BACKUP, tag = "server", operation_id = "backup",
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream", description = "The backup."), BackingUp),
    security(("operator" = [])))]
async fn backup(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<impl IntoResponse, ApiError> {
    let backup = api.store().backup(&caller).await?;
    let (pieces, body) = stream::channel();
    tokio::spawn(pump(backup, pieces).in_current_span());
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], body))
}

async fn pump(mut backup: Backup, pieces: BodySender) {
    while let Some(piece) = backup.next().await {
        let piece = piece.map(Bytes::from).map_err(|error| {
            tracing::error!("a backup broke off: {error}");
            io::Error::other("the backup broke off")
        });
        let failed = piece.is_err();
        if pieces.give(piece).await.is_err() || failed {
            return;
        }
    }
}
