//! Over real sockets: TLS, HTTP/2, slow and broken peers, draining.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dropsafe::server::{ConnectionTimeouts, DevServer};
use http::Request;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::dev_client::{address, connect, read_all, start};
use crate::floods::EndlessBody;

const SHORT: ConnectionTimeouts = ConnectionTimeouts {
    handshake: Duration::from_millis(300),
    headers: Duration::from_millis(300),
    idle: Duration::from_millis(200),
};

#[tokio::test]
async fn tls_is_1_3_with_a_hybrid_key_exchange_and_the_pinned_key() {
    let dev = start(ConnectionTimeouts::default()).await;
    let mut stream = connect(&dev, b"http/1.1").await;
    let session = stream.get_ref().1;
    assert_eq!(session.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    let group = session.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let text = read_all(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("{\"status\":\"ok\"}"), "{text}");
    dev.stop().await;
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let dev = start(ConnectionTimeouts::default()).await;
    let mut stream = TcpStream::connect(address(&dev)).await.unwrap();
    stream.write_all(&client_hello_1_2()).await.unwrap();
    let mut alert = [0; 7];
    stream.read_exact(&mut alert).await.unwrap();
    // A fatal alert (21, 2): protocol_version (RFC 8446 section 6.2).
    assert_eq!((alert[0], alert[5], alert[6]), (21, 2, 70));
    dev.stop().await;
}

/// A ClientHello as a program of 2008 sends it (RFC 5246 section 7.4.1.2), without `supported_versions`.
fn client_hello_1_2() -> Vec<u8> {
    let mut extensions = Vec::new();
    extensions.extend([0, 10, 0, 4, 0, 2, 0, 23]); // supported_groups: secp256r1
    extensions.extend([0, 11, 0, 2, 1, 0]); // ec_point_formats: uncompressed
    extensions.extend([0, 13, 0, 4, 0, 2, 4, 3]); // signature_algorithms: ecdsa_secp256r1_sha256
    let mut hello = vec![3, 3];
    hello.extend([7; 32]); // random
    hello.push(0); // session id
    hello.extend([0, 2, 0xc0, 0x2b]); // TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
    hello.extend([1, 0]); // compression: none
    hello.extend((extensions.len() as u16).to_be_bytes());
    hello.extend(extensions);
    let mut handshake = vec![1, 0];
    handshake.extend((hello.len() as u16).to_be_bytes());
    handshake.extend(hello);
    let mut record = vec![22, 3, 1];
    record.extend((handshake.len() as u16).to_be_bytes());
    record.extend(handshake);
    record
}

#[tokio::test]
async fn http_2_carries_many_requests_on_one_connection() {
    let dev = start(ConnectionTimeouts::default()).await;
    let stream = connect(&dev, b"h2").await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut responses = Vec::new();
    for n in 0..100 {
        let mut sender = sender.clone();
        let body = format!("{{\"name\":\"name-{n}\",\"value\":\"v\"}}");
        let request = Request::post("https://localhost/v1/secrets")
            .header("authorization", format!("Bearer {}", &*dev.token))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        responses.push(tokio::spawn(async move { sender.send_request(request).await.unwrap() }));
    }
    for answer in responses {
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 201);
        answer.into_body().collect().await.unwrap();
    }
    drop(sender);
    dev.stop().await;
    let _ = driver.await;
}

