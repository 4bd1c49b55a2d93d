//! What the forms share that create a credential: a duration, and a key that keeps a repeated form from creating a second one.

use super::multipart::MultipartForm;
use super::session::BrowserSession;
use crate::api::problem::ApiError;
use crate::wire::Code;

/// Returns a new idempotency key for a form.
pub(crate) fn new_idempotency_key(session: &BrowserSession) -> String {
    // The response displays the credential, so it cannot be a redirect, and reloading it sends the form again.
    let mut bytes = [0_u8; 16];
    session.api.fill_random(&mut bytes);
    data_encoding::HEXLOWER.encode(&bytes)
}

/// Reads a duration in seconds: the number in a field, of the unit in another one. Returns `None` if it is empty.
pub(crate) fn parse_duration(form: &MultipartForm, field: &str, unit: &str) -> Result<Option<u64>, ApiError> {
    let Some(number) = parse_number::<u64>(form, field)? else { return Ok(None) };
    let unit: u64 = match form.text_or_empty(unit).as_str() {
        "minutes" => 60,
        "days" => 24 * 3600,
        _ => 3600,
    };
    // An overflow must not become a short lifetime.
    number.checked_mul(unit).map(Some).ok_or_else(|| not_a_number(field))
}

/// Reads a field that takes a whole number. Returns `None` if it is empty.
pub(crate) fn parse_number<T: std::str::FromStr>(
    form: &MultipartForm,
    field: &str,
) -> Result<Option<T>, ApiError> {
    form.text(field).map(|text| text.parse().map_err(|_| not_a_number(field))).transpose()
}

fn not_a_number(field: &str) -> ApiError {
    // The fields' names are the API's; people know this one by its label.
    let label = if field == "ttl" { "expires after" } else { field };
    ApiError::new(Code::InvalidRequest, format!("{label}: expected a whole number"))
}
