//! Servers that do not prove to be the store, at some of a ticket's addresses or at all of them.

use std::time::Instant;

use tokio::net::TcpListener;

use super::sealed::MockStore;
use super::{FixedRandomness, LONG, SHORT, SOON, outage, refusal, released, sealed, ticket};
use crate::client::boot::*;
use crate::client::tests::mock_server::{MockServer, TestCertificate, json};
use crate::client::timer::SystemTimer;
use crate::domain::ticket::BootTicket;

async fn server(identity: &TestCertificate) -> (MockServer, String) {
    let server = MockServer::new(|_, request| match request.header("authorization") {
        Some(proof) if proof.starts_with("Dropsafe-Proof ") => {
            MockStore::new(1).answer(request, 200, &released())
        }
        _ => json(200, "", &released()),
    });
    let address = server.on_tls(identity).await;
    (server, format!("https://localhost:{}", address.port()))
}

/// Boots within `deadline`, with the address of this index first.
async fn boot_at(
    ticket: &BootTicket,
    options: BootOptions,
    first: u64,
) -> Result<BootResponse, BootCallError> {
    let mut timer = FixedRandomness(SystemTimer::start(), first);
    boot(ticket, &BootRequest::default(), &options, &mut timer).await.map(|(response, _)| response)
}

fn within(deadline: Duration) -> BootOptions {
    BootOptions { deadline, authorities: None }
}

/// Anybody on the path to one address could end the boot.
#[tokio::test]
async fn a_stranger_at_one_of_several_addresses_does_not_end_the_boot() {
    let (identity, other) = (TestCertificate::named("localhost"), TestCertificate::named("localhost"));
    for first in 0..2 {
        let (good, good_url) = server(&identity).await;
        let (stranger, stranger_url) = server(&other).await;
        let ticket = ticket(&[stranger_url, good_url], Some(identity.pin()));
        boot_at(&ticket, within(LONG), first).await.unwrap();
        assert_eq!((good.requests().len(), stranger.requests().len()), (1, 0));
    }
}

#[tokio::test]
async fn nor_does_one_whose_certificate_no_authority_issued() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let (identity, other) = (TestCertificate::named("localhost"), TestCertificate::named("localhost"));
    std::fs::write(&file, identity.pem()).unwrap();
    let ((good, good_url), (stranger, stranger_url)) = (server(&identity).await, server(&other).await);
    let ticket = sealed::ticket(&[stranger_url, good_url]);
    let options = BootOptions { deadline: LONG, authorities: Some(file) };
    boot_at(&ticket, options, 0).await.unwrap();
    assert_eq!((good.requests().len(), stranger.requests().len()), (1, 0));
}

#[tokio::test]
async fn strangers_at_all_addresses_are_a_refusal_at_once() {
    let (one, two) = (TestCertificate::named("localhost"), TestCertificate::named("localhost"));
    let expected = TestCertificate::named("localhost");
    let ((first, first_url), (second, second_url)) = (server(&one).await, server(&two).await);
    let ticket = ticket(&[first_url, second_url], Some(expected.pin()));
    let started = Instant::now();
    let refused = refusal(boot_at(&ticket, within(LONG), 0).await);
    assert!(matches!(refused, CallRefusal::WrongPin { .. }) && !refused.is_denial(), "{refused}");
    assert!(started.elapsed() < SOON);
    assert!(first.requests().is_empty() && second.requests().is_empty());
}

/// The store may be at the other address, and be back soon.
#[tokio::test]
async fn a_stranger_beside_an_address_that_is_down_is_an_outage() {
    let (other, expected) = (TestCertificate::named("localhost"), TestCertificate::named("localhost"));
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (stranger, stranger_url) = server(&other).await;
    let ticket = ticket(&[format!("https://{closed}"), stranger_url], Some(expected.pin()));
    let last = outage(boot_at(&ticket, within(SHORT), 0).await);
    assert!(matches!(last, CallOutage::Stranger(_)), "{last}");
    assert!(last.hint().is_some() && last.to_string().contains(&expected.pin().to_string()));
    assert!(stranger.requests().is_empty());
}

/// Each of them once, at different times: nobody has seen the store.
#[tokio::test]
async fn a_stranger_that_comes_up_late_completes_the_refusal() {
    let (one, two) = (TestCertificate::named("localhost"), TestCertificate::named("localhost"));
    let expected = TestCertificate::named("localhost");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let late = listener.local_addr().unwrap();
    drop(listener);
    let (_first, first_url) = server(&one).await;
    let second = MockServer::new(|_, _| json(200, "", &released()));
    tokio::spawn({
        let second = second.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let config = two.server_config(rustls::crypto::aws_lc_rs::default_provider());
            second.on_tcp(TcpListener::bind(late).await.unwrap(), Some(config));
        }
    });
    let ticket = ticket(&[first_url, format!("https://{late}")], Some(expected.pin()));
    let refused = refusal(boot_at(&ticket, within(LONG), 0).await);
    assert!(matches!(refused, CallRefusal::WrongPin { .. }), "{refused}");
}
