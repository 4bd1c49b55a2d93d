//! Whether the addresses of a ticket answer, for a check: no credential is sent, and nothing is tried twice.

use std::time::Duration;

use http::{Method, header};
use jiff::fmt::rfc2822;

use super::boot::{BootOptions, target};
use super::connect::ConnectTarget;
use super::error::CallError;
use super::response;
use super::timer::Timer;
use super::transport::{Connection, HttpRequest};
use crate::domain::ticket::BootTicket;
use crate::domain::time::Timestamp;
use crate::wire::paths;

/// How one address did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProbeResult {
    /// The address as the ticket has it, without its pin.
    pub address: String,
    /// What came of it.
    pub outcome: Result<ProbeSuccess, CallError>,
}

/// An address that answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProbeSuccess {
    /// From the first packet to the answer.
    pub took: Duration,
    /// The other side's clock, in whole seconds, when it told it.
    pub clock: Option<Timestamp>,
}

/// Tries each of the ticket's addresses once, with all checks of a boot but without its credential.
pub(crate) async fn probe(
    ticket: &BootTicket,
    options: &BootOptions,
    pace: &mut impl Timer,
) -> Vec<ProbeResult> {
    let mut probes = Vec::new();
    for url in ticket.urls() {
        let target = target(url, ticket, options.authorities.as_deref());
        // An address that cannot be parsed is shown up to where a pin or password may stand.
        let address = target.as_ref().map_or_else(|_| shown(url), |target| target.to.clone());
        let outcome = match target {
            Ok(target) => reach(&target, options.deadline, pace).await,
            Err(refused) => Err(refused.into()),
        };
        probes.push(ProbeResult { address, outcome });
    }
    probes
}

async fn reach(
    target: &ConnectTarget,
    limit: Duration,
    pace: &impl Timer,
) -> Result<ProbeSuccess, CallError> {
    let started = pace.now();
    let call = HttpRequest {
        method: Method::GET,
        path: paths::HEALTHZ.to_owned(),
        headers: Vec::new(),
        body: None,
        limit: 64 << 10,
    };
    let mut connection = Connection::open(target, limit).await?;
    let left = limit.saturating_sub(pace.now().saturating_sub(started));
    let answer = connection.exchange(&call, left).await?;
    let took = pace.now().saturating_sub(started);
    let answer = response::succeeded(&target.to, answer)?;
    let date = answer.headers.get(header::DATE).and_then(|date| date.to_str().ok());
    Ok(ProbeSuccess { took, clock: date.and_then(clock) })
}

/// `Date` in the form that must be sent (RFC 9110, section 5.6.7), which is one of RFC 2822's.
fn clock(date: &str) -> Option<Timestamp> {
    let parsed = rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    Some(Timestamp::from_millis(parsed.as_millisecond()))
}

fn shown(url: &str) -> String {
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

    #[tokio::test]
    async fn every_address_is_told_of_and_none_gets_the_credential() {
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
        let ticket = BootTicket::new(urls, Some(identity.pin()), credential).unwrap();

        let probes = probe(&ticket, &BootOptions::default(), &mut SystemTimer::start()).await;
        let reached = probes[0].outcome.as_ref().unwrap();
        assert_eq!(reached.clock, Some(Timestamp::from_millis(784_111_777_000)));
        assert!(matches!(probes[1].outcome, Err(CallError::Refused(CallRefusal::WrongPin { .. }))));
        assert!(matches!(probes[2].outcome, Err(CallError::Outage(CallOutage::Unreachable { .. }))));
        assert!(matches!(probes[3].outcome, Err(CallError::Refused(CallRefusal::Endpoint(_)))));
        assert!(!format!("{probes:?}").contains("word"));
        assert_eq!(server.asked().len(), 1);
        assert_eq!(server.asked()[0].header("authorization"), None);
    }

    #[test]
    fn a_date_that_is_none_is_no_clock() {
        assert_eq!(clock("yesterday"), None);
    }
}
