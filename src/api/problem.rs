//! Error responses: `application/problem+json` (RFC 9457), from the store's errors by their code. Never holds a value, a
//! parser's message, or a word of another organization.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::domain::name::NameError;
use crate::store::{
    AuthError, BackupError, BootError, Coded, EnrolmentError, Error, SignInError, UnlockError,
};
use crate::wire::{Code, FieldFault, Problem};

/// The media type of problems.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// `Retry-After` of an error that has none of its own.
const PAUSE: Duration = Duration::from_secs(1);
/// A locked store waits for a person.
const PAUSE_LOCKED: Duration = Duration::from_secs(5);

/// Why a request failed, and the headers of the response.
#[derive(Debug)]
pub(crate) struct ApiError(Box<ApiErrorInner>);

#[derive(Debug)]
struct ApiErrorInner {
    problem: Problem,
    retry_after: Option<Duration>,
}

impl ApiError {
    /// Creates an error with `code`. The text of `detail` must not come from the request.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        // Every 429 and 503 has it, since agents and proxies pace their retries by it.
        let retry_after = match code {
            Code::Locked => Some(PAUSE_LOCKED),
            Code::Overloaded | Code::Unavailable | Code::RateLimited => Some(PAUSE),
            _ => None,
        };
        Self(Box::new(ApiErrorInner { problem: Problem::new(code, detail), retry_after }))
    }

    /// Creates the error for a defect. The caller has logged the cause.
    pub(crate) fn internal() -> Self {
        Self::new(Code::Internal, "the request failed; the server's log has the details")
    }

    /// Creates the error for a body without a field whose absence was already reported.
    pub(crate) fn incomplete() -> Self {
        Self::new(Code::InvalidRequest, "the body is incomplete")
    }

    /// Adds what the caller can do about it.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.problem.hint = Some(hint.into());
        self
    }

    /// Sets `Retry-After`.
    #[must_use]
    pub(crate) fn retry_after(mut self, pause: Duration) -> Self {
        self.0.retry_after = Some(pause);
        self
    }

    /// The body of the response.
    pub(crate) fn problem(&self) -> &Problem {
        &self.0.problem
    }

    pub(crate) fn code(&self) -> Code {
        self.0.problem.code
    }

    fn from_store<E: Coded>(error: &E) -> Self {
        let code = match error.code() {
            // These describe a defect. A caller cannot act on them.
            Code::AlreadyInitialised | Code::Unknown => Code::Internal,
            code => code,
        };
        if matches!(code, Code::Internal | Code::Corrupt) {
            tracing::error!(code = error.code().as_str(), "a request failed: {error}");
        }
        // The caller can do nothing about a defect, and its text may name files of this machine.
        let mut problem = match code {
            Code::Internal => Self::internal(),
            code => Self::new(code, error.to_string()),
        };
        if let Some(hint) = error.hint() {
            problem = problem.hint(hint);
        }
        if let Some(pause) = error.retry_after() {
            problem = problem.retry_after(pause);
        }
        problem
    }

    /// Turns the error into `unprocessable`, with one fault of `field`: the request could be read, but not executed.
    fn unprocessable(mut self, field: &str, message: &str) -> Self {
        let fault = FieldFault { field: field.to_owned(), message: message.to_owned() };
        // The new problem starts without the hint of the old one.
        let hint = self.0.problem.hint.take();
        self.0.problem = Problem::new(Code::Unprocessable, &*self.0.problem.detail).faults(vec![fault]);
        self.0.problem.hint = hint;
        self
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        Self::from_store(&error)
    }
}

impl From<EnrolmentError> for ApiError {
    fn from(error: EnrolmentError) -> Self {
        Self::from_store(&error)
    }
}

impl From<SignInError> for ApiError {
    fn from(error: SignInError) -> Self {
        Self::from_store(&error)
    }
}

impl From<BackupError> for ApiError {
    fn from(error: BackupError) -> Self {
        Self::from_store(&error)
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let problem = Self::from_store(&error);
        match &error {
            Error::Invalid { field, why } => problem.unprocessable(field, why),
            _ => problem,
        }
    }
}

impl From<UnlockError> for ApiError {
    fn from(error: UnlockError) -> Self {
        let problem = Self::from_store(&error);
        match &error {
            UnlockError::NotAKeyFile => problem.unprocessable("key_file", "is not the text of a key file"),
            _ => problem,
        }
    }
}

impl From<BootError> for ApiError {
    fn from(error: BootError) -> Self {
        let problem = Self::from_store(&error);
        match &error {
            BootError::Invalid { field, why } => problem.unprocessable(field, why),
            _ => problem,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let ApiErrorInner { problem, retry_after } = *self.0;
        // Every code has a valid status.
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let code = problem.code;
        // A problem is made of texts and numbers, so serializing it cannot fail.
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response();
        let headers = response.headers_mut();
        if let Some(pause) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(pause)));
        }
        // RFC 9110 section 11.6.1 requires a challenge in every 401.
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"dropsafe\""));
        }
        // The middleware logs the code, and must not parse the body for it.
        response.extensions_mut().insert(code);
        response
    }
}

