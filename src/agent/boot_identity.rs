//! The identity with which this machine boots: a ticket, or a store card and where its tokens come from.

use super::token_source::TokenReader;
use crate::client::{BootProof, TokenProof};
use crate::domain::card::StoreCard;
use crate::domain::location::StoreLocation;
use crate::domain::ticket::BootTicket;

/// Who the machine is for its store.
pub(crate) enum BootIdentity {
    Ticket(BootTicket),
    /// In a box, since it is much larger.
    Token(Box<TokenIdentity>),
}

/// An identity whose proof is a token of an issuer.
pub(crate) struct TokenIdentity {
    card: StoreCard,
    audience: String,
    tokens: TokenReader,
}

impl TokenIdentity {
    /// Without an `audience`, tokens are for the store itself.
    pub(crate) fn new(card: StoreCard, audience: Option<String>, tokens: TokenReader) -> Self {
        let audience = audience.unwrap_or_else(|| format!("dropsafe:{}", card.store()));
        Self { card, audience, tokens }
    }

    pub(crate) fn tokens(&self) -> &TokenReader {
        &self.tokens
    }
}

impl BootIdentity {
    /// Where the store is, and which keys it has.
    pub(crate) fn location(&self) -> &StoreLocation {
        match self {
            Self::Ticket(ticket) => ticket.location(),
            Self::Token(token) => token.card.location(),
        }
    }

    /// With what it boots.
    pub(crate) fn proof(&self) -> BootProof<'_> {
        match self {
            Self::Ticket(ticket) => BootProof::Ticket(ticket),
            Self::Token(token) => BootProof::Token(TokenProof {
                card: &token.card,
                audience: &token.audience,
                tokens: &token.tokens,
            }),
        }
    }

    /// The ticket, which has a secret.
    pub(crate) fn ticket(&self) -> Option<&BootTicket> {
        match self {
            Self::Ticket(ticket) => Some(ticket),
            Self::Token(_) => None,
        }
    }

    /// The text of its id: of files and folders that belong to this identity alone.
    pub(crate) fn id(&self) -> String {
        match self {
            Self::Ticket(ticket) => ticket.credential().ticket_id().to_string(),
            Self::Token(token) => token.card.identity().to_string(),
        }
    }

    /// What expires, for messages.
    pub(crate) fn noun(&self) -> &'static str {
        match self {
            Self::Ticket(_) => "ticket",
            Self::Token(_) => "identity",
        }
    }
}
