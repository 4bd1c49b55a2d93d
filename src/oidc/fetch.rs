//! Fetches an issuer's keys over HTTPS: within a time limit, a size limit, and the operator's egress policy.
//!
//! It sends nothing but two GET requests without a body or a credential, and follows no redirect.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::document_url::DocumentUrl;
use super::egress::EgressPolicy;
use super::key_set::{KeySet, MAX_DOCUMENT};
use super::metadata;
use super::resolver::NameResolver;
use crate::client::{Roots, connect_first};
use crate::domain::jwt::{IssuerFault, IssuerUrl};

/// How long both requests together may take.
pub(super) const FETCH_LIMIT: Duration = Duration::from_secs(5);
/// The most bytes of certificate authorities for one issuer.
const MAX_AUTHORITIES: usize = 64 * 1024;
/// The most bytes of headers of a response.
const MAX_HEADERS: usize = 32 * 1024;
/// The size of a body's buffer before its length is known.
const FIRST_CAPACITY: usize = 4096;

/// Fetches documents of issuers.
pub(super) struct Fetcher {
    policy: EgressPolicy,
    resolver: Box<dyn NameResolver>,
    limit: Duration,
    /// Settings for issuers without authorities of their own, made at the first use: reading the system's takes milliseconds.
    system: OnceLock<Arc<ClientConfig>>,
}

impl Fetcher {
    pub(super) fn new(policy: EgressPolicy, resolver: Box<dyn NameResolver>, limit: Duration) -> Self {
        Self { policy, resolver, limit, system: OnceLock::new() }
    }

    /// Returns the TLS settings for an issuer: the given authorities (PEM), or else the system's.
    pub(super) fn tls(&self, authorities: Option<&str>) -> Result<Arc<ClientConfig>, IssuerFault> {
        if let Some(pem) = authorities {
            return client_config(parse_authorities(pem)?.into());
        }
        if let Some(config) = self.system.get() {
            return Ok(Arc::clone(config));
        }
        let roots = Roots::load(None).map_err(|_| IssuerFault::NoSystemAuthorities)?;
        let config = client_config(roots.store())?;
        Ok(Arc::clone(self.system.get_or_init(|| config)))
    }

    /// Fetches the metadata of `issuer`, and the keys that they name.
    pub(super) async fn fetch_keys(
        &self,
        issuer: &IssuerUrl,
        tls: &Arc<ClientConfig>,
    ) -> Result<KeySet, IssuerFault> {
        // One limit for everything: an issuer that answers a byte a second must not hold a boot up.
        match tokio::time::timeout(self.limit, self.fetch_untimed(issuer, tls)).await {
            Ok(result) => result,
            Err(_) => Err(IssuerFault::TimedOut),
        }
    }

    async fn fetch_untimed(
        &self,
        issuer: &IssuerUrl,
        tls: &Arc<ClientConfig>,
    ) -> Result<KeySet, IssuerFault> {
        let url = DocumentUrl::of_metadata(issuer).ok_or(IssuerFault::NameNotFound)?;
        let keys_url = metadata::keys_url(&self.get(&url, tls).await?, issuer)?;
        // Often on another host, as Google's are. The same rules apply to it.
        KeySet::parse(&self.get(&keys_url, tls).await?)
    }

    async fn get(&self, url: &DocumentUrl, tls: &Arc<ClientConfig>) -> Result<Bytes, IssuerFault> {
        let tcp = self.connect(url).await?;
        let connector = TlsConnector::from(Arc::clone(tls));
        let stream =
            connector.connect(url.host.server_name(), tcp).await.map_err(|error| classify(&error))?;
        exchange(stream, url).await
    }

