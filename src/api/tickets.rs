//! `/v1/tickets`: boot tickets, the credentials of machines. The text of a ticket is shown once, in the response that
//! creates it.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{StatusCode, header};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Authenticated;
use super::body::JsonBody;
use super::extract::{IdempotencyKey, PathParam};
use super::openapi::{AUTHENTICATED, WITH_BODY, WRITE, error_responses};
use super::page::{OwnerQuery, PageQuery, Paged, page_view};
use super::problem::{ApiError, FieldErrors};
use super::query::{NoParams, QueryParams};
use super::tokens::{check_label, check_seconds, check_ttl};
use crate::domain::cidr::Cidr;
use crate::domain::id::TicketId;
use crate::domain::name::PluginName;
use crate::domain::ticket::BootTicket;
use crate::store;
use crate::store::Caller;
use crate::wire::{Code, CreateTicketRequest, CreateTicketResponse, PageView, TicketView, paths};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list_tickets, create_ticket)).routes(routes!(ticket, revoke_ticket))
}

/// The largest number of plugins of a ticket, and of its networks.
const MAX_LIST: usize = 100;
/// The largest number of uses of a ticket.
const MAX_USES: u64 = 1_000_000_000;

error_responses! {
    ListTicketsErrors = [AUTHENTICATED, &[Code::NotFound, Code::Unprocessable]];
    CreateTicketErrors = [AUTHENTICATED, WITH_BODY, WRITE, &[
        Code::NotFound, Code::NameInvalid, Code::Unprocessable, Code::IdempotencyMismatch, Code::OverQuota,
    ]];
    ReadTicketErrors = [AUTHENTICATED, &[Code::NotFound]];
    RevokeTicketErrors = [AUTHENTICATED, WRITE, &[Code::NotFound]];
}

/// List boot tickets
///
/// A member sees the tickets that act for them, an admin or auditor those of the organization. In ascending order of id.
#[utoipa::path(get, path = paths::TICKETS, tag = "organization", operation_id = "list_tickets", params(OwnerQuery, PageQuery),
    responses((status = 200, body = PageView<TicketView>, description = "A page of tickets."), ListTicketsErrors), security(("member" = [])))]
async fn list_tickets(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    QueryParams(Paged { filter, page }): QueryParams<Paged<OwnerQuery>>,
) -> Result<Json<PageView<TicketView>>, ApiError> {
    let found = api.store().list_tickets(&caller, filter.member.as_ref(), page).await?;
    Ok(Json(page_view(found, ticket_view)))
}

/// Create a boot ticket
///
/// A member creates tickets for itself and for the services that it manages. The store keeps a hash of the ticket's credential, so
/// a repeated idempotency key is a conflict.
#[utoipa::path(post, path = paths::TICKETS, tag = "organization", operation_id = "create_ticket", request_body = CreateTicketRequest,
    params(IdempotencyKey),
    responses(
        (status = 201, body = CreateTicketResponse, description = "The ticket. It is not shown again.",
            headers(("Location" = String, description = "The path of the ticket's metadata."))),
        CreateTicketErrors,
    ),
    security(("member" = [])))]
async fn create_ticket(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    IdempotencyKey(key): IdempotencyKey,
    QueryParams(NoParams): QueryParams<NoParams>,
    JsonBody(body): JsonBody<CreateTicketRequest>,
) -> Result<impl IntoResponse, ApiError> {
    let body = issue_ticket(&api, &caller, body, key.as_deref()).await?;
    let location = paths::fill(paths::TICKET, body.view.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(body)))
}

