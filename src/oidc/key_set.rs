//! The published keys of an issuer (JWKS, RFC 7517), and signatures by them. Holds no secret key, and refuses a document with one.

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

use super::strict_json;
use super::token::ParsedToken;
use crate::domain::jwt::{IssuerFault, JwtAlgorithm, TokenRefusal};

/// The largest document of an issuer, in bytes. Those of the known issuers have at most 20 KiB.
pub(super) const MAX_DOCUMENT: usize = 256 * 1024;
/// The most keys of one issuer. Known issuers have 2 to 10.
const MAX_KEYS: usize = 100;
/// Members that only secret keys have: RFC 7518 sections 6.2.2, 6.3.2 and 6.4.
const SECRET_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
/// Sizes of RSA keys, in bits: below, RFC 7518 section 3.3 forbids them; above, one signature would take milliseconds.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The published keys of one issuer.
#[derive(Debug)]
pub(super) struct KeySet(Vec<PublishedKey>);

#[derive(Debug)]
struct PublishedKey {
    id: Option<String>,
    /// `alg`: the only algorithm that the issuer uses it with.
    algorithm: Option<String>,
    /// Neither `use` nor `key_ops` says that it is for something else.
    verifies: bool,
    key: Result<(KeyKind, DecodingKey), KeyFault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyKind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// Why a published key verifies nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyFault {
    Unsupported,
    Weak,
}

impl KeySet {
    /// Parses a JWKS document.
    pub(super) fn parse(document: &[u8]) -> Result<Self, IssuerFault> {
        if document.len() > MAX_DOCUMENT {
            return Err(IssuerFault::TooLarge);
        }
        let document = strict_json::parse_object(document).map_err(|_| IssuerFault::Document)?;
        let Some(Value::Array(list)) = document.get("keys") else { return Err(IssuerFault::Document) };
        if list.len() > MAX_KEYS {
            return Err(IssuerFault::TooManyKeys);
        }
        let keys = list.iter().map(parse_key).collect::<Result<Vec<_>, _>>()?;
        // An empty list, which an issuer may publish by mistake, must not replace keys that were fetched before.
        if !keys.iter().any(|key| key.verifies && key.key.is_ok()) {
            return Err(IssuerFault::NoKey);
        }
        Ok(Self(keys))
    }

    /// Finds the key of a token with this key id and algorithm.
    ///
    /// # Errors
    /// [`TokenRefusal::UnknownKey`] if no key has the id: the issuer may have published it since.
    pub(super) fn select(
        &self,
        id: Option<&str>,
        algorithm: JwtAlgorithm,
    ) -> Result<VerifyingKey<'_>, TokenRefusal> {
        // A token without an id may be signed by any key. With an id, a key without one is no candidate.
        let candidates = self.0.iter().filter(|key| id.is_none() || key.id.as_deref() == id);
        let (mut fits, mut misfit) = (Vec::new(), TokenRefusal::UnknownKey);
        for key in candidates {
            match key.require(algorithm) {
                Ok(key) => fits.push(key),
                // Of a key without the token's id, nothing is known that would explain the refusal.
                Err(why) if id.is_some() => misfit = why,
                Err(_) => {}
            }
        }
        match fits.as_slice() {
            [] => Err(misfit),
            [key] => Ok(VerifyingKey { key, algorithm }),
            // Trying one after the other would let any of the issuer's keys, however old, stand in for another.
            [_, _, ..] => Err(TokenRefusal::AmbiguousKey),
        }
    }
}

impl PublishedKey {
    fn require(&self, algorithm: JwtAlgorithm) -> Result<&DecodingKey, TokenRefusal> {
        let (kind, key) = match &self.key {
            Ok(key) => key,
            Err(KeyFault::Unsupported) => return Err(TokenRefusal::UnsupportedKey),
            Err(KeyFault::Weak) => return Err(TokenRefusal::WeakKey),
        };
        if *kind != kind_of(algorithm) {
            return Err(TokenRefusal::KeyType);
        }
        if self.algorithm.as_ref().is_some_and(|own| own != algorithm.name()) {
            return Err(TokenRefusal::KeyAlgorithm);
        }
        if self.verifies { Ok(key) } else { Err(TokenRefusal::KeyUse) }
    }
}

/// The key of one token.
#[derive(Debug)]
pub(super) struct VerifyingKey<'a> {
    key: &'a DecodingKey,
    algorithm: JwtAlgorithm,
}

impl VerifyingKey<'_> {
    pub(super) fn verify(&self, token: &ParsedToken<'_>) -> Result<(), TokenRefusal> {
        let algorithm = library_name(self.algorithm);
        // Only the signature: the library's own checks of claims read the first of two equal members, among others.
        match jsonwebtoken::crypto::verify(token.signature, token.signed.as_bytes(), self.key, algorithm) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(TokenRefusal::BadSignature),
        }
    }
}

