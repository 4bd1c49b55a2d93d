//! The page of one secret: its attributes, the boots that hold it, and what can be done with it. The value of an
//! encrypted secret is not available here.

use askama::Template;

use super::display::{DisplayTime, shell_quote};
use super::form_options::FormOptions;
use super::layout::{ErrorNotice, Layout, render};
use super::multipart::{MultipartForm, encode_value};
use super::redirect;
use super::secret_form::{SecretForm, summarize};
use super::secret_row::{CategoryTags, SecretRow};
use super::session::{BrowserSession, CsrfForm, PageResult};
use crate::api::body::LARGE_BODY;
use crate::api::extract::PathParam;
use crate::api::problem::ApiError;
use crate::api::secrets::{parse_patch, parse_replacement};
use crate::domain::id::{SecretId, VersionId};
use crate::domain::role::Action;
use crate::domain::value::Kind;
use crate::{store, wire};

/// The details of a secret and the forms that change it.
#[derive(Template)]
#[template(path = "secret.html", config = "src/api/console/askama.toml")]
struct SecretPage {
    layout: Layout,
    row: SecretRow,
    /// The whole value of a plain secret.
    plain: Option<String>,
    /// The generation of the release key that opens the value; empty for a plain secret.
    generation: String,
    may_replace: bool,
    may_reencrypt: bool,
    /// The first running boots that hold it: a workload that has ended holds nothing.
    holders: Vec<HolderRow>,
    counts: store::HolderCounts,
    may_see_holders: bool,
    /// The attributes, to edit them.
    form: SecretForm,
    options: FormOptions,
    error: Option<ErrorNotice>,
}

/// A boot that holds the secret.
struct HolderRow {
    boot: String,
    member: String,
    /// The host's name; empty if the machine sent none.
    host: String,
    at: DisplayTime,
    /// Whether it holds the current version.
    current: bool,
    /// How the store learns that it has ended.
    ends: &'static str,
}

impl HolderRow {
    fn new(holder: store::Holder) -> Self {
        Self {
            boot: holder.boot.to_string(),
            member: holder.member.to_string(),
            host: holder.host.unwrap_or_default(),
            at: DisplayTime::new(holder.at),
            current: holder.held.current,
            ends: match (holder.reports_end, holder.lifetime_ends_at) {
                _ if !holder.status.is_running() => "its lifetime has passed without a report",
                (true, _) => "reported by the machine",
                (false, Some(_)) => "by its lifetime",
                (false, None) => "not known",
            },
        }
    }
}

/// Displays the page.
pub(crate) async fn show_secret(session: BrowserSession, PathParam(id): PathParam<SecretId>) -> PageResult {
    render_secret(&session, id, None).await
}

async fn render_secret(session: &BrowserSession, id: SecretId, error: Option<ErrorNotice>) -> PageResult {
    let secret = session.store().secret(&session.caller, id).await?;
    let scope = session.caller.secret_subject(&secret.meta);
    // Asked first: the store would record a denial in the audit log each time a member opens the page.
    let may_see_holders = session.may(Action::ReadHolders(scope));
    let (mut holders, mut counts) = (Vec::new(), store::HolderCounts::default());
    if may_see_holders {
        let ask = store::HoldersAsk { secret: id.to_string(), outdated: false };
        let found = session.store().holders(&session.caller, &ask, store::PageAsk::default()).await?;
        holders = found.items.into_iter().map(HolderRow::new).collect();
        counts = found.counts;
    }
    let tags = CategoryTags::load(session).await?;
    let (plain, generation) = (secret.plain.clone(), secret.generation);
    let row = SecretRow::new(session, &tags, secret);
    let (name, flags) = (shell_quote(&row.name), row.cli_flags(session));
    // The commands never contain the value: `set` reads it from standard input or asks for it.
    let cli = [
        format!("dropsafe set {name} {flags}"),
        format!("dropsafe edit {name} {flags} --no-install"),
        format!("dropsafe re-encrypt {name} {flags}"),
        format!("dropsafe delete {name} {flags}"),
        format!("dropsafe boots {name}"),
    ];
    let page = SecretPage {
        layout: Layout::new(session, &row.name, "/console/secrets").with_cli(cli),
        plain,
        generation: generation.map_or_else(String::new, |generation| generation.to_string()),
        may_replace: session.may(Action::Deposit(scope)),
        may_reencrypt: session.may(Action::ReEncryptSecret(scope)),
        holders,
        counts,
        may_see_holders,
        form: SecretForm::from_row(&row),
        options: FormOptions::new(session, tags).await?,
        row,
        error,
    };
    Ok(render(ErrorNotice::status(page.error.as_ref()), &page))
}

/// Reads the version that the page displayed. The store refuses a change to any other version, so that nobody overwrites
/// what somebody else has changed in the meantime.
fn expected_version(form: &MultipartForm) -> Option<VersionId> {
    form.text("version").and_then(|text| text.parse().ok())
}

/// Returns to the secret's page: with a message, or with the error of a refused form.
async fn respond(session: &BrowserSession, id: SecretId, result: Result<String, ApiError>) -> PageResult {
    match result {
        Ok(message) => Ok(redirect::with_message(session, &format!("/console/secrets/{id}"), &message)),
        Err(error) => render_secret(session, id, Some(error.into())).await,
    }
}

