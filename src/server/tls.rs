//! The server's TLS: a private certificate authority and the server's own certificate, as `init` and a rotation create them, and the
//! TLS configuration for either these or the operator's own certificates. TLS 1.3 only. Never prints a key.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
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

/// The lifetime of the authority and of the server's certificate, the only one that it signs. Machines compare its key with
/// the pin of their ticket, whatever the date.
const YEARS: i16 = 10;

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

/// The common name of the authorities that are made here.
const AUTHORITY: &str = "dropsafe authority";

/// An authority and a server certificate that it signed, as PEM.
pub(crate) struct GeneratedCertificates {
    /// The authority's certificate: what clients without a pin trust.
    pub(crate) ca: String,
    /// The server's certificate, followed by the authority's.
    pub(crate) chain: String,
}

/// Creates a key for a server, as PEM.
pub(crate) fn generate_key() -> Result<Zeroizing<String>, TlsError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(TlsError::Make)?;
    Ok(Zeroizing::new(key.serialize_pem()))
}

/// The pin of a server's key, which is PEM.
pub(crate) fn pin_of_key(key: &str) -> Result<Pin, TlsError> {
    let key = KeyPair::from_pem(key).map_err(|_| TlsError::NoKey)?;
    Ok(Pin(Sha256::digest(key.subject_public_key_info()).into()))
}

/// Creates an authority and a certificate of the server's `key` for `names`, which are host names and addresses. The authority's
/// key is discarded: browsers are told to trust the authority, and nobody may ever sign another certificate with it.
pub(crate) fn certify(
    key: &str,
    names: &[String],
    now: Timestamp,
) -> Result<GeneratedCertificates, TlsError> {
    let key = KeyPair::from_pem(key).map_err(|_| TlsError::NoKey)?;
    let sans: Vec<SanType> = names.iter().map(|name| parse_san(name)).collect::<Result<_, _>>()?;
    let ca_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(TlsError::Make)?;
    let ca = authority_params(&sans, now);
    let ca_certificate = ca.self_signed(&ca_key).map_err(TlsError::Make)?;

    let leaf = leaf_params(sans, now);
    let certificate = leaf.signed_by(&key, &Issuer::from_params(&ca, &ca_key)).map_err(TlsError::Make)?;

    let ca_pem = ca_certificate.pem();
    Ok(GeneratedCertificates { chain: certificate.pem() + &ca_pem, ca: ca_pem })
}

/// The pin and the names of the first certificate of a chain, if it was made here.
pub(crate) fn inspect_own(chain: &str) -> Option<(Pin, Vec<String>)> {
    let certificate = CertificateDer::from_pem_slice(chain.as_bytes()).ok()?;
    let is_ours = certificate.windows(AUTHORITY.len()).any(|bytes| bytes == AUTHORITY.as_bytes());
    is_ours.then(|| Some((compute_pin(&certificate).ok()?, read_sans(&certificate)?))).flatten()
}

/// The subject alternative names of a certificate, as [`certify`] takes them.
fn read_sans(certificate: &[u8]) -> Option<Vec<String>> {
    // 2.5.29.17 (RFC 5280, section 4.2.1.6), the OCTET STRING of its value, and in it the SEQUENCE of names.
    const OID: [u8; 5] = [6, 3, 0x55, 0x1d, 0x11];
    let at = certificate.windows(OID.len()).position(|bytes| bytes == OID)?;
    let (4, value, _) = split_der(certificate.get(at + OID.len()..)?)? else { return None };
    let (0x30, mut rest, _) = split_der(value)? else { return None };
    let mut names = Vec::new();
    while !rest.is_empty() {
        let (tag, name, after) = split_der(rest)?;
        rest = after;
        // The context's tags 2 and 7: dNSName and iPAddress.
        names.push(match tag {
            0x82 => str::from_utf8(name).ok()?.to_owned(),
            0x87 if name.len() == 4 => IpAddr::from(<[u8; 4]>::try_from(name).ok()?).to_string(),
            0x87 => IpAddr::from(<[u8; 16]>::try_from(name).ok()?).to_string(),
            _ => return None,
        });
    }
    Some(names)
}