/// Creates a ticket, and renders it with its text, which names the store's addresses.
pub(crate) async fn issue_ticket(
    api: &Api,
    caller: &Caller,
    body: CreateTicketRequest,
    key: Option<&str>,
) -> Result<CreateTicketResponse, ApiError> {
    // Before the ticket exists: without this key, it would be of the older form.
    let answer_key = api.store().answer_key().await.map_err(store::Error::from)?;
    let issued = api.store().create_ticket(caller, parse_request(body)?, key).await?;
    // The configured addresses, not the request's `Host`, which is only the client's claim.
    let (urls, pins) = api.addresses();
    // Encoded here: the store knows neither its addresses nor its TLS keys.
    let ticket = BootTicket::new(urls, pins, issued.credential).map_err(|error| {
        // The configuration checks the addresses, so this is a defect.
        tracing::error!("a ticket could not be encoded: {error}");
        ApiError::internal()
    })?;
    let ticket = ticket.with_answer_key(answer_key);
    Ok(CreateTicketResponse { ticket: ticket.to_text().to_string(), view: ticket_view(issued.ticket) })
}

/// Get a boot ticket
///
/// The response has no credential.
#[utoipa::path(get, path = paths::TICKET, tag = "organization", operation_id = "ticket",
    params(("id" = TicketId, Path)),
    responses((status = 200, body = TicketView, description = "The ticket's metadata."), ReadTicketErrors),
    security(("member" = [])))]
async fn ticket(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<TicketId>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<TicketView>, ApiError> {
    Ok(Json(ticket_view(api.store().ticket(&caller, id).await?)))
}

/// Revoke a boot ticket
///
/// Boots that begin after the response get nothing. Running boots keep their values.
#[utoipa::path(delete, path = paths::TICKET, tag = "organization", operation_id = "revoke_ticket",
    params(("id" = TicketId, Path)),
    responses((status = 200, body = TicketView, description = "The revoked ticket."), RevokeTicketErrors),
    security(("member" = [])))]
async fn revoke_ticket(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    PathParam(id): PathParam<TicketId>,
    QueryParams(NoParams): QueryParams<NoParams>,
) -> Result<Json<TicketView>, ApiError> {
    Ok(Json(ticket_view(api.store().revoke_ticket(&caller, id).await?)))
}

fn parse_request(body: CreateTicketRequest) -> Result<store::NewTicket, ApiError> {
    let mut errors = FieldErrors::default();
    if body.uses.is_some_and(|uses| !(1..=MAX_USES).contains(&uses)) {
        errors.add("uses", format!("expected a number from 1 to {MAX_USES}"));
    }
    // A list that is too long is not parsed, so that its faults do not fill the response.
    let mut is_short = |field: &str, count: usize| {
        if count > MAX_LIST {
            errors.add(field, format!("has more than {MAX_LIST} items"));
        }
        count <= MAX_LIST
    };
    let plugins = body.plugins.filter(|plugins| is_short("plugins", plugins.len()));
    let sources = Some(body.sources).filter(|sources| is_short("sources", sources.len())).unwrap_or_default();
    // All fields are parsed before the result is checked, so that every fault is reported.
    let new = store::NewTicket {
        member: body.member.and_then(|name| errors.check_as(Code::NameInvalid, "member", name.parse())),
        ttl: check_ttl(&mut errors, body.ttl_seconds),
        uses: body.uses,
        lifetime: check_seconds(&mut errors, "lifetime_seconds", body.lifetime_seconds),
        plugins: plugins.map(|plugins| {
            let parsed =
                plugins.iter().filter_map(|name| errors.check_as(Code::NameInvalid, "plugins", name.parse()));
            parsed.collect::<BTreeSet<PluginName>>()
        }),
        sources: sources
            .iter()
            .filter_map(|text| errors.check_as(Code::Unprocessable, "sources", Cidr::parse(text)))
            .collect(),
        label: check_label(&mut errors, body.label.as_deref()),
    };
    errors.into_result()?;
    Ok(new)
}

fn ticket_view(ticket: store::Ticket) -> TicketView {
    TicketView {
        id: ticket.id,
        member: ticket.member,
        author: ticket.author,
        label: ticket.label.map(|label| label.to_string()),
        created_at: ticket.created_at,
        expires_at: ticket.expires_at,
        revoked_at: ticket.revoked_at,
        uses: ticket.uses,
        used: ticket.used,
        plugins: ticket.plugins.map(|plugins| plugins.into_iter().collect()),
        sources: ticket.sources.iter().map(ToString::to_string).collect(),
        lifetime_seconds: ticket.lifetime,
        usable: ticket.usable,
    }
}
