//! A token taken apart: a compact JWS (RFC 7515 section 3.1) with exactly one spelling. Believes nothing of what it says.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::strict_json::{self, JsonFault};
use crate::domain::jwt::TokenRefusal;

/// The longest token, in bytes. Those of the known platforms have 1 to 3 KiB; Entra's grow with the groups of a user.
const MAX_TOKEN: usize = 16 * 1024;

/// The parts of a token.
pub(super) struct ParsedToken<'a> {
    pub(super) header: Map<String, Value>,
    pub(super) claims: Map<String, Value>,
    /// The encoded header, a dot, and the encoded claims: what is signed.
    pub(super) signed: &'a str,
    /// In base64url, which was decoded once to see that it is.
    pub(super) signature: &'a str,
}

impl ParsedToken<'_> {
    pub(super) fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.signed.as_bytes()).into()
    }
}

pub(super) fn parse(token: &str) -> Result<ParsedToken<'_>, TokenRefusal> {
    // First: everything below takes time in proportion.
    if token.len() > MAX_TOKEN {
        return Err(TokenRefusal::TooLarge);
    }
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(signature)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(TokenRefusal::Parts);
    };
    match parts.count() {
        0 => {}
        // A JWE (RFC 7516 section 3.1) has five.
        2 => return Err(TokenRefusal::Encrypted),
        _ => return Err(TokenRefusal::Parts),
    }
    let signed = &token[..header.len() + 1 + claims.len()];
    let header = parse_part(header, TokenRefusal::HeaderJson)?;
    let claims = parse_part(claims, TokenRefusal::ClaimsJson)?;
    // A second spelling of the same signature would be a second token to whoever compares texts.
    drop(decode(signature)?);
    Ok(ParsedToken { header, claims, signed, signature })
}

fn parse_part(part: &str, no_object: TokenRefusal) -> Result<Map<String, Value>, TokenRefusal> {
    strict_json::parse_object(&decode(part)?).map_err(|fault| match fault {
        JsonFault::Syntax | JsonFault::NotAnObject => no_object,
        JsonFault::DuplicateMember => TokenRefusal::DuplicateMember,
        JsonFault::TooDeep => TokenRefusal::TooDeep,
    })
}

fn decode(part: &str) -> Result<Zeroizing<Vec<u8>>, TokenRefusal> {
    // Without padding, other alphabets, blanks, or bits that no byte uses (RFC 7515 section 2).
    BASE64URL_NOPAD.decode(part.as_bytes()).map(Zeroizing::new).map_err(|_| TokenRefusal::Encoding)
}
