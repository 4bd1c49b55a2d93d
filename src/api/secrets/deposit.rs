//! Parses the bodies of deposits and edits. Reports every fault at once, and never quotes a value.

use crate::api::problem::{ApiError, FieldErrors};
use crate::domain::attributes::AttributesPatch;
use crate::domain::import::LineOptions;
use crate::domain::value::Hint;
use crate::store;
use crate::store::{Deposit, SealedDeposit, SealedValue, WrappedKey};
use crate::wire::{
    AttributeError, Code, CreateSecretRequest, ImportItemRequest, ReplaceSecretRequest, SealedBody,
    UpdateSecretRequest, Value, ValueBase64,
};

const NOT_BASE64: &str = "is not base64 with padding (RFC 4648 section 4)";

/// Parses a new secret.
pub(crate) fn parse_new_secret(body: CreateSecretRequest) -> Result<store::NewSecret, ApiError> {
    let mut errors = FieldErrors::default();
    let name = errors.check_name("name", &body.name);
    let env = body.env.as_deref().and_then(|text| errors.check_name("as", text));
    let owner = body.owner.and_then(|owner| errors.check_as(Code::NameInvalid, "owner", owner.parse()));
    let attributes = attributes(&mut errors, body.attributes.parse());
    let deposit = deposit(&mut errors, body.value, body.value_base64, body.sealed, body.hint);
    errors.into_result()?;
    let (Some(name), Some(attributes), Some(deposit)) = (name, attributes, deposit) else {
        return Err(ApiError::incomplete());
    };
    Ok(store::NewSecret {
        name,
        env,
        scope: body.scope,
        owner,
        kind: body.kind,
        delivery: body.delivery,
        attributes,
        deposit,
        allow_refused: body.allow_refused,
    })
}

/// Parses a new value.
pub(crate) fn parse_replacement(body: ReplaceSecretRequest) -> Result<store::Replacement, ApiError> {
    let mut errors = FieldErrors::default();
    let env = body.env.as_deref().and_then(|text| errors.check_name("as", text));
    let change = attributes(&mut errors, body.change.unwrap_or_default().parse());
    let deposit = deposit(&mut errors, body.value, body.value_base64, body.sealed, body.hint);
    errors.into_result()?;
    let (Some(change), Some(deposit)) = (change, deposit) else { return Err(ApiError::incomplete()) };
    Ok(store::Replacement {
        deposit,
        env,
        kind: body.kind,
        delivery: body.delivery,
        allow_refused: body.allow_refused,
        change,
    })
}

/// Parses the items of an import.
pub(crate) fn parse_import_items(items: Vec<ImportItemRequest>) -> Result<Vec<store::ImportItem>, ApiError> {
    let mut all_errors = FieldErrors::default();
    let mut parsed = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        // Per item, so that its faults get the item's index.
        let mut errors = FieldErrors::default();
        parsed.extend(parse_import_item(&mut errors, item));
        all_errors.merge(&format!("items[{index}]"), errors);
    }
    all_errors.into_result()?;
    Ok(parsed)
}

fn parse_import_item(errors: &mut FieldErrors, item: ImportItemRequest) -> Option<store::ImportItem> {
    let ImportItemRequest { kind, delivery, allow_refused, if_version, value, value_base64, sealed, .. } =
        item;
    let value_len = item.value_len;
    let name = errors.check_name("name", &item.name);
    let attributes = attributes(errors, item.change.unwrap_or_default().parse());
    let deposit = match (&value, &value_base64, &sealed) {
        // A preview needs no values.
        (None, None, None) => None,
        _ => deposit(errors, value, value_base64, sealed, item.hint),
    };
    let if_version = match if_version {
        None => None,
        Some(text) => Some(errors.check("if_version", text.parse())?),
    };
    let options = LineOptions { kind, delivery, attributes: attributes?, allow_refused };
    Some(store::ImportItem { name: name?, deposit, value_len, options, if_version })
}

/// Parses changed attributes.
pub(crate) fn parse_patch(body: UpdateSecretRequest) -> Result<AttributesPatch, ApiError> {
    checked_attributes(body.parse())
}

/// Returns the attributes, or an error with every fault of theirs.
pub(crate) fn checked_attributes<T>(parsed: Result<T, Vec<AttributeError>>) -> Result<T, ApiError> {
    let mut errors = FieldErrors::default();
    let attributes = attributes(&mut errors, parsed);
    errors.into_result()?;
    attributes.ok_or_else(ApiError::incomplete)
}

fn attributes<T>(errors: &mut FieldErrors, parsed: Result<T, Vec<AttributeError>>) -> Option<T> {
    let faults = match parsed {
        Ok(attributes) => return Some(attributes),
        Err(faults) => faults,
    };
    for AttributeError { field, error } in faults {
        errors.hint(error.hint());
        errors.add_as(error.code(), field, error.to_string());
    }
    None
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
            // JSON can express it, but a variable cannot hold it, and a text file has none.
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
    // At most a file of 1 MiB. The tag of the cipher is 16 bytes.
    let ciphertext = binary(errors, "sealed.ciphertext", &sealed.ciphertext, 16..=(1 << 20) + 16);
    // Every field was parsed above, before the first `?`, so that all faults are reported.
    let value = SealedValue {
        generation: sealed.generation,
        nonce: nonce?.try_into().ok()?,
        ciphertext: ciphertext?,
        wrapped: WrappedKey::Hpke { suite: sealed.suite, enc: enc?, ct: ct? },
    };
    // A hint in the form of a newer or older client is dropped: it must not fail the deposit.
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
