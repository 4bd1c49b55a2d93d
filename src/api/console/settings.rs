//! The Settings page of an organization: what it uses of its budgets and quotas, and forms for what its admins decide.
//! Quotas are the operator's, and only displayed.

use askama::Template;
use axum::Router;
use axum::routing::{get, post};

use super::layout::{ErrorNotice, Layout, render};
use super::multipart::MultipartForm;
use super::redirect;
use super::session::{BrowserSession, CsrfForm, PageResult};
use crate::api::Api;
use crate::api::problem::{ApiError, FieldErrors};
use crate::domain::role::{
    Action, LONGEST_RETENTION, OrgPolicy, OrgUsage, RecordUsage, ScopeUsage, SharedChanges,
};
use crate::domain::value::MAX_VARIABLE;
use crate::store::{BudgetsChange, PolicyChange, RetentionChange};
use crate::wire::Code;

const PATH: &str = "/console/settings";

pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route(PATH, get(show_settings))
        .route("/console/settings/rules", post(set_rules))
        .route("/console/settings/budgets", post(set_budgets))
        .route("/console/settings/retention", post(set_retention))
}

/// The organization's settings.
#[derive(Template)]
#[template(path = "settings.html", config = "src/api/console/askama.toml")]
struct SettingsPage {
    layout: Layout,
    policy: OrgPolicy,
    usage: OrgUsage,
    scopes: Vec<UsageRow>,
    records: Vec<RecordRow>,
    may_edit: bool,
    error: Option<ErrorNotice>,
}

/// A scope and one of its budgets.
struct UsageRow {
    scope: &'static str,
    what: &'static str,
    used: u64,
    budget: u64,
}

/// The number of records of a kind, and their quota.
struct RecordRow {
    name: &'static str,
    used: u64,
    quota: u32,
    /// The caller's own, and how many they can have. Absent for an admin, and for members and secrets.
    own: Option<(u64, u64)>,
}

impl UsageRow {
    fn of(scope: &'static str, usage: &ScopeUsage) -> [Self; 2] {
        let ScopeUsage { variables, variables_budget, files, files_budget, .. } = *usage;
        [
            Self { scope, what: "variables", used: variables, budget: variables_budget },
            Self { scope, what: "files", used: files, budget: files_budget },
        ]
    }

    fn is_over(&self) -> bool {
        self.used > self.budget
    }

    /// Rounded up, so that only an empty scope is at 0.
    fn percent(&self) -> u64 {
        // A budget of 0 allows nothing, so that anything is all of it.
        (self.used * 100).div_ceil(self.budget.max(1)).min(100)
    }
}

fn usage_rows(usage: &OrgUsage) -> Vec<UsageRow> {
    let scopes = [
        ("Shared scope", &usage.shared),
        ("Your part of the shared scope", &usage.deposited),
        ("Your private scope", &usage.private),
    ];
    scopes.into_iter().flat_map(|(scope, usage)| UsageRow::of(scope, usage)).collect()
}

fn record_rows(usage: &OrgUsage) -> Vec<RecordRow> {
    let OrgUsage { records, quotas, own, own_quotas, .. } = usage;
    let part =
        |used: u64, quota: fn(&RecordUsage) -> u64| own_quotas.as_ref().map(|quotas| (used, quota(quotas)));
    vec![
        RecordRow { name: "Secrets", used: records.secrets, quota: quotas.secrets, own: None },
        RecordRow { name: "Members", used: records.members, quota: quotas.members, own: None },
        RecordRow {
            name: "Active tickets",
            used: records.tickets,
            quota: quotas.tickets,
            own: part(own.tickets, |quotas| quotas.tickets),
        },
        RecordRow {
            name: "Active tokens",
            used: records.tokens,
            quota: quotas.tokens,
            own: part(own.tokens, |quotas| quotas.tokens),
        },
    ]
}

/// Displays the page.
async fn show_settings(session: BrowserSession) -> PageResult {
    render_settings(&session, None).await
}

