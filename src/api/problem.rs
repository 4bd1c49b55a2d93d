//! What a refused request is answered with: `application/problem+json` (RFC 9457), from the store's errors by their
//! code. Never holds a value, a parser's message, or a word of another organization.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::store::{AuthError, BackupError, BootError, Coded, Error, UnlockError};
use crate::wire::{Code, FieldFault, Problem};

/// The media type of problems.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// When to come back where the failure itself does not say.
const PAUSE: Duration = Duration::from_secs(1);
/// A locked store waits for a person.
const PAUSE_LOCKED: Duration = Duration::from_secs(5);

/// A request that was not done, and why.
#[derive(Debug)]
pub struct ApiError(Box<ApiErrorInner>);

#[derive(Debug)]
struct ApiErrorInner {
    problem: Problem,
    retry_after: Option<Duration>,
    allow: Option<HeaderValue>,
}

impl ApiError {
    /// For `code`, with its particulars in our own words.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let retry_after = match code {
            Code::Locked => Some(PAUSE_LOCKED),
            Code::Overloaded | Code::Unavailable | Code::RateLimited => Some(PAUSE),
            _ => None,
        };
        Self(Box::new(ApiErrorInner { problem: Problem::new(code, detail), retry_after, allow: None }))
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.problem.hint = Some(hint.into());
        self
    }

    /// With when to try again.
    #[must_use]
    pub fn retry_after(mut self, pause: Duration) -> Self {
        self.0.retry_after = Some(pause);
        self
    }

    /// With the methods that the path has.
    #[must_use]
    pub fn allow(mut self, methods: Option<HeaderValue>) -> Self {
        self.0.allow = methods;
        self
    }

    /// What it says.
    pub fn problem(&self) -> &Problem {
        &self.0.problem
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.0.problem.code
    }

    fn of<E: Coded>(error: &E) -> Self {
        let code = match error.code() {
            Code::Corrupt | Code::AlreadyInitialised | Code::Unknown => Code::Internal,
            code => code,
        };
        // What is our defect or the disk's is for the log; the caller can do nothing with it.
        let mut refused = if code == Code::Internal {
            tracing::error!(code = error.code().as_str(), "a request failed: {error}");
            Self::new(code, "the request could not be done; the server's log says more")
        } else {
            Self::new(code, error.to_string())
        };
        if let Some(hint) = error.hint() {
            refused = refused.hint(hint);
        }
        if let Some(pause) = error.retry_after() {
            refused = refused.retry_after(pause);
        }
        refused
    }

    /// What could be read and cannot be done is told from what could not be read.
    fn unprocessable(mut self, field: &str, message: &str) -> Self {
        let fault = FieldFault { field: field.to_owned(), message: message.to_owned() };
        let hint = self.0.problem.hint.take();
        self.0.problem = Problem::new(Code::Unprocessable, &*self.0.problem.detail).faults(vec![fault]);
        self.0.problem.hint = hint;
        self
    }
}

macro_rules! by_code {
    ($($Error:ty)+) => { $(
        impl From<$Error> for ApiError {
            fn from(error: $Error) -> Self {
                Self::of(&error)
            }
        }
    )+ };
}

by_code! { AuthError BackupError }

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let refused = Self::of(&error);
        match &error {
            Error::Invalid { field, why } => refused.unprocessable(field, why),
            _ => refused,
        }
    }
}

impl From<UnlockError> for ApiError {
    fn from(error: UnlockError) -> Self {
        let refused = Self::of(&error);
        match &error {
            UnlockError::NotAKeyFile => refused.unprocessable("key_file", "is not the text of a key file"),
            _ => refused,
        }
    }
}

impl From<BootError> for ApiError {
    fn from(error: BootError) -> Self {
        let refused = Self::of(&error);
        match &error {
            BootError::Invalid { field, why } => refused.unprocessable(field, why),
            _ => refused,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let ApiErrorInner { problem, retry_after, allow } = *self.0;
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let code = problem.code;
        // A problem is made of texts and numbers only: nothing in it can fail to serialize.
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response();
        let headers = response.headers_mut();
        if let Some(pause) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds(pause)));
        }
        if let Some(allow) = allow {
            headers.insert(header::ALLOW, allow);
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"dropsafe\""));
        }
        response.extensions_mut().insert(code);
        response
    }
}

/// Every fault of one request, gathered before it is refused.
#[derive(Debug, Default)]
pub struct FieldErrors {
    code: Option<Code>,
    errors: Vec<FieldFault>,
    hint: Option<&'static str>,
}

impl FieldErrors {
    /// The value of `read`, or a fault of `field` in the words of the error, whose type promises not to quote.
    pub fn check<T, E: std::fmt::Display>(&mut self, field: &str, read: Result<T, E>) -> Option<T> {
        self.check_as(Code::InvalidRequest, field, read)
    }

    /// As [`Self::check`]; a fault gives the request this code when it is the first.
    pub fn check_as<T, E: std::fmt::Display>(
        &mut self,
        code: Code,
        field: &str,
        read: Result<T, E>,
    ) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(error) => {
                self.add_as(code, field, error.to_string());
                None
            }
        }
    }

    /// A fault of `field`.
    pub fn add(&mut self, field: &str, message: impl Into<String>) {
        self.add_as(Code::InvalidRequest, field, message);
    }

    /// A fault of `field`, with the code it gives the request when it is the first.
    pub fn add_as(&mut self, code: Code, field: &str, message: impl Into<String>) {
        self.code.get_or_insert(code);
        self.errors.push(FieldFault { field: field.to_owned(), message: message.into() });
    }

    /// What to do about them; the first one said is kept.
    pub fn hint(&mut self, hint: Option<&'static str>) {
        self.hint = self.hint.or(hint);
    }

    /// The refusal when there is a fault.
    pub fn into_result(self) -> Result<(), ApiError> {
        let Some(code) = self.code else { return Ok(()) };
        let detail = match self.errors.as_slice() {
            [only] => format!("{}: {}", only.field, only.message),
            several => format!("{} errors", several.len()),
        };
        let mut refused = ApiError::new(code, detail);
        refused.0.problem.errors = self.errors;
        refused.0.problem.hint = self.hint.map(str::to_owned);
        Err(refused)
    }
}

fn seconds(pause: Duration) -> u64 {
    pause.as_secs() + u64::from(pause.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_problem_with_the_status_of_its_code() {
        for code in Code::ALL {
            let response = ApiError::new(*code, "x").into_response();
            assert_eq!(response.status().as_u16(), code.status());
            assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
            let waits = [429, 503].contains(&code.status());
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), waits, "{code:?}");
            assert_eq!(response.headers().contains_key(header::WWW_AUTHENTICATE), code.status() == 401);
        }
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let mut errors = FieldErrors::default();
        assert_eq!(errors.check("limit", "12".parse::<u8>()), Some(12));
        errors.add_as(Code::NameInvalid, "name", "is empty");
        errors.add("limit", "is too large");
        let refused = errors.into_result().unwrap_err();
        assert_eq!(refused.code(), Code::NameInvalid);
        assert_eq!(refused.0.problem.errors.len(), 2);
    }

    #[test]
    fn a_pause_is_rounded_up_to_seconds() {
        assert_eq!(seconds(Duration::from_millis(1)), 1);
        assert_eq!(seconds(Duration::from_secs(5)), 5);
    }
}
