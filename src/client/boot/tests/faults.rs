//! Boots against servers that answer wrongly, endlessly, or not at all.

use std::time::Instant;

use tokio::net::TcpListener;

use super::{LONG, SHORT, SOON, boot_against, outage, refusal, released, ticket};
use crate::client::boot::*;
use crate::client::error::{CallStage, ResponseFault, TlsFault};
use crate::client::tests::mock_server::{MockAction, MockServer, json, raw};
use crate::client::timer::SystemTimer;
use crate::domain::pin::Pin;

#[tokio::test]
async fn a_large_report_does_not_wait_for_a_store_that_does_not_read() {
    let server = MockServer::new(|_, _| {
        let mut actions = json(200, "", &released());
        actions.push(MockAction::Wait(LONG));
        actions
    });
    // A Unix socket's buffer is small: most of the report stays here.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    server.on_unix(tokio::net::UnixListener::bind(&path).unwrap());
    let ticket = ticket(&[format!("unix:{}", path.display())], None);
    let mut timer = SystemTimer::start();
    let (_, session) =
        boot(&ticket, &BootRequest::default(), &BootOptions::default(), &mut timer).await.unwrap();
    let report = ReportBootRequest { digest: "0".repeat(1 << 20).into(), variables: 3 };
    let started = Instant::now();
    session.report_nowait(&report).await;
    assert!(started.elapsed() < SOON);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = MockServer::new(|_, _| json(200, "", &released()));
    let location = elsewhere.on_loopback().await;
    let (result, requests) =
        boot_against(LONG, move |_, _| json(307, &format!("location: http://{location}/v1/boot\r\n"), &()))
            .await;
    assert!(matches!(refusal(result), CallRefusal::Redirect { status: 307, .. }));
    assert_eq!(requests.len(), 1);
    assert!(elsewhere.requests().is_empty(), "the credential was sent to another server");
}

#[tokio::test]
async fn invalid_responses_are_refused_and_never_quoted() {
    let long = "x-canary: canary\r\n".repeat(10_000);
    for (answer, why) in [
        ("SSH-2.0-canary\r\n\r\n", ResponseFault::NotHttp),
        ("HTTP/1.1 200 OK\r\ncanary\r\n\r\n", ResponseFault::NotHttp),
        (&format!("HTTP/1.1 200 OK\r\n{long}\r\n"), ResponseFault::NotHttp),
        ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", ResponseFault::TooLarge),
        ("HTTP/1.1 200 OK\r\n\r\n{\"canary\":1}", ResponseFault::Unbounded),
        ("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n\"canary\"", ResponseFault::Unreadable),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", ResponseFault::Unreadable),
        ("HTTP/1.1 204 No Content\r\n\r\n", ResponseFault::Unreadable),
    ] {
        let answer = answer.to_owned();
        let (result, _) = boot_against(LONG, move |_, _| raw(&answer)).await;
        let refused = refusal(result);
        assert!(
            matches!(&refused, CallRefusal::BadResponse { why: found, .. } if *found == why),
            "{refused:?}"
        );
        assert!(!format!("{refused} {refused:?}").contains("canary"));
    }
}

#[tokio::test]
async fn a_truncated_response_is_an_outage() {
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-le",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"canary\":1}",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"can\r\n",
    ] {
        let (result, requests) = boot_against(SHORT, move |_, _| {
            let mut actions = raw(answer);
            actions.push(MockAction::Close);
            actions
        })
        .await;
        let outage = outage(result);
        assert!(
            matches!(outage, CallOutage::Broken { during: CallStage::Waiting | CallStage::Reading, .. }),
            "{outage:?}"
        );
        assert!(requests.len() > 1, "no retry");
    }
}

