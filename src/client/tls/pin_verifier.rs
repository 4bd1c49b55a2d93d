//! Verifies a server by the pins of its keys alone.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, PeerIncompatible, SignatureScheme};
use sha2::{Digest, Sha256};

use crate::domain::pin::{Pin, PinPair};

/// Trusts the server that holds one of the pinned keys.
///
/// It ignores the certificate's names, validity and issuer: the member who created the ticket named the keys, and a machine
/// that boots may have a wrong clock. The handshake's signature proves that the server holds the key, so the certificate
/// only carries it.
#[derive(Debug)]
pub(crate) struct PinVerifier {
    pub(crate) pins: PinPair,
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
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
        // The whole SubjectPublicKeyInfo, so that the pin covers the algorithm too (RFC 7469, section 2.4).
        let key = ParsedCertificate::try_from(end_entity)?.subject_public_key_info();
        let presented = Pin(Sha256::digest(key.as_ref()).into());
        // Not in constant time: neither the pins nor the presented key is a secret.
        if self.pins.list().contains(&presented) {
            return Ok(ServerCertVerified::assertion());
        }
        // rustls has no error for this, but it passes ours on.
        Err(CertificateError::Other(OtherError(Arc::new(PresentedPin(presented)))).into())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // Never called: the settings allow only TLS 1.3. It must not succeed if they change.
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

/// The pin of a server that does not hold the pinned key.
#[derive(Debug, thiserror::Error)]
#[error("the server's key has another pin")]
pub(crate) struct PresentedPin(pub(crate) Pin);
