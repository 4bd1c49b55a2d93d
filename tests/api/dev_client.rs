//! A server in this process and TLS clients of it, each from an address of its own choice; no test.

use std::net::SocketAddr;
use std::sync::Arc;

use dropsafe::api::limits::LimitSettings;
use dropsafe::domain::pin::Pin;
use dropsafe::server::{ConnectionTimeouts, DevServer};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use sha2::Digest as _;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub async fn start(patience: ConnectionTimeouts) -> DevServer {
    DevServer::start(([127, 0, 0, 1], 0).into(), LimitSettings::default(), patience).await.unwrap()
}

pub fn address(dev: &DevServer) -> SocketAddr {
    let (url, _) = dev.url.split_once('#').unwrap();
    url.strip_prefix("https://").unwrap().parse().unwrap()
}

pub async fn connect(dev: &DevServer, protocol: &[u8]) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(address(dev)).await.unwrap();
    handshake(dev, stream, protocol).await.unwrap()
}

/// Connects from 127.0.0.`host`, which plays a host of its own.
pub async fn connect_from(dev: &DevServer, host: u8) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, host], 0).into())?;
    socket.connect(address(dev)).await
}

pub async fn handshake(
    dev: &DevServer,
    stream: TcpStream,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    handshake_pinned(dev.url.split_once('#').unwrap().1.parse().unwrap(), stream, protocol).await
}

pub async fn handshake_pinned(
    pin: Pin,
    stream: TcpStream,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned(pin)))
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
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

pub async fn read_all(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    // A peer that breaks off ends the text as one that closes does.
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}
