//! Locking and unlocking, key slots, and the deposit key. Passphrases and key files stay in memory that is wiped, and
//! never go into a log or a response.

use std::future::poll_fn;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;
use tracing::Instrument as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::Api;
use super::auth::{Authenticated, count_wrong_passphrase};
use super::body::JsonBody;
use super::extract::PathParam;
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::page::{OwnerQuery, PageQuery, whole_list};
use super::problem::{ApiError, FieldErrors};
use super::query::{NoParams, QueryParams};
use super::tokens::check_label;
use crate::crypto::generation::Generation;
use crate::crypto::memory::wipe_stack_after;
use crate::domain::id::SlotId;
use crate::store;
use crate::store::{Caller, PageAsk, UnlockError};
use crate::wire::{
    AddKeyslotRequest, Code, DepositKeyView, GenerationView, KeyslotView, LockResponse, PageView,
    SealedTextBody, UnlockRequest, UnlockResponse, UnlockText, paths,
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
    DepositKeyErrors = [AUTHENTICATED, &[Code::NotFound, Code::Unprocessable]];
    ListKeyslotsErrors = [AUTHENTICATED, &[Code::Unprocessable]];
    UnlockErrors = [AUTHENTICATED, WITH_BODY, &[Code::WrongPassphrase, Code::StaleProcessKey, Code::Unprocessable, Code::StoreFull]];
    LockErrors = [AUTHENTICATED, &[Code::StoreFull]];
    AddKeyslotErrors = [AUTHENTICATED, WITH_BODY, WRITE, &[Code::Locked, Code::StaleProcessKey, Code::Unprocessable]];
    RemoveKeyslotErrors = [AUTHENTICATED, WRITE, &[Code::NotFound, Code::LastKeyslot]];
}

/// Get the deposit key
///
/// A client needs it to seal a value before it sends the deposit. The response also has the limits of the organization.
///
/// A private value is sealed for its owner: name the service that the deposit is for as `member`, or nobody for the caller.
#[utoipa::path(get, path = paths::DEPOSIT_KEY, tag = "secrets", operation_id = "deposit_key", params(OwnerQuery),
    responses((status = 200, body = DepositKeyView, description = "The deposit key, and what a sealed deposit is bound to."), DepositKeyErrors), security(("member" = [])))]
async fn deposit_key(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(owner): QueryParams<OwnerQuery>,
) -> Result<Json<DepositKeyView>, ApiError> {
    let info = api.store().deposit_info(&caller, owner.member.as_ref()).await?;
    Ok(Json(DepositKeyView {
        store: info.store,
        organization: info.org,
        member: info.member,
        generation: info.generation,
        suite: info.suite,
        public_key: data_encoding::BASE64.encode(&info.public_key),
        fingerprint: info.fingerprint,
        chain: info.chain.iter().map(generation_view).collect(),
        variable_ceiling: info.variable_ceiling,
        hints: info.hints,
    }))
}

fn generation_view(generation: &Generation) -> GenerationView {
    let base64 = |bytes: &[u8]| data_encoding::BASE64.encode(bytes);
    GenerationView {
        generation: generation.deposit.generation(),
        public_key: base64(generation.deposit.public()),
        signing_key: base64(&generation.signing),
        endorsement: generation.endorsement.map(|endorsement| base64(&endorsement)),
    }
}

/// Unlock the store
///
/// Decrypts the release key with a passphrase or a key file. Wrong ones are throttled per source address. A client that seals
/// the text to `process_key` of `GET /v1/status` keeps it out of every buffer on its way. For the operator.
#[utoipa::path(post, path = paths::UNLOCK, tag = "keys", operation_id = "unlock", request_body = UnlockRequest,
    responses((status = 200, body = UnlockResponse, description = "The store is unlocked."), UnlockErrors), security(("operator" = [])))]
