//! A boot from one end of a real connection to the other.
#![expect(clippy::disallowed_methods, reason = "a test writes the file of authorities")]

mod faults;

use std::io;
use std::time::Instant;

use tokio::net::TcpListener;
use zeroize::Zeroizing;

use super::*;
use crate::client::error::CallError;
use crate::client::tests::mock_server::{MockAction, MockServer, RecordedRequest, TestCertificate, json};
use crate::client::timer::SystemTimer;
use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::pin::Pin;
use crate::domain::receipt::Receipt;
use crate::wire::{Code, Problem, ReleasedView, Value};

pub(crate) fn ticket(urls: &[String], pin: Option<Pin>) -> BootTicket {
    let credential = Credential::new(CredentialKind::Ticket, [1; 16], Zeroizing::new([2; 32]));
    BootTicket::new(urls.to_vec(), pin, credential).unwrap()
}

pub(crate) fn released() -> BootResponse {
    let value = crate::domain::value::SecretValue::new("canary \"\n\u{e9}".as_bytes().to_vec());
    BootResponse {
        boot: "boot_aaaaaaaaaaaaaaaaaaaaaaaaaa".into(),
        organization: "default".into(),
        member: "dev".into(),
        released_at: "2026-01-01T00:00:00Z".into(),
        count: 1,
        digest: "00".into(),
        receipt: Receipt { entries: Vec::new(), skipped: Vec::new(), revision: 7 },
        values: vec![ReleasedView { id: "sec_a".into(), value: Value::of(&value), value_base64: None }],
    }
}

fn problem(code: Code, headers: &str) -> Vec<MockAction> {
    json(code.status(), headers, &Problem::new(code, "said").hint("do this"))
}

/// Boots against a server on loopback that answers so; the outcome, and what it was asked.
pub(crate) async fn against(
    deadline: Duration,
    answers: impl Fn(usize, &RecordedRequest) -> Vec<MockAction> + Send + Sync + 'static,
) -> (Result<BootResponse, BootCallError>, Vec<RecordedRequest>) {
    let server = MockServer::new(answers);
    let ticket = ticket(&[format!("http://{}", server.on_loopback().await)], None);
    let options = BootOptions { deadline, authorities: None };
    let result = boot(&ticket, &BootRequest::default(), &options, &mut SystemTimer::start()).await;
    (result.map(|(response, _)| response), server.asked())
}

pub(crate) const LONG: Duration = Duration::from_secs(20);
pub(crate) const SHORT: Duration = Duration::from_secs(1);
/// Far more than SHORT on a busy machine, and less than the servers here wait.
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
    let server = MockServer::new(|_, asked| match asked.line().contains("report") {
        false => json(200, "", &released()),
        true => vec![],
    });
    let address = server.on_tls(&identity).await;
    let ticket = ticket(&[format!("https://localhost:{}", address.port())], Some(identity.pin()));
    let request = BootRequest { include: vec!["db-url".into()], ..BootRequest::default() };
    let mut pace = SystemTimer::start();
    let (response, session) = boot(&ticket, &request, &BootOptions::default(), &mut pace).await.unwrap();
    assert!(!format!("{response:?}").contains("canary"));
    let value = response.values.into_iter().next().unwrap().value.unwrap().into_secret();
    assert_eq!(value.expose(), "canary \"\n\u{e9}".as_bytes());

    let started = Instant::now();
    session.report_nowait(&ReportBootRequest { digest: "00".into(), variables: 3 }).await;
    assert!(started.elapsed() < SOON);
    // The connection is gone now, as after an exec; what was sent arrives all the same.
    while server.asked().len() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let asked = server.asked();
    assert_eq!(asked[0].line(), "POST /v1/boot HTTP/1.1");
    assert_eq!(asked[0].header("host").unwrap(), format!("localhost:{}", address.port()));
    assert_eq!(asked[0].header("content-type"), Some("application/json"));
    assert_eq!(
        asked[0].header("authorization").unwrap(),
        format!("Bearer {}", *ticket.credential().to_text())
    );
    assert_eq!(asked[0].body, r#"{"include":["db-url"]}"#);
    assert_eq!(asked[1].line(), "POST /v1/boots/boot_aaaaaaaaaaaaaaaaaaaaaaaaaa/report HTTP/1.1");
    assert_eq!(asked[1].body, r#"{"digest":"00","variables":3}"#);
    assert_eq!((asked[0].connection, asked[1].connection), (0, 0));
}

#[tokio::test]
async fn another_key_is_refused_at_once_and_gets_nothing() {
    let (identity, expected) = (TestCertificate::named("localhost"), TestCertificate::named("localhost"));
    let server = MockServer::new(|_, _| json(200, "", &released()));
    let address = server.on_tls(&identity).await;
    let ticket = ticket(&[format!("https://{address}")], Some(expected.pin()));
    let mut pace = SystemTimer::start();
    let result = boot(&ticket, &BootRequest::default(), &BootOptions::default(), &mut pace).await;
    let error = result.err().unwrap();
    let message = error.to_string();
    assert!(message.contains(&expected.pin().to_string()) && message.contains(&identity.pin().to_string()));
    assert!(!is_denial(&error), "a stranger must not be able to destroy a cache");
    assert!(error.hint().is_some());
    assert!(server.asked().is_empty());
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
    let mut pace = SystemTimer::start();
    boot(&ticket, &BootRequest::default(), &BootOptions::default(), &mut pace).await.unwrap();
}

#[tokio::test]
async fn no_one_there_until_the_deadline() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let ticket = ticket(&[format!("http://{closed}")], None);
    let options = BootOptions { deadline: SHORT, authorities: None };
    let started = Instant::now();
    let result = boot(&ticket, &BootRequest::default(), &options, &mut SystemTimer::start()).await;
    let Err(BootCallError::Outage { last, tries, within }) = result else { panic!() };
    assert_eq!(
        last,
        CallOutage::Unreachable { to: format!("http://{closed}"), why: io::ErrorKind::ConnectionRefused }
    );
    assert!(tries >= 2 && within == SHORT && started.elapsed() < SOON);
}