/// The maximum number of faults that a response lists.
const MAX_FAULTS: usize = 100;

/// The faults of one request, which are reported at once.
#[derive(Debug, Default)]
pub(crate) struct FieldErrors {
    code: Option<Code>,
    faults: Vec<FieldFault>,
    hint: Option<&'static str>,
}

impl FieldErrors {
    /// Returns the value, or adds a fault of `field` with the error's text. The error must not quote its input.
    pub(crate) fn check<T, E: Display>(&mut self, field: &str, parsed: Result<T, E>) -> Option<T> {
        self.check_as(Code::InvalidRequest, field, parsed)
    }

    /// As [`Self::check`]. The first fault gives the response its code.
    pub(crate) fn check_as<T, E: Display>(
        &mut self,
        code: Code,
        field: &str,
        parsed: Result<T, E>,
    ) -> Option<T> {
        parsed.map_err(|error| self.add_as(code, field, error.to_string())).ok()
    }

    /// Parses a name of any kind, with its hint.
    pub(crate) fn check_name<T: FromStr<Err = NameError>>(&mut self, field: &str, text: &str) -> Option<T> {
        let parsed = text.parse::<T>();
        if let Err(error) = &parsed {
            self.hint(error.hint());
        }
        self.check_as(Code::NameInvalid, field, parsed)
    }

    /// Adds a fault of `field`.
    pub(crate) fn add(&mut self, field: &str, message: impl Into<String>) {
        self.add_as(Code::InvalidRequest, field, message);
    }

    /// As [`Self::add`]. The first fault gives the response its code.
    pub(crate) fn add_as(&mut self, code: Code, field: &str, message: impl Into<String>) {
        self.code.get_or_insert(code);
        self.list(FieldFault { field: field.to_owned(), message: message.into() });
    }

    /// Adds the faults of a part of the body.
    pub(crate) fn merge(&mut self, part: &str, other: Self) {
        self.code = self.code.or(other.code);
        self.hint(other.hint);
        for fault in other.faults {
            self.list(FieldFault { field: format!("{part}.{}", fault.field), ..fault });
        }
    }

    fn list(&mut self, fault: FieldFault) {
        // A small body can contain a million faults, and a fault takes more memory than the field that it is about.
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(fault);
        }
    }

    /// Sets what the caller can do about the faults, unless an earlier fault has set it.
    pub(crate) fn hint(&mut self, hint: Option<&'static str>) {
        self.hint = self.hint.or(hint);
    }

    /// Returns an error if there is a fault.
    pub(crate) fn into_result(self) -> Result<(), ApiError> {
        let Some(code) = self.code else { return Ok(()) };
        let detail = match self.faults.as_slice() {
            // A client that shows only the detail still names the fault.
            [only] => format!("{}: {}", only.field, only.message),
            several => format!("{} faults", several.len()),
        };
        let mut error = ApiError::new(code, detail);
        error.0.problem.errors = self.faults;
        error.0.problem.hint = self.hint.map(str::to_owned);
        Err(error)
    }
}

/// Parses a name of any kind out of a body.
pub(crate) fn parse_name<T: FromStr<Err = NameError>>(field: &str, text: &str) -> Result<T, ApiError> {
    let mut errors = FieldErrors::default();
    let name = errors.check_name(field, text);
    errors.into_result()?;
    name.ok_or_else(ApiError::incomplete)
}

fn whole_seconds(pause: Duration) -> u64 {
    // Rounded up: a client that comes back early would be refused again.
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
    fn all_faults_are_reported_at_once() {
        let mut errors = FieldErrors::default();
        assert_eq!(errors.check("limit", "12".parse::<u8>()), Some(12));
        errors.add_as(Code::NameInvalid, "name", "is empty");
        errors.add("limit", "is too large");
        let refused = errors.into_result().unwrap_err();
        assert_eq!(refused.code(), Code::NameInvalid);
        assert_eq!(refused.0.problem.errors.len(), 2);
    }

    #[test]
    fn a_response_lists_a_bounded_number_of_faults_of_the_body_and_of_its_parts() {
        let mut errors = FieldErrors::default();
        for _ in 0..MAX_FAULTS {
            let mut part = FieldErrors::default();
            part.add("name", "is empty");
            part.add("value", "is missing");
            errors.merge("items[0]", part);
        }
        errors.add("env", "is missing");
        assert_eq!(errors.into_result().unwrap_err().0.problem.errors.len(), MAX_FAULTS);
    }

    #[test]
    fn a_pause_is_rounded_up_to_whole_seconds() {
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(5)), 5);
    }
}
