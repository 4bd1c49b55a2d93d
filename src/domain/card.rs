//! A store card: what a machine without a ticket has to know. It says where the store is, which keys it has, and which identity
//! the machine has there. Not a secret: the machine proves its identity by other means.

use std::fmt;
use std::str::FromStr;

use crate::domain::id::{IdentityId, StoreId};
use crate::domain::location::{PartReader, PartsFault, StoreLocation, TextFault, parse_text};
use crate::domain::{credential, location, ticket};

/// What the text form starts with.
pub const PREFIX: &str = "dsi_";
const VERSION: u8 = 1;

/// Where the store is, which keys it has, and the identity of a machine there.
///
/// Text: `dsi_` and lower-case base32 of: version, store id, identity id, the [`StoreLocation`], which always has an answer key,
/// and four bytes of checksum. Each card has one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreCard {
    store: StoreId,
    identity: IdentityId,
    location: StoreLocation,
}

/// A location without an answer key: nobody could tell the store's answers from those of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a store card holds the store's answer key")]
pub struct NoAnswerKey;

/// Why a text is not a store card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// It does not start with `dsi_`.
    #[error("this is not a store card: it does not start with dsi_")]
    Prefix,
    /// It starts like a boot ticket.
    #[error("this is a boot ticket, not a store card")]
    IsTicket,
    /// Characters are missing at the end.
    #[error("the store card is cut short")]
    Truncated,
    /// The checksum does not match, or there are characters that a card cannot have.
    #[error("the store card is mistyped: its checksum does not match")]
    Mistyped,
    /// Made by a later program.
    #[error("the store card is of a version that this program does not know")]
    Version,
}

impl CardError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Truncated | Self::Mistyped => "copy the card again, whole and on one line",
            Self::Version => "update this program",
            Self::IsTicket => "a ticket goes to dropsafe-agent, in DROPSAFE_TICKET",
            Self::Prefix => "`dropsafe identity show` prints the card of an identity",
        }
    }
}

impl From<TextFault> for CardError {
    fn from(fault: TextFault) -> Self {
        match fault {
            TextFault::Truncated => Self::Truncated,
            TextFault::Mistyped => Self::Mistyped,
            TextFault::Version => Self::Version,
        }
    }
}

impl StoreCard {
    pub fn new(store: StoreId, identity: IdentityId, location: StoreLocation) -> Result<Self, NoAnswerKey> {
        match location.answer_key() {
            Some(_) => Ok(Self { store, identity, location }),
            None => Err(NoAnswerKey),
        }
    }

    /// The store, which is also the audience of a token that proves an identity.
    pub fn store(&self) -> StoreId {
        self.store
    }

    pub fn identity(&self) -> IdentityId {
        self.identity
    }

    /// Where the store is, and which keys it has.
    pub fn location(&self) -> &StoreLocation {
        &self.location
    }
}

impl fmt::Display for StoreCard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut content = location::content_buffer(VERSION, 16 + 16, &self.location);
        content.extend_from_slice(self.store.as_bytes());
        content.extend_from_slice(self.identity.as_bytes());
        self.location.write(&mut content);
        formatter.write_str(&credential::encode(PREFIX, content))
    }
}

impl FromStr for StoreCard {
    type Err = CardError;

    /// Reads the text form, which must be exactly that: no blanks around it.
    fn from_str(text: &str) -> Result<Self, CardError> {
        let Some(body) = text.strip_prefix(PREFIX) else {
            let is_ticket = text.starts_with(ticket::PREFIX);
            return Err(if is_ticket { CardError::IsTicket } else { CardError::Prefix });
        };
        Ok(parse_text(PREFIX, body, &[VERSION], read)?)
    }
}

