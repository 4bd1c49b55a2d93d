//! Key generations as clients know them: each has a deposit key and an Ed25519 key that signs the next generation, so that a
//! client which knows one follows to the next without asking anybody.
//!
//! The signing key is derived from the release key: it comes and goes with it, and is secret for as long. A generation whose
//! release key is known to somebody else must not sign the next one.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};

use super::aad::Aad;
use super::deposit::{DepositKey, ReleaseKey};
use super::memory::Key32;
use super::{hpke, kdf};

/// The public keys of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Generation {
    pub(crate) deposit: DepositKey,
    /// The Ed25519 public key.
    pub(crate) signing: [u8; 32],
    /// The signature of the generation before. `None` for the first one of a chain.
    pub(crate) endorsement: Option<[u8; 64]>,
}

impl Generation {
    /// The generation of `key`, without an endorsement.
    pub(crate) fn of(key: &ReleaseKey) -> Self {
        let mut signing = [0; 32];
        signing.copy_from_slice(signing_key(key).public_key().as_ref());
        Self { deposit: key.deposit_key(), signing, endorsement: None }
    }

    /// The generation of `key`, endorsed by the one before.
    pub(crate) fn endorsed(key: &ReleaseKey, before: &ReleaseKey, store: &[u8; 16]) -> Self {
        let unsigned = Self::of(key);
        let message = unsigned.message(before.generation(), store);
        let mut endorsement = [0; 64];
        endorsement.copy_from_slice(signing_key(before).sign(message.as_bytes()).as_ref());
        Self { endorsement: Some(endorsement), ..unsigned }
    }

    /// The text that a depositor pins: like that of a deposit key alone, over the signing key too. So a pinned text proves
    /// which key may sign the next generation.
    pub(crate) fn fingerprint(&self) -> String {
        let input = Aad::new("dropsafe deposit key v2")
            .part(&hpke::X25519.to_be_bytes())
            .u32(self.deposit.generation())
            .part(self.deposit.public())
            .part(&self.signing);
        format!("sha256/{}", BASE64URL_NOPAD.encode(&Sha256::digest(input.as_bytes())))
    }

    fn is_endorsed_by(&self, before: &Self, store: &[u8; 16]) -> bool {
        let Some(endorsement) = &self.endorsement else { return false };
        let message = self.message(before.deposit.generation(), store);
        // A later generation only, or an old one that is served again would be followed.
        before.deposit.generation() < self.deposit.generation()
            && UnparsedPublicKey::new(&ED25519, &before.signing)
                .verify(message.as_bytes(), endorsement)
                .is_ok()
    }

    /// What the generation `before` signs.
    fn message(&self, before: u32, store: &[u8; 16]) -> Aad {
        let start = Aad::new("dropsafe generation v1").part(store).u32(before);
        start.u32(self.deposit.generation()).part(self.deposit.public()).part(&self.signing)
    }
}

/// Whether the generation with the fingerprint `pinned` is in the chain, and each one after it is endorsed by the one before.
pub(crate) fn leads_from(chain: &[Generation], store: &[u8; 16], pinned: &str) -> bool {
    let Some(start) = chain.iter().position(|generation| generation.fingerprint() == pinned) else {
        return false;
    };
    chain[start..].windows(2).all(|pair| pair[1].is_endorsed_by(&pair[0], store))
}

#[expect(clippy::expect_used, reason = "every 32 bytes are a seed (RFC 8032, section 5.1.5)")]
fn signing_key(key: &ReleaseKey) -> Ed25519KeyPair {
    let label = Aad::new("dropsafe generation signing key v1").u32(key.generation());
    let seed: Key32 = kdf::derive(key.private_key(), &label);
    Ed25519KeyPair::from_seed_unchecked(seed.expose()).expect("a seed of 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::Kernel;

    const STORE: [u8; 16] = [1; 16];

    fn keys() -> [ReleaseKey; 4] {
        std::array::from_fn(|i| ReleaseKey::generate(i as u32 + 1, &mut Kernel))
    }

    fn chain(keys: &[ReleaseKey]) -> Vec<Generation> {
        let endorsed = keys.windows(2).map(|pair| Generation::endorsed(&pair[1], &pair[0], &STORE));
        [Generation::of(&keys[0])].into_iter().chain(endorsed).collect()
    }

    #[test]
    fn a_chain_leads_from_each_of_its_generations_to_the_last() {
        let chain = chain(&keys());
        for generation in &chain {
            assert!(leads_from(&chain, &STORE, &generation.fingerprint()));
        }
        assert!(!leads_from(&chain, &STORE, "sha256/other"));
        assert!(!leads_from(&[], &STORE, &chain[0].fingerprint()));
        // The deposit key's own fingerprint says nothing about who may sign.
        assert!(!leads_from(&chain, &STORE, &chain[0].deposit.fingerprint()));
    }

    #[test]
    fn every_change_of_a_link_breaks_the_chain_before_it() {
        let keys = keys();
        let whole = chain(&keys);
        let pinned = whole[1].fingerprint();
        let breaks = |change: &dyn Fn(&mut Vec<Generation>)| {
            let mut changed = whole.clone();
            change(&mut changed);
            assert!(!leads_from(&changed, &STORE, &pinned));
        };
        breaks(&|chain| chain[2].endorsement = None);
        breaks(&|chain| chain[3].endorsement.as_mut().unwrap()[5] ^= 1);
        breaks(&|chain| chain[2].signing[0] ^= 1);
        breaks(&|chain| chain[3].deposit = ReleaseKey::generate(4, &mut Kernel).deposit_key());
        breaks(&|chain| chain.retain(|generation| generation.deposit.generation() != 3));
        breaks(&|chain| chain.swap(2, 3));
        // Another key of the same number, signed by itself and by its own predecessor.
        let foreign = self::chain(&self::keys());
        breaks(&|chain| chain[3] = foreign[3].clone());
        breaks(&|chain| chain[2..].clone_from_slice(&foreign[2..]));
        // The same keys under the number of another generation, and the store of somebody else.
        breaks(&|chain| chain[3].deposit = DepositKey::from_parts(5, *chain[3].deposit.public()));
        assert!(!leads_from(&whole, &[2; 16], &pinned));
        // An older generation again, signed by a newer one.
        let back = Generation::endorsed(&keys[0], &keys[1], &STORE);
        assert!(!leads_from(&[whole[1].clone(), back], &STORE, &pinned));
    }

    /// RFC 8032 signatures are deterministic, and so is the key: a change of either would break the pins of clients.
    #[test]
    fn keys_fingerprints_and_signatures_stay_as_they_are() {
        let key = |generation| ReleaseKey::from_parts(generation, Key32::copy_of(&[9; 32]));
        let second = Generation::endorsed(&key(2), &key(1), &STORE);
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let written = [hex(&second.signing), hex(&second.endorsement.unwrap()), second.fingerprint()];
        let expected = [
            "583c5e17ae90b00389ee30d26684d2b980443690a059a0d15ecea66081d95950",
            "a5f8ee849a6f9077924ee1264d6a55987039bd12550e1368746786a5bbc8c66d\
             96e14ce21c69204d6f98b0df585f6428bf4810432b93577c6f866f535bf78609",
            "sha256/Tlso_JFZHYjts8IU4Fk6BnedEjfvycYduRxtEYn5Ovo",
        ];
        assert_eq!(written, expected);
    }
}
