//! Who looks at a page: the session of a request, judged before anything else of it is looked at. Somebody without one
//! is sent to the login page. A form is read only of a session's own pages.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::request::Parts;
use http::{Extensions, HeaderMap, Method, header};

use super::multipart::Form;
use super::{cookies, same_origin};
use crate::api::Api;
use crate::api::body::{SMALL_BODY, check_length, read_whole_body};
use crate::api::middleware::{OverTls, Peer, RequestId};
use crate::api::problem::ApiError;
use crate::domain::role::{Action, Role, decide};
use crate::store::{AuthError, Caller, SessionKey};
use crate::wire::Code;

/// Somebody with a session.
pub(crate) struct Visitor {
    pub(crate) caller: Caller,
    pub(crate) key: SessionKey,
    pub(crate) browser: Browser,
    pub(crate) locked: bool,
}

/// What is known of a browser without a session.
#[derive(Clone)]
pub(crate) struct Browser {
    /// Whether its cookies travel over TLS only.
    pub(crate) over_tls: bool,
    pub(crate) theme: &'static str,
    /// What its last action had to say.
    pub(crate) told: Option<String>,
    /// The page that it asks for, with its query.
    pub(crate) here: String,
}

impl Browser {
    pub(crate) fn of(parts: &Parts) -> Self {
        let here = parts.uri.path_and_query().map_or("", |here| here.as_str());
        Self {
            over_tls: over_tls(&parts.headers, &parts.extensions),
            theme: cookies::theme(&parts.headers),
            told: cookies::told(&parts.headers),
            here: if parts.method == Method::GET { here.to_owned() } else { String::new() },
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Browser {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(parts))
    }
}

/// A proxy that ends TLS says so; who says it without being one only has the browser send less.
fn over_tls(headers: &HeaderMap, extensions: &Extensions) -> bool {
    extensions.get::<OverTls>().is_some()
        || headers.get("x-forwarded-proto").is_some_and(|proto| proto.as_bytes() == b"https")
}

/// The request's id, for the audit trail.
pub(crate) fn request_id(extensions: &Extensions) -> String {
    extensions.get::<RequestId>().map(|RequestId(id)| id.clone()).unwrap_or_default()
}

impl Visitor {
    /// Whether this may be done, for what a page offers. The store decides again when it is done.
    pub(crate) fn may(&self, action: Action) -> bool {
        decide(self.caller.principal(), &action, self.caller.policy()).is_ok()
    }

    pub(crate) fn is_operator(&self) -> bool {
        self.caller.member().is_none()
    }

    pub(crate) fn is_admin(&self) -> bool {
        self.caller.role() == Some(Role::Admin)
    }

    async fn found(parts: &Parts, api: &Api) -> Result<Self, ApiError> {
        let browser = Browser::of(parts);
        let none = || ApiError::new(Code::Unauthorized, "nobody is logged in");
        let key = cookies::session(&parts.headers, browser.over_tls).ok_or_else(none)?;
        let source = Peer::from_extensions(&parts.extensions).address();
        let caller = api.store().session(&key, source).await.map_err(|error| match error {
            AuthError::Failure(failure) => ApiError::from(AuthError::Failure(failure)),
            _ => none(),
        })?;
        let caller = caller.with_request_id(&request_id(&parts.extensions));
        tracing::Span::current().record("actor", tracing::field::display(crate::api::auth::actor(&caller)));
        Ok(Self { caller, key, browser, locked: api.store().is_locked() })
    }
}

impl FromRequestParts<Api> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Response> {
        match Self::found(parts, api).await {
            Ok(visitor) => Ok(visitor),
            Err(refused) if refused.code() == Code::Unauthorized => Err(to_login(parts)),
            Err(refused) => Err(refused.into_response()),
        }
    }
}

/// After the login the browser comes back to where it wanted to go, if that was a page.
fn to_login(parts: &Parts) -> Response {
    let browser = Browser::of(parts);
    let mut response = if browser.here.is_empty() || browser.here == super::HOME {
        Redirect::to("/console/login").into_response()
    } else {
        let next = super::secret_row::query(&[("next", Some(browser.here.clone()))]);
        Redirect::to(&format!("/console/login{next}")).into_response()
    };
    cookies::forget_session(&mut response, browser.over_tls);
    response
}

/// A form of at most `LIMIT` bytes, sent from a page of the visitor's own session.
pub(crate) struct Posted<const LIMIT: usize = SMALL_BODY> {
    pub(crate) visitor: Visitor,
    pub(crate) form: Form,
}

impl<const LIMIT: usize> FromRequest<Api> for Posted<LIMIT> {
    type Rejection = Response;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        same_origin::is_ours(&parts).map_err(ApiError::into_response)?;
        let visitor = Visitor::from_request_parts(&mut parts, api).await?;
        let form = read_form(api, &parts, body, LIMIT).await.map_err(ApiError::into_response)?;
        if !form.text("form").is_some_and(|text| visitor.key.is_form_token(&text)) {
            let refused = ApiError::new(Code::Forbidden, "the form belongs to another session")
                .hint("load the page again and repeat what you did");
            return Err(refused.into_response());
        }
        Ok(Self { visitor, form })
    }
}

/// A form from a page of this console, without a session: the login.
pub(crate) struct Unsigned(pub(crate) Form);

impl FromRequest<Api> for Unsigned {
    type Rejection = Response;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        same_origin::is_ours(&parts).map_err(ApiError::into_response)?;
        read_form(api, &parts, body, SMALL_BODY).await.map(Self).map_err(ApiError::into_response)
    }
}

async fn read_form(api: &Api, parts: &Parts, body: axum::body::Body, limit: usize) -> Result<Form, ApiError> {
    check_length(&parts.headers, limit)?;
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let whole = read_whole_body(api, &parts.headers, body, limit).await?;
    Form::parse(kind, &whole.bytes)
}
