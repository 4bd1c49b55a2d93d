//! The Boots page: who booted when with what, and who still holds a secret.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::layout::{Shell, show};
use super::secret_row::{When, query, quoted};
use super::session::Visitor;
use crate::api::Api;
use crate::api::extract::PathParam;
use crate::api::problem::ApiError;
use crate::api::query::{FormQueryParams, FromQuery, QueryReader};
use crate::domain::id::{BootId, TicketId};
use crate::domain::name::MemberName;
use crate::domain::resolve::{ReleaseReason, SkipReason};
use crate::store::{Boot, BootFilter, Cursor, PageAsk};

const ROWS: usize = 50;

#[derive(Template)]
#[template(path = "boots.html", config = "src/api/console/askama.toml")]
struct BootsPage {
    shell: Shell,
    secret: String,
    member: String,
    ticket: String,
    live: bool,
    rows: Vec<Row>,
    next: Option<String>,
    first: Option<String>,
}

struct Row {
    id: String,
    at: When,
    member: String,
    place: String,
    source: String,
    ticket: String,
    agent: String,
    released: usize,
    skipped: usize,
    stale: usize,
    confirmed: Option<When>,
    superseded: bool,
    variables: String,
}

#[derive(Template)]
#[template(path = "boot.html", config = "src/api/console/askama.toml")]
struct BootPage {
    shell: Shell,
    row: Row,
    kernel_boot: String,
    revision: u64,
    entries: Vec<Entry>,
    skipped: Vec<Skipped>,
}

struct Entry {
    env: String,
    name: String,
    id: String,
    scope: &'static str,
    version: String,
    file: bool,
    why: &'static str,
    shadows: Vec<String>,
    stale: bool,
}

struct Skipped {
    env: String,
    name: String,
    id: String,
    scope: &'static str,
    why: &'static str,
}

/// Parameters of the list.
pub(crate) struct Ask {
    filter: BootFilter,
    cursor: Option<Cursor>,
}

impl FromQuery for Ask {
    const NAMES: &'static [&'static str] = &["secret", "member", "ticket", "live", "cursor"];

    fn read(query: &mut QueryReader) -> Self {
        let filter = BootFilter {
            secret: query.text("secret", 256),
            member: query.parsed::<MemberName>("member"),
            ticket: query.parsed::<TicketId>("ticket"),
            live: query.flag("live") == Some(true),
        };
        Self { filter, cursor: query.cursor() }
    }
}

/// The page.
pub(crate) async fn page(
    State(api): State<Api>,
    visitor: Visitor,
    FormQueryParams(ask): FormQueryParams<Ask>,
) -> Result<Response, ApiError> {
    let filter = ask.filter;
    let link = |cursor: Option<String>| {
        let pairs = [
            ("secret", filter.secret.clone()),
            ("member", filter.member.as_ref().map(ToString::to_string)),
            ("ticket", filter.ticket.as_ref().map(ToString::to_string)),
            ("live", filter.live.then(|| "true".to_owned())),
            ("cursor", cursor),
        ];
        format!("/console/boots{}", query(&pairs))
    };
    let first = ask.cursor.is_some().then(|| link(None));
    let page_ask = PageAsk { cursor: ask.cursor, limit: Some(ROWS) };
    let found = api.store().list_boots(&visitor.caller, &filter, page_ask).await?;
    let mut line = "dropsafe boots".to_owned();
    if let Some(secret) = &filter.secret {
        line.push_str(&format!(" {}", quoted(secret)));
    }
    if filter.live {
        line.push_str(" --live");
    }
    let page = BootsPage {
        shell: Shell::new(&visitor, "Boots", "/console/boots").cli([line]),
        next: found.next.map(|next| link(Some(next.to_string()))),
        first,
        rows: found.items.iter().map(Row::of).collect(),
        secret: filter.secret.clone().unwrap_or_default(),
        member: filter.member.as_ref().map(ToString::to_string).unwrap_or_default(),
        ticket: filter.ticket.map(|ticket| ticket.to_string()).unwrap_or_default(),
        live: filter.live,
    };
    Ok(show(StatusCode::OK, &page))
}

/// One boot.
pub(crate) async fn one(
    State(api): State<Api>,
    visitor: Visitor,
    PathParam(id): PathParam<BootId>,
) -> Result<Response, ApiError> {
    let boot = api.store().boot_record(&visitor.caller, id).await?;
    let row = Row::of(&boot);
    let stale = |env: &str, version: &str| {
        boot.stale.iter().any(|held| held.env.as_str() == env && held.version.to_string() == version)
    };
    let entries = boot.receipt.entries.iter().map(|entry| {
        let version = entry.version.to_string();
        Entry {
            stale: stale(entry.env.as_str(), &version),
            env: entry.env.to_string(),
            name: entry.name.to_string(),
            id: entry.id.to_string(),
            scope: entry.scope.as_str(),
            version,
            file: entry.delivery == crate::domain::value::Delivery::File,
            why: why(entry.by),
            shadows: entry
                .shadows
                .iter()
                .map(|shadowed| format!("{} ({})", shadowed.name, shadowed.scope_kind))
                .collect(),
        }
    });
    let skipped = boot.receipt.skipped.iter().map(|skipped| Skipped {
        env: skipped.env.to_string(),
        name: skipped.name.to_string(),
        id: skipped.id.to_string(),
        scope: skipped.scope_kind.as_str(),
        why: why_not(skipped.reason),
    });
    let page = BootPage {
        shell: Shell::new(&visitor, &format!("Boot of {}", row.place), "/console/boots").cli([
            format!("dropsafe boots --member {} --json", row.member),
            "dropsafe-agent explain".to_owned(),
        ]),
        kernel_boot: boot.kernel_boot.clone().unwrap_or_default(),
        revision: boot.receipt.revision,
        entries: entries.collect(),
        skipped: skipped.collect(),
        row,
    };
    Ok(show(StatusCode::OK, &page))
}

impl Row {
    fn of(boot: &Boot) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let place = boot.host.clone().or_else(|| boot.machine.clone());
        Self {
            id: boot.id.to_string(),
            at: When::of(boot.at),
            member: boot.member.to_string(),
            place: place.unwrap_or_else(|| "an unnamed machine".to_owned()),
            source: boot.source.map(|source| source.to_string()).unwrap_or_default(),
            ticket: boot.ticket.to_string(),
            agent: text(&boot.agent),
            released: boot.receipt.entries.len(),
            skipped: boot.receipt.skipped.len(),
            stale: boot.stale.len(),
            confirmed: boot.confirmed_at.map(When::of),
            superseded: boot.superseded,
            variables: boot.variables.map(|count| count.to_string()).unwrap_or_default(),
        }
    }
}

fn why(why: ReleaseReason) -> &'static str {
    match why {
        ReleaseReason::Auto => "in scope",
        ReleaseReason::Included => "named by the boot",
        ReleaseReason::Reference => "referred to by another value",
    }
}

fn why_not(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::AutoInstallOff => "auto-install is off, and the boot did not name it",
        SkipReason::Excluded => "the boot excluded it",
        SkipReason::PluginNotRunning => "its plugin does not run there",
        SkipReason::PluginDisabled => "its plugin is disabled",
        SkipReason::Shadowed => "a private secret of the same exported name comes first",
        SkipReason::Refused => "its exported name is refused, and was not allowed",
        SkipReason::FileOnly => "it is delivered as a file, and was asked for inside a value",
        SkipReason::Unusable => "it cannot be delivered",
    }
}