#[tokio::test]
async fn a_response_byte_by_byte_does_not_exceed_the_deadline() {
    for head in ["", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"] {
        let started = Instant::now();
        let (result, _) = boot_against(SHORT, move |_, _| {
            let drop = if head.is_empty() { "H" } else { "1\r\nx\r\n" };
            let mut actions = raw(head);
            for _ in 0..200 {
                actions.extend(raw(drop));
                actions.push(MockAction::Wait(Duration::from_millis(50)));
            }
            actions
        })
        .await;
        let during = if head.is_empty() { CallStage::Waiting } else { CallStage::Reading };
        match outage(result) {
            CallOutage::Late { during: found, .. } => assert_eq!(found, during),
            other => panic!("{other:?}"),
        }
        assert!(started.elapsed() < SOON);
    }
}

#[tokio::test]
async fn an_endless_body_is_refused_at_the_limit() {
    let (result, _) = boot_against(LONG, |_, _| {
        let mut actions = raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        for _ in 0..65 {
            actions.extend(raw(&format!("100000\r\n{}\r\n", "x".repeat(1 << 20))));
        }
        actions
    })
    .await;
    assert!(matches!(refusal(result), CallRefusal::BadResponse { why: ResponseFault::TooLarge, .. }));
}

#[tokio::test]
async fn a_server_without_tls_is_an_outage() {
    let server = MockServer::new(|_, _| raw("HTTP/1.1 400 Bad Request\r\n\r\n"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.ok();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let ticket = ticket(&[format!("https://{address}")], Some(Pin([7; 32])));
    let options = BootOptions { deadline: SHORT, authorities: None };
    let result = boot(&ticket, &BootRequest::default(), &options, &mut SystemTimer::start()).await;
    let Err(BootCallError::Outage { last, .. }) = result else { panic!() };
    assert_eq!(last, CallOutage::Tls { address: format!("https://{address}"), why: TlsFault::NotTls });
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_silent_server_does_not_exceed_the_deadline_in_any_step() {
    // Accepts, and says nothing: neither TLS nor HTTP.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for (url, during) in [
        (format!("https://{address}"), CallStage::Handshake),
        (format!("http://{address}"), CallStage::Waiting),
    ] {
        let options = BootOptions { deadline: SHORT, authorities: None };
        let started = Instant::now();
        let ticket = ticket(std::slice::from_ref(&url), Some(Pin([7; 32])));
        let result = boot(&ticket, &BootRequest::default(), &options, &mut SystemTimer::start()).await;
        let Err(BootCallError::Outage { last, .. }) = result else { panic!() };
        assert_eq!(last, CallOutage::Late { address: url, during });
        assert!(started.elapsed() < SOON);
    }
}

/// One lost packet could cost a machine its boot.
#[tokio::test]
async fn a_server_that_is_silent_once_is_called_again_with_the_same_key() {
    let deadline = Duration::from_secs(3);
    for head in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"can"] {
        let (result, requests) = boot_against(deadline, move |number, _| match number {
            0 => [raw(head), vec![MockAction::Wait(LONG)]].into_iter().flatten().collect(),
            _ => json(200, "", &released()),
        })
        .await;
        result.unwrap();
        let keys: Vec<_> =
            requests.iter().map(|request| request.header("idempotency-key").unwrap()).collect();
        assert!(keys.len() == 2 && keys[0] == keys[1], "{keys:?}");
    }
}

#[tokio::test]
async fn a_slow_response_that_goes_on_is_not_given_up() {
    let body = serde_json::to_string(&released()).unwrap();
    let (result, requests) = boot_against(Duration::from_secs(3), move |_, _| {
        let mut actions = raw(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()));
        // In 24 parts, longer in all than the server may be silent.
        for part in body.as_bytes().chunks(body.len().div_ceil(24)) {
            actions.push(MockAction::Wait(Duration::from_millis(100)));
            actions.push(MockAction::Bytes(part.to_vec()));
        }
        actions
    })
    .await;
    result.unwrap();
    assert_eq!(requests.len(), 1);
}

#[test]
fn no_deadline_has_more_silent_attempts_than_the_store_allows() {
    let secs = Duration::from_secs;
    assert_eq!(
        [3, 30, 60, 600].map(|deadline| exchange::silence(secs(deadline))),
        [2, 15, 30, 300].map(secs)
    );
    for deadline in 1..2000 {
        assert!(exchange::silence(secs(deadline)) * 2 >= secs(deadline), "{deadline}");
    }
}
