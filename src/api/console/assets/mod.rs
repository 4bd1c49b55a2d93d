//! The console's own style sheet, scripts and pictures, from inside the program.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::security_headers::HEADERS;
use crate::api::problem::ApiError;
use crate::domain::digest::Digest;
use crate::wire::Code;

/// Name, media type and content of each.
const ASSETS: &[(&str, &str, &str)] = &[
    ("console.css", "text/css; charset=utf-8", include_str!("console.css")),
    ("console.js", "text/javascript; charset=utf-8", include_str!("console.js")),
    ("panel.js", "text/javascript; charset=utf-8", include_str!("panel.js")),
    ("live.js", "text/javascript; charset=utf-8", include_str!("live.js")),
    ("deposit.js", "text/javascript; charset=utf-8", include_str!("deposit.js")),
    ("fetch.js", "text/javascript; charset=utf-8", include_str!("fetch.js")),
    ("icon.svg", "image/svg+xml", include_str!("icon.svg")),
];

/// One of them. Nothing in it is anybody's, so no session is asked for.
pub(crate) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some((_, kind, text)) = ASSETS.iter().find(|(known, ..)| *known == name) else {
        return ApiError::new(Code::NotFound, "there is no such file").into_response();
    };
    let tag = format!("\"{}\"", &Digest::of_parts([text.as_bytes()].into_iter()).to_string()[..16]);
    let fresh = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = if fresh {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, *kind)], *text).into_response()
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    // Asked for again each time, and answered in a line while it is the same.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}
