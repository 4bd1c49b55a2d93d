//! Floods beside boots: whatever a stranger, a host or a tenant sends, the boots of others succeed.
//!
//! Each host is an address of loopback: 127.0.0.2 floods, 127.0.0.3 boots.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use dropsafe::domain::ticket::BootTicket;
use dropsafe::server::{ConnectionTimeouts, DevServer};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::dev_client::{connect_from, handshake, start};

const FLOODING: u8 = 2;
const BOOTING: u8 = 3;
const BOOTS: usize = 200;

/// An HTTP/2 connection from a host.
async fn open<B>(dev: &DevServer, host: u8) -> std::io::Result<SendRequest<B>>
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + Unpin + 'static,
{
    let stream = handshake(dev, connect_from(dev, host).await?, b"h2").await?;
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(std::io::Error::other)?;
    tokio::spawn(connection);
    Ok(sender)
}

fn post(path: &str, credential: &str, length: usize) -> http::request::Builder {
    Request::post(format!("https://localhost{path}"))
        .header("authorization", format!("Bearer {credential}"))
        .header("content-type", "application/json")
        .header("content-length", length)
}

/// The status of one boot over a connection of its own.
async fn boot_once(dev: &DevServer, host: u8, ticket: &str) -> Result<u16, String> {
    let credential = BootTicket::parse(ticket).unwrap().credential().to_text().to_string();
    let mut sender = open::<Full<Bytes>>(dev, host).await.map_err(|error| error.to_string())?;
    let request = post("/v1/boot", &credential, 2).body(Full::new(Bytes::from("{}"))).unwrap();
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let status = response.status().as_u16();
    let text = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
    if status == 200 { Ok(status) } else { Err(String::from_utf8_lossy(&text).into_owned()) }
}

/// Boots 200 times from a host, 25 at a time. None of them may be refused or lost, even once.
async fn all_boots_succeed(dev: &'static DevServer, host: u8) {
    let mut failed = Vec::new();
    for _ in 0..BOOTS / 25 {
        let boots: JoinSet<_> = (0..25).map(|_| boot_once(dev, host, &dev.ticket)).collect();
        failed.extend(boots.join_all().await.into_iter().filter_map(Result::err));
    }
    assert!(failed.is_empty(), "{} of {BOOTS} boots failed: {:?}", failed.len(), failed.first());
}

async fn ask(
    dev: &DevServer,
    host: u8,
    credential: &str,
    method: &str,
    path: &str,
    body: Value,
) -> (u16, Value) {
    let mut sender = open::<Full<Bytes>>(dev, host).await.unwrap();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut request = post(path, credential, body.len()).body(Full::new(Bytes::from(body))).unwrap();
    *request.method_mut() = method.parse().unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

/// A body that has begun and never ends.
#[derive(Default)]
pub(crate) struct EndlessBody {
    begun: bool,
}

impl Body for EndlessBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match std::mem::replace(&mut self.begun, true) {
            false => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"{"))))),
            true => Poll::Pending,
        }
    }
}

type SlowRequests = JoinSet<hyper::Result<Response<Incoming>>>;

