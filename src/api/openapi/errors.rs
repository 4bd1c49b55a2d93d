//! The error responses of each route in the OpenAPI document. A route names its codes in groups, and codes with the same
//! status become one response.

use std::collections::BTreeMap;

use utoipa::openapi::{ContentBuilder, Header, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Type};

use crate::api::problem::MEDIA_TYPE;
use crate::wire::Code;

/// Codes of every request.
const COMMON: &[Code] = &[
    Code::InvalidRequest,
    Code::HeadersTooLarge,
    Code::Internal,
    Code::Corrupt,
    Code::Overloaded,
    Code::Unavailable,
];
/// Codes of a request with a credential, [`COMMON`] included.
pub(crate) const AUTHENTICATED: &[Code] = &[
    Code::InvalidRequest,
    Code::HeadersTooLarge,
    Code::Internal,
    Code::Corrupt,
    Code::Overloaded,
    Code::Unavailable,
    Code::Unauthorized,
    Code::Expired,
    Code::Revoked,
    Code::RateLimited,
    Code::Forbidden,
    Code::SourceNotAllowed,
];
/// Codes of a request with a body.
pub(crate) const WITH_BODY: &[Code] =
    &[Code::RequestTimeout, Code::PayloadTooLarge, Code::UnsupportedMediaType];
/// Codes of a request that writes. A read that is recorded in the audit log names [`Code::StoreFull`] itself.
pub(crate) const WRITE: &[Code] = &[Code::StoreFull, Code::Conflict];

/// Declares types for `responses(…)`, each a set of error responses made of groups of codes.
macro_rules! error_responses {
    ($($(#[$doc:meta])* $vis:vis $Name:ident = [$($group:expr),* $(,)?];)+) => { $(
        $(#[$doc])*
        $vis struct $Name;

        impl utoipa::IntoResponses for $Name {
            fn responses() -> std::collections::BTreeMap<
                String,
                utoipa::openapi::RefOr<utoipa::openapi::Response>,
            > {
                $crate::api::openapi::error_responses_for(&[$($group),*])
            }
        }
    )+ };
}

pub(crate) use error_responses;

error_responses! {
    /// The errors of a route without a credential.
    pub(crate) UnauthenticatedErrors = [COMMON];
}

/// Builds the responses of all codes in `groups`, one for each status.
pub(crate) fn error_responses_for(groups: &[&[Code]]) -> BTreeMap<String, RefOr<Response>> {
    // Ordered, so that the document is the same in every build.
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in groups.iter().copied().flatten() {
        let codes = by_status.entry(code.status()).or_default();
        // Groups overlap, and `responses(…)` may name a code again.
        if !codes.contains(code) {
            codes.push(*code);
        }
    }
    by_status
        .into_iter()
        .map(|(status, codes)| (status.to_string(), response(status, &codes).into()))
        .collect()
}

fn response(status: u16, codes: &[Code]) -> Response {
    let meanings: Vec<String> =
        codes.iter().map(|code| format!("`{}`: {}", code.as_str(), code.title())).collect();
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let mut response = ResponseBuilder::new().description(meanings.join("; ")).content(MEDIA_TYPE, problem);
    let header = |kind: Type, description: &str| {
        let mut header = Header::new(ObjectBuilder::new().schema_type(kind).build());
        header.description = Some(description.to_owned());
        header
    };
    if matches!(status, 429 | 503) {
        response = response.header("Retry-After", header(Type::Integer, "Seconds to wait."));
    }
    if status == 401 {
        response = response.header("WWW-Authenticate", header(Type::String, "How to present a credential."));
    }
    response.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_one_status_share_a_response() {
        let responses =
            error_responses_for(&[AUTHENTICATED, WITH_BODY, &[Code::Forbidden, Code::TicketSpent]]);
        let RefOr::T(forbidden) = &responses["403"] else { panic!("a reference") };
        assert!(
            forbidden.description.contains("`forbidden`") && forbidden.description.contains("`ticket_spent`")
        );
        assert_eq!(forbidden.description.matches("`forbidden`").count(), 1);
        assert!(responses.contains_key("413") && responses.contains_key("429"));
    }
}