    async fn connect(&self, url: &DocumentUrl) -> Result<TcpStream, IssuerFault> {
        let found = self.resolver.resolve(&url.host, url.port).await;
        if found.is_empty() {
            return Err(IssuerFault::NameNotFound);
        }
        // Addresses, not the name: a second lookup while connecting could give others (DNS rebinding).
        let permitted: Vec<SocketAddr> =
            found.into_iter().filter(|address| self.policy.permits(address.ip())).collect();
        if permitted.is_empty() {
            return Err(IssuerFault::AddressRefused);
        }
        connect_first(permitted).await.map_err(|_| IssuerFault::Unreachable)
    }
}

/// Parses certificate authorities in PEM. All of them must be valid: a person gave them for this issuer.
fn parse_authorities(pem: &str) -> Result<RootCertStore, IssuerFault> {
    if pem.len() > MAX_AUTHORITIES {
        return Err(IssuerFault::Authorities);
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|_| IssuerFault::Authorities)?;
        roots.add(certificate).map_err(|_| IssuerFault::Authorities)?;
    }
    if roots.is_empty() { Err(IssuerFault::Authorities) } else { Ok(roots) }
}

fn client_config(roots: Arc<RootCertStore>) -> Result<Arc<ClientConfig>, IssuerFault> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    // TLS 1.2 too, unlike everywhere else: issuers are other people's servers, such as AD FS before Windows Server 2022.
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|_| IssuerFault::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Requests are minutes apart at least.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Sends one GET request and reads the document.
async fn exchange(stream: TlsStream<TcpStream>, url: &DocumentUrl) -> Result<Bytes, IssuerFault> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| IssuerFault::Broken)?;
    let request = Request::get(&url.path)
        .header(header::HOST, &url.authority)
        .header(header::USER_AGENT, concat!("dropsafe/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "application/json, application/jwk-set+json")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| IssuerFault::KeysUrl)?;
    let mut document = pin!(async move {
        let response = sender.send_request(request).await.map_err(|_| IssuerFault::Broken)?;
        read(response).await
    });
    let mut connection = pin!(connection);
    let mut ended = false;
    // The connection does its input and output only while it is polled, and only as long as this function runs.
    poll_fn(|cx| {
        // A future must not be polled after its end.
        ended = ended || connection.as_mut().poll(cx).is_ready();
        // After it: a server that closes has usually sent the rest of the document before.
        document.as_mut().poll(cx)
    })
    .await
}

async fn read(response: Response<Incoming>) -> Result<Bytes, IssuerFault> {
    let (head, mut body) = response.into_parts();
    match head.status {
        StatusCode::OK => {}
        // Wherever it leads, the address would have to be judged anew, and no issuer needs one.
        status if status.is_redirection() => return Err(IssuerFault::Redirect),
        status => return Err(IssuerFault::Status(status.as_u16())),
    }
    if !is_json(&head.headers) {
        return Err(IssuerFault::ContentType);
    }
    let mut document = BytesMut::with_capacity(FIRST_CAPACITY);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| IssuerFault::Broken)?;
        let Some(data) = frame.data_ref() else { continue };
        // While it arrives: a length is only announced, and a chunked body has none.
        if document.len() + data.len() > MAX_DOCUMENT {
            return Err(IssuerFault::TooLarge);
        }
        document.extend_from_slice(data);
    }
    Ok(document.freeze())
}

/// `application/json`, `application/jwk-set+json` (RFC 7517 section 8.5.2) and other types of that form, not compressed.
fn is_json(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let media_type = text(header::CONTENT_TYPE).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let subtype = media_type.strip_prefix("application/").unwrap_or_default();
    // None was asked for, and a decompressor would make much of little.
    let plain = text(header::CONTENT_ENCODING).is_none_or(|coding| coding.eq_ignore_ascii_case("identity"));
    plain && (subtype == "json" || subtype.ends_with("+json"))
}

/// What a failed handshake means.
fn classify(error: &std::io::Error) -> IssuerFault {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(_)) => IssuerFault::Untrusted,
        Some(_) => IssuerFault::Tls,
        // TCP broke off.
        None => IssuerFault::Unreachable,
    }
}