/// Splits the first element off: its tag, its content and what follows it.
fn split_der(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk()?;
    // Above 127, the length is in as many bytes as the lower bits say (X.690, 8.1.3).
    let (length, rest) = match first {
        0..0x80 => (usize::from(first), rest),
        _ => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f).min(4))?;
            (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

fn authority_params(sans: &[SanType], now: Timestamp) -> CertificateParams {
    let mut ca = certificate_params(now, AUTHORITY);
    // It signs server certificates and no further authorities.
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    // The constraints of names know no people and no code: without this, it could sign for them.
    ca.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let mut constraints = NameConstraints { permitted_subtrees: Vec::new(), excluded_subtrees: Vec::new() };
    for san in sans {
        constraints.permitted_subtrees.extend(match san {
            SanType::IpAddress(address) => {
                let bits = if address.is_ipv4() { 32 } else { 128 };
                Some(GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(*address, bits)))
            }
            // A constraint has no wildcard: it holds for the names below it anyway (RFC 5280, section 4.2.1.10).
            SanType::DnsName(name) => {
                let name = name.as_str();
                Some(GeneralSubtree::DnsName(name.strip_prefix("*.").unwrap_or(name).to_owned()))
            }
            _ => None,
        });
    }
    // A kind of name without a permitted subtree is not restricted at all.
    if !sans.iter().any(|san| matches!(san, SanType::DnsName(_))) {
        constraints.excluded_subtrees.push(GeneralSubtree::DnsName(String::new()));
    }
    if !sans.iter().any(|san| matches!(san, SanType::IpAddress(_))) {
        let whole = [IpAddr::from([0; 4]), IpAddr::from([0; 16])];
        let whole = whole.map(|address| GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, 0)));
        constraints.excluded_subtrees.extend(whole);
    }
    ca.name_constraints = Some(constraints);
    ca
}