async fn unlock(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<UnlockRequest>,
) -> Result<Json<UnlockResponse>, ApiError> {
    let mut errors = FieldErrors::default();
    // Before a guess is opened, which costs a little too.
    api.limits().check_passphrase_throttle(caller.source(), Instant::now())?;
    let forms = SecretForms { passphrase: body.passphrase, key_file: body.key_file, sealed: body.sealed };
    let secret = forms.check(&api, &caller, paths::UNLOCK, &mut errors)?;
    errors.into_result()?;
    let secret = secret.ok_or_else(ApiError::incomplete)?;
    let unlocked = unlock_to_end(api, caller, secret).await?;
    Ok(Json(UnlockResponse { slot: unlocked.slot, generation: unlocked.generation }))
}

/// Unlocks the store and counts a wrong secret as a guess, even if the client aborts the request: otherwise aborted guesses would
/// be neither recorded nor counted.
pub(crate) async fn unlock_to_end(
    api: Api,
    caller: Caller,
    secret: store::UnlockSecret,
) -> Result<store::Unlocked, ApiError> {
    let guess = async move {
        api.store().unlock(&caller, secret).await.map_err(|error| {
            // The operator's token was right, but a thief of it must not guess passphrases at full speed. Only a wrong secret
            // counts as a guess, not a byte store that does not answer.
            if matches!(error, UnlockError::WrongPassphrase | UnlockError::NotAKeyFile) {
                count_wrong_passphrase(&api, caller.source());
            }
            ApiError::from(error)
        })
    };
    let mut guess = Box::pin(guess.in_current_span());
    // The stack of this task, as the connection wipes that of its requests.
    let guess = poll_fn(move |context| wipe_stack_after(|| guess.as_mut().poll(context)));
    tokio::spawn(guess).await.map_err(|_| UnlockError::from(store::Failure::Internal))?
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
    // Before the parameters are checked: permission comes first.
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
    let forms = SecretForms { passphrase: body.passphrase, key_file: body.key_file, sealed: body.sealed };
    let secret = forms.check(&api, &caller, paths::KEYSLOTS, &mut errors)?;
    let label = check_label(&mut errors, body.label.as_deref());
    errors.into_result()?;
    let secret = secret.ok_or_else(ApiError::incomplete)?;
    // The default costs of Argon2id: no client may weaken them.
    let slot = store::NewKeyslot {
        credential: body.credential,
        secret,
        allow_weak: body.allow_weak,
        label,
        argon2: None,
    };
    let added = api.store().add_keyslot(&caller, slot).await?;
    Ok((StatusCode::CREATED, Json(keyslot_view(added))))
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

/// The forms in which a request carries what opens a key slot.
struct SecretForms {
    passphrase: Option<UnlockText>,
    key_file: Option<UnlockText>,
    sealed: Option<SealedTextBody>,
}

impl SecretForms {
    fn check(
        self,
        api: &Api,
        caller: &Caller,
        path: &str,
        errors: &mut FieldErrors,
    ) -> Result<Option<store::UnlockSecret>, ApiError> {
        // The type wipes itself on drop, so Rust does not let its text be moved out.
        let text = |mut secret: UnlockText| Zeroizing::new(std::mem::take(&mut secret.0));
        let (field, secret) = match (self.passphrase, self.key_file, self.sealed) {
            (Some(passphrase), None, None) => {
                ("passphrase", store::UnlockSecret::Passphrase(text(passphrase)))
            }
            (None, Some(key_file), None) => ("key_file", store::UnlockSecret::KeyFile(text(key_file))),
            (None, None, Some(sealed)) => ("sealed", api.open_sealed_text(caller, path, &sealed)?),
            _ => {
                errors.add("passphrase", "expected exactly one of passphrase, key_file and sealed");
                return Ok(None);
            }
        };
        // Argon2id would accept megabytes, and hash all of them.
        let length = match &secret {
            store::UnlockSecret::Passphrase(text) | store::UnlockSecret::KeyFile(text) => {
                text.chars().count()
            }
        };
        if !(1..=MAX_SECRET).contains(&length) {
            errors.add(field, format!("expected 1 to {MAX_SECRET} characters"));
        }
        Ok(Some(secret))
    }
}

fn keyslot_view(slot: store::Keyslot) -> KeyslotView {
    KeyslotView {
        id: slot.id,
        kind: slot.kind.as_str().to_owned(),
        label: slot.label.map(|label| label.to_string()),
        created_at: slot.created_at,
    }
}
