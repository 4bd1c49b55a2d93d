//! One secret: what is known of it, who holds it, and what can be done to it. Its value is not among what is known.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::deposit::{no_value, told};
use super::layout::{Shell, Trouble, show};
use super::multipart::{Form, carried};
use super::redirect;
use super::secret_row::{Row, Tag, Tags, When, quoted};
use super::session::{Posted, Visitor};
use crate::api::Api;
use crate::api::body::LARGE_BODY;
use crate::api::extract::PathParam;
use crate::api::problem::ApiError;
use crate::api::secrets::{change_of, replacement_of};
use crate::domain::id::{SecretId, VersionId};
use crate::domain::role::Action;
use crate::domain::value::Kind;
use crate::{store, wire};

#[derive(Template)]
#[template(path = "secret.html", config = "src/api/console/askama.toml")]
struct SecretPage {
    shell: Shell,
    row: Row,
    /// The whole value of a plain one.
    plain: Option<String>,
    generation: String,
    may_replace: bool,
    may_reencrypt: bool,
    admin: bool,
    holders: Vec<Holder>,
    may_see_holders: bool,
    tags: Vec<Tag>,
    plugins: Vec<String>,
    prefixes: String,
    trouble: Option<Trouble>,
}

struct Holder {
    boot: String,
    member: String,
    host: String,
    at: When,
    current: bool,
}

/// The page.
pub(crate) async fn page(
    State(api): State<Api>,
    visitor: Visitor,
    PathParam(id): PathParam<SecretId>,
) -> Result<Response, ApiError> {
    shown(&api, &visitor, id, None).await
}

async fn shown(
    api: &Api,
    visitor: &Visitor,
    id: SecretId,
    trouble: Option<Trouble>,
) -> Result<Response, ApiError> {
    let secret = api.store().secret(&visitor.caller, id).await?;
    let scope = secret.meta.scope;
    let may_see_holders = visitor.may(Action::ReadHolders(scope));
    let holders: Vec<Holder> = if may_see_holders {
        let found = api.store().holders(&visitor.caller, id).await?;
        found.into_iter().map(Holder::of).collect()
    } else {
        Vec::new()
    };
    let tags = Tags::of(api, visitor).await?;
    let (plain, generation) = (secret.plain.clone(), secret.generation);
    let row = Row::of(visitor, &tags, secret);
    let (name, flags) = (quoted(&row.name), row.cli_scope(visitor));
    let cli = [
        format!("dropsafe set {name} {flags}"),
        format!("dropsafe edit {name} {flags} --no-install"),
        format!("dropsafe re-encrypt {name} {flags}"),
        format!("dropsafe delete {name} {flags}"),
        format!("dropsafe boots {name}"),
    ];
    let page = SecretPage {
        shell: Shell::new(visitor, &row.name, "/console/secrets").cli(cli),
        plain,
        generation: generation.map_or_else(String::new, |generation| generation.to_string()),
        may_replace: visitor.may(Action::Deposit(scope)),
        may_reencrypt: visitor.may(Action::ReEncryptSecret(scope)),
        admin: visitor.is_admin(),
        holders,
        may_see_holders,
        tags: tags.0,
        plugins: super::plugins::names(api, visitor).await?,
        prefixes: super::preset::prefixes(api),
        row,
        trouble,
    };
    Ok(show(Trouble::status(page.trouble.as_ref()), &page))
}

impl Holder {
    fn of(holder: store::Holder) -> Self {
        Self {
            boot: holder.boot.to_string(),
            member: holder.member.to_string(),
            host: holder.host.unwrap_or_default(),
            at: When::of(holder.at),
            current: holder.held.current,
        }
    }
}

/// The version that the form was made from.
fn seen(form: &Form) -> Option<VersionId> {
    form.text("version").and_then(|text| text.parse().ok())
}

fn back(visitor: &Visitor, id: SecretId, what: &str) -> Response {
    redirect::done(visitor, &format!("/console/secrets/{id}"), what)
}

/// A new value, hence a new version.
pub(crate) async fn replace(
    State(api): State<Api>,
    PathParam(id): PathParam<SecretId>,
    posted: Posted<LARGE_BODY>,
) -> Result<Response, ApiError> {
    let Posted { visitor, mut form } = posted;
    match replaced(&api, &visitor, id, &mut form).await {
        Ok(written) => {
            let what = format!("{} Boots so far keep the value that they were given.", told(&written));
            Ok(back(&visitor, id, &what))
        }
        Err(refused) => shown(&api, &visitor, id, Some(refused.into())).await,
    }
}

