//! `/v1/boot`: the only release of values, and its explanation without them. The response is written once, into memory
//! that is wiped after it was sent.

use std::collections::BTreeSet;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::header;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Authenticated;
use super::body::{JsonBody, LARGE_BODY};
use super::extract::{IdempotencyKey, idempotency_parameter};
use super::openapi::{AUTHENTICATED, WITH_BODY, error_responses};
use super::problem::{ApiError, FieldErrors};
use super::query::{NoParams, QueryParams};
use crate::crypto::memory::WipedBuffer;
use crate::domain::name::SecretName;
use crate::domain::resolve::ResolveRequest;
use crate::store;
use crate::store::{BootAsk, Caller};
use crate::wire::{
    BootRequest, BootResponse, Code, ExplainResponse, ReleasedView, Value, ValueBase64, paths,
};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(boot)).routes(routes!(explain))
}

/// The largest number of names in one list of a request.
const MAX_NAMES: usize = 1000;

error_responses! {
    BootErrors = [AUTHENTICATED, WITH_BODY, &[
        Code::TicketSpent, Code::Locked, Code::Unprocessable, Code::NameInvalid, Code::StoreFull, Code::Conflict,
    ]];
    ExplainErrors = [AUTHENTICATED, WITH_BODY, &[Code::TicketSpent, Code::Unprocessable, Code::NameInvalid]];
}

/// The meaning of `Idempotency-Key` for a boot.
struct AttemptKeyParam;

impl utoipa::IntoParams for AttemptKeyParam {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description =
            "The same key for all tries of one boot: within five minutes they spend one use of the ticket.";
        vec![idempotency_parameter(description)]
    }
}

/// Boot: release the values in the scope of the ticket
///
/// Spends one use of the ticket. The use, the record of the boot and its audit entry are durable before the response
/// begins. A locked store answers 503 `locked`.
#[utoipa::path(post, path = paths::BOOT, tag = "boots", operation_id = "boot", request_body = BootRequest,
    params(AttemptKeyParam),
    responses((status = 200, body = BootResponse, description = "The values, and the receipt, which says which secrets were released or skipped, and why."), BootErrors),
    security(("ticket" = [])))]
async fn boot(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
    IdempotencyKey(attempt): IdempotencyKey,
    JsonBody(body): JsonBody<BootRequest, LARGE_BODY>,
) -> Result<impl IntoResponse, ApiError> {
    let (count, bytes) = release(&api, &caller, body, attempt).await.inspect_err(|_| {
        api.metrics().boots_refused.inc();
    })?;
    api.metrics().boots.inc();
    api.metrics().released.inc_by(count);
    Ok(([(header::CONTENT_TYPE, "application/json")], Body::from(bytes)))
}

async fn release(
    api: &Api,
    caller: &Caller,
    body: BootRequest,
    attempt: Option<String>,
) -> Result<(u64, Bytes), ApiError> {
    let ask = BootAsk { attempt, ..parse_request(body)? };
    // The operator has no organization to queue for. The store refuses it, as it refuses members.
    let _permit = match caller.org() {
        Some((org, _)) => Some(api.admission().acquire(org).await?),
        None => None,
    };
    let released = api.store().boot(caller, ask).await?;
    let count = released.receipt.count() as u64;
    let capacity = released.values.iter().map(|released| OVERHEAD + released.value.len()).sum();
    // An error of serde_json may quote what it was writing, so it is not logged.
    let bytes = serialize(&response(released), capacity).map_err(|_| {
        tracing::error!("the response to a boot could not be serialized");
        ApiError::internal()
    })?;
    Ok((count, bytes))
}

/// Explain what a boot would release
///
/// Spends no use and decrypts nothing. Also works on a locked store.
#[utoipa::path(post, path = paths::EXPLAIN, tag = "boots", operation_id = "explain", request_body = BootRequest,
    responses((status = 200, body = ExplainResponse, description = "The receipt that a boot would have, without values."), ExplainErrors),
    security(("ticket" = [])))]
async fn explain(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<BootRequest, LARGE_BODY>,
) -> Result<Json<ExplainResponse>, ApiError> {
    let explained = api.store().explain(&caller, parse_request(body)?).await?;
    Ok(Json(ExplainResponse {
        organization: explained.org.to_string(),
        member: explained.member.to_string(),
        receipt: explained.receipt,
        locked: explained.locked,
        uses_left: explained.uses_left,
        expires_at: explained.expires_at.map(|at| at.to_string()),
    }))
}

