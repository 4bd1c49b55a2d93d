//! The Identities page: machines that prove themselves with a token of an issuer, and the issuers that the organization trusts.
//! Tickets have a page of their own.

use std::collections::BTreeMap;

use askama::Template;
use axum::Router;
use axum::routing::{get, post};

use super::credential_form::new_idempotency_key;
use super::display::{DisplayTime, split_words};
use super::form_options::{plugin_names, ticket_members};
use super::layout::{ErrorNotice, Layout, render};
use super::members::split_issued;
use super::multipart::MultipartForm;
use super::session::{BrowserSession, CsrfForm, PageResult};
use super::{redirect, tickets};
use crate::api::extract::PathParam;
use crate::api::page::PageQuery;
use crate::api::problem::{ApiError, parse_name};
use crate::api::query::FormQueryParams;
use crate::api::{Api, identities, issuers};
use crate::domain::id::{IdentityId, TicketId};
use crate::domain::identity_template::{IdentityTemplate, templates};
use crate::domain::name::IssuerName;
use crate::domain::role::{Action, Subject};
use crate::store::PageAsk;
use crate::wire;

const PAGE: &str = "/console/identities";

pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route(PAGE, get(show_identities).post(create))
        .route("/console/identities/{id}/revoke", post(revoke))
        .route("/console/identities/{id}/confirm", post(confirm))
        .route("/console/issuers", post(put_issuer))
        .route("/console/issuers/remove", post(remove_issuer))
}

/// Identities, issuers, and a form for each.
#[derive(Template)]
#[template(path = "identities.html", config = "src/api/console/askama.toml")]
struct IdentitiesPage {
    layout: Layout,
    rows: Vec<IdentityRow>,
    /// The address of the next page, if there is one.
    next: Option<String>,
    issuers: Vec<IssuerRow>,
    may_create: bool,
    may_edit_issuers: bool,
    templates: Vec<TemplateChoice>,
    members: Vec<String>,
    plugins: Vec<String>,
    idempotency_key: String,
    /// The card of an identity that was just created.
    created: Option<String>,
    error: Option<ErrorNotice>,
}

/// A platform, with the claims that tell its tenants apart.
struct TemplateChoice {
    name: &'static str,
    about: &'static str,
    /// Such as `namespace and service-account`.
    required: String,
}

struct IdentityRow {
    id: String,
    /// Under which its boots are found.
    ticket: String,
    label: String,
    /// The member, or the services that a claim chooses from.
    acts_for: String,
    author: String,
    template: String,
    issuer: String,
    issuer_url: String,
    issuer_digest: String,
    audience: String,
    /// What its tokens must say.
    claims: Vec<String>,
    uses: String,
    created: DisplayTime,
    expires: Option<DisplayTime>,
    state: &'static str,
    card: String,
    may_revoke: bool,
    /// Whether it waits for the member who looks at it.
    may_confirm: bool,
}

struct IssuerRow {
    name: String,
    url: String,
    algorithms: String,
    keys: &'static str,
    updated: DisplayTime,
}