async fn render_settings(session: &BrowserSession, error: Option<ApiError>) -> PageResult {
    let store = session.store();
    let usage = store.org_usage(&session.caller).await?;
    let may_edit = session.may(Action::EditSettings);
    let cli: &[&str] = match may_edit {
        true => &[
            "dropsafe org usage",
            "dropsafe org show",
            "dropsafe org set --shared-changes depositor",
            "dropsafe org set --keep-boots 90 --keep-audit 400",
        ],
        false => &["dropsafe org usage", "dropsafe org show"],
    };
    let error = error.map(ErrorNotice::from);
    let page = SettingsPage {
        layout: Layout::new(session, "Settings", PATH).with_cli(cli.iter().copied()),
        policy: store.own_org(&session.caller).await?.policy,
        scopes: usage_rows(&usage),
        records: record_rows(&usage),
        usage,
        may_edit,
        error,
    };
    Ok(render(ErrorNotice::status(page.error.as_ref()), &page))
}

/// Changes who can write shared secrets, and what is stored of new values.
async fn set_rules(CsrfForm { session, form }: CsrfForm) -> PageResult {
    let mut errors = FieldErrors::default();
    let change = PolicyChange {
        // A box that is not checked is absent from the form.
        shared_by_members: Some(form.has("shared_by_members")),
        hints: Some(form.has("hints")),
        create_at_sign_in: Some(form.has("create_at_sign_in")),
        shared_changes: Some(match form.has("everyone_changes") {
            true => SharedChanges::Everyone,
            false => SharedChanges::Depositor,
        }),
        variable_ceiling: number(&mut errors, &form, "variable_ceiling", 1..=MAX_VARIABLE as u32),
        member_share: number(&mut errors, &form, "member_share", 1..=100).and_then(|n| u8::try_from(n).ok()),
        ..PolicyChange::default()
    };
    respond(&session, errors, change).await
}

/// Changes the byte budgets.
async fn set_budgets(CsrfForm { session, form }: CsrfForm) -> PageResult {
    let mut errors = FieldErrors::default();
    let mut bytes = |name| number(&mut errors, &form, name, 0..=u32::MAX);
    let budgets = BudgetsChange {
        shared_variables: bytes("shared_variables"),
        private_variables: bytes("private_variables"),
        shared_files: bytes("shared_files"),
        private_files: bytes("private_files"),
    };
    respond(&session, errors, PolicyChange { budgets, ..PolicyChange::default() }).await
}

/// Changes how long records are kept.
async fn set_retention(CsrfForm { session, form }: CsrfForm) -> PageResult {
    let mut errors = FieldErrors::default();
    // An empty field keeps records forever, for which the store's word is 0.
    let mut days = |name: &str| match form.text_or_empty(name).trim() {
        "" => Some(0),
        _ => number(&mut errors, &form, name, 1..=LONGEST_RETENTION),
    };
    let retention = RetentionChange { boots: days("keep_boots"), audit: days("keep_audit") };
    respond(&session, errors, PolicyChange { retention, ..PolicyChange::default() }).await
}

fn number(
    errors: &mut FieldErrors,
    form: &MultipartForm,
    name: &str,
    range: std::ops::RangeInclusive<u32>,
) -> Option<u32> {
    let number = form.text_or_empty(name).trim().parse().ok().filter(|number| range.contains(number));
    if number.is_none() {
        let expected = format!("expected a number from {} to {}", range.start(), range.end());
        errors.add_as(Code::Unprocessable, name, expected);
    }
    number
}

async fn respond(session: &BrowserSession, errors: FieldErrors, change: PolicyChange) -> PageResult {
    let changed = async {
        errors.into_result()?;
        Ok::<_, ApiError>(session.store().set_policy(&session.caller, change).await?)
    };
    match changed.await {
        Ok(_) => Ok(redirect::with_message(session, PATH, "Saved the settings.")),
        Err(error) => render_settings(session, Some(error)).await,
    }
}
