//! `/v1/boot`: the only release of values, and its explanation without values. The response is serialized once, into
//! memory that is wiped after it was sent.

use std::collections::{BTreeMap, BTreeSet};

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
use crate::domain::id::StoreId;
use crate::domain::name::{EnvName, SecretName};
use crate::domain::resolve::{ResolveRequest, SharedAddresses};
use crate::domain::value::SecretValue;
use crate::store;
use crate::store::{BootAsk, Caller};
use crate::wire::{
    BootRequest, BootResponse, Code, ExplainResponse, ReleasedView, Unparsed, Value, ValueBase64, paths,
};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(boot)).routes(routes!(explain))
}

/// The largest number of names in one list of a request.
const MAX_NAMES: usize = 1000;

error_responses! {
    BootErrors = [AUTHENTICATED, WITH_BODY, &[
        Code::TicketSpent, Code::TriesSpent, Code::OverQuota, Code::FilesRefused, Code::IdempotencyMismatch, Code::Locked, Code::Unprocessable, Code::NameInvalid, Code::StoreFull, Code::Conflict,
        Code::SecretUnusable, Code::StaleProof, Code::UsedProof,
    ]];
    ExplainErrors = [AUTHENTICATED, WITH_BODY, &[
        Code::TicketSpent, Code::Unprocessable, Code::NameInvalid, Code::StaleProof, Code::UsedProof,
    ]];
}

/// The meaning of `Idempotency-Key` for a boot.
struct AttemptKeyParam;

impl utoipa::IntoParams for AttemptKeyParam {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description = "The same key for all tries of one boot: the same request of the same machine, at most 5 times within 5 minutes. They \
            spend one use of the ticket and have the same boot id.";
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
    // Counted before the response is sent. Only the agent's report shows whether it arrived.
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
    // Before the queue: a bad request must not take a place in it.
    let ask = BootAsk { attempt, ..parse_request(body)? };
    // The operator has no organization to queue for. The store refuses it, as it refuses members.
    let _permit = match caller.org() {
        Some((org, _)) => Some(api.admission().acquire(org).await?),
        None => None,
    };
    // The permit lasts until the response is in memory, so that it limits that memory too.
    let released = api.store().boot(caller, ask).await?;
    let count = released.receipt.count() as u64;
    let capacity = released.values.iter().map(|released| OVERHEAD + released.value.len()).sum();
    // An error of serde_json may quote what it was writing, so it is not logged.
    let checkpoint = api.store().own_checkpoint().map(|text| text.to_string());
    let bytes = serialize(&response(api.store().id(), checkpoint, released), capacity).map_err(|_| {
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
        organization: explained.org,
        member: explained.member,
        receipt: explained.receipt,
        locked: explained.locked,
        uses_left: explained.uses_left,
        expires_at: explained.expires_at,
    }))
}

fn parse_request(body: BootRequest) -> Result<BootAsk, ApiError> {
    let mut errors = FieldErrors::default();
    let referenced_as = parse_renamed(&mut errors, &body.referenced_as);
    let mut references = parse_names(&mut errors, "references", &body.references);
    references.extend(referenced_as.values().cloned());
    let request = ResolveRequest {
        plugins: body.plugins.map(|plugins| parse_list(&mut errors, "plugins", &plugins)),
        include: parse_names(&mut errors, "include", &body.include),
        exclude: parse_names(&mut errors, "exclude", &body.exclude),
        references,
        referenced_as,
        addresses: SharedAddresses::Named(parse_list(&mut errors, "allow_names", &body.allow_names)),
    };
    // These texts end up in the audit log and on terminals, so they are short and have no control characters.
    for (field, text) in [
        ("machine", &body.machine),
        ("kernel_boot", &body.kernel_boot),
        ("host", &body.host),
        ("agent", &body.agent),
        ("workload", &body.workload),
    ] {
        let Some(text) = text.as_deref() else { continue };
        if !(1..=128).contains(&text.len()) || text.chars().any(char::is_control) {
            errors.add_as(Code::Unprocessable, field, "expected 1 to 128 bytes without control characters");
        }
    }
    errors.into_result()?;
    let BootRequest { machine, kernel_boot, host, agent, workload, reports_end, refuse_files, .. } = body;
    Ok(BootAsk {
        request,
        machine,
        kernel_boot,
        host,
        agent,
        workload,
        reports_end,
        refuse_files,
        attempt: None,
    })
}