impl IdentityRow {
    /// `None` for a ticket.
    fn new(view: wire::MachineIdentityView, session: &BrowserSession, may_revoke: bool) -> Option<Self> {
        let tokens = view.tokens?;
        let is_own = session.caller.member().is_some_and(|(_, name)| *name == view.member);
        let mut claims: Vec<String> = tokens.claims.iter().map(ToString::to_string).collect();
        let acts_for = match &tokens.for_each {
            Some(each) => {
                claims.push(format!("{} = the service", each.claim));
                each.services.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            }
            None => view.member.to_string(),
        };
        let state = match (view.revoked_at, tokens.suspended, view.usable) {
            (Some(_), ..) => "revoked",
            (None, true, _) => "suspended",
            (None, false, true) => "active",
            // As on the Tickets page.
            (None, false, false) if view.uses.is_some() && view.used >= view.uses => "used up",
            (None, false, false) => "expired",
        };
        Some(Self {
            id: view.id.to_string(),
            ticket: TicketId::from(view.id).to_string(),
            label: view.label.unwrap_or_default(),
            acts_for,
            author: view.author.to_string(),
            template: tokens.template,
            issuer: tokens.issuer.map_or_else(|| "public".to_owned(), |name| name.to_string()),
            issuer_url: tokens.issuer_url.unwrap_or_default(),
            issuer_digest: tokens.issuer_digest.unwrap_or_default(),
            audience: tokens.audience,
            claims,
            uses: match view.uses {
                Some(uses) => format!("{} of {uses}", view.used.unwrap_or(0)),
                None => "unlimited".to_owned(),
            },
            created: DisplayTime::new(view.created_at),
            expires: view.expires_at.map(DisplayTime::new),
            state,
            card: view.card.unwrap_or_default(),
            may_revoke: may_revoke && state != "revoked",
            may_confirm: is_own && state == "suspended",
        })
    }
}

impl IssuerRow {
    fn new(view: wire::IssuerView) -> Self {
        Self {
            name: view.name.to_string(),
            url: view.url,
            algorithms: view.algorithms.join(", "),
            keys: if view.keys.is_some() { "given" } else { "fetched" },
            updated: DisplayTime::new(view.updated_at),
        }
    }
}

/// Displays the page.
async fn show_identities(
    session: BrowserSession,
    FormQueryParams(query): FormQueryParams<PageQuery>,
) -> PageResult {
    render_identities(&session, query.into(), Ok(None)).await
}

async fn render_identities(
    session: &BrowserSession,
    ask: PageAsk,
    result: Result<Option<String>, ApiError>,
) -> PageResult {
    let found = identities::list(&session.api, &session.caller, None, ask).await?;
    let may_create = session.may(Action::CreateTicket(Subject::Own));
    let (status, created, error) = split_issued(result);
    let issuers = session.store().issuers(&session.caller).await?;
    let page = IdentitiesPage {
        layout: Layout::new(session, "Identities", "/console/tickets").with_cli([
            "dropsafe identity templates",
            "dropsafe identity add kubernetes namespace=prod service-account=api --issuer cluster",
            "dropsafe identity test IDENTITY_ID --token-file FILE",
        ]),
        rows: found
            .items
            .into_iter()
            .filter_map(|view| IdentityRow::new(view, session, may_create))
            .collect(),
        next: found.next.map(|next| format!("{PAGE}?cursor={next}")),
        issuers: issuers.into_iter().map(issuers::issuer_view).map(IssuerRow::new).collect(),
        may_create,
        may_edit_issuers: session.may(Action::EditSettings),
        templates: template_choices(),
        members: ticket_members(session).await?,
        plugins: plugin_names(session).await?,
        idempotency_key: new_idempotency_key(session),
        created,
        error,
    };
    Ok(render(status, &page))
}

fn template_choices() -> Vec<TemplateChoice> {
    let choice = |template: &IdentityTemplate| TemplateChoice {
        name: template.name,
        about: template.about,
        required: template.required_claims(),
    };
    templates().iter().map(choice).collect()
}

/// Creates an identity and displays its card.
async fn create(CsrfForm { session, form }: CsrfForm) -> PageResult {
    let created = create_from(&session, &form).await;
    render_identities(&session, PageAsk::default(), created.map(Some)).await
}

