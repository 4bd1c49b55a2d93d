//! Turns an HTTP response into a typed body, an outage or a refusal.
//!
//! A parser's message never leaves this file, since it would quote the body.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use super::error::{CallError, CallOutage, CallRefusal, ResponseFault};
use super::transport::HttpResponse;
use crate::wire::{FieldFault, Problem};

/// The most characters that are kept of one text of a problem.
const MAX_TEXT: usize = 500;
/// The most field errors that are kept of a problem.
const MAX_FAULTS: usize = 50;
/// The longest `Retry-After` that is honored.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Parses the body of a successful response.
pub(crate) fn read<T: DeserializeOwned>(address: &str, response: HttpResponse) -> Result<T, CallError> {
    Ok(parse(address, &require_success(address, response)?)?)
}

/// Parses the body of a response that is known to be a success.
pub(crate) fn parse<T: DeserializeOwned>(address: &str, response: &HttpResponse) -> Result<T, CallRefusal> {
    // No retry: the same store would send the same shape again.
    let unreadable =
        |_| CallRefusal::BadResponse { address: address.to_owned(), why: ResponseFault::Unreadable };
    serde_json::from_slice(&response.body).map_err(unreadable)
}

/// Returns the body of a response as text.
#[cfg(feature = "server")]
pub(crate) fn text(address: &str, response: &HttpResponse) -> Result<String, CallError> {
    String::from_utf8(response.body.to_vec()).map_err(|_| {
        CallRefusal::BadResponse { address: address.to_owned(), why: ResponseFault::Unreadable }.into()
    })
}

/// Returns the response if its status is a success.
pub(crate) fn require_success(address: &str, response: HttpResponse) -> Result<HttpResponse, CallError> {
    let (address, status) = (address.to_owned(), response.status);
    if status.is_success() {
        return Ok(response);
    }
    let problem = problem(&response);
    // By the status alone: a proxy's 502 has no problem, and passes like the store's own.
    if is_temporary(status) {
        let retry_after = retry_after(&response.headers);
        return Err(CallOutage::Status { address, status: status.as_u16(), problem, retry_after }.into());
    }
    let status = status.as_u16();
    Err(match problem {
        Some(problem) => CallRefusal::Problem(problem),
        // Without a problem no store has spoken, so this is never a denial that destroys the agent's cache.
        None if (300..400).contains(&status) => CallRefusal::Redirect { address, status },
        None => CallRefusal::Status { address, status },
    }
    .into())
}

