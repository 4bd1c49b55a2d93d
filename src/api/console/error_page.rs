//! The layer around all pages: turns problems of the API (RFC 9457) into pages, deletes the flash message that a page
//! has displayed, and adds the security headers.

use askama::Template;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::header;
use http_body_util::BodyExt as _;

use super::cookies;
use super::layout::{ErrorNotice, next_theme, render};
use super::security_headers::add_security_headers;
use super::session::Browser;
use crate::api::problem::MEDIA_TYPE;
use crate::wire::{Code, Problem};

/// Finishes the response to a request for a page or a form.
pub(crate) async fn finish_response(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let browser = Browser::new(&parts);
    // `panel.js` fetches a page to find out where it leads. The message is for the page that is loaded after it.
    let keep_flash = parts.headers.contains_key("x-keep-flash");
    // The scripts read these as JSON, as the API writes them.
    let is_for_script = parts.uri.path().starts_with("/console/live/");
    let mut response = next.run(Request::from_parts(parts, body)).await;
    let starts_with = |response: &Response, kind: &str| {
        let found = response.headers().get(header::CONTENT_TYPE);
        found.is_some_and(|found| found.as_bytes().starts_with(kind.as_bytes()))
    };
    if starts_with(&response, MEDIA_TYPE) && !is_for_script {
        response = render_problem(&browser, response).await;
    }
    // A redirect displays nothing: the message stays for the page behind it.
    if browser.flash.is_some() && starts_with(&response, "text/html") && !keep_flash {
        cookies::clear_flash(&mut response);
    }
    add_security_headers(response.headers_mut());
    response
}

/// An error outside a form. It has no navigation, because nobody may be logged in.
#[derive(Template)]
#[template(path = "error.html", config = "src/api/console/askama.toml")]
struct ErrorPage<'a> {
    theme: &'static str,
    next_theme: &'static str,
    here: &'a str,
    title: &'static str,
    error: ErrorNotice,
}

/// Renders a problem as a page. A body that is no problem after all is passed on unchanged.
async fn render_problem(browser: &Browser, response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    // The body is this server's own, and small.
    let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let Ok(problem) = serde_json::from_slice::<Problem>(&bytes) else {
        return Response::from_parts(parts, Body::from(bytes));
    };
    // By code, not by status: several codes share one, and a title must fit the detail below it.
    let title = match problem.code {
        Code::NotFound => "Not found",
        Code::Forbidden => "Access denied",
        Code::Internal | Code::Corrupt | Code::Unavailable | Code::Overloaded => "Server error",
        _ => "Request failed",
    };
    let page = ErrorPage {
        theme: browser.theme,
        next_theme: next_theme(browser.theme),
        here: &browser.here,
        title,
        error: ErrorNotice::new(&problem),
    };
    let (page, body) = render(parts.status, &page).into_parts();
    // The other headers of the problem stay, among them `Retry-After` and the request's id. These two describe its body.
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::CONTENT_TYPE);
    parts.headers.extend(page.headers);
    Response::from_parts(parts, body)
}