fn parse_request(body: BootRequest) -> Result<BootAsk, ApiError> {
    let mut errors = FieldErrors::default();
    let request = ResolveRequest {
        plugins: body.plugins.map(|plugins| parse_list(&mut errors, "plugins", &plugins)),
        include: parse_names(&mut errors, "include", &body.include),
        exclude: parse_names(&mut errors, "exclude", &body.exclude),
        references: parse_names(&mut errors, "references", &body.references),
    };
    // These texts end up in the audit log and on terminals, so they are short and have no control characters.
    for (field, text) in [
        ("machine", &body.machine),
        ("kernel_boot", &body.kernel_boot),
        ("host", &body.host),
        ("agent", &body.agent),
    ] {
        let Some(text) = text.as_deref() else { continue };
        if !(1..=128).contains(&text.len()) || text.chars().any(char::is_control) {
            errors.add_as(Code::Unprocessable, field, "expected 1 to 128 bytes without control characters");
        }
    }
    errors.into_result()?;
    let BootRequest { machine, kernel_boot, host, agent, .. } = body;
    Ok(BootAsk { request, machine, kernel_boot, host, agent, attempt: None })
}

fn parse_names(errors: &mut FieldErrors, field: &str, texts: &[String]) -> BTreeSet<String> {
    parse_list::<SecretName>(errors, field, texts).into_iter().map(|name| name.to_string()).collect()
}

fn parse_list<T>(errors: &mut FieldErrors, field: &str, texts: &[String]) -> BTreeSet<T>
where
    T: std::str::FromStr<Err: std::fmt::Display> + Ord,
{
    // A list over the limit is not parsed: its faults would make the response as long as the request.
    if texts.len() > MAX_NAMES {
        errors.add(field, format!("has more than {MAX_NAMES} names"));
        return BTreeSet::new();
    }
    texts.iter().filter_map(|text| errors.check_as(Code::NameInvalid, field, text.parse())).collect()
}

fn response(released: store::Released) -> BootResponse {
    let value = |released: store::ReleasedValue| {
        // JSON has no bytes: what is not UTF-8 goes out as base64.
        let text = Value::of(&released.value);
        let value_base64 = if text.is_none() { Some(ValueBase64::of(&released.value)) } else { None };
        ReleasedView { id: released.id.to_string(), value: text, value_base64 }
    };
    BootResponse {
        boot: released.boot.to_string(),
        organization: released.org.to_string(),
        member: released.member.to_string(),
        released_at: released.at.to_string(),
        count: u32::try_from(released.receipt.count()).unwrap_or(u32::MAX),
        digest: released.receipt.digest().to_string(),
        values: released.values.into_iter().map(value).collect(),
        receipt: released.receipt,
    }
}

/// Bytes of JSON for each value beside the value itself, roughly: ids, names, and its line of the receipt.
const OVERHEAD: usize = 640;

/// Serializes the response into memory that its last owner wipes. `capacity` is an estimate.
fn serialize(response: &BootResponse, capacity: usize) -> serde_json::Result<Bytes> {
    let mut out = WipedBuffer::with_capacity(OVERHEAD + capacity);
    serde_json::to_writer(&mut out, response)?;
    Ok(Bytes::from_owner(out.into_inner()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::SecretId;
    use crate::domain::value::SecretValue;

    #[test]
    fn an_answer_is_written_whole_however_its_buffer_grows() {
        let released = |bytes: &[u8]| store::ReleasedValue {
            id: SecretId::from_bytes([1; 16]),
            value: SecretValue::new(bytes.to_vec()),
        };
        let response = response(store::Released {
            boot: crate::domain::id::BootId::from_bytes([2; 16]),
            org: "default".parse().unwrap(),
            member: "dev".parse().unwrap(),
            at: crate::domain::time::Timestamp::from_millis(0),
            receipt: crate::domain::receipt::Receipt::default(),
            values: vec![released(b"a \"quoted\"\nline"), released(&[0xff, 0]), released(&[b'\\'; 4000])],
        });
        let bytes = serialize(&response, 0).unwrap();
        assert_eq!(bytes, serde_json::to_vec(&response).unwrap());
        let back: BootResponse = serde_json::from_slice(&bytes).unwrap();
        let [first, second, _]: [ReleasedView; 3] = back.values.try_into().unwrap();
        assert_eq!(first.value.unwrap().into_secret().expose(), b"a \"quoted\"\nline");
        assert_eq!(second.value_base64.unwrap().into_secret().unwrap().expose(), [0xff, 0]);
    }
}
