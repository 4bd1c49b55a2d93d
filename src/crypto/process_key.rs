//! The key of a server process. Clients seal a passphrase or the text of a key file to it (HPKE base mode), so that no buffer
//! between the person and the store's rules holds the text. It exists only in the memory of the process, which makes
//! another one after each use: what somebody recorded never opens again.

use hpke::HpkeError;

use super::aad::Aad;
use super::memory::Key32;
use super::random::Random;
use super::{SecretBytes, hpke as own_hpke};

/// What a sealed text is bound to.
#[derive(Clone, Copy)]
pub struct TextContext<'a> {
    /// The id of the store.
    pub store: &'a [u8; 16],
    /// The path of the request that carries it.
    pub path: &'a str,
    /// `passphrase` or `key_file`.
    pub kind: &'a str,
}

/// A text that was sealed to the key of a process.
pub struct SealedText {
    /// The encapsulated key.
    pub enc: Vec<u8>,
    /// The text's ciphertext.
    pub ciphertext: Vec<u8>,
}

/// Seals `text` to the public key of a process. Fails only if that is a point of small order.
pub fn seal(
    public: &[u8; 32],
    context: TextContext<'_>,
    text: &[u8],
    rng: &mut dyn Random,
) -> Result<SealedText, HpkeError> {
    let (enc, mut sender) = own_hpke::setup_base_s(public, &info(context.store, public), rng)?;
    let ciphertext = sender.seal(&aad(context), text)?;
    Ok(SealedText { enc, ciphertext })
}

/// The private key and its public key.
pub(crate) struct ProcessKey {
    private: Key32,
    public: [u8; 32],
}

impl ProcessKey {
    pub(crate) fn generate(rng: &mut dyn Random) -> Self {
        let private = Key32::random(rng);
        let public = own_hpke::pk(&private);
        Self { private, public }
    }

    /// The public key, in the encoding of RFC 7748.
    pub(crate) fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// Opens a text that was sealed to this key in the same context.
    pub(crate) fn open(
        &self,
        context: TextContext<'_>,
        sealed: &SealedText,
    ) -> Result<SecretBytes, HpkeError> {
        let info = info(context.store, &self.public);
        own_hpke::setup_base_r(&sealed.enc, &self.private, &info)?.open(&aad(context), &sealed.ciphertext)
    }
}

fn info(store: &[u8; 16], public: &[u8; 32]) -> Vec<u8> {
    Aad::new("dropsafe process key v1").part(store).part(public).as_bytes().to_vec()
}

fn aad(context: TextContext<'_>) -> Vec<u8> {
    // Sealed for one path and kind, it opens for no other: a new passphrase must not become a guess, or the reverse.
    Aad::new("dropsafe sealed text v1")
        .part(context.path.as_bytes())
        .part(context.kind.as_bytes())
        .as_bytes()
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::Kernel;

    #[test]
    fn a_text_opens_under_its_key_and_in_its_context_only() {
        let key = ProcessKey::generate(&mut Kernel);
        let context = TextContext { store: &[1; 16], path: "/v1/unlock", kind: "passphrase" };
        let sealed = seal(key.public(), context, b"a passphrase", &mut Kernel).unwrap();
        assert_eq!(key.open(context, &sealed).unwrap().as_slice(), b"a passphrase");
        assert!(ProcessKey::generate(&mut Kernel).open(context, &sealed).is_err());
        for other in [
            TextContext { store: &[2; 16], ..context },
            TextContext { path: "/v1/keyslots", ..context },
            TextContext { kind: "key_file", ..context },
        ] {
            assert!(key.open(other, &sealed).is_err());
        }
        assert!(seal(&[0; 32], context, b"a passphrase", &mut Kernel).is_err());
    }
}
