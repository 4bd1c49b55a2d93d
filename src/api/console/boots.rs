//! The Boots page, and the page of one boot: which machine booted when, and which secrets it received. Lists names only.

use askama::Template;
use http::StatusCode;

use super::display::{DisplayTime, encode_query, shell_quote};
use super::layout::{ErrorNotice, Layout, render};
use super::redirect;
use super::session::{BrowserSession, CsrfForm, PageResult};
use crate::api::extract::PathParam;
use crate::api::problem::ApiError;
use crate::api::query::{FormQueryParams, FromQuery, QueryReader};
use crate::domain::boot::{BootStatus, EndSource};
use crate::domain::id::{BootId, TicketId};
use crate::domain::name::MemberName;
use crate::domain::resolve::{ReleaseReason, SkipReason};
use crate::domain::value::Delivery;
use crate::store::{BootDetails, BootFilter, Cursor, Ending, PageAsk};

/// Rows per page.
const ROWS: usize = 50;

/// The list with its filter.
#[derive(Template)]
#[template(path = "boots.html", config = "src/api/console/askama.toml")]
struct BootsPage {
    layout: Layout,
    /// The filter's texts; empty where nothing is chosen.
    secret: String,
    member: String,
    /// Set by links on the Tickets page only. The form passes it on in a hidden field.
    ticket: String,
    /// Whether only active boots are listed.
    live: bool,
    filtered: bool,
    rows: Vec<BootRow>,
    next: Option<String>,
    first: Option<String>,
}

/// A boot in the list, and the details of one.
struct BootRow {
    id: String,
    at: DisplayTime,
    member: String,
    /// The host's name, or else what the machine calls itself.
    machine: String,
    /// The address that the request came from; empty over the Unix socket.
    source: String,
    ticket: String,
    /// The agent's version; empty if it did not send one.
    agent: String,
    released: usize,
    skipped: usize,
    /// How many of its secrets were replaced or deleted since.
    outdated: usize,
    /// When the agent reported that the workload started.
    confirmed: Option<DisplayTime>,
    status: BootStatus,
    /// When and why it ended; empty while it runs.
    ended: Option<DisplayTime>,
    end_reason: &'static str,
    /// The name of the workload; empty if the machine gave none.
    workload: String,
    /// The label of the ticket; empty if it has none.
    ticket_label: String,
    /// The member who made the ticket; empty if that is not known.
    author: String,
    /// Whether that member is a launcher.
    launched: bool,
    /// When the lifetime that the ticket declares passes.
    lifetime_ends: Option<DisplayTime>,
    /// How many variables the workload got in all; empty if the agent did not report it.
    variables: String,
}

/// One boot and its receipt.
#[derive(Template)]
#[template(path = "boot.html", config = "src/api/console/askama.toml")]
struct BootPage {
    layout: Layout,
    row: BootRow,
    /// The kernel's boot id, which changes with each start of the machine; empty if unknown.
    kernel_boot: String,
    /// The store's revision that the receipt was made from.
    revision: u64,
    released: Vec<ReleasedRow>,
    skipped: Vec<SkippedRow>,
    /// Whether the visitor may report that it has ended.
    may_end: bool,
    error: Option<ErrorNotice>,
}

/// A secret that the boot received.
struct ReleasedRow {
    env: String,
    name: String,
    id: String,
    scope: &'static str,
    version: String,
    file: bool,
    reason: &'static str,
    /// The secrets of the same exported name that it overrode.
    overrides: Vec<String>,
    outdated: bool,
}

/// A secret that was in scope and that the boot did not receive.
struct SkippedRow {
    env: String,
    name: String,
    id: String,
    scope: &'static str,
    reason: &'static str,
}

/// The query of the list.
pub(crate) struct BootsQuery {
    filter: BootFilter,
    cursor: Option<Cursor>,
}

