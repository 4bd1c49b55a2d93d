//! X25519MLKEM768, the post-quantum hybrid key exchange of TLS 1.3, for the agent's build, whose only provider is ring.
//! Client side only.
//!
//! It combines ring's X25519 with ML-KEM-768 (FIPS 203) as draft-ietf-tls-ecdhe-mlkem says, and adds no cryptography of
//! its own. A bad share of either half fails the exchange.

use ml_kem::kem::{Decapsulate, KeyExport};
use ml_kem::{DecapsulationKey768, Seed};
use rustls::crypto::ring::kx_group::X25519;
use rustls::crypto::{
    ActiveKeyExchange, CompletedKeyExchange, GetRandomFailed, SharedSecret, SupportedKxGroup,
};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup, PeerMisbehaved, ProtocolVersion};
use zeroize::Zeroizing;

/// Bytes of an ML-KEM-768 encapsulation key: FIPS 203, table 3.
const ENCAPSULATION_KEY: usize = 1184;
/// Bytes of an ML-KEM-768 ciphertext.
const CIPHERTEXT: usize = 1088;
/// Bytes of an X25519 public key.
const POINT: usize = 32;

/// The group, codepoint 0x11EC. In a provider's list it must come before plain X25519: the client then sends both shares,
/// and a server without post-quantum support needs no extra round trip.
pub(crate) static X25519_MLKEM768: &dyn SupportedKxGroup = &X25519MlKem768;

#[derive(Debug)]
struct X25519MlKem768;

impl SupportedKxGroup for X25519MlKem768 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let classical = X25519.start()?;
        // From the kernel: the state of a generator in memory would be the same in two clones of one machine.
        let mut bytes = Zeroizing::new([0; 64]);
        getrandom::fill(bytes.as_mut_slice()).map_err(|_| GetRandomFailed)?;
        let mut seed = Zeroizing::new(Seed::default());
        seed.copy_from_slice(bytes.as_slice());
        let post_quantum = Box::new(DecapsulationKey768::from_seed(*seed));

        // ML-KEM's half comes first, unlike in the group's name (draft-ietf-tls-ecdhe-mlkem).
        let mut share = Vec::with_capacity(ENCAPSULATION_KEY + POINT);
        share.extend_from_slice(&post_quantum.encapsulation_key().to_bytes());
        share.extend_from_slice(classical.pub_key());
        Ok(Box::new(ActiveX25519MlKem768 { classical, post_quantum, share }))
    }

    fn start_and_complete(&self, _peer: &[u8]) -> Result<CompletedKeyExchange, Error> {
        // rustls calls this only on a server.
        Err(Error::General("this key exchange is only for clients".into()))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_3
    }
}

struct ActiveX25519MlKem768 {
    classical: Box<dyn ActiveKeyExchange>,
    post_quantum: Box<DecapsulationKey768>,
    share: Vec<u8>,
}

impl ActiveKeyExchange for ActiveX25519MlKem768 {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        // The exact length: the halves have no separator, and a longer share would be another group's.
        if peer.len() != CIPHERTEXT + POINT {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        }
        let (ciphertext, point) = peer.split_at(CIPHERTEXT);
        // ring fails for a point of low order, as RFC 8446 (section 7.4.2) demands.
        let classical = self.classical.complete(point)?;
        let post_quantum =
            self.post_quantum.decapsulate_slice(ciphertext).map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
        // The library does not wipe its result on drop.
        let post_quantum = Zeroizing::new(post_quantum);

        // ML-KEM's half comes first, in the shares as in the secret. The exact capacity avoids growth, which would leave a
        // copy behind; `SharedSecret` wipes the buffer that it takes.
        let mut secret = Vec::with_capacity(post_quantum.len() + classical.secret_bytes().len());
        secret.extend_from_slice(&post_quantum);
        secret.extend_from_slice(classical.secret_bytes());
        Ok(SharedSecret::from(secret))
    }

    fn hybrid_component(&self) -> Option<(NamedGroup, &[u8])> {
        Some((self.classical.group(), self.classical.pub_key()))
    }

    fn complete_hybrid_component(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        self.classical.complete(peer)
    }

    fn pub_key(&self) -> &[u8] {
        &self.share
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}

#[cfg(all(test, feature = "server"))]
mod tests {
    use rustls::crypto::aws_lc_rs::kx_group;

    use super::*;

    #[test]
    fn both_sides_compute_the_same_secret() {
        let ours = X25519_MLKEM768.start().unwrap();
        assert_eq!(ours.pub_key().len(), 1216);
        let theirs = kx_group::X25519MLKEM768.start_and_complete(ours.pub_key()).unwrap();
        assert_eq!(theirs.pub_key.len(), 1120);
        let secret = ours.complete(&theirs.pub_key).unwrap();
        assert_eq!(secret.secret_bytes(), theirs.secret.secret_bytes());
        assert_eq!(secret.secret_bytes().len(), 64);
    }

    #[test]
    fn the_classical_half_alone_is_that_of_x25519() {
        let ours = X25519_MLKEM768.start().unwrap();
        let (group, point) = ours.hybrid_component().unwrap();
        assert_eq!(group, NamedGroup::X25519);
        assert_eq!(point, &ours.pub_key()[ENCAPSULATION_KEY..]);
        let theirs = kx_group::X25519.start_and_complete(point).unwrap();
        let secret = ours.complete_hybrid_component(&theirs.pub_key).unwrap();
        assert_eq!(secret.secret_bytes(), theirs.secret.secret_bytes());
    }

    #[test]
    fn a_share_of_another_length_or_with_a_point_of_low_order_is_refused() {
        for length in [0, 32, CIPHERTEXT, CIPHERTEXT + POINT - 1, CIPHERTEXT + POINT + 1] {
            assert!(X25519_MLKEM768.start().unwrap().complete(&vec![9; length]).is_err(), "{length}");
        }
        let ours = X25519_MLKEM768.start().unwrap();
        let mut share = kx_group::X25519MLKEM768.start_and_complete(ours.pub_key()).unwrap().pub_key;
        share[CIPHERTEXT..].fill(0);
        assert!(ours.complete(&share).is_err());
    }

    #[test]
    fn a_changed_ciphertext_gives_another_secret() {
        let ours = X25519_MLKEM768.start().unwrap();
        let theirs = kx_group::X25519MLKEM768.start_and_complete(ours.pub_key()).unwrap();
        let mut share = theirs.pub_key.clone();
        share[0] ^= 1;
        let secret = ours.complete(&share).unwrap();
        assert_ne!(secret.secret_bytes(), theirs.secret.secret_bytes());
    }

    #[test]
    fn no_two_exchanges_share_a_key() {
        let (one, other) = (X25519_MLKEM768.start().unwrap(), X25519_MLKEM768.start().unwrap());
        assert_ne!(one.pub_key()[..ENCAPSULATION_KEY], other.pub_key()[..ENCAPSULATION_KEY]);
        assert_ne!(one.pub_key()[ENCAPSULATION_KEY..], other.pub_key()[ENCAPSULATION_KEY..]);
    }
}