fn leaf_params(sans: Vec<SanType>, now: Timestamp) -> CertificateParams {
    let mut leaf = certificate_params(now, "dropsafe");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    leaf.subject_alt_names = sans;
    leaf
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
    // A client that says how many resumption tickets it wants gets as many (RFC 9149): an agent wants none before its second
    // connection. Others, above all browsers, get one. The key of these tickets belongs to this process, so another server of
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

fn certificate_params(now: Timestamp, name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    let today = jiff::Timestamp::from_millisecond(now.as_millis()).unwrap_or_default();
    let today = today.to_zoned(jiff::tz::TimeZone::UTC).date();
    // From the first day of the month, for clients whose clocks are slow, to the first day of a month, which every year has.
    let (year, month) = (i32::from(today.year()), today.month().unsigned_abs());
    params.not_before = rcgen::date_time_ymd(year, month, 1);
    params.not_after = rcgen::date_time_ymd(year + i32::from(YEARS), month, 1);
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
    use std::time::Duration;

    use rustls::client::danger::ServerCertVerifier;
    use rustls::client::{TicketRequest, WebPkiServerVerifier};
    use rustls::pki_types::UnixTime;
    use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConnection};

    use super::*;

    /// A new key with its certificates.
    fn generate(
        names: &[String],
        now: Timestamp,
    ) -> Result<(GeneratedCertificates, Zeroizing<String>), TlsError> {
        let key = generate_key()?;
        Ok((certify(&key, names, now)?, key))
    }

    /// Performs a handshake in memory. Returns its kind and the number of resumption tickets.
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
    fn clients_get_the_resumption_tickets_they_ask_for() {
        let (made, key) =
            generate(&["localhost".to_owned()], Timestamp::from_millis(1_790_000_000_000)).unwrap();
        let served = load(&made.chain, &key).unwrap().config;
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
        // As many as it asks for, up to the limit. A copy of the configuration shares its sessions.
        assert_eq!(handshake(&asks(9), &served), (full, 2));
        assert_eq!(handshake(&asks(1), &served), (HandshakeKind::Resumed, 1));
        assert_eq!(handshake(&Arc::new(client), &served), (HandshakeKind::Resumed, 1));
    }

    #[test]
    fn what_is_made_can_be_served_and_has_the_pin_of_its_key() {
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        // With more than 127, and then more than 255 bytes of names.
        for more in ["vault.example".to_owned(), "a".repeat(60) + &".b".repeat(40), "2001:db8::1".to_owned()]
        {
            names.push(more);
            let (made, key) = generate(&names, Timestamp::from_millis(1_790_000_000_000)).unwrap();
            let served = load(&made.chain, &key).unwrap();
            assert_eq!(served.pin, pin_of_key(&key).unwrap());
            assert_eq!(inspect_own(&made.chain), Some((served.pin, names.clone())));
            assert_ne!(generate_key().unwrap(), key);
        }
        // Of another authority.
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let foreign =
            certificate_params(Timestamp::from_millis(0), "someone").self_signed(&key).unwrap().pem();
        assert_eq!(inspect_own(&foreign), None);
        assert_eq!(inspect_own("canary"), None);
    }

    /// A browser trusts the authority for every name that it may sign. Should its key be kept by somebody, it signs no other.
    #[test]
    fn the_authority_can_sign_only_for_the_names_of_the_store() {
        let now = Timestamp::from_millis(1_790_000_000_000);
        let sans = |names: &[&str]| names.iter().map(|name| parse_san(name).unwrap()).collect::<Vec<_>>();
        let accepts = |own: &[&str], name: &'static str| {
            let ca_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
            let ca = authority_params(&sans(own), now);
            let trusted = ca.self_signed(&ca_key).unwrap().der().clone();
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
            let leaf = leaf_params(sans(&[name]), now);
            let leaf = leaf.signed_by(&key, &Issuer::from_params(&ca, &ca_key)).unwrap();
            let mut roots = RootCertStore::empty();
            roots.add(trusted).unwrap();
            let provider = Arc::new(aws_lc_rs::default_provider());
            let verifier =
                WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
            let time = UnixTime::since_unix_epoch(Duration::from_millis(now.as_millis().unsigned_abs()));
            verifier.verify_server_cert(leaf.der(), &[], &name.try_into().unwrap(), &[], time).is_ok()
        };
        let own = ["localhost", "vault.example", "127.0.0.1", "::1"];
        for name in own {
            assert!(accepts(&own, name), "{name}");
        }
        for name in ["bank.example", "example", "127.0.0.2", "::2"] {
            assert!(!accepts(&own, name), "{name}");
        }
        for (own, name) in
            [("vault.example", "127.0.0.1"), ("vault.example", "::1"), ("127.0.0.1", "vault.example")]
        {
            assert!(!accepts(&[own], name), "{own} signed {name}");
        }
        let (made, _) = generate(&["localhost".to_owned()], now).unwrap();
        let ca = CertificateDer::from_pem_slice(made.ca.as_bytes()).unwrap();
        // 2.5.29.30, name constraints (RFC 5280, section 4.2.1.10).
        assert!(ca.windows(5).any(|bytes| bytes == [6, 3, 0x55, 0x1d, 0x1e]));
        // 2.5.29.37, extended key usage, with serverAuth alone (section 4.2.1.12).
        let usage =
            [&[6, 3, 0x55, 0x1d, 0x25, 4, 12, 0x30, 10, 6, 8], [0x2b, 6, 1, 5, 5, 7, 3, 1].as_slice()]
                .concat();
        assert!(ca.windows(usage.len()).any(|bytes| bytes == usage));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let names = ["localhost".to_owned()];
        let ((one, key), (_, other)) = (
            generate(&names, Timestamp::from_millis(0)).unwrap(),
            generate(&names, Timestamp::from_millis(0)).unwrap(),
        );
        assert!(matches!(load(&one.chain, &other), Err(TlsError::Mismatch)));
        assert!(matches!(load("canary", &key), Err(TlsError::NoCertificate)));
        assert!(matches!(load(&one.chain, "canary"), Err(TlsError::NoKey)));
        assert!(matches!(generate(&["no host".to_owned()], Timestamp::from_millis(0)), Err(TlsError::Name)));
    }
}
