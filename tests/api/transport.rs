//! Over real sockets: TLS, HTTP/2, slow and broken peers, draining.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dropsafe::api::limits::LimitSettings;
use dropsafe::domain::pin::Pin;
use dropsafe::server::{ConnectionTimeouts, DevServer};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use sha2::Digest as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const SHORT: ConnectionTimeouts = ConnectionTimeouts {
    handshake: Duration::from_millis(300),
    headers: Duration::from_millis(300),
    idle: Duration::from_millis(200),
};

async fn start(patience: ConnectionTimeouts) -> DevServer {
    DevServer::start(([127, 0, 0, 1], 0).into(), LimitSettings::default(), patience).await.unwrap()
}

fn address(dev: &DevServer) -> SocketAddr {
    let (url, _) = dev.url.split_once('#').unwrap();
    url.strip_prefix("https://").unwrap().parse().unwrap()
}

async fn connect(dev: &DevServer, protocol: &[u8]) -> TlsStream<TcpStream> {
    let pin = dev.url.split_once('#').unwrap().1.parse().unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned(pin)))
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(address(dev)).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// Trusts the key that the URL names, and no other.
#[derive(Debug)]
struct Pinned(Pin);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let parsed = rustls::server::ParsedCertificate::try_from(certificate)?;
        let found: [u8; 32] = sha2::Sha256::digest(parsed.subject_public_key_info().as_ref()).into();
        assert_eq!(found, *self.0.as_bytes(), "another key than the pin");
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        panic!("TLS 1.2 was spoken");
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

async fn read_all(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    // A peer that breaks off ends the text as one that closes does.
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

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
    let mut asked = Vec::new();
    for n in 0..100 {
        let mut sender = sender.clone();
        let body = format!("{{\"name\":\"name-{n}\",\"value\":\"v\"}}");
        let request = Request::post("https://localhost/v1/secrets")
            .header("authorization", format!("Bearer {}", &*dev.token))
            .header("content-type", "application/json")
            .body(Full::new(bytes::Bytes::from(body)))
            .unwrap();
        asked.push(tokio::spawn(async move { sender.send_request(request).await.unwrap() }));
    }
    for answer in asked {
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 201);
        answer.into_body().collect().await.unwrap();
    }
    drop(sender);
    dev.stop().await;
    let _ = driver.await;
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
    let (sender, connection) = hyper::client::conn::http2::handshake::<_, _, Full<bytes::Bytes>>(
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
async fn who_sends_too_much_learns_it() {
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
async fn draining_finishes_what_was_begun() {
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
    // Nobody new, and whoever only waits is let go.
    assert_eq!(read_all(&mut idle).await, "");
    assert!(TcpStream::connect(address).await.is_err());
    begun.write_all(body.as_bytes()).await.unwrap();
    let text = read_all(&mut begun).await;
    assert!(text.starts_with("HTTP/1.1 201"), "{text}");
    stopping.await.unwrap();
}