/// Replaces the value, which creates a new version.
pub(crate) async fn replace(
    PathParam(id): PathParam<SecretId>,
    CsrfForm { session, mut form }: CsrfForm<LARGE_BODY>,
) -> PageResult {
    let result = replace_value(&session, id, &mut form).await;
    let result = match result {
        Ok(written) => {
            let counts = session.store().holder_counts(&session.caller, &written.secret).await?;
            Ok(format!("{} {}", summarize(&written), describe_outdated(counts)))
        }
        Err(error) => Err(error),
    };
    respond(&session, id, result).await
}

fn describe_outdated(counts: Option<store::HolderCounts>) -> String {
    match counts.filter(|counts| !counts.incomplete).map(|counts| counts.outdated) {
        None => "Running boots keep the previous value.".to_owned(),
        Some(0) => "No running boot holds a previous value.".to_owned(),
        Some(1) => "1 running boot still holds a previous value.".to_owned(),
        Some(more) => format!("{more} running boots still hold a previous value."),
    }
}

/// Sends the new value, and the type and the exported name if they change with it.
async fn replace_value(
    session: &BrowserSession,
    id: SecretId,
    form: &mut MultipartForm,
) -> Result<store::Written, ApiError> {
    let (value, value_base64) = encode_value(&form.require_value()?);
    // The form's first choice is empty: what is not chosen stays as it is.
    let kind = match form.text("type").as_deref() {
        Some("plain") => Some(Kind::Plain),
        Some("encrypted") => Some(Kind::Encrypted),
        _ => None,
    };
    let body = wire::ReplaceSecretRequest {
        value,
        value_base64,
        sealed: None,
        hint: None,
        // The exported name and the type are part of what the value is sealed with, so they change only with a value.
        env: form.text("as").map(Into::into),
        kind,
        delivery: None,
        allow_refused: form.has("allow_refused"),
        change: None,
    };
    let replacement = parse_replacement(body)?;
    Ok(session.store().replace_secret(&session.caller, id, expected_version(form), replacement).await?)
}

/// Changes the attributes.
pub(crate) async fn edit(
    PathParam(id): PathParam<SecretId>,
    CsrfForm { session, form }: CsrfForm,
) -> PageResult {
    let request = SecretForm::new(&form).change_request();
    let result = change_attributes(&session, id, &form, request).await;
    let result =
        result.map(|secret| format!("Updated {}. Its value and version did not change.", secret.meta.name));
    respond(&session, id, result).await
}

async fn change_attributes(
    session: &BrowserSession,
    id: SecretId,
    form: &MultipartForm,
    request: wire::UpdateSecretRequest,
) -> Result<store::Secret, ApiError> {
    let change = parse_patch(request)?;
    Ok(session.store().change_secret(&session.caller, id, expected_version(form), change).await?)
}

/// Turns auto-install on or off, with the switch in the table.
pub(crate) async fn set_auto_install(
    PathParam(id): PathParam<SecretId>,
    CsrfForm { session, form }: CsrfForm,
) -> PageResult {
    // The switch sends the state to switch to, so pressing it twice by mistake does not toggle it back.
    let on = form.text_or_empty("auto_install") == "on";
    let request =
        wire::UpdateSecretRequest { auto_install: Some(on), ..wire::UpdateSecretRequest::default() };
    let secret = change_attributes(&session, id, &form, request).await?;
    let name = &secret.meta.name;
    let message = match on {
        true => format!("Auto-install is on for {name}: every boot in scope receives it."),
        false => format!("Auto-install is off for {name}: only boots that request it by name receive it."),
    };
    // Back to the same filter and page of the list.
    let return_to = form.text("return_to");
    Ok(redirect::with_message(&session, redirect::local_path_or_home(return_to.as_deref()), &message))
}

/// Encrypts the same value with a fresh key.
pub(crate) async fn re_encrypt(
    PathParam(id): PathParam<SecretId>,
    CsrfForm { session, .. }: CsrfForm,
) -> PageResult {
    let result = session.store().reencrypt_secret(&session.caller, id).await.map_err(ApiError::from);
    let result = result
        .map(|secret| format!("Re-encrypted {}. Its value and version did not change.", secret.meta.name));
    respond(&session, id, result).await
}

/// Deletes the secret.
pub(crate) async fn delete(
    PathParam(id): PathParam<SecretId>,
    CsrfForm { session, form }: CsrfForm,
) -> PageResult {
    match session.store().delete_secret(&session.caller, id, expected_version(&form)).await {
        Ok(deleted) => {
            let name = &deleted.secret.meta.name;
            let counts = deleted.held_by.counts;
            let message = match counts.current + counts.outdated {
                0 => format!("Deleted {name}. No running boot holds it."),
                1 => format!("Deleted {name}. 1 running boot still holds it until its workload ends."),
                more => {
                    format!("Deleted {name}. {more} running boots still hold it until their workloads end.")
                }
            };
            // Its own page no longer exists.
            Ok(redirect::with_message(&session, "/console/secrets", &message))
        }
        Err(error) => respond(&session, id, Err(error.into())).await,
    }
}
