//! The Tickets page: boot tickets. Only the response that creates a ticket contains its text.

use askama::Template;

use super::credential_form::{new_idempotency_key, parse_duration, parse_number};
use super::display::{DisplayTime, format_duration, split_words};
use super::form_options::{plugin_names, ticket_members};
use super::layout::{ErrorNotice, Layout, render};
use super::members::split_issued;
use super::multipart::MultipartForm;
use super::redirect;
use super::session::{BrowserSession, CsrfForm, PageResult};
use crate::api::extract::PathParam;
use crate::api::page::PageQuery;
use crate::api::problem::ApiError;
use crate::api::query::FormQueryParams;
use crate::api::tickets;
use crate::domain::id::TicketId;
use crate::domain::role::{Action, Subject};
use crate::store::PageAsk;
use crate::{store, wire};

/// The list, the form, and a ticket that was just created.
#[derive(Template)]
#[template(path = "tickets.html", config = "src/api/console/askama.toml")]
struct TicketsPage {
    layout: Layout,
    rows: Vec<TicketRow>,
    /// The address of the next page, if there is one.
    next: Option<String>,
    may_create: bool,
    /// The members that a ticket can act for.
    members: Vec<String>,
    plugins: Vec<String>,
    idempotency_key: String,
    /// The text of a ticket that was just created.
    issued: Option<String>,
    error: Option<ErrorNotice>,
}

/// A ticket. Its text is stored nowhere.
struct TicketRow {
    id: String,
    member: String,
    /// The member who created it.
    author: String,
    label: String,
    created: DisplayTime,
    expires: Option<DisplayTime>,
    /// How many boots have used it, of how many it allows.
    uses: String,
    /// The plugins and networks that it is limited to, and the lifetime of its boots; empty for none.
    limits: Vec<String>,
    /// `active` if a boot with it would be accepted now, else why not.
    state: &'static str,
    may_revoke: bool,
}

impl TicketRow {
    fn new(ticket: store::Ticket, may_revoke: bool) -> Self {
        let uses = match (ticket.used, ticket.uses) {
            (used, Some(uses)) => format!("{} of {uses}", used.unwrap_or(0)),
            // The store counts the uses of limited tickets only.
            (_, None) => "unlimited".to_owned(),
        };
        // The store's own verdict decides about "active"; the rest only explains a refusal.
        let state = match (ticket.usable, ticket.revoked_at) {
            (true, _) => "active",
            (false, Some(_)) => "revoked",
            (false, None) if ticket.uses.is_some() && ticket.used >= ticket.uses => "used up",
            (false, None) => "expired",
        };
        let plugins = ticket.plugins.iter().flatten().map(|plugin| format!("plugin {plugin}"));
        let lifetime = ticket.lifetime.map(|lifetime| format!("lifetime {}", format_duration(lifetime)));
        let sources = ticket.sources.iter().map(|source| format!("network {source}"));
        Self {
            limits: plugins.chain(sources).chain(lifetime).collect(),
            id: ticket.id.to_string(),
            member: ticket.member.to_string(),
            author: ticket.author.to_string(),
            label: ticket.label.map(|label| label.to_string()).unwrap_or_default(),
            created: DisplayTime::new(ticket.created_at),
            expires: ticket.expires_at.map(DisplayTime::new),
            uses,
            state,
            may_revoke,
        }
    }
}

/// Displays the page.
pub(crate) async fn show_tickets(
    session: BrowserSession,
    FormQueryParams(query): FormQueryParams<PageQuery>,
) -> PageResult {
    render_tickets(&session, query.into(), Ok(None)).await
}

async fn render_tickets(
    session: &BrowserSession,
    ask: PageAsk,
    result: Result<Option<String>, ApiError>,
) -> PageResult {
    let found = session.store().list_tickets(&session.caller, None, ask).await?;
    // Auditors read this page too. Who may create a ticket for themselves may also revoke those that are listed.
    let may_create = session.may(Action::CreateTicket(Subject::Own));
    let (status, issued, error) = split_issued(result);
    let page = TicketsPage {
        layout: Layout::new(session, "Tickets", "/console/tickets").with_cli([
            "dropsafe ticket new --ttl 24h --uses 1",
            "dropsafe ticket list",
            "dropsafe ticket revoke TICKET_ID",
        ]),
        rows: found.items.into_iter().map(|ticket| TicketRow::new(ticket, may_create)).collect(),
        next: found.next.map(|next| format!("/console/tickets?cursor={next}")),
        may_create,
        members: ticket_members(session).await?,
        plugins: plugin_names(session).await?,
        idempotency_key: new_idempotency_key(session),
        issued,
        error,
    };
    Ok(render(status, &page))
}

/// Creates a ticket and displays it.
pub(crate) async fn create(CsrfForm { session, form }: CsrfForm) -> PageResult {
    let result = issue_ticket(&session, &form).await;
    // The first page again: the form does not carry the cursor of the page that it was sent from.
    render_tickets(&session, PageAsk::default(), result.map(Some)).await
}

/// Creates a ticket from the form and returns its text.
async fn issue_ticket(session: &BrowserSession, form: &MultipartForm) -> Result<String, ApiError> {
    let key = form.text("idempotency_key");
    let body = parse_grant(form)?;
    Ok(tickets::issue_ticket(&session.api, &session.caller, body, key.as_deref()).await?.ticket)
}

/// Reads for whom a ticket or another identity acts, and its limits.
pub(crate) fn parse_grant(form: &MultipartForm) -> Result<wire::CreateTicketRequest, ApiError> {
    let (plugins, sources) = (form.text_or_empty("plugins"), form.text_or_empty("sources"));
    let plugins: Vec<_> = split_words(&plugins).map(Into::into).collect();
    Ok(wire::CreateTicketRequest {
        member: form.text("member").map(Into::into),
        ttl_seconds: parse_duration(form, "ttl", "unit")?,
        uses: parse_number(form, "uses")?,
        lifetime_seconds: parse_duration(form, "lifetime", "lifetime_unit")?,
        // An empty list would allow no plugin at all; an empty field means any.
        plugins: (!plugins.is_empty()).then_some(plugins),
        sources: split_words(&sources).map(Into::into).collect(),
        label: form.text("label").map(Into::into),
    })
}

/// Revokes a ticket.
pub(crate) async fn revoke(
    PathParam(id): PathParam<TicketId>,
    CsrfForm { session, .. }: CsrfForm,
) -> PageResult {
    match session.store().revoke_ticket(&session.caller, id).await {
        Ok(_) => {
            let message = "The ticket is revoked. Boots with it are denied from now on.";
            Ok(redirect::with_message(&session, "/console/tickets", message))
        }
        Err(error) => render_tickets(&session, PageAsk::default(), Err(error.into())).await,
    }
}
