//! `GET /v1/backup`: the encrypted records of the byte store, as a stream.

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

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(backup))
}

error_responses! {
    BackupErrors = [AUTHENTICATED, &[Code::StoreFull]];
}

/// Take a backup
///
/// The backup has every record as it is stored, encrypted. It is complete only if it ends with its trailer. Restoring
/// needs the record key, and unlocking the restored store needs the secret of a key slot. For the operator.
#[utoipa::path(get, path = paths::BACKUP, tag = "server", operation_id = "backup",
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream", description = "The backup."), BackupErrors),
    security(("operator" = [])))]
async fn backup(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<impl IntoResponse, ApiError> {
    let backup = api.store().backup(&caller).await?;
    let (sender, body) = stream::channel();
    // A task, since the body is produced while hyper sends it. In the request's span, so that a failure is logged with its
    // id.
    tokio::spawn(send_backup(backup, sender).in_current_span());
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], body))
}

async fn send_backup(mut backup: Backup, sender: BodySender) {
    while let Some(chunk) = backup.next().await {
        let chunk = chunk.map(Bytes::from).map_err(|error| {
            // The cause goes to the log only: it may name files of this machine.
            tracing::error!("a backup failed: {error}");
            io::Error::other("the backup failed")
        });
        let failed = chunk.is_err();
        // The status was sent long ago. Cutting the body off is the only way left to say that it is not whole.
        if sender.send(chunk).await.is_err() || failed {
            return;
        }
    }
}