async fn create_from(session: &BrowserSession, form: &MultipartForm) -> Result<String, ApiError> {
    let services = form.text_or_empty("services");
    let services: Vec<_> = split_words(&services).map(Into::into).collect();
    let mut grant = tickets::parse_grant(form)?;
    let for_each = form.text("for_each").map(|claim| {
        // The claim names the member.
        grant.member = None;
        wire::ForEachServiceBody { claim, services }
    });
    let body = wire::CreateIdentityRequest {
        template: form.text_or_empty("template"),
        issuer: form.text("issuer").map(Into::into),
        audience: form.text("audience"),
        claims: parse_claims(&form.text_or_empty("claims"))?,
        for_each,
        single_use: form.has("single_use"),
        grant: Some(grant),
    };
    let key = form.text("idempotency_key");
    let created = identities::create(&session.api, &session.caller, body, key.as_deref()).await?;
    Ok(created.card.unwrap_or_default())
}

/// Reads `NAME=VALUE`, one per line.
fn parse_claims(text: &str) -> Result<BTreeMap<String, String>, ApiError> {
    let mut claims = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let pair =
            line.split_once('=').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
        let taken = pair.is_some_and(|(name, value)| claims.insert(name, value).is_none());
        if !taken {
            let why = "claims: expected one NAME=VALUE per line, each name once";
            return Err(ApiError::new(wire::Code::Unprocessable, why));
        }
    }
    Ok(claims)
}

/// Revokes an identity.
async fn revoke(PathParam(id): PathParam<IdentityId>, CsrfForm { session, .. }: CsrfForm) -> PageResult {
    let revoked = session.store().revoke_identity(&session.caller, id).await;
    let message =
        revoked.map(|_| "The identity is revoked. Boots with it are denied from now on.".to_owned());
    respond(&session, message.map_err(ApiError::from)).await
}

/// Confirms the issuer of an identity as it is now.
async fn confirm(PathParam(id): PathParam<IdentityId>, CsrfForm { session, form }: CsrfForm) -> PageResult {
    let confirmed = async {
        // What the page displayed, which may have changed since.
        let digest = identities::parse_digest(&form.text_or_empty("digest"))?;
        session.store().confirm_identity(&session.caller, id, digest).await?;
        Ok("The issuer is confirmed. The identity boots again.".to_owned())
    };
    let confirmed = confirmed.await;
    respond(&session, confirmed).await
}

/// Adds or changes an issuer.
async fn put_issuer(CsrfForm { session, form }: CsrfForm) -> PageResult {
    let put = put_issuer_from(&session, &form).await;
    respond(&session, put.map(|name| format!("The issuer {name} is saved."))).await
}

async fn put_issuer_from(session: &BrowserSession, form: &MultipartForm) -> Result<IssuerName, ApiError> {
    let name = parse_name("name", &form.text_or_empty("name"))?;
    let algorithms = form.text_or_empty("algorithms");
    let body = wire::PutIssuerRequest {
        url: form.text_or_empty("url"),
        algorithms: split_words(&algorithms).map(str::to_owned).collect(),
        authorities: form.text("authorities"),
        keys: form.text("keys"),
    };
    issuers::put(&session.api, &session.caller, &name, body).await.map(|issuer| issuer.name)
}

/// Removes an issuer.
async fn remove_issuer(CsrfForm { session, form }: CsrfForm) -> PageResult {
    let removed = async {
        let name = parse_name("name", &form.text_or_empty("name"))?;
        issuers::remove(&session.api, &session.caller, &name).await?;
        Ok(format!("The issuer {name} is removed."))
    };
    let removed = removed.await;
    respond(&session, removed).await
}

/// Returns to the page: with a message, or with the error of a refused form.
async fn respond(session: &BrowserSession, result: Result<String, ApiError>) -> PageResult {
    match result {
        Ok(message) => Ok(redirect::with_message(session, PAGE, &message)),
        Err(error) => render_identities(session, PageAsk::default(), Err(error)).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_read_line_by_line() {
        let read = parse_claims("namespace=prod\r\n\n service-account = a=b \n").unwrap();
        let expected = [("namespace", "prod"), ("service-account", "a=b")];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        for text in ["namespace", "a=1\na=2"] {
            assert!(parse_claims(text).is_err(), "{text}");
        }
    }
}
