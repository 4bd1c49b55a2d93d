//! The server's TLS: a private certificate authority and the server's own certificate, as `init` creates them, and the TLS
//! configuration for either these or the operator's own certificates. TLS 1.3 only. Never prints a key.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, DnsName, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::domain::pin::Pin;
use crate::domain::time::Timestamp;

/// The lifetime of the authority. It never leaves this store, and replacing it means telling every client.
const AUTHORITY_YEARS: i16 = 30;
/// The lifetime of the server's certificate. Machines compare its key with the pin of their ticket, whatever the date.
const LEAF_YEARS: i16 = 10;

/// Why TLS cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("a certificate cannot be created")]
    Make(#[source] rcgen::Error),
    #[error("a name for the certificate is neither a host name nor an address")]
    Name,
    #[error("the certificate file contains no certificate in PEM")]
    NoCertificate,
    #[error("the key file contains no private key in PEM")]
    NoKey,
    /// There is no key for resumption tickets.
    #[error("the kernel provides no randomness")]
    Randomness,
    /// Or the key is of a kind that is not supported.
    #[error("the certificate and the key do not match")]
    Mismatch,
}

/// An authority and a server certificate that it signed, as PEM.
pub(crate) struct GeneratedCertificates {
    /// The authority's certificate: what clients without a pin trust.
    pub(crate) ca: String,
    /// The authority's key.
    pub(crate) ca_key: Zeroizing<String>,
    /// The server's certificate, followed by the authority's.
    pub(crate) chain: String,
    /// The server's key.
    pub(crate) key: Zeroizing<String>,
    /// The pin of the server's key.
    pub(crate) pin: Pin,
}

/// Creates an authority and a server certificate for `names`, which are host names and addresses.
pub(crate) fn generate(names: &[String], now: Timestamp) -> Result<GeneratedCertificates, TlsError> {
    let ca_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(TlsError::Make)?;
    let mut ca = certificate_params(now, AUTHORITY_YEARS, "dropsafe authority");
    // It signs server certificates and no further authorities.
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_certificate = ca.self_signed(&ca_key).map_err(TlsError::Make)?;

    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(TlsError::Make)?;
    let mut leaf = certificate_params(now, LEAF_YEARS, "dropsafe");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    leaf.subject_alt_names = names.iter().map(|name| parse_san(name)).collect::<Result<_, _>>()?;
    let certificate = leaf.signed_by(&key, &Issuer::from_params(&ca, &ca_key)).map_err(TlsError::Make)?;

    let ca_pem = ca_certificate.pem();
    Ok(GeneratedCertificates {
        ca_key: Zeroizing::new(ca_key.serialize_pem()),
        chain: certificate.pem() + &ca_pem,
        ca: ca_pem,
        key: Zeroizing::new(key.serialize_pem()),
        pin: compute_pin(certificate.der())?,
    })
}

/// What the listeners use.
pub(crate) struct ServerTls {
    pub(crate) config: Arc<ServerConfig>,
    /// The pin of the certificate's key.
    pub(crate) pin: Pin,
}

/// The TLS configuration for a certificate chain and its key, both PEM.
pub(crate) fn load(chain: &str, key: &str) -> Result<ServerTls, TlsError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| TlsError::NoCertificate)?;
    let pin = compute_pin(chain.first().ok_or(TlsError::NoCertificate)?)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| TlsError::NoKey)?;
    // This provider prefers hybrid post-quantum key exchange (feature `prefer-post-quantum`).
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|_| TlsError::Mismatch)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|_| TlsError::Mismatch)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // A client that says how many resumption tickets it wants gets as many (RFC 9149): an agent wants none until it has to
    // come back. Others, above all browsers, get one. The key of these tickets belongs to this process, so another server of
    // the same store does a full handshake. It is replaced every six hours, and each session has its own key exchange.
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(|_| TlsError::Randomness)?;
    config.send_tls13_tickets = 1;
    config.max_tls13_tickets = 2;
    Ok(ServerTls { config: Arc::new(config), pin })
}