#[tokio::test]
async fn a_connection_that_carried_a_value_ends_with_the_response_and_others_go_on() {
    let dev = start(ConnectionTimeouts::default()).await;
    for (body, is_closed) in [
        (r#"{"name":"a-member"}"#.to_owned(), false),
        (r#"{"name":"no name, perhaps a value"}"#.to_owned(), true),
        (r#"{"name":"value", "#.to_owned(), true),
    ] {
        assert_eq!(closes_connection(&dev, "/v1/members", &body).await, is_closed, "{body}");
    }
    assert!(closes_connection(&dev, "/v1/secrets", r#"{"name":"a","value":"v"}"#).await);
    assert!(closes_connection(&dev, "/v1/unlock", r#"{"passphrase":"p"}"#).await);
    assert!(closes_connection(&dev, "/v1/nothing", r#"{"value":"v"}"#).await);
    assert!(!closes_connection(&dev, "/v1/lock", "").await);

    // HTTP/2 finishes what is under way, and accepts no more.
    let stream = connect(&dev, b"h2").await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let request = Request::post("https://localhost/v1/secrets")
        .header("authorization", format!("Bearer {}", &*dev.token))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(r#"{"name":"b","value":"v"}"#)))
        .unwrap();
    let (answer, closed) = tokio::join!(sender.send_request(request), connection);
    assert_eq!(answer.unwrap().status(), 201);
    closed.unwrap();
    dev.stop().await;
}

fn post(dev: &DevServer, path: &str) -> http::request::Builder {
    Request::post(format!("https://localhost{path}"))
        .header("authorization", format!("Bearer {}", &*dev.token))
        .header("content-type", "application/json")
}

/// An HTTP/2 client may abort a request and go on, or leave another one open. What was read of a value goes all the same.
#[tokio::test]
async fn an_http_2_connection_that_carried_a_value_ends_also_if_its_client_aborts_or_keeps_it_open() {
    let dev = start(SHORT).await;
    let handshake = async || {
        let stream = connect(&dev, b"h2").await;
        let connected = hyper::client::conn::http2::handshake::<_, _, BoxBody<Bytes, Infallible>>(
            TokioExecutor::new(),
            TokioIo::new(stream),
        );
        connected.await.unwrap()
    };
    let unfinished = || post(&dev, "/v1/secrets").body(EndlessBody::default().boxed()).unwrap();
    let (mut sender, connection) = handshake().await;
    let connection = tokio::spawn(connection);
    // A dropped response is a RST_STREAM frame.
    let aborted = tokio::time::timeout(Duration::from_millis(100), sender.send_request(unfinished())).await;
    assert!(aborted.is_err());
    let ended = tokio::time::timeout(Duration::from_secs(5), connection).await;
    assert!(ended.is_ok(), "a client that aborts a request and keeps the connection");
    assert!(sender.is_closed());

    let (sender, connection) = handshake().await;
    let connection = tokio::spawn(connection);
    let (mut other, unfinished) = (sender.clone(), unfinished());
    let open = tokio::spawn(async move { other.send_request(unfinished).await });
    let value = Full::new(Bytes::from(r#"{"name":"c","value":"v"}"#)).boxed();
    let answer = sender.clone().send_request(post(&dev, "/v1/secrets").body(value).unwrap()).await;
    assert_eq!(answer.unwrap().status(), 201);
    let ended = tokio::time::timeout(Duration::from_secs(5), connection).await;
    assert!(ended.is_ok(), "a client that keeps another request open");
    assert!(open.await.unwrap().is_err());
    dev.stop().await;
}

/// Sends a POST over HTTP/1.1, and returns whether the server then closes the connection instead of answering another request.
async fn closes_connection(dev: &DevServer, path: &str, body: &str) -> bool {
    let mut stream = connect(dev, b"http/1.1").await;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        &*dev.token,
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    // If the connection goes on, this one ends it.
    let next = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let _ = stream.write_all(next).await;
    let text = read_all(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 "), "{text}");
    let (first, _) = text.split_once("\r\n\r\n").unwrap();
    let is_announced = first.contains("connection: close");
    assert_eq!(is_announced, !text.contains("{\"status\":\"ok\"}"), "{text}");
    is_announced
}

#[tokio::test]
async fn slow_peers_are_let_go() {
    let dev = start(SHORT).await;
    let begun = Instant::now();

    // Says nothing at all.
    let mut silent = TcpStream::connect(address(&dev)).await.unwrap();
    assert_eq!(read_all(&mut silent).await, "");

    // One header a while, for ever.
    let mut stream = connect(&dev, b"http/1.1").await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    let (mut reading, mut writing) = tokio::io::split(stream);
    let drip = tokio::spawn(async move {
        while writing.write_all(b"x: y\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(!read_all(&mut reading).await.contains("200 OK"));
    drip.abort();

    // HTTP/2 with no request.
    let stream = connect(&dev, b"h2").await;
    let (sender, connection) = hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(
        TokioExecutor::new(),
        TokioIo::new(stream),
    )
    .await
    .unwrap();
    let _ = connection.await;
    drop(sender);

    assert!(begun.elapsed() < Duration::from_secs(10));
    dev.stop().await;
}

#[tokio::test]
async fn broken_requests_are_answered_or_cut_and_the_server_lives() {
    let dev = start(ConnectionTimeouts::default()).await;
    for (request, status) in [
        ("nonsense\r\n\r\n", "400"),
        ("GET /healthz HTTP/1.1\r\n\r\n", "200"),
        ("GET http://x:y@/ HTTP/1.1\r\nhost: x\r\n\r\n", "400"),
        ("POST /v1/boot HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", "400"),
        ("POST /v1/boot HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n", "400"),
        ("GET /%zz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "404"),
        ("GET /v1/secrets/%ff HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "401"),
    ] {
        let mut stream = connect(&dev, b"http/1.1").await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(&head[9..], status.as_bytes(), "{request}");
    }
    let mut stream = connect(&dev, b"http/1.1").await;
    let many = "x: y\r\n".repeat(100);
    stream.write_all(format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{many}\r\n").as_bytes()).await.unwrap();
    assert!(read_all(&mut stream).await.starts_with("HTTP/1.1 431"));
    let mut stream = connect(&dev, b"http/1.1").await;
    let long = "y".repeat(20 * 1024);
    let request = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx: {long}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let text = read_all(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 431") && text.contains("headers_too_large"), "{text}");
    dev.stop().await;
}

#[tokio::test]
async fn a_client_that_sends_too_much_gets_an_error() {
    let dev = start(ConnectionTimeouts::default()).await;
    let mut stream = connect(&dev, b"http/1.1").await;
    let head = format!(
        "POST /v1/secrets HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: 4000000\r\n\r\n",
        &*dev.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..100 {
        stream.write_all(&[b' '; 40_000]).await.unwrap();
    }
    let text = read_all(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 413") && text.contains("payload_too_large"), "{text}");
    dev.stop().await;
}

/// The agent sends its report and is gone.
#[tokio::test]
async fn a_report_is_recorded_although_its_sender_is_gone() {
    let dev = start(ConnectionTimeouts::default()).await;
    let ticket = dropsafe::domain::ticket::BootTicket::parse(&dev.ticket).unwrap();
    let credential = ticket.credential().to_text();
    let mut stream = connect(&dev, b"http/1.1").await;
    let ask = |path: &str, body: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            &*credential,
            body.len()
        )
    };
    stream.write_all(ask("/v1/boot", "{}").as_bytes()).await.unwrap();
    let mut buffer = vec![0; 16 * 1024];
    let mut text = String::new();
    while !text.ends_with('}') {
        let read = stream.read(&mut buffer).await.unwrap();
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    let boot: serde_json::Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
    let report = serde_json::json!({ "digest": boot["digest"], "variables": 1 }).to_string();
    let path = format!("/v1/boots/{}/report", boot["boot"].as_str().unwrap());
    stream.write_all(ask(&path, &report).as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    // As execve(2) does: the socket is closed without a TLS goodbye.
    drop(stream.into_inner().0);

    let path = format!("/v1/boots/{}", boot["boot"].as_str().unwrap());
    for _ in 0..100 {
        let mut stream = connect(&dev, b"http/1.1").await;
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
            &*dev.token
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let text = read_all(&mut stream).await;
        let seen: serde_json::Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
        if seen["confirmed_at"].is_string() {
            return dev.stop().await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the report was not recorded");
}

#[tokio::test]
async fn draining_finishes_requests_in_flight() {
    let dev = start(ConnectionTimeouts::default()).await;
    let mut begun = connect(&dev, b"http/1.1").await;
    let body = r#"{"name":"late","value":"v"}"#;
    let head = format!(
        "POST /v1/secrets HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        &*dev.token,
        body.len()
    );
    begun.write_all(head.as_bytes()).await.unwrap();
    let mut idle = connect(&dev, b"http/1.1").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let address = address(&dev);
    let stopping = tokio::spawn(dev.stop());
    // New connections are refused, and idle ones closed.
    assert_eq!(read_all(&mut idle).await, "");
    assert!(TcpStream::connect(address).await.is_err());
    begun.write_all(body.as_bytes()).await.unwrap();
    let text = read_all(&mut begun).await;
    assert!(text.starts_with("HTTP/1.1 201"), "{text}");
    stopping.await.unwrap();
}
