//! `/v1/boot`: the only release of values, and its explanation without them. The answer is written once, into memory
//! that is wiped after it was sent.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;

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
use super::extract::{IdempotencyKey, JsonBody, LARGE_BODY, idempotency_parameter};
use super::openapi::{AUTHENTICATED, WITH_BODY, error_responses};
use super::problem::{ApiError, FieldErrors};
use super::query::{NoParams, QueryParams};
use crate::crypto::memory::WipedBuffer;
use crate::domain::name::SecretName;
use crate::domain::resolve::Request;
use crate::store;
use crate::store::{BootAsk, Caller};
use crate::wire::{
    BootRequest, BootResponse, Code, ExplainResponse, ReleasedView, Value, ValueBase64, paths,
};

/// The routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(boot)).routes(routes!(explain))
}

/// Names in one list of a boot's request.
const MAX_NAMES: usize = 1000;

error_responses! {
    Booting = [AUTHENTICATED, WITH_BODY, &[
        Code::TicketSpent, Code::Locked, Code::Unprocessable, Code::NameInvalid, Code::StoreFull, Code::Conflict,
    ]];
    Explaining = [AUTHENTICATED, WITH_BODY, &[Code::TicketSpent, Code::Unprocessable, Code::NameInvalid]];
}

/// What `Idempotency-Key` means here.
struct AttemptKeyParam;

impl utoipa::IntoParams for AttemptKeyParam {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description =
            "The same for all tries of one boot: within five minutes they spend one use of the ticket.";
        vec![idempotency_parameter(description)]
    }
}

/// Boots: spends one use of the ticket and answers with the values in its scope
///
/// The use, the record of the boot and its audit entry are durable before the answer begins.
#[utoipa::path(post, path = paths::BOOT, tag = "boots", operation_id = "boot", request_body = BootRequest,
    params(AttemptKeyParam),
    responses((status = 200, body = BootResponse, description = "The release."), Booting),
    security(("ticket" = [])))]
async fn boot(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
    IdempotencyKey(attempt): IdempotencyKey,
    JsonBody(body): JsonBody<BootRequest, LARGE_BODY>,
) -> Result<impl IntoResponse, ApiError> {
    let answer = release(&api, &caller, body, attempt).await;
    let metrics = api.metrics();
    match &answer {
        Ok((count, _)) => {
            metrics.boots.fetch_add(1, Relaxed);
            metrics.released.fetch_add(*count, Relaxed);
        }
        Err(_) => drop(metrics.boots_refused.fetch_add(1, Relaxed)),
    }
    let (_, bytes) = answer?;
    Ok(([(header::CONTENT_TYPE, "application/json")], Body::from(bytes)))
}

async fn release(
    api: &Api,
    caller: &Caller,
    body: BootRequest,
    attempt: Option<String>,
) -> Result<(u64, Bytes), ApiError> {
    let ask = BootAsk { attempt, ..ask_of(body)? };
    // Of whoever else is not a ticket's, the store says that it may not.
    let _turn = match caller.org() {
        Some((org, _)) => Some(api.admission().enter(org).await?),
        None => None,
    };
    let released = api.store().boot(caller, ask).await?;
    let count = released.receipt.count() as u64;
    let room = released.values.iter().map(|released| AROUND + released.value.len()).sum();
    let bytes = written(&response(released), room).map_err(|_| {
        tracing::error!("a boot's answer could not be written");
        ApiError::new(Code::Internal, "the request could not be done; the server's log says more")
    })?;
    Ok((count, bytes))
}

/// What a boot would be given, and why
///
/// Spends nothing, opens nothing, works on a locked store.
#[utoipa::path(post, path = paths::EXPLAIN, tag = "boots", operation_id = "explain", request_body = BootRequest,
    responses((status = 200, body = ExplainResponse, description = "What would be released, without values."), Explaining),
    security(("ticket" = [])))]
async fn explain(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<BootRequest, LARGE_BODY>,
) -> Result<Json<ExplainResponse>, ApiError> {
    let explained = api.store().explain(&caller, ask_of(body)?).await?;
    Ok(Json(ExplainResponse {
        organization: explained.org.to_string(),
        member: explained.member.to_string(),
        receipt: explained.receipt,
        locked: explained.locked,
        uses_left: explained.uses_left,
        expires_at: explained.expires_at.map(|at| at.to_string()),
    }))
}

fn ask_of(body: BootRequest) -> Result<BootAsk, ApiError> {
    let mut errors = FieldErrors::default();
    let request = Request {
        plugins: body.plugins.map(|plugins| each(&mut errors, "plugins", &plugins)),
        include: names(&mut errors, "include", &body.include),
        exclude: names(&mut errors, "exclude", &body.exclude),
        references: names(&mut errors, "references", &body.references),
    };
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

fn names(errors: &mut FieldErrors, field: &str, texts: &[String]) -> BTreeSet<String> {
    each::<SecretName>(errors, field, texts).into_iter().map(|name| name.to_string()).collect()
}

fn each<T>(errors: &mut FieldErrors, field: &str, texts: &[String]) -> BTreeSet<T>
where
    T: std::str::FromStr<Err: std::fmt::Display> + Ord,
{
    if texts.len() > MAX_NAMES {
        errors.add(field, format!("has more than {MAX_NAMES} names"));
        return BTreeSet::new();
    }
    texts.iter().filter_map(|text| errors.check_as(Code::NameInvalid, field, text.parse())).collect()
}

fn response(released: store::Released) -> BootResponse {
    let value = |released: store::ReleasedValue| {
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

/// Bytes of JSON around each value: ids, names and what the receipt says of it, about.
const AROUND: usize = 640;

/// The answer as JSON, about `room` bytes beside what is always there, in memory whose last owner wipes it.
fn written(response: &BootResponse, room: usize) -> serde_json::Result<Bytes> {
    let mut out = WipedBuffer::with_capacity(AROUND + room);
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
        let bytes = written(&response, 0).unwrap();
        assert_eq!(bytes, serde_json::to_vec(&response).unwrap());
        let back: BootResponse = serde_json::from_slice(&bytes).unwrap();
        let [first, second, _]: [ReleasedView; 3] = back.values.try_into().unwrap();
        assert_eq!(first.value.unwrap().into_secret().expose(), b"a \"quoted\"\nline");
        assert_eq!(second.value_base64.unwrap().into_secret().unwrap().expose(), [0xff, 0]);
    }
}
