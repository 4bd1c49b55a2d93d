//! From an HTTP answer to a typed body or an error: which statuses pass, which stay, and what of the server's words is
//! kept.
//!
//! A parser's message never leaves this file: it would quote the body.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use super::error::{CallError, CallOutage, CallRefusal, ResponseFault};
use super::transport::HttpResponse;
use crate::wire::{FieldFault, Problem};

/// The most characters kept of one text of a problem.
const TEXT: usize = 500;
/// The most faults kept of a problem.
const FAULTS: usize = 50;
/// The longest time that a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// The body of a successful answer.
pub(crate) fn read<T: DeserializeOwned>(to: &str, answer: HttpResponse) -> Result<T, CallError> {
    let answer = succeeded(to, answer)?;
    serde_json::from_slice(&answer.body)
        .map_err(|_| CallRefusal::BadResponse { to: to.to_owned(), why: ResponseFault::Unreadable }.into())
}

/// The answer, if its status is a success.
pub(crate) fn succeeded(to: &str, answer: HttpResponse) -> Result<HttpResponse, CallError> {
    let (to, status) = (to.to_owned(), answer.status);
    if status.is_success() {
        return Ok(answer);
    }
    let problem = problem(&answer);
    if may_pass(status) {
        let retry_after = retry_after(&answer.headers);
        return Err(CallOutage::Status { to, status: status.as_u16(), problem, retry_after }.into());
    }
    let status = status.as_u16();
    Err(match problem {
        Some(problem) => CallRefusal::Problem(problem),
        None if (300..400).contains(&status) => CallRefusal::Redirect { to, status },
        None => CallRefusal::Status { to, status },
    }
    .into())
}

fn may_pass(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

/// The problem in an answer of its media type. Its status is the one that the answer has.
fn problem(answer: &HttpResponse) -> Option<Box<Problem>> {
    let media_type = answer.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = media_type.split(';').next()?.trim();
    if !essence.eq_ignore_ascii_case("application/problem+json") {
        return None;
    }
    let problem: Problem = serde_json::from_slice(&answer.body).ok()?;
    Some(Box::new(Problem {
        r#type: harmless(&problem.r#type),
        title: harmless(&problem.title),
        status: answer.status.as_u16(),
        code: problem.code,
        detail: harmless(&problem.detail),
        hint: problem.hint.as_deref().map(harmless),
        errors: problem.errors.iter().take(FAULTS).map(harmless_fault).collect(),
    }))
}

fn harmless_fault(fault: &FieldFault) -> FieldFault {
    FieldFault { field: harmless(&fault.field), message: harmless(&fault.message) }
}

/// Bounded, and without what would move a terminal's cursor or turn the direction of a text.
fn harmless(text: &str) -> String {
    let shown = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().map(|c| if shown(c) { c } else { ' ' }).take(TEXT).collect()
}

/// `Retry-After` in seconds. The form with a date is passed over: this machine's clock may be wrong.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // So many digits that they do not fit are a long time as well.
    let seconds = text.parse().unwrap_or(u64::MAX);
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
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
        succeeded(TO, answer(status, media_type, body)).err().unwrap()
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
            assert_eq!(error, CallError::Refused(CallRefusal::Status { to: TO.into(), status }));
            let CallError::Refused(refused) = error else { unreachable!() };
            assert!(!refused.is_denial(), "only the store's own words destroy a cache");
        }
        for status in [301, 302, 303, 307, 308] {
            let error = error(status, "text/html", "");
            assert_eq!(error, CallError::Refused(CallRefusal::Redirect { to: TO.into(), status }));
        }
    }

    #[test]
    fn a_problem_is_kept_and_made_harmless() {
        let mut sent =
            Problem::new(Code::Expired, "the ticket\u{1b}[2J expired\r\n\u{202e}").hint("x".repeat(5000));
        sent.status = 200;
        let body = serde_json::to_string(&sent).unwrap();
        let error = error(401, "application/problem+json; charset=utf-8", &body);
        assert_eq!(error.code(), Some(Code::Expired));
        assert_eq!(error.to_string(), "the credential has expired: the ticket [2J expired   ");
        assert_eq!(error.hint().unwrap().len(), TEXT);
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
    fn reads_the_wait_that_is_asked_for() {
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
    fn a_body_of_another_shape_is_named_so_and_not_quoted() {
        let error = read::<crate::wire::HealthView>(TO, answer(200, "application/json", "{\"canary\":1}"))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "https://store.example gave an answer that is not what a store answers"
        );
    }
}