fn read(reader: &mut PartReader<'_>) -> Result<StoreCard, PartsFault> {
    // The version has been compared, except in a damaged text, which may have any.
    reader.byte()?;
    let store = StoreId::from_bytes(reader.array()?);
    let identity = IdentityId::from_bytes(reader.array()?);
    Ok(StoreCard { store, identity, location: reader.location(true)? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::location::AnswerKey;
    use crate::domain::pin::{Pin, PinPair};

    fn location(pins: Option<PinPair>, answer_key: Option<AnswerKey>) -> StoreLocation {
        StoreLocation::new(vec!["https://store.example:7373".into()], pins, answer_key).unwrap()
    }

    fn card(pins: Option<PinPair>) -> StoreCard {
        let location = location(pins, Some(AnswerKey([5; 32])));
        StoreCard::new(StoreId::from_bytes([1; 16]), IdentityId::from_bytes([2; 16]), location).unwrap()
    }

    /// The bytes that machines have: version, store, identity, pins, answer key, addresses.
    #[test]
    fn cards_are_read_as_they_were_written() {
        const PINNED: &str = "dsi_aeaqcaibaeaqcaibaeaqcaibaeaqeaqcaibaeaqcaibaeaqcaibaeaidambqgaydambqgaydambqgaydambqgaydambqgaydambqgaydamcqkbifaucqkbifaucqkbifaucqkbifaucqkbifaucqkbifaucqkaiadjuhi5dqom5c6l3torxxezjomv4gc3lqnrstunztg4zzxbroei";
        const WITHOUT_PIN: &str = "dsi_aeaqcaibaeaqcaibaeaqcaibaeaqeaqcaibaeaqcaibaeaqcaibaeaafaucqkbifaucqkbifaucqkbifaucqkbifaucqkbifaucqkbifauaqagtior2ha4z2f4xxg5dpojss4zlymfwxa3dfhi3tgnzt23a6m4i";
        for (text, pins) in [(PINNED, Some(Pin([3; 32]).into())), (WITHOUT_PIN, None)] {
            assert_eq!(card(pins).to_string(), text);
            assert_eq!(text.parse(), Ok(card(pins)));
        }
    }

    #[test]
    fn each_fault_of_a_card_has_its_own_error() {
        let text = card(None).to_string();
        let error = |text: &str| text.parse::<StoreCard>().unwrap_err();
        assert_eq!(error("card"), CardError::Prefix);
        assert_eq!(error("dst_aaaa"), CardError::IsTicket);
        assert_eq!(error(&text.to_uppercase().replacen("DSI_", "dsi_", 1)), CardError::Mistyped);
        assert_eq!(error(&format!("{text}\n")), CardError::Mistyped);
        for len in PREFIX.len()..text.len() {
            assert_eq!(error(&text[..len]), CardError::Truncated, "{len} of {}", text.len());
        }
        let mut later = credential::decode(&text[PREFIX.len()..]).unwrap();
        let content = later.len() - 4;
        later.truncate(content);
        later[0] = 2;
        assert_eq!(error(&credential::encode(PREFIX, later)), CardError::Version);
        let without = StoreCard::new(card(None).store(), card(None).identity(), location(None, None));
        assert_eq!(without, Err(NoAnswerKey));
    }

    proptest! {
        #[test]
        fn cards_read_back_and_any_changed_character_is_refused(
            ids in any::<[[u8; 16]; 2]>(),
            pins in any::<Option<([u8; 32], [u8; 32])>>(),
            key in any::<[u8; 32]>(),
            urls in prop::collection::vec("[!-~]{1,40}", 1..9),
            at in any::<prop::sample::Index>(),
        ) {
            let pins = pins.map(|(current, next)| PinPair::new(Pin(current), Pin(next)));
            let location = StoreLocation::new(urls, pins, Some(AnswerKey(key))).unwrap();
            let [store, identity] = ids;
            let card =
                StoreCard::new(StoreId::from_bytes(store), IdentityId::from_bytes(identity), location).unwrap();
            let text = card.to_string();
            prop_assert_eq!(text.parse(), Ok(card));

            let mut changed = text.into_bytes();
            let at = at.index(changed.len());
            changed[at] = if changed[at] == b'a' { b'b' } else { b'a' };
            prop_assert!(str::from_utf8(&changed).unwrap().parse::<StoreCard>().is_err());
        }

        #[test]
        fn any_text_is_judged_without_panic(text in "dsi_[a-z2-7é]{0,300}") {
            prop_assert!(text.parse::<StoreCard>().is_err());
        }
    }
}
