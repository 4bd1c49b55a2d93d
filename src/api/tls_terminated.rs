//! What a listener behind a TLS terminator serves: whoever terminates TLS reads every request that is not sealed. So it serves
//! machines that prove themselves, and health checks; people only where the configuration says so, and the passphrases of the store
//! never.

use axum::extract::Request;
use http::Extensions;

use super::console::{ADD_KEYSLOT, UNLOCK};
use super::problem::ApiError;
use super::request_marks::TlsTerminated;
use super::sealed;
use crate::domain::credential::CredentialKind;
use crate::wire::{Code, paths};

/// Refuses what the listener of a request does not serve, before anything of the request is used.
pub(crate) fn check_request(route: Option<&str>, request: &Request) -> Result<(), ApiError> {
    let Some(TlsTerminated { people }) = request.extensions().get().copied() else { return Ok(()) };
    let is_health = matches!(route, Some(paths::HEALTHZ | paths::READYZ));
    if is_health || sealed::body_limit(route, request.headers()).is_some() {
        return Ok(());
    }
    // A passphrase is sealed to a key that the server sends, and whoever terminates TLS could send another one.
    let opens_store = matches!(route, Some(paths::UNLOCK | paths::KEYSLOTS | UNLOCK | ADD_KEYSLOT));
    match (people, opens_store) {
        (true, false) => Ok(()),
        (true, true) => Err(refusal("the store is not unlocked through a proxy that terminates TLS")
            .hint("use an address with a pin, or the server's own machine")),
        (false, _) => Err(refusal("this address serves machines that prove themselves, and nobody else")
            .hint("people use another address of the store; a machine needs a ticket without a pin")),
    }
}

/// Refuses a machine's bearer credential on such a listener.
pub(crate) fn check_credential(extensions: &Extensions, kind: CredentialKind) -> Result<(), ApiError> {
    let is_terminated = extensions.get::<TlsTerminated>().is_some();
    match kind {
        CredentialKind::Ticket | CredentialKind::Boot if is_terminated => {
            Err(refusal("a machine proves itself here, and sends no bearer credential")
                .hint("update the agent, and create a new ticket"))
        }
        CredentialKind::Ticket
        | CredentialKind::Boot
        | CredentialKind::Operator
        | CredentialKind::Member
        | CredentialKind::Enrolment => Ok(()),
    }
}

fn refusal(detail: &str) -> ApiError {
    ApiError::new(Code::Forbidden, detail)
}
