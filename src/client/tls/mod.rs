//! TLS 1.3 to the store: which server is trusted, and what a failed handshake means.
//!
//! It never speaks an older version, and never resumes a session of another process. A server with a wrong key or
//! certificate is a refusal, not an outage.

mod pin_verifier;

use std::io;
use std::sync::Arc;

use rustls::client::{Resumption, TicketRequest};
use rustls::crypto::CryptoProvider;
use rustls::version::TLS13;
use rustls::{AlertDescription, CertificateError, CipherSuite, ClientConfig, Error, OtherError};

use self::pin_verifier::{PinVerifier, PresentedPin};
use crate::client::error::{CallError, CallOutage, CallRefusal, CertificateFault, TlsFault};
use crate::client::roots::Roots;
use crate::domain::pin::PinPair;

/// What a server must prove.
#[derive(Clone, Debug)]
pub(crate) enum ServerTrust {
    /// That it holds a key with one of these pins. Nothing else is checked.
    Pins(PinPair),
    /// That one of these authorities issued its certificate, for its name and the current time.
    Roots(Roots),
}

/// How many sessions of one server are kept for resumption.
const SESSIONS: usize = 8;

/// Returns the settings of the first connection to a server.
pub(crate) fn first_config(trust: &ServerTrust) -> Result<Arc<ClientConfig>, CallRefusal> {
    config_with(provider(), trust)
}

fn config_with(mut provider: CryptoProvider, trust: &ServerTrust) -> Result<Arc<ClientConfig>, CallRefusal> {
    // First the suite with SHA-256, for which processors have instructions: a handshake computes some thirty HMACs on either
    // side. The store's server follows the client's order.
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    let provider = Arc::new(provider);
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|_| CallRefusal::NoTls)?;
    let mut config = match trust {
        // `dangerous` is rustls's name for any custom verifier. This one accepts fewer servers than authorities would.
        ServerTrust::Pins(pins) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(PinVerifier { pins: *pins, algorithms }))
            .with_no_client_auth(),
        ServerTrust::Roots(roots) => builder.with_root_certificates(roots.store()).with_no_client_auth(),
    };
    // Without it, a proxy that offers both could choose HTTP/2, which this client does not speak.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // No resumption tickets (RFC 9149): a boot that succeeds connects once, so the store would make them for nothing.
    config.resumption = Resumption::disabled();
    config.send_ticket_request = Some(TicketRequest { new_session_count: 0, resumption_count: 0 });
    Ok(Arc::new(config))
}

/// Returns the settings of the connections after the first, which resume sessions.
pub(crate) fn reconnect_config(first: &ClientConfig) -> Arc<ClientConfig> {
    // A store that is locked or overloaded is called again and again. Resumption spares both sides the signature each time,
    // and is safe: a session exists only after the server's key was verified.
    let mut config = first.clone();
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    config.send_ticket_request = Some(TicketRequest { new_session_count: 1, resumption_count: 1 });
    Arc::new(config)
}

/// The server's build has aws-lc-rs, whose first group is X25519MLKEM768.
#[cfg(feature = "server")]
fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

#[cfg(not(feature = "server"))]
fn provider() -> CryptoProvider {
    ring_provider()
}

/// The agent's build has ring, with the same hybrid group from [`crate::client::x25519_mlkem768`].
#[cfg(all(feature = "agent", any(test, not(feature = "server"))))]
fn ring_provider() -> CryptoProvider {
    let mut provider = rustls::crypto::ring::default_provider();
    // In front: the client sends its key share for the first group, and for X25519 as a part of it.
    provider.kx_groups.insert(0, crate::client::x25519_mlkem768::X25519_MLKEM768);
    provider
}

/// Classifies a failed handshake.
pub(crate) fn classify(error: &io::Error, address: &str, trust: &ServerTrust) -> CallError {
    let address = address.to_owned();
    // tokio-rustls wraps the errors of rustls. All others come from TCP.
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return CallOutage::Tls { address, why: TlsFault::BrokenOff }.into();
    };
    // Only a certificate makes it a refusal. Anybody in between can cause all other errors, and must not be able to end a boot
    // for good.
    match error {
        Error::InvalidCertificate(fault) => classify_certificate(fault, address, trust),
        // What arrived is no TLS record.
        Error::InvalidMessage(_) => CallOutage::Tls { address, why: TlsFault::NotTls }.into(),
        Error::PeerIncompatible(_)
        | Error::AlertReceived(AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure) => {
            CallOutage::Tls { address, why: TlsFault::Incompatible }.into()
        }
        _ => CallOutage::Tls { address, why: TlsFault::BrokenOff }.into(),
    }
}