impl FromQuery for BootsQuery {
    const NAMES: &'static [&'static str] = &["secret", "member", "ticket", "live", "cursor"];

    fn read(query: &mut QueryReader) -> Self {
        let filter = BootFilter {
            secret: query.text("secret", 256),
            member: query.parsed::<MemberName>("member"),
            ticket: query.parsed::<TicketId>("ticket"),
            // `live=false` is the same as no filter: the store has none for ended boots.
            live: query.flag("live") == Some(true),
        };
        Self { filter, cursor: query.cursor() }
    }
}

/// Returns the address of another page of the same list.
fn link(filter: &BootFilter, cursor: Option<String>) -> String {
    let pairs = [
        ("secret", filter.secret.clone()),
        ("member", filter.member.as_ref().map(ToString::to_string)),
        ("ticket", filter.ticket.as_ref().map(ToString::to_string)),
        ("live", filter.live.then(|| "true".to_owned())),
        ("cursor", cursor),
    ];
    format!("/console/boots{}", encode_query(&pairs))
}

/// Displays the list.
pub(crate) async fn show_boots(
    session: BrowserSession,
    FormQueryParams(query): FormQueryParams<BootsQuery>,
) -> PageResult {
    let BootsQuery { filter, cursor } = query;
    let first = cursor.is_some().then(|| link(&filter, None));
    let ask = PageAsk { cursor, limit: Some(ROWS) };
    let found = session.store().list_boots(&session.caller, &filter, ask).await?;
    // The command has no flag for a ticket. A longer list is better than a command that fails.
    let mut line = "dropsafe boots".to_owned();
    if let Some(secret) = &filter.secret {
        line.push_str(&format!(" {}", shell_quote(secret)));
    }
    if filter.live {
        line.push_str(" --live");
    }
    let page = BootsPage {
        layout: Layout::new(&session, "Boots", "/console/boots").with_cli([line]),
        next: found.next.map(|next| link(&filter, Some(next.to_string()))),
        first,
        rows: found.items.iter().map(BootRow::new).collect(),
        // Without a filter the address has no query.
        filtered: link(&filter, None) != "/console/boots",
        secret: filter.secret.unwrap_or_default(),
        member: filter.member.map(|member| member.to_string()).unwrap_or_default(),
        ticket: filter.ticket.map(|ticket| ticket.to_string()).unwrap_or_default(),
        live: filter.live,
    };
    Ok(render(StatusCode::OK, &page))
}

/// Displays one boot.
pub(crate) async fn show_boot(session: BrowserSession, PathParam(id): PathParam<BootId>) -> PageResult {
    render_boot(&session, id, None).await
}

/// Reports that a boot has ended, which nothing else does.
pub(crate) async fn end(PathParam(id): PathParam<BootId>, CsrfForm { session, .. }: CsrfForm) -> PageResult {
    match session.store().end_boot(&session.caller, id, Ending::default()).await {
        Ok(()) => {
            let message = "The boot has ended. It no longer counts as a holder of any secret.";
            Ok(redirect::with_message(&session, &format!("/console/boots/{id}"), message))
        }
        Err(error) => render_boot(&session, id, Some(ApiError::from(error).into())).await,
    }
}

async fn render_boot(session: &BrowserSession, id: BootId, error: Option<ErrorNotice>) -> PageResult {
    let boot = session.store().boot_record(&session.caller, id).await?;
    let row = BootRow::new(&boot);
    let page = BootPage {
        layout: Layout::new(session, &format!("Boot on {}", row.machine), "/console/boots").with_cli([
            format!("dropsafe boots --member {} --json", row.member),
            // Run on the machine, it says what a boot would receive now.
            "dropsafe-agent explain".to_owned(),
        ]),
        kernel_boot: boot.kernel_boot.clone().unwrap_or_default(),
        revision: boot.receipt.revision,
        released: released_rows(&boot),
        skipped: skipped_rows(&boot),
        may_end: boot.may_end,
        row,
        error,
    };
    Ok(render(ErrorNotice::status(page.error.as_ref()), &page))
}

