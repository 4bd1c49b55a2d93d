//! The Status page: whether boots are answered, and for the operator what can be done about it: unlocking, key slots,
//! re-encryption, organizations. A passphrase passes through here in memory that is wiped, and is in no page.

use std::time::Instant;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use zeroize::Zeroizing;

use super::layout::{Shell, Trouble, show};
use super::multipart::Form;
use super::redirect;
use super::secret_row::When;
use super::session::{Posted, Visitor};
use super::tokens::once;
use crate::api::Api;
use crate::api::auth::count_guess;
use crate::api::extract::PathParam;
use crate::api::problem::ApiError;
use crate::api::problem::parse_name;
use crate::domain::id::SlotId;
use crate::store;
use crate::store::{NewKeyslot, NewOrg, PageAsk, Progress, Statistics, Status, UnlockError, UnlockSecret};
use crate::wire::Code;

/// The longest passphrase or key file, in bytes.
const MAX_SECRET: usize = 4096;

#[derive(Template)]
#[template(path = "status.html", config = "src/api/console/askama.toml")]
struct StatusPage {
    shell: Shell,
    status: Status,
    version: &'static str,
    started: When,
    statistics: Option<Statistics>,
    /// The operator's part.
    operator: Option<Operator>,
    issued: Option<Issued>,
    trouble: Option<Trouble>,
}

struct Operator {
    slots: Vec<Slot>,
    orgs: Vec<OrgRow>,
    once: String,
}

struct Slot {
    id: String,
    kind: &'static str,
    label: String,
    created: When,
}

struct OrgRow {
    name: String,
    created: When,
    shared_by_members: bool,
    hints: bool,
    ceiling: u32,
}

/// The first admin's token of a new organization, shown this once.
struct Issued {
    org: String,
    token: String,
}

/// The page.
pub(crate) async fn page(State(api): State<Api>, visitor: Visitor) -> Result<Response, ApiError> {
    shown(&api, &visitor, None, None).await
}

async fn shown(
    api: &Api,
    visitor: &Visitor,
    issued: Option<Issued>,
    trouble: Option<Trouble>,
) -> Result<Response, ApiError> {
    let store = api.store();
    let status = store.status(&visitor.caller).await?;
    let operator = if visitor.is_operator() { Some(Operator::of(api, visitor).await?) } else { None };
    let statistics =
        if visitor.is_operator() { None } else { Some(store.statistics(&visitor.caller).await?) };
    let cli: &[&str] = if visitor.is_operator() {
        &[
            "dropsafe status",
            "dropsafe unlock",
            "dropsafe lock",
            "dropsafe re-encrypt --all",
            "dropsafe keyslot list",
        ]
    } else {
        &["dropsafe status", "dropsafe stats"]
    };
    let page = StatusPage {
        shell: Shell::new(visitor, "Status", "/console/status").cli(cli.iter().copied()),
        version: env!("CARGO_PKG_VERSION"),
        started: When::of(status.started_at),
        status,
        statistics,
        operator,
        issued,
        trouble,
    };
    let http =
        if page.issued.is_some() { StatusCode::CREATED } else { Trouble::status(page.trouble.as_ref()) };
    Ok(show(http, &page))
}

impl Operator {
    async fn of(api: &Api, visitor: &Visitor) -> Result<Self, ApiError> {
        let store = api.store();
        let slots = store.keyslots(&visitor.caller).await?;
        let orgs = store.list_orgs(&visitor.caller, PageAsk { cursor: None, limit: Some(500) }).await?;
        let slot = |slot: store::Keyslot| Slot {
            id: slot.id.to_string(),
            kind: match slot.kind.as_str() {
                "passphrase" => "passphrase",
                "key_file" => "key file",
                other => other,
            },
            label: slot.label.map(|label| label.to_string()).unwrap_or_default(),
            created: When::of(slot.created_at),
        };
        let org = |org: store::Org| OrgRow {
            name: org.name.to_string(),
            created: When::of(org.created_at),
            shared_by_members: org.policy.shared_by_members,
            hints: org.policy.hints,
            ceiling: org.policy.variable_ceiling,
        };
        Ok(Self {
            slots: slots.into_iter().map(slot).collect(),
            orgs: orgs.items.into_iter().map(org).collect(),
            once: once(api),
        })
    }
}

impl StatusPage {
    /// The re-encryption under way, with how much there is to do.
    fn running(&self) -> Option<(&Progress, u64)> {
        let progress = &self.status.reencrypt;
        progress.running.then(|| (progress, progress.total.unwrap_or(progress.done).max(1)))
    }
}

async fn finished(api: &Api, visitor: &Visitor, done: Result<&str, ApiError>) -> Result<Response, ApiError> {
    match done {
        Ok(what) => Ok(redirect::done(visitor, "/console/status", what)),
        Err(refused) => shown(api, visitor, None, Some(refused.into())).await,
    }
}

