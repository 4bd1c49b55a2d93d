//! The page of members and tokens. Somebody who may not list members sees only the tokens.

use askama::Template;
use http::StatusCode;

use super::credential_form::new_idempotency_key;
use super::display::DisplayTime;
use super::form_options::first_rows;
use super::layout::{ErrorNotice, Layout, render};
use super::multipart::MultipartForm;
use super::redirect;
use super::session::{BrowserSession, CsrfForm, PageResult};
use crate::api::extract::PathParam;
use crate::api::problem::{ApiError, parse_name};
use crate::domain::name::MemberName;
use crate::domain::role::{Action, Role};
use crate::store;
use crate::store::NewMember;
use crate::wire::Code;

/// The lists and their forms.
#[derive(Template)]
#[template(path = "members.html", config = "src/api/console/askama.toml")]
struct MembersPage {
    layout: Layout,
    /// Absent if they may not be listed.
    members: Option<Vec<MemberRow>>,
    may_edit: bool,
    /// Whether tokens can be created for other members.
    may_issue: bool,
    tokens: Vec<TokenRow>,
    /// Whether there are more members or tokens than the page displays.
    more: bool,
    idempotency_key: String,
    issued: Option<IssuedToken>,
    error: Option<ErrorNotice>,
}

/// A member of the organization.
struct MemberRow {
    name: String,
    role: &'static str,
    created: DisplayTime,
    /// Whether it is the member who is logged in.
    own: bool,
}

/// A token that is not revoked. Its text is stored nowhere.
struct TokenRow {
    id: String,
    member: String,
    /// What its creator called it; empty if nothing.
    label: String,
    created: DisplayTime,
    expires: Option<DisplayTime>,
    may_revoke: bool,
}

/// A token that was just created. Only this response displays its text.
pub(crate) struct IssuedToken {
    /// Its member; empty for the operator.
    pub(crate) member: String,
    pub(crate) token: String,
}

impl MemberRow {
    fn new(session: &BrowserSession, member: store::Member) -> Self {
        Self {
            own: session.caller.member().is_some_and(|(id, _)| id == member.id),
            name: member.name.to_string(),
            role: member.role.as_str(),
            created: DisplayTime::new(member.created_at),
        }
    }
}

impl TokenRow {
    fn new(session: &BrowserSession, token: store::Token) -> Self {
        // The operator's page lists the operator's tokens only.
        let own = session.caller.member().is_some_and(|(_, name)| token.member.as_ref() == Some(name));
        Self {
            may_revoke: own || session.is_admin() || session.is_operator(),
            id: token.id.to_string(),
            member: token.member.map(|member| member.to_string()).unwrap_or_default(),
            label: token.label.map(|label| label.to_string()).unwrap_or_default(),
            created: DisplayTime::new(token.created_at),
            expires: token.expires_at.map(DisplayTime::new),
        }
    }
}

/// Displays the page.
pub(crate) async fn show_members(session: BrowserSession) -> PageResult {
    render_members(&session, Ok(None)).await
}

/// Renders the page, with a token that was just created or the error of a refused form.
pub(crate) async fn render_members(
    session: &BrowserSession,
    result: Result<Option<IssuedToken>, ApiError>,
) -> PageResult {
    let (members, mut more) = if session.may(Action::ListMembers) {
        let found = session.store().list_members(&session.caller, first_rows()).await?;
        let rows = found.items.into_iter().map(|member| MemberRow::new(session, member));
        (Some(rows.collect()), found.next.is_some())
    } else {
        (None, false)
    };
    // The store decides whose tokens these are: all of the organization for an administrator, else the member's own.
    let found = session.store().list_tokens(&session.caller, None, first_rows()).await?;
    more |= found.next.is_some();
    let title = if members.is_some() { "Members and tokens" } else { "Tokens" };
    let cli: &[&str] = if session.is_admin() {
        &[
            "dropsafe member add NAME --role member",
            "dropsafe member role NAME admin",
            "dropsafe token new --for NAME",
        ]
    } else {
        &["dropsafe token new --ttl 7d", "dropsafe token list", "dropsafe token revoke TOKEN_ID"]
    };
    let (status, issued, error) = split_issued(result);
    let page = MembersPage {
        layout: Layout::new(session, title, "/console/members").with_cli(cli.iter().copied()),
        members,
        may_edit: session.may(Action::EditMembers),
        may_issue: session.is_admin(),
        tokens: found.items.into_iter().map(|token| TokenRow::new(session, token)).collect(),
        more,
        idempotency_key: new_idempotency_key(session),
        issued,
        error,
    };
    Ok(render(status, &page))
}

/// Returns the status, the credential and the error of a page that a form for a credential leads to.
pub(crate) fn split_issued<T>(
    result: Result<Option<T>, ApiError>,
) -> (StatusCode, Option<T>, Option<ErrorNotice>) {
    match result {
        // No redirect: the text of a credential must be neither in an address nor in a cookie.
        Ok(Some(issued)) => (StatusCode::CREATED, Some(issued), None),
        Ok(None) => (StatusCode::OK, None, None),
        Err(error) => {
            let error = ErrorNotice::from(error);
            (error.status, None, Some(error))
        }
    }
}

/// Returns to the page: with a message, or with the error of a refused form.
async fn respond(session: &BrowserSession, result: Result<String, ApiError>) -> PageResult {
    match result {
        Ok(message) => Ok(redirect::with_message(session, "/console/members", &message)),
        Err(error) => render_members(session, Err(error)).await,
    }
}

/// Reads the role of a form.
fn parse_role(form: &MultipartForm) -> Result<Role, ApiError> {
    let role = form.text_or_empty("role").parse();
    role.map_err(|_| ApiError::new(Code::InvalidRequest, "role: expected admin, member or auditor"))
}

/// Adds a member.
pub(crate) async fn add(CsrfForm { session, form }: CsrfForm) -> PageResult {
    let result = async {
        let new =
            NewMember { name: parse_name("name", &form.text_or_empty("name"))?, role: parse_role(&form)? };
        // A member's name is unique, so a form that is sent twice needs no idempotency key.
        let member = session.store().create_member(&session.caller, new, None).await?;
        Ok(format!("Added {0}. Create a token for {0} next.", member.name))
    };
    respond(&session, result.await).await
}

/// Changes the role of a member.
pub(crate) async fn set_role(
    PathParam(name): PathParam<MemberName>,
    CsrfForm { session, form }: CsrfForm,
) -> PageResult {
    let result = async {
        // The store refuses to demote the last administrator. A list that is minutes old cannot decide that.
        let member = session.store().set_role(&session.caller, &name, parse_role(&form)?).await?;
        Ok(format!("Changed the role of {} to {}.", member.name, member.role))
    };
    respond(&session, result.await).await
}

/// Removes a member, with the private secrets, tokens and tickets.
pub(crate) async fn remove(
    PathParam(name): PathParam<MemberName>,
    CsrfForm { session, .. }: CsrfForm,
) -> PageResult {
    let result = session.store().remove_member(&session.caller, &name).await.map_err(ApiError::from);
    let result = result
        .map(|member| format!("Removed {}, including private secrets, tokens and tickets.", member.name));
    respond(&session, result).await
}
