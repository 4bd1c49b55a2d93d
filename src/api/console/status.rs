//! The Status page: whether the store answers boots. The operator also unlocks and re-encrypts the store here, and manages
//! key slots and organizations. A passphrase is only in memory that is wiped, and in no page.

use std::time::Instant;

use askama::Template;
use zeroize::Zeroizing;

use super::display::DisplayTime;
use super::layout::{ErrorNotice, Layout, render};
use super::members::{IssuedEnrolment, split_issued};
use super::multipart::MultipartForm;
use super::operator_sections::OperatorSections;
use super::redirect;
use super::session::{BrowserSession, CsrfForm, PageResult};
use crate::api::extract::PathParam;
use crate::api::keys::unlock_to_end;
use crate::api::problem::{ApiError, parse_name};
use crate::domain::id::SlotId;
use crate::domain::name::SecretName;
use crate::store::{
    HolderStatistics, NewKeyslot, NewOrg, Progress, Reencrypted, Statistics, Status, UnlockSecret,
};
use crate::wire::Code;

/// The longest passphrase or key file, in bytes. A limit keeps a guess as cheap to refuse as it was to send.
const MAX_SECRET: usize = 4096;

/// The store's state, and what the visitor can do about it.
#[derive(Template)]
#[template(path = "status.html", config = "src/api/console/askama.toml")]
struct StatusPage {
    layout: Layout,
    status: Status,
    version: &'static str,
    started: DisplayTime,
    /// Absent for the operator, who cannot access an organization's data.
    statistics: Option<(Statistics, HolderStatistics)>,
    /// Present for the operator only.
    operator: Option<OperatorSections>,
    issued: Option<IssuedEnrolment>,
    error: Option<ErrorNotice>,
}

/// Displays the page.
pub(crate) async fn show_status(session: BrowserSession) -> PageResult {
    render_status(&session, Ok(None)).await
}