/// The kind of key that an algorithm needs (RFC 7518 sections 3.3 to 3.5, RFC 8037 section 3.1).
fn kind_of(algorithm: JwtAlgorithm) -> KeyKind {
    match algorithm {
        JwtAlgorithm::Rs256
        | JwtAlgorithm::Rs384
        | JwtAlgorithm::Rs512
        | JwtAlgorithm::Ps256
        | JwtAlgorithm::Ps384
        | JwtAlgorithm::Ps512 => KeyKind::Rsa,
        JwtAlgorithm::Es256 => KeyKind::P256,
        JwtAlgorithm::Es384 => KeyKind::P384,
        JwtAlgorithm::EdDsa => KeyKind::Ed25519,
    }
}

fn library_name(algorithm: JwtAlgorithm) -> Algorithm {
    match algorithm {
        JwtAlgorithm::Rs256 => Algorithm::RS256,
        JwtAlgorithm::Rs384 => Algorithm::RS384,
        JwtAlgorithm::Rs512 => Algorithm::RS512,
        JwtAlgorithm::Ps256 => Algorithm::PS256,
        JwtAlgorithm::Ps384 => Algorithm::PS384,
        JwtAlgorithm::Ps512 => Algorithm::PS512,
        JwtAlgorithm::Es256 => Algorithm::ES256,
        JwtAlgorithm::Es384 => Algorithm::ES384,
        JwtAlgorithm::EdDsa => Algorithm::EdDSA,
    }
}

fn parse_key(key: &Value) -> Result<PublishedKey, IssuerFault> {
    let key = key.as_object().ok_or(IssuerFault::Document)?;
    // Somebody exported the wrong half. Everybody who can read the document can sign tokens.
    if SECRET_MEMBERS.iter().any(|name| key.contains_key(*name)) {
        return Err(IssuerFault::SecretKey);
    }
    let text = |name: &str| match key.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(IssuerFault::Document),
    };
    let for_signatures = text("use")?.is_none_or(|purpose| purpose == "sig");
    let verifies = match key.get("key_ops") {
        None => true,
        Some(Value::Array(list)) => list.iter().any(|operation| operation == "verify"),
        Some(_) => return Err(IssuerFault::Document),
    };
    // A key of a kind that is not known here is skipped, because an issuer has keys for others too (RFC 7517 section 5).
    Ok(PublishedKey {
        id: text("kid")?,
        algorithm: text("alg")?,
        verifies: for_signatures && verifies,
        key: parse_material(key),
    })
}

fn parse_material(key: &Map<String, Value>) -> Result<(KeyKind, DecodingKey), KeyFault> {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    let bytes = |name: &str| {
        let decoded = text(name).and_then(|text| BASE64URL_NOPAD.decode(text.as_bytes()).ok());
        decoded.ok_or(KeyFault::Unsupported)
    };
    let coordinate = |name: &str, size: usize| bytes(name).and_then(|bytes| sized(bytes, size));
    match (text("kty"), text("crv")) {
        (Some("RSA"), _) => {
            let key = rsa_key(&bytes("n")?, &bytes("e")?)?;
            Ok((KeyKind::Rsa, key))
        }
        (Some("EC"), Some(curve @ ("P-256" | "P-384"))) => {
            let (kind, size) = if curve == "P-256" { (KeyKind::P256, 32) } else { (KeyKind::P384, 48) };
            // An uncompressed point (SEC 1 section 2.3.3). Whether it is on the curve is checked with each signature.
            let point = [&[4][..], &coordinate("x", size)?, &coordinate("y", size)?].concat();
            Ok((kind, DecodingKey::from_ec_der(&point)))
        }
        (Some("OKP"), Some("Ed25519")) => {
            Ok((KeyKind::Ed25519, DecodingKey::from_ed_der(&coordinate("x", 32)?)))
        }
        _ => Err(KeyFault::Unsupported),
    }
}

fn sized(bytes: Vec<u8>, size: usize) -> Result<Vec<u8>, KeyFault> {
    if bytes.len() == size { Ok(bytes) } else { Err(KeyFault::Unsupported) }
}

fn rsa_key(modulus: &[u8], exponent: &[u8]) -> Result<DecodingKey, KeyFault> {
    // Some issuers keep the leading zero of DER's signed integers, which RFC 7518 section 6.3.1.1 forbids.
    let (modulus, exponent) = (without_zeros(modulus), without_zeros(exponent));
    let bits = modulus.first().map_or(0, |first| modulus.len() * 8 - first.leading_zeros() as usize);
    if bits < *RSA_BITS.start() {
        return Err(KeyFault::Weak);
    }
    if bits > *RSA_BITS.end() || exponent.len() > 4 {
        return Err(KeyFault::Unsupported);
    }
    let value = exponent.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    // With 1, every signature is the padded digest itself; an even exponent has no inverse.
    if value < 3 || value % 2 == 0 {
        return Err(KeyFault::Weak);
    }
    Ok(DecodingKey::from_rsa_raw_components(modulus, exponent))
}

fn without_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}
