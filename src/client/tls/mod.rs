//! TLS 1.3 to the store: which server is believed, and what a failed handshake means.
//!
//! It never speaks an older version, never resumes a session but one of this process's own, and never treats a stranger as
//! an outage.

use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, TicketRequest};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::version::TLS13;
use rustls::{
    AlertDescription, CertificateError, CipherSuite, ClientConfig, DigitallySignedStruct, Error, OtherError,
    PeerIncompatible, SignatureScheme,
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::client::error::{CallError, CallOutage, CallRefusal, CertificateFault, TlsFault};
use crate::client::roots::Roots;
use crate::domain::pin::Pin;

/// Who decides whether a server is the store.
#[derive(Clone, Debug)]
pub(crate) enum ServerTrust {
    /// Its key alone.
    Pin(Pin),
    /// Certificate authorities, its name, and this machine's clock.
    Roots(Roots),
}

/// Sessions kept of one server, to be resumed.
const SESSIONS: usize = 8;

/// The settings of the first connection to a server that `trust` decides about. It asks for no resumption ticket (RFC 9149),
/// which a store would make and send for nothing: a boot that succeeds connects once.
pub(crate) fn config(trust: &ServerTrust) -> Result<Arc<ClientConfig>, CallRefusal> {
    config_with(provider(), trust)
}

fn config_with(mut provider: CryptoProvider, trust: &ServerTrust) -> Result<Arc<ClientConfig>, CallRefusal> {
    // First the suite whose hash processors have instructions for: a handshake is some thirty HMACs on either side. Servers
    // follow the client's order.
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    let provider = Arc::new(provider);
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|_| CallRefusal::NoTls)?;
    let mut config = match trust {
        ServerTrust::Pin(pin) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(PinVerifier { pin: *pin, algorithms }))
            .with_no_client_auth(),
        ServerTrust::Roots(roots) => builder.with_root_certificates(roots.store()).with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    config.send_ticket_request = Some(TicketRequest { new_session_count: 0, resumption_count: 0 });
    Ok(Arc::new(config))
}

/// The settings of the connections after the `first`: a store that is locked, or has too much to do, is asked again and
/// again, and neither side needs to prove and judge its key each time. The key was judged before a session is kept.
pub(crate) fn again(first: &ClientConfig) -> Arc<ClientConfig> {
    let mut config = first.clone();
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    config.send_ticket_request = Some(TicketRequest { new_session_count: 1, resumption_count: 1 });
    Arc::new(config)
}

/// The store's own build has aws-lc-rs, whose first group is X25519MLKEM768.
#[cfg(feature = "server")]
fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

#[cfg(not(feature = "server"))]
fn provider() -> CryptoProvider {
    ring_provider()
}

/// The agent's build has ring, and the same hybrid group composed.
#[cfg(all(feature = "agent", any(test, not(feature = "server"))))]
fn ring_provider() -> CryptoProvider {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.kx_groups.insert(0, crate::client::x25519_mlkem768::X25519_MLKEM768);
    provider
}

/// Believes the server that holds one key.
///
/// Neither name nor validity nor issuer of the certificate is looked at: the key was named by who made the ticket,
/// which no authority could say better, and a machine that boots may have any clock. The handshake's signature proves
/// that the peer holds the key, so the certificate is only its envelope.
#[derive(Debug)]
struct PinVerifier {
    pin: Pin,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let key = ParsedCertificate::try_from(end_entity)?.subject_public_key_info();
        let presented: [u8; 32] = Sha256::digest(key.as_ref()).into();
        if presented.ct_eq(self.pin.as_bytes()).into() {
            return Ok(ServerCertVerified::assertion());
        }
        let wrong = WrongPin { presented: Pin(presented) };
        Err(CertificateError::Other(OtherError(Arc::new(wrong))).into())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Carries the presented pin through rustls, which names no error for it.
#[derive(Debug, thiserror::Error)]
#[error("the server's key has another pin")]
struct WrongPin {
    presented: Pin,
}

/// What a handshake that failed with `error` means. Only a certificate can make it a refusal: everything else may be
/// the work of anyone on the way, who must not be able to end a boot for good.
pub(crate) fn judge(error: &io::Error, to: &str, trust: &ServerTrust) -> CallError {
    let to = to.to_owned();
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return CallOutage::Tls { to, why: TlsFault::BrokenOff }.into();
    };
    match error {
        Error::InvalidCertificate(fault) => judge_certificate(fault, to, trust),
        Error::InvalidMessage(_) => CallOutage::Tls { to, why: TlsFault::NotTls }.into(),
        Error::PeerIncompatible(_)
        | Error::AlertReceived(AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure) => {
            CallOutage::Tls { to, why: TlsFault::Incompatible }.into()
        }
        _ => CallOutage::Tls { to, why: TlsFault::BrokenOff }.into(),
    }
}

fn judge_certificate(fault: &CertificateError, to: String, trust: &ServerTrust) -> CallError {
    let why = match fault {
        CertificateError::Other(OtherError(other)) => {
            if let (Some(wrong), ServerTrust::Pin(expected)) = (other.downcast_ref::<WrongPin>(), trust) {
                let (expected, presented) = (*expected, wrong.presented);
                return CallRefusal::WrongPin { to, expected, presented }.into();
            }
            CertificateFault::Unusable
        }
        // Mostly a machine whose clock is not set yet, which time mends.
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            return CallOutage::Clock { to }.into();
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => CertificateFault::Expired,
        CertificateError::UnknownIssuer => CertificateFault::UnknownIssuer,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            CertificateFault::OtherName
        }
        // webpki says the same of an authority that only has a trusted one's name, which is by far the likelier.
        CertificateError::BadSignature if matches!(trust, ServerTrust::Roots(_)) => {
            CertificateFault::UnknownIssuer
        }
        CertificateError::BadSignature => CertificateFault::BadSignature,
        _ => CertificateFault::Unusable,
    };
    CallRefusal::Untrusted { to, why }.into()
}