async fn render_status(
    session: &BrowserSession,
    result: Result<Option<IssuedEnrolment>, ApiError>,
) -> PageResult {
    let store = session.store();
    let status = store.status(&session.caller).await?;
    // Asking for the other part would be denied, and recorded as such.
    let (operator, statistics) = if session.is_operator() {
        (Some(OperatorSections::load(session).await?), None)
    } else {
        let holders = store.holder_statistics(&session.caller).await?;
        (None, Some((store.statistics(&session.caller).await?, holders)))
    };
    let cli: &[&str] = if session.is_operator() {
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
    let (http_status, issued, error) = split_issued(result);
    let page = StatusPage {
        layout: Layout::new(session, "Status", "/console/status").with_cli(cli.iter().copied()),
        version: env!("CARGO_PKG_VERSION"),
        started: DisplayTime::new(status.started_at),
        status,
        statistics,
        operator,
        issued,
        error,
    };
    Ok(render(http_status, &page))
}

impl StatusPage {
    /// Returns the re-encryption that is running, and how many values it has to process.
    fn running(&self) -> Option<(&Progress, u64)> {
        let progress = &self.status.reencrypt;
        // HTML forbids a `max` of 0, which is the total of an empty store.
        progress.running.then(|| (progress, progress.total.unwrap_or(progress.done).max(1)))
    }
}

/// Returns to the page: with a message, or with the error of a refused form.
async fn respond(session: &BrowserSession, result: Result<String, ApiError>) -> PageResult {
    match result {
        Ok(message) => Ok(redirect::with_message(session, "/console/status", &message)),
        Err(error) => render_status(session, Err(error)).await,
    }
}

/// Takes what opens a key slot from a form: a passphrase, or a key file that was chosen or pasted.
fn take_unlock_secret(form: &mut MultipartForm) -> Result<UnlockSecret, ApiError> {
    let invalid = |detail: &str| ApiError::new(Code::InvalidRequest, detail);
    let file = form.take_value("key_text", "key_file")?;
    let passphrase = form.take_secret_line("passphrase");
    match (passphrase.is_empty(), file) {
        (false, None) if passphrase.len() <= MAX_SECRET => Ok(UnlockSecret::Passphrase(passphrase)),
        (true, Some(file)) if file.len() <= MAX_SECRET => match std::str::from_utf8(file.expose()) {
            // Editors end a file with a line break, which belongs to no key.
            Ok(text) => Ok(UnlockSecret::KeyFile(Zeroizing::new(text.trim().to_owned()))),
            Err(_) => Err(ApiError::new(Code::Unprocessable, "this is not the text of a key file")),
        },
        (true, None) => Err(invalid("the form has no passphrase and no key file: give one of them")),
        (false, Some(_)) => Err(invalid("the form has a passphrase and a key file: give only one")),
        _ => Err(ApiError::new(Code::Unprocessable, format!("expected 1 to {MAX_SECRET} characters"))),
    }
}

/// Unlocks the store: loads the release key.
pub(crate) async fn unlock(CsrfForm { session, mut form }: CsrfForm) -> PageResult {
    let result = try_unlock(&session, &mut form).await;
    let message = "The store is unlocked. Boots are answered.".to_owned();
    respond(&session, result.map(|()| message)).await
}

/// Unlocks the store with what the form contains, and counts a wrong secret as a guess.
async fn try_unlock(session: &BrowserSession, form: &mut MultipartForm) -> Result<(), ApiError> {
    // A stolen operator token must not allow guessing passphrases at full speed.
    session.api.limits().check_passphrase_throttle(session.caller.source(), Instant::now())?;
    let secret = take_unlock_secret(form)?;
    unlock_to_end(session.api.clone(), session.caller.clone(), secret).await.map(|_| ())
}

/// Locks the store: wipes the release key from memory.
pub(crate) async fn lock(CsrfForm { session, .. }: CsrfForm) -> PageResult {
    let result = session.store().lock(&session.caller).await.map_err(ApiError::from);
    let message = "The store is locked. Deposits still work, and boots are refused.".to_owned();
    respond(&session, result.map(|()| message)).await
}

/// Re-encrypts: the operator the whole store with a new release key, a member every secret that the member can change.
pub(crate) async fn re_encrypt(CsrfForm { session, form }: CsrfForm) -> PageResult {
    let result = if session.is_operator() {
        // The values move in the background: a large store takes longer than a browser waits.
        let started = match form.has("compromised") {
            true => session.store().reencrypt_compromised(&session.caller).await,
            false => session.store().reencrypt_all(&session.caller).await,
        };
        started.map(|_| {
            "Re-encryption started. All values move to a new generation of the release key.".to_owned()
        })
    } else {
        session.store().reencrypt_own_org(&session.caller).await.map(|outcome| summarize(&outcome))
    };
    respond(&session, result.map_err(ApiError::from)).await
}

fn summarize(outcome: &Reencrypted) -> String {
    let Reencrypted { done, left } = outcome;
    let done = format!("Secrets re-encrypted: {done}. Their values and versions did not change.");
    if left.is_empty() {
        return done;
    }
    let names: Vec<&str> = left.iter().map(SecretName::as_str).collect();
    format!("{done} Not re-encrypted, because their values do not open: {}.", names.join(", "))
}

/// Adds a key slot.
pub(crate) async fn add_keyslot(CsrfForm { session, mut form }: CsrfForm) -> PageResult {
    let result = async {
        let label = form.text("label").map(|label| label.parse()).transpose();
        let label =
            label.map_err(|_| ApiError::new(Code::Unprocessable, "label: expected at most 100 bytes"))?;
        // A systemd credential is bound to its machine, so no browser can provide one.
        let secret = take_unlock_secret(&mut form)?;
        // Without a cost the store derives the key at its default cost, which no browser needs to know.
        let allow_weak = form.has("allow_weak");
        let slot = NewKeyslot { credential: false, secret, allow_weak, label, argon2: None };
        session.store().add_keyslot(&session.caller, slot).await?;
        Ok("The key slot is added.".to_owned())
    };
    let result = result.await;
    respond(&session, result).await
}

/// Removes a key slot.
pub(crate) async fn remove_keyslot(
    PathParam(id): PathParam<SlotId>,
    CsrfForm { session, .. }: CsrfForm,
) -> PageResult {
    let result = session.store().remove_keyslot(&session.caller, id).await.map_err(ApiError::from);
    // Said at once, because removing a slot looks like revoking its passphrase and is not.
    let message = "The key slot is removed. It still opens old copies of the byte store: re-encrypt everything \
        if its passphrase or key file was exposed.";
    respond(&session, result.map(|_| message.to_owned())).await
}

/// Creates an organization, and displays the enrolment of its first administrator.
pub(crate) async fn create_org(CsrfForm { session, form }: CsrfForm) -> PageResult {
    let result = create_org_from(&session, &form).await;
    render_status(&session, result.map(Some)).await
}

/// Creates the organization that the form describes.
async fn create_org_from(
    session: &BrowserSession,
    form: &MultipartForm,
) -> Result<IssuedEnrolment, ApiError> {
    let new = NewOrg {
        name: parse_name("name", &form.text_or_empty("name"))?,
        admin: parse_name("admin", &form.text_or_empty("admin"))?,
    };
    let key = form.text("idempotency_key");
    let created = session.store().create_org(&session.caller, new, key.as_deref()).await?;
    Ok(IssuedEnrolment::new(session, &created.enrolment))
}