fn classify_certificate(fault: &CertificateError, address: String, trust: &ServerTrust) -> CallError {
    let why = match fault {
        CertificateError::Other(OtherError(other)) => {
            if let (Some(presented), ServerTrust::Pins(expected)) =
                (other.downcast_ref::<PresentedPin>(), trust)
            {
                let (expected, presented) = (Box::new(*expected), presented.0);
                return CallRefusal::WrongPin { address, expected, presented }.into();
            }
            CertificateFault::Unusable
        }
        // Usually a machine whose clock is not set yet; time synchronization fixes it, so this is an outage.
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            return CallOutage::Clock { address }.into();
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => CertificateFault::Expired,
        CertificateError::UnknownIssuer => CertificateFault::UnknownIssuer,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            CertificateFault::OtherName
        }
        // webpki reports this for an unknown authority that has the name of a trusted one, too. That is far likelier than a
        // server without its key.
        CertificateError::BadSignature if matches!(trust, ServerTrust::Roots(_)) => {
            CertificateFault::UnknownIssuer
        }
        CertificateError::BadSignature => CertificateFault::BadSignature,
        _ => CertificateFault::Unusable,
    };
    CallRefusal::Untrusted { address, why }.into()
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

    /// Performs a handshake in memory. Returns the negotiated group, or the client's error.
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
    fn the_pinned_key_is_trusted_under_any_name_and_at_any_time() {
        let identity = TestCertificate::expired("other.example");
        for provider in both_providers() {
            let client = config_with(provider, &ServerTrust::Pins(identity.pin().into())).unwrap();
            let server = server(&identity, &[aws_lc_rs::kx_group::X25519]);
            assert_eq!(handshake(client, server), Ok(Some(NamedGroup::X25519)));
        }
    }

    #[test]
    fn another_key_is_a_refusal_that_names_both_pins() {
        let (identity, other) = (TestCertificate::named(NAME), TestCertificate::named(NAME));
        for provider in both_providers() {
            let trust = ServerTrust::Pins(other.pin().into());
            let client = config_with(provider, &trust).unwrap();
            let error = handshake(client, server(&identity, aws_lc_rs::ALL_KX_GROUPS)).unwrap_err();
            let classified = classify(&io::Error::new(io::ErrorKind::InvalidData, error), "here", &trust);
            let (address, expected, presented) =
                ("here".to_owned(), Box::new(other.pin().into()), identity.pin());
            assert_eq!(classified, CallRefusal::WrongPin { address, expected, presented }.into());
        }
    }

    #[test]
    fn a_certificate_without_its_key_is_refused() {
        let (identity, thief) = (TestCertificate::named(NAME), TestCertificate::named(NAME));
        for provider in both_providers() {
            let trust = ServerTrust::Pins(identity.pin().into());
            let client = config_with(provider, &trust).unwrap();
            let error = handshake(client, thief.with_certificate_of(&identity)).unwrap_err();
            let classified = classify(&io::Error::new(io::ErrorKind::InvalidData, error), "here", &trust);
            assert_eq!(
                classified,
                CallRefusal::Untrusted { address: "here".into(), why: CertificateFault::BadSignature }.into()
            );
        }
    }

    #[test]
    fn the_hybrid_group_is_negotiated_with_another_implementation() {
        let identity = TestCertificate::named(NAME);
        for provider in both_providers() {
            let client = config_with(provider, &ServerTrust::Pins(identity.pin().into())).unwrap();
            for groups in [aws_lc_rs::ALL_KX_GROUPS, &[aws_lc_rs::kx_group::X25519MLKEM768]] {
                let group = handshake(Arc::clone(&client), server(&identity, groups));
                assert_eq!(group, Ok(Some(NamedGroup::X25519MLKEM768)));
            }
        }
    }

    #[test]
    fn a_server_without_post_quantum_groups_costs_no_second_hello() {
        let identity = TestCertificate::named(NAME);
        for provider in both_providers() {
            let client = config_with(provider, &ServerTrust::Pins(identity.pin().into())).unwrap();
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
        let trust = ServerTrust::Pins(identity.pin().into());
        let client = first_config(&trust).unwrap();
        let error = handshake(client, server(&identity, &[aws_lc_rs::kx_group::MLKEM1024])).unwrap_err();
        let classified = classify(&io::Error::new(io::ErrorKind::InvalidData, error), "here", &trust);
        assert_eq!(
            classified,
            CallOutage::Tls { address: "here".into(), why: TlsFault::Incompatible }.into()
        );
    }
}