fn compute_pin(certificate: &CertificateDer<'_>) -> Result<Pin, TlsError> {
    let parsed = ParsedCertificate::try_from(certificate).map_err(|_| TlsError::NoCertificate)?;
    // Of the key and not of the certificate: a renewed certificate with the same key keeps every ticket valid.
    Ok(Pin(Sha256::digest(parsed.subject_public_key_info().as_ref()).into()))
}

fn certificate_params(now: Timestamp, years: i16, name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    let today = jiff::Timestamp::from_millisecond(now.as_millis()).unwrap_or_default();
    let today = today.to_zoned(jiff::tz::TimeZone::UTC).date();
    // From the first day of the month, for clients whose clocks are slow, to the first day of a month, which every year has.
    let (year, month) = (i32::from(today.year()), today.month().unsigned_abs());
    params.not_before = rcgen::date_time_ymd(year, month, 1);
    params.not_after = rcgen::date_time_ymd(year + i32::from(years), month, 1);
    params
}

fn parse_san(name: &str) -> Result<SanType, TlsError> {
    match name.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => {
            // The stricter parser first: rcgen accepts names that no client could ever match.
            let name = DnsName::try_from(name).map_err(|_| TlsError::Name)?;
            name.as_ref().try_into().map(SanType::DnsName).map_err(|_| TlsError::Name)
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::client::TicketRequest;
    use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConnection};

    use super::*;

    /// A whole handshake in memory and whatever follows it; what kind it was, and how many tickets came.
    fn handshake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> (HandshakeKind, u32) {
        let mut client = ClientConnection::new(Arc::clone(client), "localhost".try_into().unwrap()).unwrap();
        let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
        for _ in 0..4 {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            let mut wire = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut wire).unwrap();
            }
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets().unwrap();
        }
        (client.handshake_kind().unwrap(), client.tls13_tickets_received())
    }

    #[test]
    fn tickets_are_for_those_who_ask_for_them_and_are_resumed() {
        let made = generate(&["localhost".to_owned()], Timestamp::from_millis(1_790_000_000_000)).unwrap();
        let served = load(&made.chain, &made.key).unwrap().config;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(made.ca.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let asks = |count| {
            let mut client = client.clone();
            let request = TicketRequest { new_session_count: count, resumption_count: count };
            client.send_ticket_request = Some(request);
            Arc::new(client)
        };
        let full = HandshakeKind::Full;
        assert_eq!(handshake(&asks(0), &served), (full, 0));
        // As many as it asks for, within reason; a copy of the configuration shares what it keeps.
        assert_eq!(handshake(&asks(9), &served), (full, 2));
        assert_eq!(handshake(&asks(1), &served), (HandshakeKind::Resumed, 1));
        assert_eq!(handshake(&Arc::new(client), &served), (HandshakeKind::Resumed, 1));
    }

    #[test]
    fn what_is_made_can_be_served_and_has_the_pin_of_its_key() {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        let made = generate(&names, Timestamp::from_millis(1_790_000_000_000)).unwrap();
        let served = load(&made.chain, &made.key).unwrap();
        assert_eq!(served.pin, made.pin);
        assert_ne!(generate(&names, Timestamp::from_millis(0)).unwrap().pin, made.pin);
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let names = ["localhost".to_owned()];
        let (one, other) = (
            generate(&names, Timestamp::from_millis(0)).unwrap(),
            generate(&names, Timestamp::from_millis(0)).unwrap(),
        );
        assert!(matches!(load(&one.chain, &other.key), Err(TlsError::Mismatch)));
        assert!(matches!(load("canary", &one.key), Err(TlsError::NoCertificate)));
        assert!(matches!(load(&one.chain, "canary"), Err(TlsError::NoKey)));
        assert!(matches!(generate(&["no host".to_owned()], Timestamp::from_millis(0)), Err(TlsError::Name)));
    }
}
