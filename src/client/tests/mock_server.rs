//! A mock store. It answers each request with the bytes that the test chooses, and records the requests.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{HandshakeKind, ServerConfig};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;

use crate::domain::pin::Pin;

/// A key pair and its self-signed certificate.
pub(crate) struct TestCertificate {
    key: KeyPair,
    certificate: CertificateDer<'static>,
}

impl TestCertificate {
    pub(crate) fn named(name: &str) -> Self {
        Self::from_params(CertificateParams::new([name.to_owned()]).unwrap())
    }

    pub(crate) fn expired(name: &str) -> Self {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        Self::from_params(params)
    }

    pub(crate) fn not_yet_valid(name: &str) -> Self {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(3001, 1, 1);
        params.not_after = rcgen::date_time_ymd(3002, 1, 1);
        Self::from_params(params)
    }

    fn from_params(params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { key, certificate }
    }

    pub(crate) fn pin(&self) -> Pin {
        Pin(Sha256::digest(self.key.subject_public_key_info()).into())
    }

    /// The certificate in PEM, which is its own authority.
    pub(crate) fn pem(&self) -> String {
        let body = data_encoding::BASE64.encode(&self.certificate);
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    }

    pub(crate) fn server_config(&self, provider: CryptoProvider) -> Arc<ServerConfig> {
        self.server_config_with(provider, self.certificate.clone())
    }

    /// A server that presents the certificate of `other` without holding its key.
    pub(crate) fn with_certificate_of(&self, other: &Self) -> Arc<ServerConfig> {
        self.server_config_with(aws_lc_rs::default_provider(), other.certificate.clone())
    }

    fn server_config_with(
        &self,
        provider: CryptoProvider,
        certificate: CertificateDer<'static>,
    ) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let key = provider.key_provider.load_private_key(key).unwrap();
        let presented = FixedCertificate(Arc::new(CertifiedKey::new(vec![certificate], key)));
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(presented));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

#[derive(Debug)]
struct FixedCertificate(Arc<CertifiedKey>);

impl ResolvesServerCert for FixedCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// A step of the answer to a request.
pub(crate) enum MockAction {
    Bytes(Vec<u8>),
    Wait(Duration),
    Close,
}

/// A request that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordedRequest {
    /// The request line and the headers.
    pub(crate) head: String,
    pub(crate) body: String,
    /// The number of its connection, from 0.
    pub(crate) connection: usize,
}

impl RecordedRequest {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }
}

/// Answers with a JSON body.
pub(crate) fn json(status: u16, headers: &str, body: &impl Serialize) -> Vec<MockAction> {
    let body = serde_json::to_string(body).unwrap();
    let media_type = if status < 400 { "application/json" } else { "application/problem+json" };
    let length = body.len();
    raw(&format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    ))
}

/// Answers with exactly these bytes.
pub(crate) fn raw(text: &str) -> Vec<MockAction> {
    vec![MockAction::Bytes(text.as_bytes().to_vec())]
}

type Answers = dyn Fn(usize, &RecordedRequest) -> Vec<MockAction> + Send + Sync;

/// The mock. It serves until its runtime is dropped.
#[derive(Clone)]
pub(crate) struct MockServer {
    requests: Arc<Mutex<Vec<RecordedRequest>>>,
    handshakes: Arc<Mutex<Vec<HandshakeKind>>>,
    answers: Arc<Answers>,
}

impl MockServer {
    /// `answers` receives the request's number, from 0, and the request.
    pub(crate) fn new(
        answers: impl Fn(usize, &RecordedRequest) -> Vec<MockAction> + Send + Sync + 'static,
    ) -> Self {
        Self { requests: Arc::default(), handshakes: Arc::default(), answers: Arc::new(answers) }
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<RecordedRequest> {
        self.requests.lock().unwrap().clone()
    }

    /// The kind of each TLS handshake so far.
    pub(crate) fn handshakes(&self) -> Vec<HandshakeKind> {
        self.handshakes.lock().unwrap().clone()
    }

    /// Serves plain HTTP on a free port of loopback.
    pub(crate) async fn on_loopback(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        self.on_tcp(listener, None);
        address
    }

    /// Serves TLS on a free port of loopback.
    pub(crate) async fn on_tls(&self, identity: &TestCertificate) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        self.on_tcp(listener, Some(identity.server_config(aws_lc_rs::default_provider())));
        address
    }

    /// Serves a listener of the test.
    pub(crate) fn on_tcp(&self, listener: TcpListener, tls: Option<Arc<ServerConfig>>) {
        let this = self.clone();
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (this, tls) = (this.clone(), tls.clone().map(TlsAcceptor::from));
                tokio::spawn(async move {
                    match tls {
                        None => this.serve(stream, connection).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                let kind = stream.get_ref().1.handshake_kind().unwrap();
                                this.handshakes.lock().unwrap().push(kind);
                                this.serve(stream, connection).await;
                            }
                        }
                    }
                });
            }
        });
    }

    /// Serves a Unix socket.
    pub(crate) fn on_unix(&self, listener: UnixListener) {
        let this = self.clone();
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let this = this.clone();
                tokio::spawn(async move { this.serve(stream, connection).await });
            }
        });
    }

    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin, connection: usize) {
        while let Some((head, body)) = read_request(&mut stream).await {
            let request = RecordedRequest { head, body, connection };
            let number = {
                let mut all = self.requests.lock().unwrap();
                all.push(request.clone());
                all.len() - 1
            };
            for action in (self.answers)(number, &request) {
                match action {
                    MockAction::Bytes(bytes) => {
                        if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
                            return;
                        }
                    }
                    MockAction::Wait(time) => tokio::time::sleep(time).await,
                    MockAction::Close => {
                        stream.shutdown().await.ok();
                        return;
                    }
                }
            }
        }
    }
}

/// Reads one request with a body of known length.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        bytes.push(stream.read_u8().await.ok()?);
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, String::from_utf8(body).unwrap()))
}
