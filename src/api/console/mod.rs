//! The console: the store in a browser, on the API's own listeners, below `/console/`. Pages are forms and links that
//! work without a script; the scripts only save round trips. Decides nothing itself: a handler makes of a form what the
//! API makes of a body and asks the same functions. Never puts a value into a page or an address, not even back into
//! the form that it came by.

mod account;
mod assets;
mod attributes;
mod audit;
mod boots;
mod cookies;
mod deposit;
mod import;
mod layout;
mod login;
mod members;
mod multipart;
mod name_check;
mod plugins;
mod preset;
mod redirect;
mod same_origin;
mod secret;
mod secret_row;
mod secrets;
mod security_headers;
mod session;
mod status;
mod tickets;
mod tokens;

use axum::response::{IntoResponse, Redirect};
use axum::routing::{get, post};
use axum::{Router, middleware};

use super::Api;
use super::problem::ApiError;
use crate::wire::Code;

/// Where the console begins.
const HOME: &str = "/console/";

/// The routes of this folder.
pub(crate) fn routes(api: &Api) -> Router<Api> {
    let pages = Router::new()
        .route("/console", get(home))
        .route(HOME, get(account::home))
        .route("/console/login", get(login::page).post(login::log_in))
        .route("/console/logout", post(account::log_out))
        .route("/console/logout-everywhere", post(account::log_out_everywhere))
        .route("/console/theme", post(account::theme))
        .route("/console/secrets", get(secrets::page).post(deposit::create))
        .route("/console/secrets/new", get(deposit::page))
        .route("/console/secrets/preset", get(preset::page).post(preset::create))
        .route("/console/secrets/{id}", get(secret::page))
        .route("/console/secrets/{id}/replace", post(secret::replace))
        .route("/console/secrets/{id}/edit", post(secret::edit))
        .route("/console/secrets/{id}/install", post(secret::install))
        .route("/console/secrets/{id}/re-encrypt", post(secret::re_encrypt))
        .route("/console/secrets/{id}/delete", post(secret::delete))
        .route("/console/live/name", get(name_check::name))
        .route("/console/import", get(import::page).post(import::run))
        .route("/console/plugins", get(plugins::page).post(plugins::declare))
        .route("/console/plugins/enable", post(plugins::enable))
        .route("/console/plugins/remove", post(plugins::remove))
        .route("/console/plugins/fill", post(plugins::fill))
        .route("/console/boots", get(boots::page))
        .route("/console/boots/{id}", get(boots::one))
        .route("/console/tickets", get(tickets::page).post(tickets::create))
        .route("/console/tickets/{id}/revoke", post(tickets::revoke))
        .route("/console/members", get(members::page).post(members::add))
        .route("/console/members/{name}/role", post(members::role))
        .route("/console/members/{name}/remove", post(members::remove))
        .route("/console/tokens", post(tokens::create))
        .route("/console/tokens/{id}/revoke", post(tokens::revoke))
        .route("/console/audit", get(audit::page))
        .route("/console/audit/export", get(audit::export))
        .route("/console/audit/verify", post(audit::verify))
        .route("/console/status", get(status::page))
        .route("/console/status/unlock", post(status::unlock))
        .route("/console/status/lock", post(status::lock))
        .route("/console/status/re-encrypt", post(status::re_encrypt))
        .route("/console/status/keyslots", post(status::add_keyslot))
        .route("/console/status/keyslots/{id}/remove", post(status::remove_keyslot))
        .route("/console/status/orgs", post(status::create_org))
        .route("/console/{*rest}", get(nothing).post(nothing))
        .layer(middleware::from_fn_with_state(api.clone(), security_headers::dress));
    Router::new().route("/", get(home)).route("/console/assets/{name}", get(assets::asset)).merge(pages)
}

async fn home() -> Redirect {
    Redirect::to(HOME)
}

async fn nothing() -> impl IntoResponse {
    ApiError::new(Code::NotFound, "there is no such page").hint("the navigation lists the pages")
}
