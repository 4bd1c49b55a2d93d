//! `/v1/tickets`: what machines present. A ticket's text is shown once, in the answer that made it.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{StatusCode, header};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Authenticated;
use super::extract::{IdempotencyKey, JsonBody, PathParam};
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::page::page;
use super::problem::{ApiError, FieldErrors};
use super::query::{MemberPageQuery, NoParams, QueryParams};
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

error_responses! {
    Listing = [AUTHENTICATED, &[Code::NotFound, Code::Unprocessable]];
    Creating = [AUTHENTICATED, WITH_BODY, WRITE, &[
        Code::NotFound, Code::NameInvalid, Code::Unprocessable, Code::IdempotencyMismatch,
    ]];
    Reading = [AUTHENTICATED, &[Code::NotFound]];
    Revoking = [AUTHENTICATED, WRITE, &[Code::NotFound]];
}

/// Tickets that the caller may see
///
/// Ascending by id.
#[utoipa::path(get, path = paths::TICKETS, tag = "organization", operation_id = "list_tickets", params(MemberPageQuery),
    responses((status = 200, body = PageView<TicketView>, description = "A page."), Listing), security(("member" = [])))]
async fn list_tickets(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(ask): QueryParams<MemberPageQuery>,
) -> Result<Json<PageView<TicketView>>, ApiError> {
    let (member, ask) = ask.into_parts();
    Ok(Json(page(api.store().list_tickets(&caller, member.as_ref(), ask).await?, view)))
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
    Authenticated(caller): Authenticated,
    IdempotencyKey(key): IdempotencyKey,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<CreateTicketRequest>,
) -> Result<impl IntoResponse, ApiError> {
    let body = issue(&api, &caller, body, key.as_deref()).await?;
    let location = paths::fill(paths::TICKET, &body.view.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(body)))
}

/// Makes a ticket and writes it with the store's addresses.
pub(crate) async fn issue(
    api: &Api,
    caller: &Caller,
    body: CreateTicketRequest,
    key: Option<&str>,
) -> Result<CreateTicketResponse, ApiError> {
    let issued = api.store().create_ticket(caller, new_of(body)?, key).await?;
    let (urls, pin) = api.addresses();
    let ticket = BootTicket::new(urls, pin, issued.credential).map_err(|error| {
        // Addresses are checked when the configuration is read: this is a defect.
        tracing::error!("a ticket could not be written: {error}");
        ApiError::new(Code::Internal, "the request could not be done; the server's log says more")
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
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<TicketId>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<TicketView>, ApiError> {
    Ok(Json(view(api.store().ticket(&caller, id).await?)))
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
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<TicketId>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<TicketView>, ApiError> {
    Ok(Json(view(api.store().revoke_ticket(&caller, id).await?)))
}

fn new_of(body: CreateTicketRequest) -> Result<store::NewTicket, ApiError> {
    let mut errors = FieldErrors::default();
    if body.uses.is_some_and(|uses| !(1..=MAX_USES).contains(&uses)) {
        errors.add("uses", format!("expected a number from 1 to {MAX_USES}"));
    }
    let mut short = |field: &str, count: usize| {
        if count > MAX_LIST {
            errors.add(field, format!("has more than {MAX_LIST} items"));
        }
        count <= MAX_LIST
    };
    let plugins = body.plugins.filter(|plugins| short("plugins", plugins.len()));
    let sources = Some(body.sources).filter(|sources| short("sources", sources.len())).unwrap_or_default();
    let new = store::NewTicket {
        member: body.member.and_then(|name| errors.check_as(Code::NameInvalid, "member", name.parse())),
        ttl: ttl(&mut errors, body.ttl_seconds),
        uses: body.uses,
        plugins: plugins.map(|plugins| {
            let parsed =
                plugins.iter().filter_map(|name| errors.check_as(Code::NameInvalid, "plugins", name.parse()));
            parsed.collect::<BTreeSet<PluginName>>()
        }),
        sources: sources
            .iter()
            .filter_map(|text| errors.check_as(Code::Unprocessable, "sources", Cidr::parse(text)))
            .collect(),
        label: label(&mut errors, body.label.as_deref()),
    };
    errors.into_result()?;
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
