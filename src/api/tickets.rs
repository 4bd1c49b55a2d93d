//! `/v1/tickets`: what machines present. A ticket's text is shown once, in the answer that made it.

use std::collections::BTreeSet;

use axum::Json as Answer;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{StatusCode, header};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Asked;
use super::extract::{IdempotencyKey, InPath, Json};
use super::openapi::{ASKED, BODY, WRITING, refusals};
use super::page::page;
use super::problem::{Faults, Refused};
use super::query::{MemberPage, NoParams, Params};
use super::tokens::{label, ttl};
use crate::domain::cidr::Cidr;
use crate::domain::id::TicketId;
use crate::domain::name::PluginName;
use crate::domain::ticket::BootTicket;
use crate::store;
use crate::store::Caller;
use crate::wire::{Code, CreateTicketRequest, CreateTicketResponse, PageView, TicketView, paths};

/// The routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list_tickets, create_ticket)).routes(routes!(ticket, revoke_ticket))
}

/// Plugins, and networks, of one ticket.
const MAX_LIST: usize = 100;
/// Uses of one ticket.
const MAX_USES: u64 = 1_000_000_000;

refusals! {
    Listing = [ASKED, &[Code::NotFound, Code::Unprocessable]];
    Creating = [ASKED, BODY, WRITING, &[
        Code::NotFound, Code::NameInvalid, Code::Unprocessable, Code::IdempotencyMismatch,
    ]];
    Reading = [ASKED, &[Code::NotFound]];
    Revoking = [ASKED, WRITING, &[Code::NotFound]];
}

/// Tickets that the caller may see
///
/// Ascending by id.
#[utoipa::path(get, path = paths::TICKETS, tag = "organization", operation_id = "list_tickets", params(MemberPage),
    responses((status = 200, body = PageView<TicketView>, description = "A page."), Listing), security(("member" = [])))]
async fn list_tickets(
    State(api): State<Api>,
    Asked(caller): Asked,
    Params(ask): Params<MemberPage>,
) -> Result<Answer<PageView<TicketView>>, Refused> {
    let (member, ask) = ask.into_parts();
    Ok(Answer(page(api.store().list_tickets(&caller, member.as_ref(), ask).await?, view)))
}

/// Makes a boot ticket
///
/// A member for itself, an admin for any member. A repeated idempotency key is a conflict, because the ticket cannot be
/// shown twice.
#[utoipa::path(post, path = paths::TICKETS, tag = "organization", operation_id = "create_ticket", request_body = CreateTicketRequest,
    params(IdempotencyKey),
    responses(
        (status = 201, body = CreateTicketResponse, description = "The ticket, shown this once.",
            headers(("Location" = String, description = "What is known of it."))),
        Creating,
    ),
    security(("member" = [])))]
async fn create_ticket(
    State(api): State<Api>,
    Asked(caller): Asked,
    IdempotencyKey(key): IdempotencyKey,
    Params(NoParams): Params<NoParams>,
    Json(body): Json<CreateTicketRequest>,
) -> Result<impl IntoResponse, Refused> {
    let body = issue(&api, &caller, body, key.as_deref()).await?;
    let location = paths::fill(paths::TICKET, &body.view.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Answer(body)))
}

/// Makes a ticket and writes it with the store's addresses.
pub(crate) async fn issue(
    api: &Api,
    caller: &Caller,
    body: CreateTicketRequest,
    key: Option<&str>,
) -> Result<CreateTicketResponse, Refused> {
    let issued = api.store().create_ticket(caller, new_of(body)?, key).await?;
    let (urls, pin) = api.addresses();
    let ticket = BootTicket::new(urls, pin, issued.credential).map_err(|error| {
        // Addresses are checked when the configuration is read: this is a defect.
        tracing::error!("a ticket could not be written: {error}");
        Refused::new(Code::Internal, "the request could not be done; the server's log says more")
    })?;
    Ok(CreateTicketResponse { ticket: ticket.to_text().to_string(), view: view(issued.ticket) })
}

/// One ticket
#[utoipa::path(get, path = paths::TICKET, tag = "organization", operation_id = "ticket",
    params(("id" = TicketId, Path)),
    responses((status = 200, body = TicketView, description = "What is known of it."), Reading),
    security(("member" = [])))]
async fn ticket(
    State(api): State<Api>,
    Asked(caller): Asked,
    InPath(id): InPath<TicketId>,
    Params(NoParams): Params<NoParams>,
) -> Result<Answer<TicketView>, Refused> {
    Ok(Answer(view(api.store().ticket(&caller, id).await?)))
}

/// Revokes a ticket
///
/// No boot after the answer is given anything.
#[utoipa::path(delete, path = paths::TICKET, tag = "organization", operation_id = "revoke_ticket",
    params(("id" = TicketId, Path)),
    responses((status = 200, body = TicketView, description = "It is revoked."), Revoking),
    security(("member" = [])))]
async fn revoke_ticket(
    State(api): State<Api>,
    Asked(caller): Asked,
    InPath(id): InPath<TicketId>,
    Params(NoParams): Params<NoParams>,
) -> Result<Answer<TicketView>, Refused> {
    Ok(Answer(view(api.store().revoke_ticket(&caller, id).await?)))
}

fn new_of(body: CreateTicketRequest) -> Result<store::NewTicket, Refused> {
    let mut faults = Faults::default();
    if body.uses.is_some_and(|uses| !(1..=MAX_USES).contains(&uses)) {
        faults.add("uses", format!("expected a number from 1 to {MAX_USES}"));
    }
    let mut short = |field: &str, count: usize| {
        if count > MAX_LIST {
            faults.add(field, format!("has more than {MAX_LIST} items"));
        }
        count <= MAX_LIST
    };
    let plugins = body.plugins.filter(|plugins| short("plugins", plugins.len()));
    let sources = Some(body.sources).filter(|sources| short("sources", sources.len())).unwrap_or_default();
    let new = store::NewTicket {
        member: body.member.and_then(|name| faults.take_as(Code::NameInvalid, "member", name.parse())),
        ttl: ttl(&mut faults, body.ttl_seconds),
        uses: body.uses,
        plugins: plugins.map(|plugins| {
            let parsed =
                plugins.iter().filter_map(|name| faults.take_as(Code::NameInvalid, "plugins", name.parse()));
            parsed.collect::<BTreeSet<PluginName>>()
        }),
        sources: sources
            .iter()
            .filter_map(|text| faults.take_as(Code::Unprocessable, "sources", Cidr::parse(text)))
            .collect(),
        label: label(&mut faults, body.label.as_deref()),
    };
    faults.refusal()?;
    Ok(new)
}

/// A ticket as shown.
pub(crate) fn view(ticket: store::Ticket) -> TicketView {
    TicketView {
        id: ticket.id.to_string(),
        member: ticket.member.to_string(),
        author: ticket.author.to_string(),
        label: ticket.label.map(|label| label.to_string()),
        created_at: ticket.created_at.to_string(),
        expires_at: ticket.expires_at.map(|at| at.to_string()),
        revoked_at: ticket.revoked_at.map(|at| at.to_string()),
        uses: ticket.uses,
        used: ticket.used,
        plugins: ticket.plugins.map(|plugins| plugins.iter().map(ToString::to_string).collect()),
        sources: ticket.sources.iter().map(ToString::to_string).collect(),
        usable: ticket.usable,
    }
}
