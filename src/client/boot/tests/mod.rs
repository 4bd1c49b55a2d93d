//! A boot from one end of a real connection to the other.
#![expect(clippy::disallowed_methods, reason = "a test writes the file of authorities")]

mod faults;
mod sealed;
mod strangers;
mod tokens;

use std::io;
use std::time::Instant;

use tokio::net::TcpListener;
use zeroize::Zeroizing;

use self::sealed::MockStore;
use super::*;
use crate::client::error::CallError;
use crate::client::tests::mock_server::{MockAction, MockServer, RecordedRequest, TestCertificate, json};
use crate::client::timer::SystemTimer;
use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::digest::Digest;
use crate::domain::id::SecretId;
use crate::domain::pin::Pin;
use crate::domain::receipt::Receipt;
use crate::domain::ticket::BootTicket;
use crate::domain::time::Timestamp;
use crate::wire::{Code, Problem, ReleasedView, Value};

pub(crate) fn ticket(urls: &[String], pin: Option<Pin>) -> BootTicket {
    let credential = Credential::new(CredentialKind::Ticket, [1; 16], Zeroizing::new([2; 32]));
    BootTicket::new(urls.to_vec(), pin.map(Into::into), credential).unwrap()
}

pub(crate) fn released() -> BootResponse {
    let value = crate::domain::value::SecretValue::new("canary \"\n\u{e9}".as_bytes().to_vec());
    BootResponse {
        end_credential: None,
        store: None,
        checkpoint: None,
        boot: BootId::from_bytes([0; 16]),
        organization: "default".parse().unwrap(),
        member: "dev".parse().unwrap(),
        released_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        count: 1,
        digest: Digest::from_bytes([0; 32]),
        receipt: Receipt { entries: Vec::new(), skipped: Vec::new(), revision: 7 },
        values: vec![ReleasedView {
            id: SecretId::from_bytes([1; 16]),
            value: Value::of(&value),
            value_base64: None,
        }],
        values_digest: None,
    }
}

fn problem(code: Code, headers: &str) -> Vec<MockAction> {
    json(code.status(), headers, &Problem::new(code, "said").hint("do this"))
}

/// Boots against a mock store on loopback. Returns the result and the requests.
pub(crate) async fn boot_against(
    deadline: Duration,
    answers: impl Fn(usize, &RecordedRequest) -> Vec<MockAction> + Send + Sync + 'static,
) -> (Result<BootResponse, BootCallError>, Vec<RecordedRequest>) {
    let server = MockServer::new(answers);
    let ticket = ticket(&[format!("http://{}", server.on_loopback().await)], None);
    let options = BootOptions { deadline, authorities: None };
    let result = boot(&ticket, &BootRequest::default(), &options, &mut SystemTimer::start()).await;
    (result.map(|(response, _)| response), server.requests())
}

pub(crate) const LONG: Duration = Duration::from_secs(20);
pub(crate) const SHORT: Duration = Duration::from_secs(1);
/// Far more than SHORT even on a busy machine, and less than the servers here wait.
pub(crate) const SOON: Duration = Duration::from_secs(8);

pub(crate) fn refusal(result: Result<BootResponse, BootCallError>) -> CallRefusal {
    match result {
        Err(BootCallError::Refused(refused)) => refused,
        other => panic!("{other:?}"),
    }
}

fn is_denial(error: &BootCallError) -> bool {
    matches!(error, BootCallError::Refused(refused) if refused.is_denial())
}

