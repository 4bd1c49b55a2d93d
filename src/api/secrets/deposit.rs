//! Bodies of deposits and edits turned into what the store takes, with every fault at once and never a word of a value.

use std::str::FromStr;

use crate::api::problem::{ApiError, FieldErrors};
use crate::domain::attributes::AttributesPatch;
use crate::domain::name::NameError;
use crate::domain::value::Hint;
use crate::store;
use crate::store::{Deposit, SealedDeposit, SealedValue, WrappedKey};
use crate::wire::{
    AttributeError, Code, CreateSecretRequest, ReplaceSecretRequest, SealedBody, UpdateSecretRequest, Value,
    ValueBase64,
};

const NOT_BASE64: &str = "is not base64 with padding (RFC 4648 section 4)";

/// A new secret.
pub(crate) fn new_of(body: CreateSecretRequest) -> Result<store::NewSecret, ApiError> {
    let mut errors = FieldErrors::default();
    let name = name_of(&mut errors, "name", Some(&body.name));
    let env = name_of(&mut errors, "as", body.env.as_deref());
    let attributes = attributes(&mut errors, body.attributes.parse());
    let deposit = deposit(&mut errors, body.value, body.value_base64, body.sealed, body.hint);
    errors.into_result()?;
    let (Some(name), Some(attributes), Some(deposit)) = (name, attributes, deposit) else {
        return Err(incomplete());
    };
    Ok(store::NewSecret {
        name,
        env,
        scope: body.scope,
        owner: None,
        kind: body.kind,
        delivery: body.delivery,
        attributes,
        deposit,
        allow_refused: body.allow_refused,
    })
}

/// A new value.
pub(crate) fn replacement_of(body: ReplaceSecretRequest) -> Result<store::Replacement, ApiError> {
    let mut errors = FieldErrors::default();
    let env = name_of(&mut errors, "as", body.env.as_deref());
    let change = attributes(&mut errors, body.change.unwrap_or_default().parse());
    let deposit = deposit(&mut errors, body.value, body.value_base64, body.sealed, body.hint);
    errors.into_result()?;
    let (Some(change), Some(deposit)) = (change, deposit) else { return Err(incomplete()) };
    Ok(store::Replacement {
        deposit,
        env,
        kind: body.kind,
        delivery: body.delivery,
        allow_refused: body.allow_refused,
        change,
    })
}

/// Changed attributes.
pub(crate) fn change_of(body: UpdateSecretRequest) -> Result<AttributesPatch, ApiError> {
    checked_attributes(body.parse())
}

/// Attributes that stand alone, or the refusal with every fault of theirs.
pub(crate) fn checked_attributes<T>(read: Result<T, Vec<AttributeError>>) -> Result<T, ApiError> {
    let mut errors = FieldErrors::default();
    let attributes = attributes(&mut errors, read);
    errors.into_result()?;
    attributes.ok_or_else(incomplete)
}

fn attributes<T>(errors: &mut FieldErrors, read: Result<T, Vec<AttributeError>>) -> Option<T> {
    let faults = match read {
        Ok(attributes) => return Some(attributes),
        Err(faults) => faults,
    };
    for AttributeError { field, error } in faults {
        errors.hint(error.hint());
        errors.add_as(Code::NameInvalid, field, error.to_string());
    }
    None
}

fn name_of<T: FromStr<Err = NameError>>(
    errors: &mut FieldErrors,
    field: &str,
    text: Option<&str>,
) -> Option<T> {
    let read = text?.parse::<T>();
    if let Err(error) = &read {
        errors.hint(error.hint());
    }
    errors.check_as(Code::NameInvalid, field, read)
}

fn deposit(
    errors: &mut FieldErrors,
    value: Option<Value>,
    base64: Option<ValueBase64>,
    sealed: Option<SealedBody>,
    hint: Option<String>,
) -> Option<Deposit> {
    match (value, base64, sealed) {
        (Some(value), None, None) => {
            let value = value.into_secret();
            // JSON would carry it, a variable cannot, and a file of text has none.
            if value.expose().contains(&0) {
                errors.add_as(Code::ValueInvalid, "value", "holds a NUL byte");
                errors.hint(Some("send the bytes of a file as value_base64"));
            }
            Some(Deposit::Value(value))
        }
        (None, Some(base64), None) => match base64.into_secret() {
            Some(value) => Some(Deposit::Value(value)),
            None => {
                errors.add_as(Code::Unprocessable, "value_base64", NOT_BASE64);
                None
            }
        },
        (None, None, Some(sealed)) => self::sealed(errors, sealed, hint),
        _ => {
            errors.add("value", "expected exactly one of value, value_base64 and sealed");
            None
        }
    }
}

fn sealed(errors: &mut FieldErrors, sealed: SealedBody, hint: Option<String>) -> Option<Deposit> {
    let id = errors.check("sealed.id", sealed.id.parse());
    let version = errors.check("sealed.version", sealed.version.parse());
    let enc = binary(errors, "sealed.enc", &sealed.enc, 32..=32);
    let ct = binary(errors, "sealed.wrapped_key", &sealed.wrapped_key, 48..=48);
    let nonce = binary(errors, "sealed.nonce", &sealed.nonce, 24..=24);
    // A file of 1 MiB and the tag.
    let ciphertext = binary(errors, "sealed.ciphertext", &sealed.ciphertext, 16..=(1 << 20) + 16);
    let value = SealedValue {
        generation: sealed.generation,
        nonce: nonce?.try_into().ok()?,
        ciphertext: ciphertext?,
        wrapped: WrappedKey::Hpke { suite: sealed.suite, enc: enc?, ct: ct? },
    };
    // A form that is not known here, of a newer or older client, is not kept; it must not stop a deposit.
    let hint = hint.and_then(|text| Hint::parse(&text).ok());
    Some(Deposit::Sealed(SealedDeposit { id: id?, version: version?, value, hint }))
}

fn binary(
    errors: &mut FieldErrors,
    field: &str,
    text: &str,
    length: std::ops::RangeInclusive<usize>,
) -> Option<Vec<u8>> {
    match data_encoding::BASE64.decode(text.as_bytes()) {
        Ok(bytes) if length.contains(&bytes.len()) => Some(bytes),
        Ok(_) => {
            errors.add_as(
                Code::Unprocessable,
                field,
                format!("expected {} to {} bytes", length.start(), length.end()),
            );
            None
        }
        Err(_) => {
            errors.add_as(Code::Unprocessable, field, NOT_BASE64);
            None
        }
    }
}

/// Cannot be reached: what is missing has left a fault.
fn incomplete() -> ApiError {
    ApiError::new(Code::InvalidRequest, "the body is incomplete")
}