/// What opens a key slot: a passphrase, or a key file chosen or pasted.
fn secret_of(form: &mut Form) -> Result<UnlockSecret, ApiError> {
    let file = form.value("key_text", "key_file")?;
    let passphrase = form.secret_line("passphrase");
    let too_long = || ApiError::new(Code::Unprocessable, format!("expected 1 to {MAX_SECRET} characters"));
    match (passphrase.is_empty(), file) {
        (false, None) if passphrase.len() <= MAX_SECRET => Ok(UnlockSecret::Passphrase(passphrase)),
        (true, Some(file)) if file.len() <= MAX_SECRET => match std::str::from_utf8(file.expose()) {
            Ok(text) => Ok(UnlockSecret::KeyFile(Zeroizing::new(text.trim().to_owned()))),
            Err(_) => Err(ApiError::new(Code::Unprocessable, "this is not the text of a key file")),
        },
        (true, None) => Err(ApiError::new(Code::InvalidRequest, "there is no passphrase and no key file")),
        (false, Some(_)) => {
            Err(ApiError::new(Code::InvalidRequest, "there is a passphrase and a key file: give one of them"))
        }
        _ => Err(too_long()),
    }
}

/// Loads the release key.
pub(crate) async fn unlock(State(api): State<Api>, posted: Posted) -> Result<Response, ApiError> {
    let Posted { visitor, mut form } = posted;
    let done = unlocked(&api, &visitor, &mut form).await;
    finished(&api, &visitor, done.map(|()| "The store is unlocked: boots are answered.")).await
}

async fn unlocked(api: &Api, visitor: &Visitor, form: &mut Form) -> Result<(), ApiError> {
    let source = visitor.caller.source();
    api.limits().check_auth_throttle(source, Instant::now())?;
    let unlocked = api.store().unlock(&visitor.caller, secret_of(form)?).await;
    unlocked.map(|_| ()).map_err(|error| {
        if matches!(error, UnlockError::WrongPassphrase | UnlockError::NotAKeyFile) {
            count_guess(api, source);
        }
        error.into()
    })
}

/// Drops the release key.
pub(crate) async fn lock(State(api): State<Api>, posted: Posted) -> Result<Response, ApiError> {
    let Posted { visitor, .. } = posted;
    let done = api.store().lock(&visitor.caller).await.map_err(ApiError::from);
    let what = "The store is locked: deposits go on, boots are refused.";
    finished(&api, &visitor, done.map(|()| what)).await
}

/// Begins a new generation: the operator for the store, a member for what it may.
pub(crate) async fn re_encrypt(State(api): State<Api>, posted: Posted) -> Result<Response, ApiError> {
    let Posted { visitor, .. } = posted;
    if visitor.is_operator() {
        let done = api.store().reencrypt_all(&visitor.caller).await.map_err(ApiError::from);
        let what = "A new generation of the release key is made; all values move to it.";
        return finished(&api, &visitor, done.map(|_| what)).await;
    }
    let done = api.store().reencrypt_own_org(&visitor.caller).await.map_err(ApiError::from);
    let done = done.map(|count| format!("Sealed anew: {count}. Values and versions stay."));
    let (what, done) = match done {
        Ok(what) => (what, Ok(())),
        Err(refused) => (String::new(), Err(refused)),
    };
    finished(&api, &visitor, done.map(|()| what.as_str())).await
}

/// Adds a key slot.
pub(crate) async fn add_keyslot(State(api): State<Api>, posted: Posted) -> Result<Response, ApiError> {
    let Posted { visitor, mut form } = posted;
    let done = async {
        let label = form.text("label").map(|label| label.parse()).transpose();
        let label = label.map_err(|_| ApiError::new(Code::Unprocessable, "label: has at most 100 bytes"))?;
        let slot = NewKeyslot { credential: false, secret: secret_of(&mut form)?, label, argon2: None };
        api.store().add_keyslot(&visitor.caller, slot).await?;
        Ok("The key slot is added.")
    };
    let done = done.await;
    finished(&api, &visitor, done).await
}

/// Removes a key slot.
pub(crate) async fn remove_keyslot(
    State(api): State<Api>,
    PathParam(id): PathParam<SlotId>,
    posted: Posted,
) -> Result<Response, ApiError> {
    let Posted { visitor, .. } = posted;
    let done = api.store().remove_keyslot(&visitor.caller, id).await.map_err(ApiError::from);
    let what = "The key slot is removed. Old copies of the byte store still open with it, until everything is re-encrypted.";
    finished(&api, &visitor, done.map(|_| what)).await
}

/// Makes an organization.
pub(crate) async fn create_org(State(api): State<Api>, posted: Posted) -> Result<Response, ApiError> {
    let Posted { visitor, form } = posted;
    let text = |name: &str| form.text(name).unwrap_or_default();
    let done = async {
        let new =
            NewOrg { name: parse_name("name", &text("name"))?, admin: parse_name("admin", &text("admin"))? };
        let made = api.store().create_org(&visitor.caller, new, form.text("once").as_deref()).await?;
        Ok::<_, ApiError>(Issued {
            org: made.org.name.to_string(),
            token: made.admin_token.to_text().to_string(),
        })
    };
    match done.await {
        Ok(issued) => shown(&api, &visitor, Some(issued), None).await,
        Err(refused) => shown(&api, &visitor, None, Some(refused.into())).await,
    }
}
