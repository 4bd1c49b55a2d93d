//! Checks whether the addresses of a store respond, without sending the credential and without retries.

use std::time::Duration;

use http::{Method, header};
use jiff::fmt::rfc2822;

use super::boot::{BootOptions, target};
use super::connect::ConnectTarget;
use super::error::CallError;
use super::request::HttpRequest;
use super::response;
use super::timer::Timer;
use super::transport::Connection;
use crate::domain::location::StoreLocation;
use crate::domain::time::Timestamp;
use crate::wire::paths;

/// The result for one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProbeResult {
    /// The address, without its pin.
    pub address: String,
    pub outcome: Result<ProbeSuccess, CallError>,
}

/// An address that answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProbeSuccess {
    /// The time from connecting to the response.
    pub took: Duration,
    /// The server's clock in whole seconds, if the response has a `Date`.
    pub clock: Option<Timestamp>,
}

/// Tries each of the addresses once, with the checks of a boot but without a credential.
pub(crate) async fn probe(
    location: &StoreLocation,
    options: &BootOptions,
    timer: &mut impl Timer,
) -> Vec<ProbeResult> {
    // One after the other, in their order. Each address has the whole deadline.
    let mut probes = Vec::new();
    for url in location.urls() {
        let target = target(url, location, options.authorities.as_deref());
        // A target knows its printable address. An address that cannot be parsed may hold a password.
        let address = target.as_ref().map_or_else(|_| redact_url(url), |target| target.address.clone());
        let outcome = match target {
            Ok(target) => request_health(&target, options.deadline, timer).await,
            Err(refused) => Err(refused.into()),
        };
        probes.push(ProbeResult { address, outcome });
    }
    probes
}

async fn request_health(
    target: &ConnectTarget,
    limit: Duration,
    timer: &impl Timer,
) -> Result<ProbeSuccess, CallError> {
    let started = timer.now();
    // The health check needs no credential, also on a locked store.
    let call = HttpRequest {
        method: Method::GET,
        path: paths::HEALTHZ.to_owned(),
        headers: Vec::new(),
        body: None,
        // Far more than a store's health check sends.
        limit: 64 << 10,
    };
    let mut connection = Connection::open(target, limit).await?;
    let left = limit.saturating_sub(timer.now().saturating_sub(started));
    let response = connection.exchange(&call, left).await?;
    let took = timer.now().saturating_sub(started);
    let response = response::require_success(&target.address, response)?;
    let date = response.headers.get(header::DATE).and_then(|date| date.to_str().ok());
    Ok(ProbeSuccess { took, clock: date.and_then(parse_date) })
}

/// Parses `Date` (RFC 9110, section 5.6.7).
fn parse_date(date: &str) -> Option<Timestamp> {
    // IMF-fixdate, the only form that a server may send, is also a date of RFC 2822.
    let parsed = rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    Some(Timestamp::from_millis(parsed.as_millisecond()))
}

fn redact_url(url: &str) -> String {
    // A password may stand before `@`, so such an address is not shown at all.
    url.split(['@', '#', '?']).next().filter(|_| !url.contains('@')).unwrap_or("an address").to_owned()
}

#[cfg(all(test, feature = "server"))]
mod tests {
    use tokio::net::TcpListener;
    use zeroize::Zeroizing;

    use super::*;
    use crate::client::error::{CallOutage, CallRefusal};
    use crate::client::tests::mock_server::{MockServer, TestCertificate, raw};
    use crate::client::timer::SystemTimer;
    use crate::domain::credential::{Credential, CredentialKind};
    use crate::domain::ticket::BootTicket;

    #[tokio::test]
    async fn every_address_is_tried_and_none_receives_the_credential() {
        let healthy = "HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\ncontent-length: 2\r\n\r\n{}";
        let server = MockServer::new(move |_, _| raw(healthy));
        let (identity, other) = (TestCertificate::named("localhost"), TestCertificate::named("localhost"));
        let (good, wrong) = (server.on_tls(&identity).await, server.on_tls(&other).await);
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let urls = vec![
            format!("https://{good}"),
            format!("https://{wrong}"),
            format!("https://{closed}"),
            "http://me:word@store.example".to_owned(),
        ];
        let credential = Credential::new(CredentialKind::Ticket, [1; 16], Zeroizing::new([2; 32]));
        let ticket = BootTicket::new(urls, Some(identity.pin().into()), credential).unwrap();

        let probes = probe(ticket.location(), &BootOptions::default(), &mut SystemTimer::start()).await;
        let reached = probes[0].outcome.as_ref().unwrap();
        assert_eq!(reached.clock, Some(Timestamp::from_millis(784_111_777_000)));
        assert!(matches!(probes[1].outcome, Err(CallError::Refused(CallRefusal::WrongPin { .. }))));
        assert!(matches!(probes[2].outcome, Err(CallError::Outage(CallOutage::Unreachable { .. }))));
        assert!(matches!(probes[3].outcome, Err(CallError::Refused(CallRefusal::Endpoint(_)))));
        assert!(!format!("{probes:?}").contains("word"));
        assert_eq!(server.requests().len(), 1);
        assert_eq!(server.requests()[0].header("authorization"), None);
    }

    #[test]
    fn an_invalid_date_is_ignored() {
        assert_eq!(parse_date("yesterday"), None);
    }
}
