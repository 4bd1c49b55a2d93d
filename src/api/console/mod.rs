//! The console: the store in a browser, on the API's own listeners, below `/console/`. Pages are forms and links that
//! work without a script; the scripts only save round trips. Decides nothing itself: a handler converts a form to what
//! the API makes of a request body, and calls the same functions. Never writes a value into a page or an address, not
//! even back into the form that it came from.

mod account;
mod accounts;
mod assets;
mod audit;
mod boots;
mod cookies;
mod credential_form;
mod deposit;
mod display;
mod enroll;
mod error_page;
mod form_options;
mod identities;
mod import;
mod launchers;
mod layout;
mod login;
mod members;
mod multipart;
mod name_check;
mod operator_sections;
mod plugins;
mod preset;
mod redirect;
mod same_origin;
mod secret;
mod secret_form;
mod secret_row;
mod secrets;
mod security_headers;
mod session;
mod settings;
mod sign_in;
mod status;
mod tickets;
mod tokens;

use axum::response::Redirect;
use axum::routing::{get, post};
use axum::{Router, middleware};

use super::Api;
use super::problem::ApiError;
use crate::wire::Code;

/// The address that every login and every "home" link leads to.
const HOME: &str = "/console/";
/// The form that verifies the audit log, which may take longer than other requests.
pub(crate) const AUDIT_VERIFY: &str = "/console/audit/verify";
/// The export of the audit log.
pub(crate) const AUDIT_EXPORT: &str = "/console/audit/export";
/// The form that unlocks the store.
pub(crate) const UNLOCK: &str = "/console/status/unlock";
/// The form that adds a key slot.
pub(crate) const ADD_KEYSLOT: &str = "/console/status/keyslots";

/// The routes of this folder.
pub(crate) fn routes() -> Router<Api> {
    let pages = Router::new()
        .route("/console", get(redirect_home))
        .route(HOME, get(account::home))
        .route("/console/login", get(login::show_login).post(login::log_in))
        .route("/console/enroll", get(enroll::show_enrolment).post(enroll::redeem))
        .route("/console/logout", post(account::log_out))
        .route("/console/logout-everywhere", post(account::log_out_everywhere))
        .route("/console/theme", post(account::set_theme))
        .route("/console/secrets", get(secrets::show_secrets).post(deposit::create))
        .route("/console/secrets/new", get(deposit::show_form))
        .route("/console/secrets/preset", get(preset::show_form).post(preset::create))
        .route("/console/secrets/{id}", get(secret::show_secret))
        .route("/console/secrets/{id}/replace", post(secret::replace))
        .route("/console/secrets/{id}/edit", post(secret::edit))
        .route("/console/secrets/{id}/install", post(secret::set_auto_install))
        .route("/console/secrets/{id}/re-encrypt", post(secret::re_encrypt))
        .route("/console/secrets/{id}/delete", post(secret::delete))
        .route("/console/live/name", get(name_check::check_name))
        .route("/console/import", get(import::show_form).post(import::run))
        .route("/console/plugins", get(plugins::show_plugins).post(plugins::declare))
        // The plugin's name is in the form, because names such as `@acme/mail` contain a slash.
        .route("/console/plugins/enable", post(plugins::set_enabled))
        .route("/console/plugins/remove", post(plugins::remove))
        .route("/console/plugins/fill", post(plugins::deposit_required))
        .route("/console/boots", get(boots::show_boots))
        .route("/console/boots/{id}", get(boots::show_boot))
        .route("/console/boots/{id}/end", post(boots::end))
        .route("/console/tickets", get(tickets::show_tickets).post(tickets::create))
        .route("/console/tickets/{id}/revoke", post(tickets::revoke))
        .merge(identities::routes())
        .merge(launchers::routes())
        .route("/console/members", get(members::show_members).post(members::add))
        .route("/console/members/{name}/enrolment", post(members::enroll))
        .route("/console/members/{name}/managers", post(members::add_manager))
        .route("/console/members/{name}/managers/remove", post(members::remove_manager))
        .route("/console/members/{name}/role", post(members::set_role))
        .route("/console/members/{name}/remove", post(members::remove))
        .merge(tokens::routes())
        .route("/console/audit", get(audit::show_audit_log))
        .route(AUDIT_EXPORT, get(audit::export))
        .route(AUDIT_VERIFY, post(audit::verify))
        .merge(settings::routes())
        .merge(accounts::routes())
        .route("/console/status", get(status::show_status))
        .route(UNLOCK, post(status::unlock))
        .route("/console/status/lock", post(status::lock))
        .route("/console/status/re-encrypt", post(status::re_encrypt))
        .route(ADD_KEYSLOT, post(status::add_keyslot))
        .route("/console/status/keyslots/{id}/remove", post(status::remove_keyslot))
        .route("/console/status/orgs", post(status::create_org))
        // Inside the layer, unlike the router's own fallback: an unknown address gets a page, not a problem in JSON.
        .route("/console/{*rest}", get(not_found).post(not_found))
        .layer(middleware::from_fn(error_page::finish_response));
    // Assets stay outside: the layer reads cookies and rewrites problems, and neither concerns a file.
    Router::new()
        .route("/", get(redirect_home))
        .route("/console/assets/{name}", get(assets::serve_asset))
        .merge(pages)
}

/// Redirects the addresses that people type: `/` and `/console`.
async fn redirect_home() -> Redirect {
    Redirect::to(HOME)
}

async fn not_found() -> ApiError {
    ApiError::new(Code::NotFound, "this page does not exist").hint("open the console and use its navigation")
}
