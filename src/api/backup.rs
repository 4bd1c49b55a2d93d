//! `GET /v1/backup`: the byte store's records as they are, encrypted, as a stream. A stream that fails breaks off, so
//! that nobody takes it for a whole one.

use std::io;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::body::HttpBody;
use axum::extract::State;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::header;
use tokio::sync::mpsc;
use tracing::Instrument as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Asked;
use super::openapi::ASKED;
use super::openapi::refusals;
use super::problem::Refused;
use super::query::NoParams;
use super::query::Params;
use crate::store::Backup;
use crate::wire::Code;
use crate::wire::paths;

/// The route of this file.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(backup))
}

/// Pieces made ahead of the network; each is at most some 2 MiB.
const AHEAD: usize = 2;
/// How long the network may take no piece before the backup is given up.
const STALLED: Duration = Duration::from_secs(60);

refusals! {
    BackingUp = [ASKED, &[Code::StoreFull]];
}

/// A backup: all records, encrypted as they are
///
/// Whole only with its trailer. To restore it, the record key is needed, and to unlock it a key slot's secret.
#[utoipa::path(get, path = paths::BACKUP, tag = "server", operation_id = "backup",
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream", description = "The backup."), BackingUp),
    security(("operator" = [])))]
async fn backup(
    State(api): State<Api>,
    Asked(caller): Asked,
    Params(NoParams): Params<NoParams>,
) -> Result<impl IntoResponse, Refused> {
    let backup = api.store().backup(&caller).await?;
    let (pieces, taken) = mpsc::channel(AHEAD);
    tokio::spawn(pump(backup, pieces).in_current_span());
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], Body::new(Streamed(taken))))
}

async fn pump(mut backup: Backup, pieces: mpsc::Sender<Result<Bytes, io::Error>>) {
    while let Some(piece) = backup.next().await {
        let piece = piece.map(Bytes::from).map_err(|error| {
            tracing::error!("a backup broke off: {error}");
            io::Error::other("the backup broke off")
        });
        let failed = piece.is_err();
        if pieces.send_timeout(piece, STALLED).await.is_err() || failed {
            return;
        }
    }
}

struct Streamed(mpsc::Receiver<Result<Bytes, io::Error>>);

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(hyper::body::Frame::data)))
    }
}
