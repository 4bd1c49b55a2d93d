//! What every page passes through: the headers that keep a page from running or loading anything but our own files, and
//! refusals turned from the API's form into a page.

use askama::Template;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, HeaderValue, header};
use http_body_util::BodyExt as _;

use super::cookies;
use super::layout::{Trouble, next_theme, show};
use super::session::Browser;
use crate::api::Api;
use crate::api::problem::MEDIA_TYPE;
use crate::wire::{Code, Problem};

/// Nothing but our own files, no script in a page, and no text that becomes one (Trusted Types).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// The headers of every answer of the console. `no-store` and `nosniff` all answers have.
pub(crate) const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    // With `no-referrer` browsers hide the origin of our own forms too.
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
];

/// The layer around all pages.
pub(crate) async fn dress(State(_): State<Api>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let browser = Browser::of(&parts);
    // A script that looks at a page on the way to it leaves what there is to say to that page.
    let kept = parts.headers.contains_key("x-keep-told");
    let live = parts.uri.path().starts_with("/console/live/");
    let mut response = next.run(Request::from_parts(parts, body)).await;
    let is_problem = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == MEDIA_TYPE);
    if is_problem && !live {
        response = as_page(&browser, response).await;
    }
    let is_page = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if browser.told.is_some() && is_page && !kept {
        cookies::said(&mut response);
    }
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A refusal without the page around it.
#[derive(Template)]
#[template(path = "error.html", config = "src/api/console/askama.toml")]
struct RefusedPage<'a> {
    theme: &'static str,
    next_theme: &'static str,
    here: &'a str,
    title: &'static str,
    trouble: Trouble,
}

async fn as_page(browser: &Browser, response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let read = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let Ok(problem) = serde_json::from_slice::<Problem>(&read) else {
        return Response::from_parts(parts, axum::body::Body::from(read));
    };
    let title = match problem.code {
        Code::NotFound => "Not found",
        Code::Forbidden => "Not allowed",
        Code::Internal | Code::Unavailable | Code::Overloaded => "The store could not",
        _ => "Not done",
    };
    let page = RefusedPage {
        theme: browser.theme,
        next_theme: next_theme(browser.theme),
        here: &browser.here,
        title,
        trouble: Trouble::of(&problem),
    };
    let shown = show(parts.status, &page);
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::CONTENT_TYPE);
    let (shown, body) = shown.into_parts();
    parts.headers.extend(shown.headers);
    Response::from_parts(parts, body).into_response()
}
