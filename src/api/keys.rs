//! Locking and unlocking, key slots, and what depositors need. Passphrases and key files pass through here in memory
//! that is wiped, and never into a log or an answer.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::Api;
use super::auth::{Authenticated, count_guess};
use super::extract::{JsonBody, PathParam};
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::problem::{ApiError, FieldErrors};
use super::query::{NoParams, PageQuery, QueryParams};
use super::tokens::label;
use crate::domain::id::SlotId;
use crate::store;
use crate::store::UnlockError;
use crate::wire::{
    AddKeyslotRequest, Code, DepositKeyView, KeyslotView, LockResponse, PageView, UnlockRequest,
    UnlockResponse, UnlockText, paths,
};

/// The routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(deposit_key))
        .routes(routes!(unlock))
        .routes(routes!(lock))
        .routes(routes!(keyslots, add_keyslot))
        .routes(routes!(remove_keyslot))
}

/// The longest passphrase or key file, in bytes.
const MAX_SECRET: usize = 4096;

error_responses! {
    Reading = [AUTHENTICATED];
    Listing = [AUTHENTICATED, &[Code::Unprocessable]];
    Unlocking = [AUTHENTICATED, WITH_BODY, &[Code::WrongPassphrase, Code::Unprocessable, Code::StoreFull]];
    Locking = [AUTHENTICATED, &[Code::StoreFull]];
    Adding = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::Locked, Code::Unprocessable]];
    Removing = [AUTHENTICATED, WRITE, &[Code::NotFound, Code::LastKeyslot]];
}

/// What a client needs to seal a deposit
#[utoipa::path(get, path = paths::DEPOSIT_KEY, tag = "secrets", operation_id = "deposit_key",
    responses((status = 200, body = DepositKeyView, description = "The deposit key."), Reading), security(("member" = [])))]
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

/// Loads the release key
///
/// With a passphrase or a key file's text. Wrong ones are slowed per source.
#[utoipa::path(post, path = paths::UNLOCK, tag = "keys", operation_id = "unlock", request_body = UnlockRequest,
    responses((status = 200, body = UnlockResponse, description = "It is unlocked."), Unlocking), security(("operator" = [])))]
async fn unlock(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<UnlockRequest>,
) -> Result<Json<UnlockResponse>, ApiError> {
    let mut errors = FieldErrors::default();
    let secret = secret_of(&mut errors, body.passphrase, body.key_file);
    errors.into_result()?;
    let secret = secret.ok_or_else(|| ApiError::new(Code::InvalidRequest, "the body is incomplete"))?;
    let unlocked = api.store().unlock(&caller, secret).await.inspect_err(|error| {
        if matches!(error, UnlockError::WrongPassphrase | UnlockError::NotAKeyFile) {
            count_guess(&api, caller.source());
        }
    })?;
    Ok(Json(UnlockResponse { slot: unlocked.slot.to_string(), generation: unlocked.generation }))
}

/// Drops the release key
///
/// Boots that were being answered finish; others are refused until the store is unlocked again.
#[utoipa::path(post, path = paths::LOCK, tag = "keys", operation_id = "lock",
    responses((status = 200, body = LockResponse, description = "It is locked."), Locking), security(("operator" = [])))]
async fn lock(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<LockResponse>, ApiError> {
    api.store().lock(&caller).await?;
    Ok(Json(LockResponse { locked: true }))
}

/// The key slots
#[utoipa::path(get, path = paths::KEYSLOTS, tag = "keys", operation_id = "keyslots",
    params(PageQuery),
    responses((status = 200, body = PageView<KeyslotView>, description = "All of them."), Listing), security(("operator" = [])))]
async fn keyslots(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(ask): QueryParams<PageQuery>,
) -> Result<Json<PageView<KeyslotView>>, ApiError> {
    let slots = api.store().keyslots(&caller).await?;
    // There are 16 at most, so one page holds them and no cursor was ever given out.
    if ask.page().cursor.is_some() {
        return Err(ApiError::new(Code::Unprocessable, "cursor: is none of this list"));
    }
    Ok(Json(PageView { items: slots.into_iter().map(view).collect(), next: None }))
}

/// Adds a key slot
///
/// On an unlocked store.
#[utoipa::path(post, path = paths::KEYSLOTS, tag = "keys", operation_id = "add_keyslot", request_body = AddKeyslotRequest,
    responses((status = 201, body = KeyslotView, description = "The slot."), Adding), security(("operator" = [])))]
async fn add_keyslot(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<AddKeyslotRequest>,
) -> Result<impl IntoResponse, ApiError> {
    let mut errors = FieldErrors::default();
    let secret = secret_of(&mut errors, body.passphrase, body.key_file);
    let label = label(&mut errors, body.label.as_deref());
    errors.into_result()?;
    let secret = secret.ok_or_else(|| ApiError::new(Code::InvalidRequest, "the body is incomplete"))?;
    let slot = store::NewKeyslot { credential: body.credential, secret, label, argon2: None };
    Ok((StatusCode::CREATED, Json(view(api.store().add_keyslot(&caller, slot).await?))))
}

/// Removes a key slot
///
/// Never the last. Old copies of the byte store still open with it: re-encrypting everything is what makes it worthless.
#[utoipa::path(delete, path = paths::KEYSLOT, tag = "keys", operation_id = "remove_keyslot",
    params(("id" = SlotId, Path)),
    responses((status = 200, body = KeyslotView, description = "It is removed."), Removing), security(("operator" = [])))]
async fn remove_keyslot(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<SlotId>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<KeyslotView>, ApiError> {
    Ok(Json(view(api.store().remove_keyslot(&caller, id).await?)))
}

fn secret_of(
    errors: &mut FieldErrors,
    passphrase: Option<UnlockText>,
    key_file: Option<UnlockText>,
) -> Option<store::UnlockSecret> {
    // The type wipes itself, so its text is taken out and not moved.
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

/// A key slot as shown.
pub(crate) fn view(slot: store::Keyslot) -> KeyslotView {
    KeyslotView {
        id: slot.id.to_string(),
        kind: slot.kind.as_str().to_owned(),
        label: slot.label.map(|label| label.to_string()),
        created_at: slot.created_at.to_string(),
    }
}