async fn replaced(
    api: &Api,
    visitor: &Visitor,
    id: SecretId,
    form: &mut Form,
) -> Result<store::Written, ApiError> {
    let value = form.value("value", "value_file")?.ok_or_else(no_value)?;
    let (text, base64) = carried(&value);
    let kind = match form.text("type").as_deref() {
        Some("plain") => Some(Kind::Plain),
        Some("encrypted") => Some(Kind::Encrypted),
        _ => None,
    };
    let body = wire::ReplaceSecretRequest {
        value: text,
        value_base64: base64,
        sealed: None,
        hint: None,
        env: form.text("as"),
        kind,
        delivery: None,
        allow_refused: form.has("allow_refused"),
        change: None,
    };
    Ok(api.store().replace_secret(&visitor.caller, id, seen(form), replacement_of(body)?).await?)
}

/// Plugin, category, auto-install.
pub(crate) async fn edit(
    State(api): State<Api>,
    PathParam(id): PathParam<SecretId>,
    posted: Posted,
) -> Result<Response, ApiError> {
    let Posted { visitor, form } = posted;
    let change = wire::UpdateSecretRequest {
        auto_install: Some(form.has("auto_install")),
        plugin: Some(form.text("plugin").unwrap_or_default()),
        category: Some(form.text("category").unwrap_or_default()),
    };
    match changed(&api, &visitor, id, &form, change).await {
        Ok(secret) => {
            Ok(back(&visitor, id, &format!("{} is changed; its value and version stay.", secret.meta.name)))
        }
        Err(refused) => shown(&api, &visitor, id, Some(refused.into())).await,
    }
}

async fn changed(
    api: &Api,
    visitor: &Visitor,
    id: SecretId,
    form: &Form,
    change: wire::UpdateSecretRequest,
) -> Result<store::Secret, ApiError> {
    Ok(api.store().change_secret(&visitor.caller, id, seen(form), change_of(change)?).await?)
}

/// The switch in the table.
pub(crate) async fn install(
    State(api): State<Api>,
    PathParam(id): PathParam<SecretId>,
    posted: Posted,
) -> Result<Response, ApiError> {
    let Posted { visitor, form } = posted;
    let on = form.text("auto_install").as_deref() == Some("on");
    let change = wire::UpdateSecretRequest { auto_install: Some(on), ..wire::UpdateSecretRequest::default() };
    let secret = changed(&api, &visitor, id, &form, change).await?;
    let name = &secret.meta.name;
    let what = match on {
        true => format!("Every boot in scope gets {name} from now on."),
        false => format!("{name} is kept back from boots that do not name it."),
    };
    let here = form.text("here");
    Ok(redirect::done(&visitor, redirect::own_page(here.as_deref()), &what))
}

/// The same value under a fresh key.
pub(crate) async fn re_encrypt(
    State(api): State<Api>,
    PathParam(id): PathParam<SecretId>,
    posted: Posted,
) -> Result<Response, ApiError> {
    let Posted { visitor, .. } = posted;
    match api.store().reencrypt_secret(&visitor.caller, id).await {
        Ok(secret) => {
            let what = format!("{} is sealed anew; value and version stay.", secret.meta.name);
            Ok(back(&visitor, id, &what))
        }
        Err(error) => shown(&api, &visitor, id, Some(ApiError::from(error).into())).await,
    }
}

/// Deletes it; future boots do not get it.
pub(crate) async fn delete(
    State(api): State<Api>,
    PathParam(id): PathParam<SecretId>,
    posted: Posted,
) -> Result<Response, ApiError> {
    let Posted { visitor, form } = posted;
    match api.store().delete_secret(&visitor.caller, id, seen(&form)).await {
        Ok(deleted) => {
            let name = &deleted.secret.meta.name;
            let what = match deleted.held_by.len() {
                0 => format!("{name} is deleted. No boot that is known holds it."),
                1 => format!("{name} is deleted. 1 boot still holds it, until its workload ends."),
                more => format!("{name} is deleted. {more} boots still hold it, until their workloads end."),
            };
            Ok(redirect::done(&visitor, "/console/secrets", &what))
        }
        Err(error) => shown(&api, &visitor, id, Some(ApiError::from(error).into())).await,
    }
}