/// Begins `count` requests whose bodies never end, 100 on each connection.
async fn begin_slow_requests(
    dev: &DevServer,
    count: usize,
    request: impl Fn() -> http::request::Builder,
) -> SlowRequests {
    let mut slow = JoinSet::new();
    for first in (0..count).step_by(100) {
        let connection = open::<EndlessBody>(dev, FLOODING).await.unwrap();
        for _ in first..count.min(first + 100) {
            let request = request().body(EndlessBody::default()).unwrap();
            let mut connection = connection.clone();
            slow.spawn(async move { connection.send_request(request).await });
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    slow
}

/// Timeouts that end no connection within a test.
const PATIENT: ConnectionTimeouts = ConnectionTimeouts {
    handshake: Duration::from_secs(600),
    headers: Duration::from_secs(600),
    idle: Duration::from_secs(600),
};

/// A server that lives as long as the test's process.
async fn start_server() -> &'static DevServer {
    Box::leak(Box::new(start(PATIENT).await))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn slow_login_forms_of_a_stranger_refuse_nobody_else() {
    let dev = start_server().await;
    let slow = begin_slow_requests(dev, 1100, || {
        Request::post("https://localhost/console/login")
            .header("content-type", "multipart/form-data; boundary=x")
            .header("sec-fetch-site", "same-origin")
            .header("content-length", 65_000)
    })
    .await;
    all_boots_succeed(dev, BOOTING).await;
    for _ in 0..50 {
        let (status, answer) = ask(dev, BOOTING, &dev.token, "GET", "/v1/secrets", Value::Null).await;
        assert_eq!(status, 200, "{answer}");
    }
    drop(slow);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn slow_bodies_with_one_ticket_refuse_no_boot_of_another() {
    let dev = start_server().await;
    let (status, made) = ask(dev, BOOTING, &dev.token, "POST", "/v1/tickets", json!({ "uses": 1 })).await;
    assert_eq!(status, 201, "{made}");
    let ticket = BootTicket::parse(made["ticket"].as_str().unwrap()).unwrap();
    let credential = ticket.credential().to_text().to_string();
    for path in ["/v1/boot", "/v1/boot/explain"] {
        let slow = begin_slow_requests(dev, 40, || post(path, &credential, 2 * 1024 * 1024)).await;
        all_boots_succeed(dev, BOOTING).await;
        let (status, answer) = ask(
            dev,
            BOOTING,
            &dev.token,
            "POST",
            "/v1/secrets",
            json!({ "name": path.replace('/', "_"), "value": "v" }),
        )
        .await;
        assert_eq!(status, 201, "{answer}");
        drop(slow);
    }
    // The attack has spent no use.
    let (_, list) = ask(dev, BOOTING, &dev.token, "GET", "/v1/tickets", Value::Null).await;
    assert!(
        list["items"].as_array().unwrap().iter().any(|ticket| ticket["uses"] == 1 && ticket["used"] == 0),
        "{list}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn wrong_tokens_from_the_same_address_refuse_no_valid_boot() {
    let dev = start_server().await;
    let mut wrong = dev.token.to_string();
    wrong.pop();
    let mut codes = Vec::new();
    for _ in 0..40 {
        codes.push(ask(dev, BOOTING, &wrong, "GET", "/v1/secrets", Value::Null).await.0);
    }
    assert_eq!((codes[0], codes[39]), (401, 429), "{codes:?}");
    all_boots_succeed(dev, BOOTING).await;
    assert_eq!(ask(dev, BOOTING, &dev.token, "GET", "/v1/secrets", Value::Null).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_silent_host_does_not_take_all_connections() {
    let dev = start_server().await;
    let mut silent = Vec::new();
    // More than the store accepts in all.
    for _ in 0..1300 {
        silent.push(connect_from(dev, FLOODING).await.unwrap());
    }
    let boots = tokio::time::timeout(Duration::from_secs(60), all_boots_succeed(dev, BOOTING));
    assert!(boots.await.is_ok(), "the boots wait for the connections of a silent host");
    drop(silent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_credential_on_many_idle_connections_does_not_take_all() {
    let dev = start_server().await;
    let (_, made) = ask(dev, BOOTING, &dev.token, "POST", "/v1/tickets", json!({ "uses": 1 })).await;
    let ticket = BootTicket::parse(made["ticket"].as_str().unwrap()).unwrap();
    let credential = ticket.credential().to_text().to_string();
    let mut idle = Vec::new();
    for _ in 0..1100 {
        // The last ones may be refused or wait, which is right.
        let Ok(Ok(mut sender)) =
            tokio::time::timeout(Duration::from_millis(500), open::<Full<Bytes>>(dev, FLOODING)).await
        else {
            continue;
        };
        let request = post("/v1/boot/explain", &credential, 2).body(Full::new(Bytes::from("{}"))).unwrap();
        let _ = sender.send_request(request).await;
        idle.push(sender);
    }
    let boots = tokio::time::timeout(Duration::from_secs(60), all_boots_succeed(dev, BOOTING));
    assert!(boots.await.is_ok(), "the boots wait for idle connections");
    drop(idle);
}