#[cfg(all(test, feature = "agent", feature = "server"))]
mod tests {
    use rustls::crypto::{SupportedKxGroup, aws_lc_rs};
    use rustls::{ClientConnection, NamedGroup, ServerConfig, ServerConnection};

    use super::*;
    use crate::client::tests::mock_server::TestCertificate;

    const NAME: &str = "store.example";

    fn server(identity: &TestCertificate, groups: &[&'static dyn SupportedKxGroup]) -> Arc<ServerConfig> {
        let mut provider = aws_lc_rs::default_provider();
        provider.kx_groups = groups.to_vec();
        identity.server_config(provider)
    }

    /// Both sides in memory; what the client makes of it, and the group that was agreed on.
    fn handshake(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> Result<Option<NamedGroup>, Error> {
        let mut client = ClientConnection::new(client, NAME.try_into().unwrap())?;
        let mut server = ServerConnection::new(server)?;
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            // The server's own error is only the alert that the client sent.
            server.process_new_packets().ok();
            let mut wire = Vec::new();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        Ok(client.negotiated_key_exchange_group().map(|group| group.name()))
    }

    fn both_providers() -> [CryptoProvider; 2] {
        [provider(), ring_provider()]
    }

    #[test]
    fn the_pinned_key_is_believed_under_any_name_and_at_any_time() {
        let identity = TestCertificate::expired("other.example");
        for provider in both_providers() {
            let client = config_with(provider, &ServerTrust::Pin(identity.pin())).unwrap();
            let server = server(&identity, &[aws_lc_rs::kx_group::X25519]);
            assert_eq!(handshake(client, server), Ok(Some(NamedGroup::X25519)));
        }
    }

    #[test]
    fn another_key_is_a_refusal_that_names_both_pins() {
        let (identity, other) = (TestCertificate::named(NAME), TestCertificate::named(NAME));
        for provider in both_providers() {
            let trust = ServerTrust::Pin(other.pin());
            let client = config_with(provider, &trust).unwrap();
            let error = handshake(client, server(&identity, aws_lc_rs::ALL_KX_GROUPS)).unwrap_err();
            let judged = judge(&io::Error::new(io::ErrorKind::InvalidData, error), "here", &trust);
            let (to, expected, presented) = ("here".to_owned(), other.pin(), identity.pin());
            assert_eq!(judged, CallRefusal::WrongPin { to, expected, presented }.into());
        }
    }

    #[test]
    fn the_certificate_alone_is_worth_nothing_without_its_key() {
        let (identity, thief) = (TestCertificate::named(NAME), TestCertificate::named(NAME));
        for provider in both_providers() {
            let trust = ServerTrust::Pin(identity.pin());
            let client = config_with(provider, &trust).unwrap();
            let error = handshake(client, thief.with_certificate_of(&identity)).unwrap_err();
            let judged = judge(&io::Error::new(io::ErrorKind::InvalidData, error), "here", &trust);
            assert_eq!(
                judged,
                CallRefusal::Untrusted { to: "here".into(), why: CertificateFault::BadSignature }.into()
            );
        }
    }

    #[test]
    fn the_hybrid_group_is_agreed_on_with_another_implementation() {
        let identity = TestCertificate::named(NAME);
        for provider in both_providers() {
            let client = config_with(provider, &ServerTrust::Pin(identity.pin())).unwrap();
            for groups in [aws_lc_rs::ALL_KX_GROUPS, &[aws_lc_rs::kx_group::X25519MLKEM768]] {
                let agreed = handshake(Arc::clone(&client), server(&identity, groups));
                assert_eq!(agreed, Ok(Some(NamedGroup::X25519MLKEM768)));
            }
        }
    }

    #[test]
    fn a_server_without_post_quantum_groups_costs_no_second_hello() {
        let identity = TestCertificate::named(NAME);
        for provider in both_providers() {
            let client = config_with(provider, &ServerTrust::Pin(identity.pin())).unwrap();
            let mut client = ClientConnection::new(client, NAME.try_into().unwrap()).unwrap();
            let mut server =
                ServerConnection::new(server(&identity, &[aws_lc_rs::kx_group::X25519])).unwrap();
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            let kind = server.handshake_kind();
            assert_ne!(kind, Some(rustls::HandshakeKind::FullWithHelloRetryRequest));
        }
    }

    #[test]
    fn a_server_that_shares_no_group_is_an_outage() {
        let identity = TestCertificate::named(NAME);
        let trust = ServerTrust::Pin(identity.pin());
        let client = config(&trust).unwrap();
        let error = handshake(client, server(&identity, &[aws_lc_rs::kx_group::MLKEM1024])).unwrap_err();
        let judged = judge(&io::Error::new(io::ErrorKind::InvalidData, error), "here", &trust);
        assert_eq!(judged, CallOutage::Tls { to: "here".into(), why: TlsFault::Incompatible }.into());
    }
}