/// The machine's, but for what it calls chance.
struct Chance(SystemTimer, u64);

impl Timer for Chance {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn sleep(&mut self, time: Duration) -> impl Future<Output = ()> + Send {
        self.0.sleep(time)
    }

    fn random(&mut self) -> u64 {
        self.1
    }
}

#[tokio::test]
async fn it_begins_with_any_address_and_the_next_serves_when_one_is_down_or_busy() {
    for first in 0..3 {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let busy = MockServer::new(|_, _| problem(Code::Overloaded, "retry-after: 60\r\n"));
        let good = MockServer::new(|_, _| json(200, "", &released()));
        let urls =
            [closed, busy.on_loopback().await, good.on_loopback().await].map(|a| format!("http://{a}"));
        let mut pace = Chance(SystemTimer::start(), first);
        let started = Instant::now();
        let ticket = ticket(&urls, None);
        boot(&ticket, &BootRequest::default(), &BootOptions::default(), &mut pace).await.unwrap();
        assert!(started.elapsed() < SOON);
        let keys = |server: &MockServer| -> Vec<String> {
            server.asked().iter().map(|asked| asked.header("idempotency-key").unwrap().to_owned()).collect()
        };
        let (busy, good) = (keys(&busy), keys(&good));
        assert_eq!(busy.len(), usize::from(first < 2));
        assert_eq!(good.len(), 1);
        assert!(busy.iter().all(|key| *key == good[0]) && good[0].len() == 32);
    }
}

#[tokio::test]
async fn a_store_that_is_asked_again_resumes_its_session() {
    let identity = TestCertificate::named("localhost");
    let server = MockServer::new(|number, _| match number {
        0..=2 => problem(Code::Locked, "retry-after: 0\r\n"),
        _ => json(200, "", &released()),
    });
    let address = server.on_tls(&identity).await;
    let ticket = ticket(&[format!("https://{address}")], Some(identity.pin()));
    let mut pace = SystemTimer::start();
    let options = BootOptions { deadline: LONG, authorities: None };
    boot(&ticket, &BootRequest::default(), &options, &mut pace).await.unwrap();
    // The first asks for nothing that it could resume with, and the second for what the others do.
    use rustls::HandshakeKind::{Full, Resumed};
    assert_eq!(server.handshakes(), [Full, Full, Resumed, Resumed]);
}

