//! What a boot makes of servers that answer wrongly, endlessly, or not at all.

use std::time::Instant;

use tokio::net::TcpListener;

use super::{LONG, SHORT, SOON, against, outage, refusal, released, ticket};
use crate::client::boot::*;
use crate::client::error::{CallStage, ResponseFault, TlsFault};
use crate::client::tests::mock_server::{MockAction, MockServer, json, raw};
use crate::client::timer::SystemTimer;
use crate::domain::pin::Pin;

#[tokio::test]
async fn a_large_report_to_a_store_that_does_not_read_takes_no_time() {
    let server = MockServer::new(|_, _| {
        let mut acts = json(200, "", &released());
        acts.push(MockAction::Wait(LONG));
        acts
    });
    // A Unix socket's buffer is small: most of the report stays here.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    server.on_unix(tokio::net::UnixListener::bind(&path).unwrap());
    let ticket = ticket(&[format!("unix:{}", path.display())], None);
    let mut pace = SystemTimer::start();
    let (_, session) =
        boot(&ticket, &BootRequest::default(), &BootOptions::default(), &mut pace).await.unwrap();
    let report = ReportBootRequest { digest: "0".repeat(1 << 20), variables: 3 };
    let started = Instant::now();
    session.report_nowait(&report).await;
    assert!(started.elapsed() < SOON);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = MockServer::new(|_, _| json(200, "", &released()));
    let location = elsewhere.on_loopback().await;
    let (result, asked) =
        against(LONG, move |_, _| json(307, &format!("location: http://{location}/v1/boot\r\n"), &())).await;
    assert!(matches!(refusal(result), CallRefusal::Redirect { status: 307, .. }));
    assert_eq!(asked.len(), 1);
    assert!(elsewhere.asked().is_empty(), "the credential went elsewhere");
}

#[tokio::test]
async fn answers_that_are_none_are_refused_and_never_quoted() {
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
        let (result, _) = against(LONG, move |_, _| raw(&answer)).await;
        let refused = refusal(result);
        assert!(
            matches!(&refused, CallRefusal::BadResponse { why: found, .. } if *found == why),
            "{refused:?}"
        );
        assert!(!format!("{refused} {refused:?}").contains("canary"));
    }
}

#[tokio::test]
async fn an_answer_cut_short_is_an_outage() {
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-le",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"canary\":1}",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"can\r\n",
    ] {
        let (result, asked) = against(SHORT, move |_, _| {
            let mut acts = raw(answer);
            acts.push(MockAction::Close);
            acts
        })
        .await;
        let outage = outage(result);
        assert!(
            matches!(outage, CallOutage::Broken { during: CallStage::Waiting | CallStage::Reading, .. }),
            "{outage:?}"
        );
        assert!(asked.len() > 1, "it is tried again");
    }
}

#[tokio::test]
async fn a_slow_drip_meets_the_deadline() {
    for head in ["", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"] {
        let started = Instant::now();
        let (result, _) = against(SHORT, move |_, _| {
            let drop = if head.is_empty() { "H" } else { "1\r\nx\r\n" };
            let mut acts = raw(head);
            for _ in 0..200 {
                acts.extend(raw(drop));
                acts.push(MockAction::Wait(Duration::from_millis(50)));
            }
            acts
        })
        .await;
        let during = if head.is_empty() { CallStage::Waiting } else { CallStage::Reading };
        // A head of one letter after another is no head.
        match outage(result) {
            CallOutage::Late { during: found, .. } => assert_eq!(found, during),
            other => panic!("{other:?}"),
        }
        assert!(started.elapsed() < SOON);
    }
}

#[tokio::test]
async fn a_body_without_end_is_cut_off_at_the_limit() {
    let (result, _) = against(LONG, |_, _| {
        let mut acts = raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        for _ in 0..65 {
            acts.extend(raw(&format!("100000\r\n{}\r\n", "x".repeat(1 << 20))));
        }
        acts
    })
    .await;
    assert!(matches!(refusal(result), CallRefusal::BadResponse { why: ResponseFault::TooLarge, .. }));
}

#[tokio::test]
async fn what_does_not_speak_tls_is_an_outage() {
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
    assert_eq!(last, CallOutage::Tls { to: format!("https://{address}"), why: TlsFault::NotTls });
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn a_silent_peer_meets_the_deadline_in_every_step() {
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
        assert_eq!(last, CallOutage::Late { to: url, during });
        assert!(started.elapsed() < SOON);
    }
}