fn is_temporary(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

/// Parses the problem of a response with the media type of one (RFC 9457, section 3).
fn problem(response: &HttpResponse) -> Option<Box<Problem>> {
    let media_type = response.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    // Without parameters such as `charset`.
    let essence = media_type.split(';').next()?.trim();
    if !essence.eq_ignore_ascii_case("application/problem+json") {
        return None;
    }
    let problem: Problem = serde_json::from_slice(&response.body).ok()?;
    Some(Box::new(Problem {
        r#type: sanitize(&problem.r#type),
        title: sanitize(&problem.title),
        // The status line decides: a body that claims another status must not turn an error into a denial.
        status: response.status.as_u16(),
        code: problem.code,
        detail: sanitize(&problem.detail),
        hint: problem.hint.as_deref().map(sanitize),
        errors: problem.errors.iter().take(MAX_FAULTS).map(sanitize_fault).collect(),
    }))
}

fn sanitize_fault(fault: &FieldFault) -> FieldFault {
    FieldFault { field: sanitize(&fault.field), message: sanitize(&fault.message) }
}

/// Bounds a text, and replaces characters that would control a terminal or change the direction of the text.
fn sanitize(text: &str) -> String {
    let is_printable = |c: char| {
        // Bidirectional overrides and invisible characters make a line look like another one (CVE-2021-42574).
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    // Characters, not bytes, so that none is cut in half.
    text.chars().map(|c| if is_printable(c) { c } else { ' ' }).take(MAX_TEXT).collect()
}

/// Parses `Retry-After` in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    // RFC 9110 (section 10.2.3) also allows a date, which is ignored: this machine's clock may be wrong.
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // A number that does not fit is a long time as well.
    let seconds = text.parse().unwrap_or(u64::MAX);
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use zeroize::Zeroizing;

    use super::*;
    use crate::wire::Code;

    const TO: &str = "https://store.example";

    fn answer(status: u16, media_type: &str, body: &str) -> HttpResponse {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(media_type).unwrap());
        let status = StatusCode::from_u16(status).unwrap();
        HttpResponse { status, headers, body: Zeroizing::new(body.as_bytes().to_vec()) }
    }

    fn error(status: u16, media_type: &str, body: &str) -> CallError {
        require_success(TO, answer(status, media_type, body)).err().unwrap()
    }

    #[test]
    fn sorts_statuses_into_outage_and_refusal() {
        for status in [408, 429, 500, 502, 503, 504, 507, 599] {
            let error = error(status, "text/html", "<canary>");
            assert!(matches!(error, CallError::Outage(CallOutage::Status { problem: None, .. })), "{status}");
            assert!(!error.to_string().contains("canary"));
        }
        for status in [400, 401, 403, 404, 409, 418, 422] {
            let error = error(status, "text/html", "<canary>");
            assert_eq!(error, CallError::Refused(CallRefusal::Status { address: TO.into(), status }));
            let CallError::Refused(refused) = error else { unreachable!() };
            assert!(!refused.is_denial(), "only the store's own problem destroys a cache");
        }
        for status in [301, 302, 303, 307, 308] {
            let error = error(status, "text/html", "");
            assert_eq!(error, CallError::Refused(CallRefusal::Redirect { address: TO.into(), status }));
        }
    }

    #[test]
    fn a_problem_is_kept_and_sanitized() {
        let mut sent =
            Problem::new(Code::Expired, "the ticket\u{1b}[2J expired\r\n\u{202e}").hint("x".repeat(5000));
        sent.status = 200;
        let body = serde_json::to_string(&sent).unwrap();
        let error = error(401, "application/problem+json; charset=utf-8", &body);
        assert_eq!(error.code(), Some(Code::Expired));
        assert_eq!(error.to_string(), "the credential has expired: the ticket [2J expired   ");
        assert_eq!(error.hint().unwrap().len(), MAX_TEXT);
        assert_eq!(error.problem().unwrap().status, 401);
        let CallError::Refused(refused) = error else { panic!() };
        assert!(refused.is_denial());
    }

    #[test]
    fn a_problem_of_another_type_or_shape_is_no_problem() {
        let body = serde_json::to_string(&Problem::new(Code::Forbidden, "no")).unwrap();
        assert_eq!(error(403, "application/json", &body).problem(), None);
        assert_eq!(error(403, "application/problem+json", "{\"code\":\"canary").problem(), None);
    }

    #[test]
    fn a_locked_store_is_an_outage_with_its_code() {
        let body = serde_json::to_string(&Problem::new(Code::Locked, "unlock it")).unwrap();
        let error = error(503, "application/problem+json", &body);
        assert_eq!(error.code(), Some(Code::Locked));
        assert_eq!(error.to_string(), "https://store.example answered 503: the store is locked: unlock it");
    }

    #[test]
    fn reads_retry_after_in_seconds() {
        for (text, seconds) in [
            ("0", Some(0)),
            ("5", Some(5)),
            (" 7 ", Some(7)),
            ("99999999", Some(3600)),
            ("99999999999999999999999", Some(3600)),
            ("-1", None),
            ("+1", None),
            ("", None),
            ("Fri, 31 Dec 1999 23:59:59 GMT", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_str(text).unwrap());
            assert_eq!(retry_after(&headers), seconds.map(Duration::from_secs), "{text:?}");
        }
    }

    #[test]
    fn a_body_of_another_shape_is_an_error_without_a_quotation() {
        let error = read::<crate::wire::HealthView>(TO, answer(200, "application/json", "{\"canary\":1}"))
            .unwrap_err();
        assert_eq!(error.to_string(), "https://store.example sent a response that is not what a store sends");
    }
}