#[tokio::test]
async fn a_locked_store_is_asked_again_after_the_time_it_names() {
    let started = Instant::now();
    let (result, asked) = against(LONG, |number, _| match number {
        0 => problem(Code::Locked, "retry-after: 1\r\n"),
        _ => json(200, "", &released()),
    })
    .await;
    result.unwrap();
    assert_eq!(asked.len(), 2);
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_locked_store_is_asked_until_the_deadline() {
    let (result, asked) = against(SHORT, |_, _| problem(Code::Locked, "retry-after: 30\r\n")).await;
    let outage = CallError::from(outage(result));
    assert_eq!(outage.code(), Some(Code::Locked));
    assert_eq!(asked.len(), 2, "once more just before the deadline");
}

#[tokio::test]
async fn a_denial_ends_it_at_once() {
    for code in [Code::Unauthorized, Code::Expired, Code::Revoked, Code::TicketSpent, Code::SourceNotAllowed]
    {
        let (result, asked) = against(LONG, move |_, _| problem(code, "")).await;
        let error = result.unwrap_err();
        assert!(is_denial(&error));
        assert_eq!(error.to_string(), format!("{}: said", code.title()));
        assert_eq!(error.hint(), Some("do this"));
        assert_eq!(asked.len(), 1);
    }
}

#[tokio::test]
async fn authorities_decide_where_no_pin_is() {
    let folder = tempfile::tempdir().unwrap();
    let (good, other) = (TestCertificate::named("localhost"), TestCertificate::named("localhost"));
    let (elsewhere, expired) =
        (TestCertificate::named("elsewhere.example"), TestCertificate::expired("localhost"));
    let tomorrow = TestCertificate::of_tomorrow("localhost");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, [&good, &elsewhere, &expired, &tomorrow].map(TestCertificate::pem).concat())
        .unwrap();

    for (identity, expected) in [
        (&good, None),
        (&other, Some("no trusted authority issued its certificate")),
        (&elsewhere, Some("its certificate is for other names")),
        (&expired, Some("its certificate has expired")),
        (&tomorrow, Some("its certificate is not valid before a later time than this machine's clock")),
    ] {
        let server = MockServer::new(|_, _| json(200, "", &released()));
        let address = server.on_tls(identity).await;
        let ticket = ticket(&[format!("https://localhost:{}", address.port())], None);
        let options = BootOptions { deadline: SHORT, authorities: Some(file.clone()) };
        let result = boot(&ticket, &BootRequest::default(), &options, &mut SystemTimer::start()).await;
        match (result, expected) {
            (Ok(_), None) => {}
            (Err(error), Some(expected)) => {
                assert!(error.to_string().contains(expected), "{error}");
                assert!(error.hint().is_some() && !is_denial(&error));
                assert_eq!(matches!(error, BootCallError::Outage { .. }), identity.pin() == tomorrow.pin());
                assert!(server.asked().is_empty());
            }
            (Ok(_), Some(expected)) => panic!("{expected}"),
            (Err(error), None) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn an_address_that_cannot_be_used_is_passed_over_and_told_when_it_is_the_only_one() {
    let server = MockServer::new(|_, _| json(200, "", &released()));
    let good = format!("http://{}", server.on_loopback().await);
    let bad = "http://store.example:7373".to_owned();
    let mut pace = SystemTimer::start();
    let options = BootOptions::default();
    boot(&ticket(&[bad.clone(), good], None), &BootRequest::default(), &options, &mut pace).await.unwrap();
    let error =
        boot(&ticket(&[bad], None), &BootRequest::default(), &options, &mut pace).await.err().unwrap();
    assert!(error.to_string().contains("plain http to another machine"), "{error}");
}

#[tokio::test]
async fn explains_on_its_own_path() {
    let server = MockServer::new(|_, _| {
        let receipt = Receipt { entries: Vec::new(), skipped: Vec::new(), revision: 7 };
        let (organization, member) = ("default".into(), "dev".into());
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
    let mut pace = SystemTimer::start();
    let explanation =
        explain(&ticket, &BootRequest::default(), &BootOptions::default(), &mut pace).await.unwrap();
    assert!(explanation.locked);
    assert_eq!(server.asked()[0].line(), "POST /v1/boot/explain HTTP/1.1");
    assert_eq!(server.asked()[0].header("host"), Some("localhost"));
}
