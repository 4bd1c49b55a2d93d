//! The console's style sheet, scripts and icon, compiled into the program.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::security_headers::add_security_headers;
use crate::api::problem::ApiError;
use crate::domain::digest::Digest;
use crate::wire::Code;

/// Name, media type and content of each file.
const ASSETS: &[(&str, &str, &str)] = &[
    ("console.css", "text/css; charset=utf-8", include_str!("console.css")),
    ("console.js", "text/javascript; charset=utf-8", include_str!("console.js")),
    ("panel.js", "text/javascript; charset=utf-8", include_str!("panel.js")),
    ("live.js", "text/javascript; charset=utf-8", include_str!("live.js")),
    ("deposit.js", "text/javascript; charset=utf-8", include_str!("deposit.js")),
    ("fetch.js", "text/javascript; charset=utf-8", include_str!("fetch.js")),
    ("icon.svg", "image/svg+xml", include_str!("icon.svg")),
];

/// Serves a file. It needs no session, because the login page uses the files and they contain nobody's data.
pub(crate) async fn serve_asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some((_, kind, text)) = ASSETS.iter().find(|(known, ..)| *known == name) else {
        return ApiError::new(Code::NotFound, "this file does not exist").into_response();
    };
    // A digest of the content, so that two servers of different versions never agree on a stale copy.
    let tag = format!("\"{}\"", &Digest::of_parts([text.as_bytes()].into_iter()).to_string()[..16]);
    // One tag only: browsers never send a list of the tags that they got from here.
    let fresh = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = if fresh {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, *kind)], *text).into_response()
    };
    add_security_headers(response.headers_mut());
    // The names do not change with a release, so a browser must revalidate: an old script on a new page would break it.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}
