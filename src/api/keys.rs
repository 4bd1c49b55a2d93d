//! Locking and unlocking, key slots, and the deposit key. Passphrases and key files stay in memory that is wiped, and
//! never go into a log or a response.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::Api;
use super::auth::{Authenticated, count_guess};
use super::body::JsonBody;
use super::extract::PathParam;
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::page::{PageQuery, whole_list};
use super::problem::{ApiError, FieldErrors};
use super::query::{NoParams, QueryParams};
use super::tokens::check_label;
use crate::domain::id::SlotId;
use crate::store;
use crate::store::{PageAsk, UnlockError};
use crate::wire::{
    AddKeyslotRequest, Code, DepositKeyView, KeyslotView, LockResponse, PageView, UnlockRequest,
    UnlockResponse, UnlockText, paths,
};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(deposit_key))
        .routes(routes!(unlock))
        .routes(routes!(lock))
        .routes(routes!(keyslots, add_keyslot))
        .routes(routes!(remove_keyslot))
}

/// The longest passphrase or key file, in characters.
const MAX_SECRET: usize = 4096;

error_responses! {
    DepositKeyErrors = [AUTHENTICATED];
    ListKeyslotsErrors = [AUTHENTICATED, &[Code::Unprocessable]];
    UnlockErrors = [AUTHENTICATED, WITH_BODY, &[Code::WrongPassphrase, Code::Unprocessable, Code::StoreFull]];
    LockErrors = [AUTHENTICATED, &[Code::StoreFull]];
    AddKeyslotErrors = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::Locked, Code::Unprocessable]];
    RemoveKeyslotErrors = [AUTHENTICATED, WRITE, &[Code::NotFound, Code::LastKeyslot]];
}

/// Get the deposit key
///
/// A client needs it to seal a value before it sends the deposit. The response also has the limits of the organization.
#[utoipa::path(get, path = paths::DEPOSIT_KEY, tag = "secrets", operation_id = "deposit_key",
    responses((status = 200, body = DepositKeyView, description = "The deposit key, and what a sealed deposit is bound to."), DepositKeyErrors), security(("member" = [])))]
async fn deposit_key(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<DepositKeyView>, ApiError> {
    let info = api.store().deposit_info(&caller).await?;
    Ok(Json(DepositKeyView {
        store: info.store.to_string(),
        organization: info.org.to_string(),
        member: info.member.to_string(),
        generation: info.generation,
        suite: info.suite,
        public_key: data_encoding::BASE64.encode(&info.public_key),
        fingerprint: info.fingerprint,
        variable_ceiling: info.variable_ceiling,
        hints: info.hints,
    }))
}

/// Unlock the store
///
/// Decrypts the release key with a passphrase or a key file. Wrong ones are throttled per source address. For the
/// operator.
#[utoipa::path(post, path = paths::UNLOCK, tag = "keys", operation_id = "unlock", request_body = UnlockRequest,
    responses((status = 200, body = UnlockResponse, description = "The store is unlocked."), UnlockErrors), security(("operator" = [])))]
async fn unlock(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<UnlockRequest>,
) -> Result<Json<UnlockResponse>, ApiError> {
    let mut errors = FieldErrors::default();
    let secret = check_secret(&mut errors, body.passphrase, body.key_file);
    errors.into_result()?;
    let secret = secret.ok_or_else(ApiError::incomplete)?;
    let unlocked = api.store().unlock(&caller, secret).await.inspect_err(|error| {
        if matches!(error, UnlockError::WrongPassphrase | UnlockError::NotAKeyFile) {
            count_guess(&api, caller.source());
        }
    })?;
    Ok(Json(UnlockResponse { slot: unlocked.slot.to_string(), generation: unlocked.generation }))
}

/// Lock the store
///
/// Wipes the release key from memory. Boots in flight finish. Later boots fail with `locked` until the store is unlocked.
/// For the operator.
#[utoipa::path(post, path = paths::LOCK, tag = "keys", operation_id = "lock",
    responses((status = 200, body = LockResponse, description = "The store is locked."), LockErrors), security(("operator" = [])))]
