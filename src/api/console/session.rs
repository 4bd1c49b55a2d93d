//! The session of a request, and forms that were sent from a page of that session. A session is checked before anything
//! else of a request is read. A browser without one is sent to the login page.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::request::Parts;
use http::{Extensions, HeaderMap, Method, header};

use super::display::encode_query;
use super::multipart::MultipartForm;
use super::same_origin::require_same_origin;
use super::{HOME, cookies};
use crate::api::Api;
use crate::api::auth::accept_caller;
use crate::api::body::{SMALL_BODY, STRANGER_BODY, check_length, read_whole_body};
use crate::api::problem::ApiError;
use crate::api::request_marks::{OverTls, Peer, RequestId};
use crate::domain::role::{Action, Role, decide};
use crate::store::{AuthError, Caller, SessionKey, Store};
use crate::wire::Code;

/// What a page responds with. A problem becomes a page in `error_page`.
pub(crate) type PageResult = Result<Response, ApiError>;

/// A browser that is logged in, and the server that it is logged in to.
pub(crate) struct BrowserSession {
    pub(crate) api: Api,
    pub(crate) caller: Caller,
    pub(crate) key: SessionKey,
    pub(crate) browser: Browser,
    /// Whether the store was locked when the request came in.
    pub(crate) locked: bool,
}

/// What is known of a browser, with or without a session.
#[derive(Clone)]
pub(crate) struct Browser {
    /// Whether its connection, or the one to the proxy in front, uses TLS.
    pub(crate) over_tls: bool,
    pub(crate) theme: &'static str,
    /// The message that its last action left.
    pub(crate) flash: Option<String>,
    /// The address of the page that it loads, with the query; empty for a form.
    pub(crate) here: String,
}

impl Browser {
    /// Reads the headers of a request.
    pub(crate) fn new(parts: &Parts) -> Self {
        let here = parts.uri.path_and_query().map_or("", |here| here.as_str());
        Self {
            over_tls: is_over_tls(&parts.headers, &parts.extensions),
            theme: cookies::read_theme(&parts.headers),
            flash: cookies::read_flash(&parts.headers),
            // The address of a form cannot be loaded with GET, so nothing may lead back to it.
            here: if parts.method == Method::GET { here.to_owned() } else { String::new() },
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Browser {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::new(parts))
    }
}

/// Returns whether the browser reached this server, or the proxy in front of it, over TLS.
fn is_over_tls(headers: &HeaderMap, extensions: &Extensions) -> bool {
    // Anybody can send this header. A forged one only makes cookies stricter: the browser then withholds them.
    extensions.get::<OverTls>().is_some()
        || headers.get("x-forwarded-proto").is_some_and(|proto| proto.as_bytes() == b"https")
}

/// Returns the request's id, for the audit log.
pub(crate) fn request_id(extensions: &Extensions) -> String {
    extensions.get::<RequestId>().map(|RequestId(id)| id.clone()).unwrap_or_default()
}

impl BrowserSession {
    /// Returns the store.
    pub(crate) fn store(&self) -> &Store {
        self.api.store()
    }

    /// Returns whether the member may do this, to decide what a page offers. The store decides again when it is done.
    pub(crate) fn may(&self, action: Action) -> bool {
        decide(self.caller.principal(), &action, self.caller.policy()).is_ok()
    }

    /// Returns whether the store's operator is logged in, who belongs to no organization.
    pub(crate) fn is_operator(&self) -> bool {
        self.caller.member().is_none()
    }

    /// Returns whether an administrator of an organization is logged in.
    pub(crate) fn is_admin(&self) -> bool {
        self.caller.role() == Some(Role::Admin)
    }

    /// Looks up the session of the request's cookie.
    async fn authenticate(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let browser = Browser::new(parts);
        let logged_out = || ApiError::new(Code::Unauthorized, "nobody is logged in");
        let key = cookies::read_session(&parts.headers, browser.over_tls).ok_or_else(logged_out)?;
        let source = Peer::from_extensions(&parts.extensions).address();
        let caller = api.store().session(&key, source).await.map_err(|error| match error {
            // A store that cannot answer must not log everybody out.
            AuthError::Failure(failure) => ApiError::from(AuthError::Failure(failure)),
            _ => logged_out(),
        })?;
        let caller = caller.with_request_id(&request_id(&parts.extensions));
        accept_caller(api, &caller, parts)?;
        Ok(Self { api: api.clone(), caller, key, browser, locked: api.store().is_locked() })
    }
}

impl FromRequestParts<Api> for BrowserSession {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Response> {
        match Self::authenticate(parts, api).await {
            Ok(session) => Ok(session),
            Err(error) if error.code() == Code::Unauthorized => Err(redirect_to_login(parts)),
            Err(error) => Err(error.into_response()),
        }
    }
}

/// Redirects to the login page, which leads back to the requested page.
fn redirect_to_login(parts: &Parts) -> Response {
    let browser = Browser::new(parts);
    let wanted = Some(browser.here.clone()).filter(|here| !here.is_empty() && here != HOME);
    let next = encode_query(&[("next", wanted)]);
    let mut response = Redirect::to(&format!("/console/login{next}")).into_response();
    // The cookie is invalid by now. Without it, the next request need not look the session up again.
    cookies::clear_session(&mut response, browser.over_tls);
    response
}

/// A form of at most `LIMIT` bytes whose CSRF token belongs to the session that sent it.
pub(crate) struct CsrfForm<const LIMIT: usize = SMALL_BODY> {
    pub(crate) session: BrowserSession,
    pub(crate) form: MultipartForm,
}

impl<const LIMIT: usize> FromRequest<Api> for CsrfForm<LIMIT> {
    type Rejection = Response;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        // The order matters: a body is read only of a request that this console's pages sent within a session.
        require_same_origin(&parts).map_err(ApiError::into_response)?;
        let session = BrowserSession::from_request_parts(&mut parts, api).await?;
        let form = read_form(api, &parts, body, LIMIT).await.map_err(ApiError::into_response)?;
        if !form.text("csrf_token").is_some_and(|text| session.key.is_form_token(&text)) {
            let error = ApiError::new(Code::Forbidden, "the form belongs to another session")
                .hint("reload the page and try again");
            return Err(error.into_response());
        }
        Ok(Self { session, form })
    }
}

/// A form from a page of this console that needs no session: the login and the theme.
pub(crate) struct SameOriginForm(pub(crate) MultipartForm);

impl FromRequest<Api> for SameOriginForm {
    type Rejection = Response;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        // Without a session there is no CSRF token, so this check alone keeps another site from logging its visitor
        // into the attacker's account (login CSRF).
        require_same_origin(&parts).map_err(ApiError::into_response)?;
        read_form(api, &parts, body, STRANGER_BODY).await.map(Self).map_err(ApiError::into_response)
    }
}

/// Reads and parses the body of a form.
async fn read_form(
    api: &Api,
    parts: &Parts,
    body: axum::body::Body,
    limit: usize,
) -> Result<MultipartForm, ApiError> {
    // The declared length is checked first: a body that is too long is refused before any of it is read.
    check_length(&parts.headers, limit)?;
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let whole = read_whole_body(api, parts, body, limit).await?;
    MultipartForm::parse(kind, &whole.bytes)
}
