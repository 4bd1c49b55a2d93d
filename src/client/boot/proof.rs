//! With what a machine boots: a ticket, or an identity whose proof is a token of an issuer.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::client::error::{CallError, TokenFault};
use crate::domain::card::StoreCard;
use crate::domain::location::StoreLocation;
use crate::domain::ticket::BootTicket;

/// The longest token, in bytes, as the store has it.
pub(crate) const MAX_TOKEN: usize = 16 * 1024;

/// With what a machine boots.
#[derive(Clone, Copy)]
pub enum BootProof<'a> {
    Ticket(&'a BootTicket),
    Token(TokenProof<'a>),
}

/// An identity, and where its tokens come from.
#[derive(Clone, Copy)]
pub struct TokenProof<'a> {
    pub(crate) card: &'a StoreCard,
    /// For whom the tokens are.
    pub(crate) audience: &'a str,
    pub(crate) tokens: &'a dyn TokenProvider,
}

/// Where the tokens of an issuer come from.
pub trait TokenProvider: Sync {
    /// Whether the issuer signs every audience that it is asked for, so that a token can be bound to a key.
    fn accepts_any_audience(&self) -> bool;

    /// Fetches a token for `audience` within `limit`. Tokens are valid for minutes, so that none is kept for another attempt.
    fn fetch<'a>(&'a self, audience: &'a str, limit: Duration) -> TokenFuture<'a>;
}

/// The token, or why there is none.
pub type TokenFuture<'a> = Pin<Box<dyn Future<Output = Result<IssuerToken, CallError>> + Send + 'a>>;

/// A token of an issuer, which nobody has verified.
pub struct IssuerToken(Zeroizing<String>);

impl IssuerToken {
    /// Reads a token: three parts in base64url with dots between them (RFC 7515 section 7.1), and blanks around them.
    ///
    /// # Errors
    /// Whatever else it is, it is neither sent nor quoted.
    pub(crate) fn parse(text: &str) -> Result<Self, TokenFault> {
        let text = text.trim();
        let is_part = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        match text.len() {
            0 => Err(TokenFault::Empty),
            1..=MAX_TOKEN if text.split('.').count() == 3 && text.split('.').all(is_part) => {
                Ok(Self(Zeroizing::new(text.to_owned())))
            }
            1..=MAX_TOKEN => Err(TokenFault::NotAToken),
            _ => Err(TokenFault::TooLarge),
        }
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the token says that it is for `audience` and for nobody else.
    pub(crate) fn is_for(&self, audience: &str) -> bool {
        #[derive(Deserialize)]
        struct Claims {
            aud: Audience,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Audience {
            One(String),
            List(Vec<String>),
        }
        let payload = self.0.split('.').nth(1).and_then(|part| BASE64URL_NOPAD.decode(part.as_bytes()).ok());
        let payload = Zeroizing::new(payload.unwrap_or_default());
        match serde_json::from_slice(&payload) {
            Ok(Claims { aud: Audience::One(one) }) => one == audience,
            Ok(Claims { aud: Audience::List(list) }) => list == [audience],
            Err(_) => false,
        }
    }
}

impl fmt::Debug for IssuerToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("IssuerToken([redacted])")
    }
}

impl<'a> BootProof<'a> {
    pub(crate) fn location(&self) -> &'a StoreLocation {
        match self {
            Self::Ticket(ticket) => ticket.location(),
            Self::Token(proof) => proof.card.location(),
        }
    }
}

impl<'a> From<&'a BootTicket> for BootProof<'a> {
    fn from(ticket: &'a BootTicket) -> Self {
        Self::Ticket(ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_lost_its_binding_is_noticed() {
        let token = |claims: &str| {
            let claims = BASE64URL_NOPAD.encode(claims.as_bytes());
            IssuerToken::parse(&format!("e30.{claims}.c2ln")).unwrap()
        };
        for (claims, expected) in [
            (r#"{"aud":"a#b","sub":"x"}"#, true),
            (r#"{"aud":["a#b"]}"#, true),
            (r#"{"aud":"a"}"#, false),
            (r#"{"aud":["a#b","a"]}"#, false),
            (r#"{"aud":"a#b","aud":"a"}"#, false),
            (r#"{"sub":"a#b"}"#, false),
            ("no JSON", false),
        ] {
            assert_eq!(token(claims).is_for("a#b"), expected, "{claims}");
        }
    }

    #[test]
    fn only_what_looks_like_a_token_is_sent_and_none_is_shown() {
        let token = IssuerToken::parse(" e30.e30.c2ln\n").unwrap();
        assert_eq!(
            (token.expose(), format!("{token:?}").as_str()),
            ("e30.e30.c2ln", "IssuerToken([redacted])")
        );
        assert_eq!(IssuerToken::parse("\n").unwrap_err(), TokenFault::Empty);
        for other in [
            "canary",
            "a.b",
            "a..c",
            "a.b.c.d",
            "a.b.c\r\nx: y",
            "a.b.c d",
            "{\"value\":\"a.b.c\"}",
            "a.b.\u{e9}",
        ] {
            assert_eq!(IssuerToken::parse(other).unwrap_err(), TokenFault::NotAToken, "{other}");
        }
        let long = format!("a.b.{}", "c".repeat(MAX_TOKEN));
        assert_eq!(IssuerToken::parse(&long).unwrap_err(), TokenFault::TooLarge);
        assert!(IssuerToken::parse(&long[..MAX_TOKEN]).is_ok());
    }
}
