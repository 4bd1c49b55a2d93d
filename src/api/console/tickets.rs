//! The Tickets page. A ticket's text is in one answer only: the one to the form that made it.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::layout::{Shell, Trouble, show};
use super::multipart::Form;
use super::redirect;
use super::secret_row::When;
use super::session::{Posted, Visitor};
use super::tokens::{once, seconds};
use crate::api::Api;
use crate::api::extract::PathParam;
use crate::api::page::PageQuery;
use crate::api::problem::ApiError;
use crate::api::query::FormQueryParams;
use crate::api::tickets::issue_ticket;
use crate::domain::id::TicketId;
use crate::domain::role::Action;
use crate::store::PageAsk;
use crate::wire::Code;
use crate::{store, wire};

#[derive(Template)]
#[template(path = "tickets.html", config = "src/api/console/askama.toml")]
struct TicketsPage {
    shell: Shell,
    rows: Vec<Row>,
    next: Option<String>,
    may_create: bool,
    members: Vec<String>,
    plugins: Vec<String>,
    /// A repeated form makes no second ticket.
    once: String,
    /// Shown this once.
    issued: Option<String>,
    trouble: Option<Trouble>,
}

struct Row {
    id: String,
    member: String,
    author: String,
    label: String,
    created: When,
    expires: Option<When>,
    uses: String,
    limits: Vec<String>,
    usable: bool,
    may_revoke: bool,
}

impl Row {
    fn of(ticket: store::Ticket, may_revoke: bool) -> Self {
        let uses = match (ticket.used, ticket.uses) {
            (used, Some(uses)) => format!("{} of {uses}", used.unwrap_or(0)),
            (_, None) => "any number".to_owned(),
        };
        let plugins = ticket.plugins.iter().flatten().map(|plugin| format!("plugin {plugin}"));
        let sources = ticket.sources.iter().map(|source| format!("from {source}"));
        Self {
            limits: plugins.chain(sources).collect(),
            id: ticket.id.to_string(),
            member: ticket.member.to_string(),
            author: ticket.author.to_string(),
            label: ticket.label.map(|label| label.to_string()).unwrap_or_default(),
            created: When::of(ticket.created_at),
            expires: ticket.expires_at.map(When::of),
            uses,
            usable: ticket.usable,
            may_revoke,
        }
    }
}

/// The page.
pub(crate) async fn page(
    State(api): State<Api>,
    visitor: Visitor,
    FormQueryParams(ask): FormQueryParams<PageQuery>,
) -> Result<Response, ApiError> {
    shown(&api, &visitor, ask.into(), None, None).await
}

async fn shown(
    api: &Api,
    visitor: &Visitor,
    ask: PageAsk,
    issued: Option<String>,
    trouble: Option<Trouble>,
) -> Result<Response, ApiError> {
    let found = api.store().list_tickets(&visitor.caller, None, ask).await?;
    let own = visitor.caller.member().map(|(id, _)| id);
    let may_create = own.is_some_and(|own| visitor.may(Action::CreateTicket(own)));
    let page = TicketsPage {
        shell: Shell::new(visitor, "Tickets", "/console/tickets").cli([
            "dropsafe ticket new --ttl 24h --uses 1",
            "dropsafe ticket list",
            "dropsafe ticket revoke TICKET_ID",
        ]),
        rows: found.items.into_iter().map(|ticket| Row::of(ticket, may_create)).collect(),
        next: found.next.map(|next| format!("/console/tickets?cursor={next}")),
        may_create,
        members: super::members::names(api, visitor).await?,
        plugins: super::plugins::names(api, visitor).await?,
        once: once(api),
        issued,
        trouble,
    };
    let status =
        if page.issued.is_some() { StatusCode::CREATED } else { Trouble::status(page.trouble.as_ref()) };
    Ok(show(status, &page))
}

/// Makes a ticket, and shows it.
pub(crate) async fn create(State(api): State<Api>, posted: Posted) -> Result<Response, ApiError> {
    let Posted { visitor, form } = posted;
    let (issued, trouble) = match made(&api, &visitor, &form).await {
        Ok(ticket) => (Some(ticket), None),
        Err(refused) => (None, Some(refused.into())),
    };
    shown(&api, &visitor, PageAsk::default(), issued, trouble).await
}

async fn made(api: &Api, visitor: &Visitor, form: &Form) -> Result<String, ApiError> {
    let uses = form.text("uses").map(|uses| uses.parse().map_err(|_| not_a_number("uses"))).transpose()?;
    let words = |field: &str| -> Vec<String> {
        let text = form.text(field).unwrap_or_default();
        let words = text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty());
        words.map(str::to_owned).collect()
    };
    let body = wire::CreateTicketRequest {
        member: form.text("member"),
        ttl_seconds: seconds(form)?,
        uses,
        plugins: Some(words("plugins")).filter(|plugins| !plugins.is_empty()),
        sources: words("sources"),
        label: form.text("label"),
    };
    let issued = issue_ticket(api, &visitor.caller, body, form.text("once").as_deref()).await?;
    Ok(issued.ticket)
}

/// Of a field that takes a number.
pub(crate) fn not_a_number(field: &str) -> ApiError {
    ApiError::new(Code::InvalidRequest, format!("{field}: expected a whole number"))
}

/// Revokes one.
pub(crate) async fn revoke(
    State(api): State<Api>,
    PathParam(id): PathParam<TicketId>,
    posted: Posted,
) -> Result<Response, ApiError> {
    let Posted { visitor, .. } = posted;
    match api.store().revoke_ticket(&visitor.caller, id).await {
        Ok(_) => {
            let what = "The ticket is revoked: boots with it are denied from now on.";
            Ok(redirect::done(&visitor, "/console/tickets", what))
        }
        Err(error) => {
            shown(&api, &visitor, PageAsk::default(), None, Some(ApiError::from(error).into())).await
        }
    }
}
