//! JSON as a security decision needs it: one object, no member twice at any depth, bounded nesting.
//!
//! A member that occurs twice has two meanings: most parsers keep the last one, some the first (RFC 8259 section 4). An issuer
//! that checks one of them and a store that reads the other would disagree about who presents the token.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Objects and lists within each other. Tokens of the known platforms have four.
const MAX_DEPTH: usize = 16;

/// Why a text is not such an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonFault {
    /// It is no JSON, or not UTF-8, or something follows.
    Syntax,
    /// It is a list, a text or a number.
    NotAnObject,
    DuplicateMember,
    TooDeep,
}

/// Parses one object and nothing else.
pub(super) fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, JsonFault> {
    // Beside the parser's own error, which can carry a reason only as text.
    let fault = Cell::new(None);
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let parsed = StrictValue { depth: 0, fault: &fault }.deserialize(&mut parser);
    let value = parsed.map_err(|_| fault.get().unwrap_or(JsonFault::Syntax))?;
    parser.end().map_err(|_| JsonFault::Syntax)?;
    match value {
        Value::Object(object) => Ok(object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(JsonFault::NotAnObject)
        }
    }
}

/// Reads a value of any type that is inside `depth` objects and lists.
#[derive(Clone, Copy)]
struct StrictValue<'a> {
    depth: usize,
    fault: &'a Cell<Option<JsonFault>>,
}

impl StrictValue<'_> {
    fn inner<E: Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(self.fail(JsonFault::TooDeep));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }

    fn fail<E: Error>(self, fault: JsonFault) -> E {
        self.fault.set(Some(fault));
        // Never shown: `parse_object` reads the cell.
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for StrictValue<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictValue<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        // JSON has no infinity, so that this never fails.
        Number::from_f64(number).map(Value::Number).ok_or_else(|| self.fail(JsonFault::Syntax))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let inner = self.inner::<A::Error>()?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let inner = self.inner::<A::Error>()?;
        let mut members = Map::new();
        // Names are compared after their escapes are resolved: `"\u0073ub"` is `sub`.
        while let Some(name) = object.next_key::<String>()? {
            if members.contains_key(&name) {
                return Err(self.fail(JsonFault::DuplicateMember));
            }
            let value = object.next_value_seed(inner)?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}