fn parse_names(errors: &mut FieldErrors, field: &str, texts: &[Unparsed<SecretName>]) -> BTreeSet<String> {
    parse_list(errors, field, texts).into_iter().map(|name| name.to_string()).collect()
}

fn parse_renamed(
    errors: &mut FieldErrors,
    renamed: &BTreeMap<Unparsed<EnvName>, Unparsed<SecretName>>,
) -> BTreeMap<EnvName, String> {
    let field = "referenced_as";
    if renamed.len() > MAX_NAMES {
        errors.add(field, format!("has more than {MAX_NAMES} names"));
        return BTreeMap::new();
    }
    let parsed = renamed.iter().filter_map(|(variable, secret)| {
        let variable: Option<EnvName> = errors.check_as(Code::NameInvalid, field, variable.parse());
        let secret: Option<SecretName> = errors.check_as(Code::NameInvalid, field, secret.parse());
        Some((variable?, secret?.to_string()))
    });
    parsed.collect()
}

fn parse_list<T>(errors: &mut FieldErrors, field: &str, texts: &[Unparsed<T>]) -> BTreeSet<T>
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

fn response(store: StoreId, checkpoint: Option<String>, released: store::Released) -> BootResponse {
    let value = |released: store::ReleasedValue| {
        // JSON strings cannot hold arbitrary bytes, so a value that is not UTF-8 is sent as base64.
        let text = Value::of(&released.value);
        let value_base64 = if text.is_none() { Some(ValueBase64::of(&released.value)) } else { None };
        ReleasedView { id: released.id, value: text, value_base64 }
    };
    let mut response = BootResponse {
        boot: released.boot,
        store: Some(store),
        checkpoint,
        organization: released.org,
        member: released.member,
        released_at: released.at,
        end_credential: Value::of(&SecretValue::new(released.end_credential.to_text().as_bytes().to_vec())),
        count: u32::try_from(released.receipt.count()).unwrap_or(u32::MAX),
        digest: released.receipt.digest(),
        values: released.values.into_iter().map(value).collect(),
        receipt: released.receipt,
        values_digest: None,
    };
    response.values_digest = response.compute_values_digest();
    response
}

/// Bytes of JSON for each value beside the value itself, roughly: ids, names, and its line of the receipt.
const OVERHEAD: usize = 640;
/// The same for the checkpoint.
const CHECKPOINT: usize = 640;

/// Serializes the response into memory that its last owner wipes. `capacity` is an estimate.
fn serialize(response: &BootResponse, capacity: usize) -> serde_json::Result<Bytes> {
    // A buffer that grows copies every value once more, and has to wipe the copy.
    let mut out = WipedBuffer::with_capacity(OVERHEAD + CHECKPOINT + capacity);
    serde_json::to_writer(&mut out, response)?;
    Ok(Bytes::from_owner(out.into_inner()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::credential::{Credential, CredentialKind};
    use crate::domain::id::SecretId;

    #[test]
    fn a_response_is_complete_however_its_buffer_grows() {
        let released = |bytes: &[u8]| store::ReleasedValue {
            id: SecretId::from_bytes([1; 16]),
            value: SecretValue::new(bytes.to_vec()),
        };
        let released = store::Released {
            boot: crate::domain::id::BootId::from_bytes([2; 16]),
            org: "default".parse().unwrap(),
            member: "dev".parse().unwrap(),
            at: crate::domain::time::Timestamp::from_millis(0),
            end_credential: Credential::new(CredentialKind::Boot, [2; 16], zeroize::Zeroizing::new([3; 32])),
            receipt: crate::domain::receipt::Receipt::default(),
            values: vec![released(b"a \"quoted\"\nline"), released(&[0xff, 0]), released(&[b'\\'; 4000])],
        };
        let response = response(StoreId::from_bytes([4; 16]), None, released);
        let bytes = serialize(&response, 0).unwrap();
        assert_eq!(bytes, serde_json::to_vec(&response).unwrap());
        let back: BootResponse = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(back.values_digest, back.compute_values_digest());
        assert!(back.values_digest.is_some());
        let [first, second, _]: [ReleasedView; 3] = back.values.try_into().unwrap();
        assert_eq!(first.value.unwrap().into_secret().expose(), b"a \"quoted\"\nline");
        assert_eq!(second.value_base64.unwrap().into_secret().unwrap().expose(), [0xff, 0]);
    }
}