/// Describes what the boot received.
fn released_rows(boot: &BootDetails) -> Vec<ReleasedRow> {
    let rows = boot.receipt.entries.iter().map(|entry| ReleasedRow {
        // The version counts as well: the store lists exactly the versions that are no longer current.
        outdated: boot.stale.iter().any(|held| held.env == entry.env && held.version == entry.version),
        env: entry.env.to_string(),
        name: entry.name.to_string(),
        id: entry.id.to_string(),
        scope: entry.scope.as_str(),
        version: entry.version.to_string(),
        file: entry.delivery == Delivery::File,
        reason: release_reason(entry.by),
        overrides: entry
            .shadows
            .iter()
            .map(|shadowed| format!("{} ({})", shadowed.name, shadowed.scope_kind))
            .collect(),
    });
    rows.collect()
}

/// Describes what the boot did not receive, and why.
fn skipped_rows(boot: &BootDetails) -> Vec<SkippedRow> {
    // Secrets of other members are not in the receipt, so nothing has to be left out here.
    let rows = boot.receipt.skipped.iter().map(|skipped| SkippedRow {
        env: skipped.env.to_string(),
        name: skipped.name.to_string(),
        id: skipped.id.to_string(),
        scope: skipped.scope_kind.as_str(),
        reason: skip_reason(skipped.reason),
    });
    rows.collect()
}

impl BootRow {
    fn new(boot: &BootDetails) -> Self {
        // Both names are what the machine says of itself, and either may be absent.
        let machine = boot.host.clone().or_else(|| boot.machine.clone());
        Self {
            id: boot.id.to_string(),
            at: DisplayTime::new(boot.at),
            member: boot.member.to_string(),
            machine: machine.unwrap_or_else(|| "an unnamed machine".to_owned()),
            source: boot.source.map(|source| source.to_string()).unwrap_or_default(),
            ticket: TicketId::from(boot.identity).to_string(),
            agent: boot.agent.clone().unwrap_or_default(),
            released: boot.receipt.entries.len(),
            skipped: boot.receipt.skipped.len(),
            // As of now: the number grows when a secret that this boot received is replaced.
            outdated: boot.stale.len(),
            confirmed: boot.confirmed_at.map(DisplayTime::new),
            status: boot.status,
            ended: boot.end.map(|end| DisplayTime::new(end.at)),
            end_reason: boot.end.map_or("", |end| end_reason(end.source)),
            workload: boot.workload.clone().unwrap_or_default(),
            ticket_label: boot.ticket_label.as_ref().map(ToString::to_string).unwrap_or_default(),
            launched: boot.launched,
            author: boot.author.as_ref().map(ToString::to_string).unwrap_or_default(),
            lifetime_ends: boot.lifetime_ends_at.map(DisplayTime::new),
            variables: boot.variables.map(|count| count.to_string()).unwrap_or_default(),
        }
    }
}

fn end_reason(source: EndSource) -> &'static str {
    match source {
        EndSource::Agent => "reported by the machine",
        EndSource::Platform => "reported over the API",
        EndSource::Admin => "reported by an administrator, after the member was removed",
        EndSource::Lifetime => "the lifetime of its ticket has passed",
    }
}

fn release_reason(why: ReleaseReason) -> &'static str {
    match why {
        ReleaseReason::Auto => "auto-install",
        ReleaseReason::Included => "requested by name",
        ReleaseReason::Reference => "used in another value",
    }
}

fn skip_reason(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::AutoInstallOff => "auto-install is off, and the boot did not request it",
        SkipReason::Excluded => "the boot excluded it",
        SkipReason::PluginNotRunning => "the machine does not run its plugin",
        SkipReason::PluginDisabled => "its plugin is disabled",
        SkipReason::Shadowed => "a private secret with the same exported name overrides it",
        SkipReason::PrivateWithheld => {
            "the private secret with the same exported name is withheld, and no shared one takes its place"
        }
        SkipReason::ForeignAddress => {
            "it is a shared address, and the boot received private secrets of the same service; a machine allows it with allow_names"
        }
        SkipReason::Refused => "its exported name is refused and was not allowed",
        SkipReason::FileOnly => "it is delivered as a file, so no other value can contain it",
        SkipReason::Unusable => "it cannot be opened or exported; deposit it again or delete it",
    }
}