async fn lock(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<LockResponse>, ApiError> {
    api.store().lock(&caller).await?;
    Ok(Json(LockResponse { locked: true }))
}

/// List the key slots
///
/// A store has at most 16, so one page holds all of them. For the operator.
#[utoipa::path(get, path = paths::KEYSLOTS, tag = "keys", operation_id = "keyslots",
    params(PageQuery),
    responses((status = 200, body = PageView<KeyslotView>, description = "All key slots."), ListKeyslotsErrors), security(("operator" = [])))]
async fn keyslots(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(page): QueryParams<PageQuery>,
) -> Result<Json<PageView<KeyslotView>>, ApiError> {
    let slots = api.store().keyslots(&caller).await?;
    // The list never returns a cursor, so this one is from another list.
    if PageAsk::from(page).cursor.is_some() {
        return Err(ApiError::new(Code::Unprocessable, "cursor: is not from this list"));
    }
    Ok(Json(whole_list(slots, keyslot_view)))
}

/// Add a key slot
///
/// Adds another passphrase or key file that unlocks the store. The store must be unlocked. For the operator.
#[utoipa::path(post, path = paths::KEYSLOTS, tag = "keys", operation_id = "add_keyslot", request_body = AddKeyslotRequest,
    responses((status = 201, body = KeyslotView, description = "The new key slot."), AddKeyslotErrors), security(("operator" = [])))]
async fn add_keyslot(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<AddKeyslotRequest>,
) -> Result<impl IntoResponse, ApiError> {
    let mut errors = FieldErrors::default();
    let secret = check_secret(&mut errors, body.passphrase, body.key_file);
    let label = check_label(&mut errors, body.label.as_deref());
    errors.into_result()?;
    let secret = secret.ok_or_else(ApiError::incomplete)?;
    let slot = store::NewKeyslot { credential: body.credential, secret, label, argon2: None };
    Ok((StatusCode::CREATED, Json(keyslot_view(api.store().add_keyslot(&caller, slot).await?))))
}

/// Remove a key slot
///
/// The last key slot cannot be removed. The passphrase or key file still opens old copies of the byte store, until
/// everything is re-encrypted. For the operator.
#[utoipa::path(delete, path = paths::KEYSLOT, tag = "keys", operation_id = "remove_keyslot",
    params(("id" = SlotId, Path)),
    responses((status = 200, body = KeyslotView, description = "The removed key slot."), RemoveKeyslotErrors), security(("operator" = [])))]
async fn remove_keyslot(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<SlotId>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<KeyslotView>, ApiError> {
    Ok(Json(keyslot_view(api.store().remove_keyslot(&caller, id).await?)))
}

fn check_secret(
    errors: &mut FieldErrors,
    passphrase: Option<UnlockText>,
    key_file: Option<UnlockText>,
) -> Option<store::UnlockSecret> {
    // The type wipes itself on drop, so Rust does not let its text be moved out.
    let text = |mut secret: UnlockText| Zeroizing::new(std::mem::take(&mut secret.0));
    let (field, secret) = match (passphrase, key_file) {
        (Some(passphrase), None) => ("passphrase", store::UnlockSecret::Passphrase(text(passphrase))),
        (None, Some(key_file)) => ("key_file", store::UnlockSecret::KeyFile(text(key_file))),
        _ => {
            errors.add("passphrase", "expected exactly one of passphrase and key_file");
            return None;
        }
    };
    let length = match &secret {
        store::UnlockSecret::Passphrase(text) | store::UnlockSecret::KeyFile(text) => text.chars().count(),
    };
    if !(1..=MAX_SECRET).contains(&length) {
        errors.add(field, format!("expected 1 to {MAX_SECRET} characters"));
    }
    Some(secret)
}

fn keyslot_view(slot: store::Keyslot) -> KeyslotView {
    KeyslotView {
        id: slot.id.to_string(),
        kind: slot.kind.as_str().to_owned(),
        label: slot.label.map(|label| label.to_string()),
        created_at: slot.created_at.to_string(),
    }
}