pub(crate) fn outage(result: Result<BootResponse, BootCallError>) -> CallOutage {
    match result {
        Err(BootCallError::Outage { last, .. }) => last,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_release_over_pinned_tls_and_its_report_on_the_same_connection() {
    let identity = TestCertificate::expired("elsewhere.example");
    let server = MockServer::new(|_, request| match request.line().contains("report") {
        false => json(200, "", &released()),
        true => vec![],
    });
    let address = server.on_tls(&identity).await;
    let ticket = ticket(&[format!("https://localhost:{}", address.port())], Some(identity.pin()));
    let request = BootRequest { include: vec!["db-url".into()], ..BootRequest::default() };
    let mut timer = SystemTimer::start();
    let (response, session) = boot(&ticket, &request, &BootOptions::default(), &mut timer).await.unwrap();
    assert!(!format!("{response:?}").contains("canary"));
    let value = response.values.into_iter().next().unwrap().value.unwrap().into_secret();
    assert_eq!(value.expose(), "canary \"\n\u{e9}".as_bytes());

    let started = Instant::now();
    session.report_nowait(&ReportBootRequest { digest: "00".into(), variables: 3 }).await;
    assert!(started.elapsed() < SOON);
    // The connection is gone now, as after an exec; what was sent arrives all the same.
    while server.requests().len() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let requests = server.requests();
    assert_eq!(requests[0].line(), "POST /v1/boot HTTP/1.1");
    assert_eq!(requests[0].header("host").unwrap(), format!("localhost:{}", address.port()));
    assert_eq!(requests[0].header("content-type"), Some("application/json"));
    assert_eq!(
        requests[0].header("authorization").unwrap(),
        format!("Bearer {}", *ticket.credential().to_text())
    );
    assert_eq!(requests[0].body, r#"{"include":["db-url"]}"#);
    assert_eq!(requests[1].line(), "POST /v1/boots/boot_aaaaaaaaaaaaaaaaaaaaaaaaaa/report HTTP/1.1");
    assert_eq!(requests[1].body, r#"{"digest":"00","variables":3}"#);
    assert_eq!((requests[0].connection, requests[1].connection), (0, 0));
}

#[tokio::test]
async fn another_key_is_refused_at_once_and_gets_nothing() {
    let (identity, expected) = (TestCertificate::named("localhost"), TestCertificate::named("localhost"));
    let server = MockServer::new(|_, _| json(200, "", &released()));
    let address = server.on_tls(&identity).await;
    let ticket = ticket(&[format!("https://{address}")], Some(expected.pin()));
    let mut timer = SystemTimer::start();
    let result = boot(&ticket, &BootRequest::default(), &BootOptions::default(), &mut timer).await;
    let error = result.err().unwrap();
    let message = error.to_string();
    assert!(message.contains(&expected.pin().to_string()) && message.contains(&identity.pin().to_string()));
    assert!(!is_denial(&error), "a stranger must not be able to destroy a cache");
    assert!(error.hint().is_some());
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_store_that_comes_up_late_is_found() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let ticket = ticket(&[format!("http://{address}")], None);
    let server = MockServer::new(|_, _| json(200, "", &released()));
    tokio::spawn({
        let server = server.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            server.on_tcp(TcpListener::bind(address).await.unwrap(), None);
        }
    });
    let mut timer = SystemTimer::start();
    boot(&ticket, &BootRequest::default(), &BootOptions::default(), &mut timer).await.unwrap();
}

#[tokio::test]
async fn no_one_there_until_the_deadline() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let ticket = ticket(&[format!("http://{closed}")], None);
    let options = BootOptions { deadline: SHORT, authorities: None };
    let started = Instant::now();
    let result = boot(&ticket, &BootRequest::default(), &options, &mut SystemTimer::start()).await;
    let Err(BootCallError::Outage { last, attempts, within }) = result else { panic!() };
    assert_eq!(
        last,
        CallOutage::Unreachable {
            address: format!("http://{closed}"),
            why: io::ErrorKind::ConnectionRefused
        }
    );
    assert!(attempts >= 2 && within == SHORT && started.elapsed() < SOON);
}

/// The system's timer with fixed randomness.
struct FixedRandomness(SystemTimer, u64);

impl Timer for FixedRandomness {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn sleep(&mut self, time: Duration) -> impl Future<Output = ()> + Send {
        self.0.sleep(time)
    }

    fn wall_clock(&self) -> Timestamp {
        self.0.wall_clock()
    }

    fn random(&mut self) -> u64 {
        self.1
    }
}

#[tokio::test]
async fn it_starts_at_a_random_address_and_moves_on_from_one_that_is_down_or_busy() {
    for first in 0..3 {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let busy = MockServer::new(|_, _| problem(Code::Overloaded, "retry-after: 60\r\n"));
        let good = MockServer::new(|_, _| json(200, "", &released()));
        let urls =
            [closed, busy.on_loopback().await, good.on_loopback().await].map(|a| format!("http://{a}"));
        let mut timer = FixedRandomness(SystemTimer::start(), first);
        let started = Instant::now();
        let ticket = ticket(&urls, None);
        boot(&ticket, &BootRequest::default(), &BootOptions::default(), &mut timer).await.unwrap();
        assert!(started.elapsed() < SOON);
        let keys = |server: &MockServer| -> Vec<String> {
            server
                .requests()
                .iter()
                .map(|request| request.header("idempotency-key").unwrap().to_owned())
                .collect()
        };
        let (busy, good) = (keys(&busy), keys(&good));
        assert_eq!(busy.len(), usize::from(first < 2));
        assert_eq!(good.len(), 1);
        assert!(busy.iter().all(|key| *key == good[0]) && good[0].len() == 32);
    }
}

#[tokio::test]
async fn a_retry_resumes_the_tls_session() {
    let identity = TestCertificate::named("localhost");
    let server = MockServer::new(|number, _| match number {
        0..=2 => problem(Code::Locked, "retry-after: 0\r\n"),
        _ => json(200, "", &released()),
    });
    let address = server.on_tls(&identity).await;
    let ticket = ticket(&[format!("https://{address}")], Some(identity.pin()));
    let mut timer = SystemTimer::start();
    let options = BootOptions { deadline: LONG, authorities: None };
    boot(&ticket, &BootRequest::default(), &options, &mut timer).await.unwrap();
    // The first connection asks for no resumption ticket; the second asks for one, which the others use.
    use rustls::HandshakeKind::{Full, Resumed};
    assert_eq!(server.handshakes(), [Full, Full, Resumed, Resumed]);
}

#[tokio::test]
async fn a_store_that_is_locked_or_limits_the_ticket_is_called_again_after_its_retry_after() {
    for code in [Code::Locked, Code::RateLimited] {
        let started = Instant::now();
        let (result, requests) = boot_against(LONG, move |number, _| match number {
            0 => problem(code, "retry-after: 1\r\n"),
            _ => json(200, "", &released()),
        })
        .await;
        result.unwrap();
        assert_eq!(requests.len(), 2);
        assert!(started.elapsed() >= Duration::from_secs(1));
    }
}

#[tokio::test]
async fn a_locked_store_is_called_until_the_deadline() {
    let (result, requests) = boot_against(SHORT, |_, _| problem(Code::Locked, "retry-after: 30\r\n")).await;
    let outage = CallError::from(outage(result));
    assert_eq!(outage.code(), Some(Code::Locked));
    assert_eq!(requests.len(), 2, "once more just before the deadline");
}

#[tokio::test]
async fn a_denial_is_not_retried() {
    for code in [Code::Unauthorized, Code::Expired, Code::Revoked, Code::TicketSpent, Code::SourceNotAllowed]
    {
        let (result, requests) = boot_against(LONG, move |_, _| problem(code, "")).await;
        let error = result.unwrap_err();
        assert!(is_denial(&error));
        assert_eq!(error.to_string(), format!("{}: said", code.title()));
        assert_eq!(error.hint(), Some("do this"));
        assert_eq!(requests.len(), 1);
    }
}

#[tokio::test]
async fn authorities_verify_a_server_without_a_pin() {
    let folder = tempfile::tempdir().unwrap();
    let (good, other) = (TestCertificate::named("localhost"), TestCertificate::named("localhost"));
    let (elsewhere, expired) =
        (TestCertificate::named("elsewhere.example"), TestCertificate::expired("localhost"));
    let future = TestCertificate::not_yet_valid("localhost");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, [&good, &elsewhere, &expired, &future].map(TestCertificate::pem).concat()).unwrap();

    for (identity, expected) in [
        (&good, None),
        (&other, Some("no trusted authority issued its certificate")),
        (&elsewhere, Some("its certificate is for another name")),
        (&expired, Some("its certificate has expired")),
        (&future, Some("by this machine's clock, its certificate is not valid yet")),
    ] {
        let server = MockServer::new(|_, request| MockStore::new(1).answer(request, 200, &released()));
        let address = server.on_tls(identity).await;
        let ticket = sealed::ticket(&[format!("https://localhost:{}", address.port())]);
        let options = BootOptions { deadline: SHORT, authorities: Some(file.clone()) };
        let result = boot(&ticket, &BootRequest::default(), &options, &mut SystemTimer::start()).await;
        match (result, expected) {
            (Ok(_), None) => {}
            (Err(error), Some(expected)) => {
                assert!(error.to_string().contains(expected), "{error}");
                assert!(error.hint().is_some() && !is_denial(&error));
                assert_eq!(matches!(error, BootCallError::Outage { .. }), identity.pin() == future.pin());
                assert!(server.requests().is_empty());
            }
            (Ok(_), Some(expected)) => panic!("{expected}"),
            (Err(error), None) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn an_unusable_address_is_skipped_and_an_error_if_it_is_the_only_one() {
    let server = MockServer::new(|_, _| json(200, "", &released()));
    let good = format!("http://{}", server.on_loopback().await);
    let bad = "http://store.example:7373".to_owned();
    let mut timer = SystemTimer::start();
    let options = BootOptions::default();
    boot(&ticket(&[bad.clone(), good], None), &BootRequest::default(), &options, &mut timer).await.unwrap();
    let error =
        boot(&ticket(&[bad], None), &BootRequest::default(), &options, &mut timer).await.err().unwrap();
    assert!(error.to_string().contains("plain http to another machine"), "{error}");
}

#[tokio::test]
async fn explains_on_its_own_path() {
    let server = MockServer::new(|_, _| {
        let receipt = Receipt { entries: Vec::new(), skipped: Vec::new(), revision: 7 };
        let (organization, member) = ("default".parse().unwrap(), "dev".parse().unwrap());
        let explanation = ExplainResponse {
            organization,
            member,
            receipt,
            locked: true,
            uses_left: Some(1),
            expires_at: None,
        };
        json(200, "", &explanation)
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    server.on_unix(tokio::net::UnixListener::bind(&path).unwrap());
    let ticket = ticket(&[format!("unix:{}", path.display())], None);
    let mut timer = SystemTimer::start();
    let explanation =
        explain(&ticket, &BootRequest::default(), &BootOptions::default(), &mut timer).await.unwrap();
    assert!(explanation.locked);
    assert_eq!(server.requests()[0].line(), "POST /v1/boot/explain HTTP/1.1");
    assert_eq!(server.requests()[0].header("host"), Some("localhost"));
}
