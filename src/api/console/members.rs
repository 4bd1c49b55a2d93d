//! The page of members and tokens; for a member without a say over others, of its own tokens.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::layout::{Shell, Trouble, show};
use super::multipart::Form;
use super::redirect;
use super::secret_row::When;
use super::session::{Posted, Visitor};
use super::tokens::once;
use crate::api::Api;
use crate::api::extract::PathParam;
use crate::api::problem::ApiError;
use crate::api::problem::parse_name;
use crate::domain::name::MemberName;
use crate::domain::role::{Action, Role};
use crate::store;
use crate::store::{NewMember, PageAsk};
use crate::wire::Code;

/// Members and tokens shown at most; whoever has more lists them by the command line.
const ROWS: usize = 500;

#[derive(Template)]
#[template(path = "members.html", config = "src/api/console/askama.toml")]
struct MembersPage {
    shell: Shell,
    /// None: the visitor may not list them.
    members: Option<Vec<Member>>,
    may_edit: bool,
    /// Whether tokens can be made for others.
    may_issue: bool,
    tokens: Vec<Token>,
    more: bool,
    once: String,
    issued: Option<Issued>,
    trouble: Option<Trouble>,
}

struct Member {
    name: String,
    role: &'static str,
    created: When,
    own: bool,
}

struct Token {
    id: String,
    member: String,
    label: String,
    created: When,
    expires: Option<When>,
    may_revoke: bool,
}

/// A token, shown this once.
pub(crate) struct Issued {
    pub(crate) member: String,
    pub(crate) token: String,
}

/// The members' names, for the fields that take one; the visitor's own when it may not list them.
pub(crate) async fn names(api: &Api, visitor: &Visitor) -> Result<Vec<String>, ApiError> {
    if !visitor.may(Action::ListMembers) {
        return Ok(visitor.caller.member().map(|(_, name)| name.to_string()).into_iter().collect());
    }
    let ask = PageAsk { cursor: None, limit: Some(ROWS) };
    let found = api.store().list_members(&visitor.caller, ask).await?;
    Ok(found.items.into_iter().map(|member| member.name.to_string()).collect())
}

/// The page.
pub(crate) async fn page(State(api): State<Api>, visitor: Visitor) -> Result<Response, ApiError> {
    shown(&api, &visitor, None, None).await
}

/// The page, with a token that was just made or a refusal.
pub(crate) async fn shown(
    api: &Api,
    visitor: &Visitor,
    issued: Option<Issued>,
    trouble: Option<Trouble>,
) -> Result<Response, ApiError> {
    let ask = || PageAsk { cursor: None, limit: Some(ROWS) };
    let own = visitor.caller.member().map(|(id, _)| id);
    let (members, mut more) = if visitor.may(Action::ListMembers) {
        let found = api.store().list_members(&visitor.caller, ask()).await?;
        let member = |member: store::Member| Member {
            own: Some(member.id) == own,
            name: member.name.to_string(),
            role: member.role.as_str(),
            created: When::of(member.created_at),
        };
        (Some(found.items.into_iter().map(member).collect()), found.next.is_some())
    } else {
        (None, false)
    };
    let found = api.store().list_tokens(&visitor.caller, None, ask()).await?;
    more |= found.next.is_some();
    let own_name = visitor.caller.member().map(|(_, name)| name.clone());
    let revokes_all = visitor.is_admin() || visitor.is_operator();
    let token = |token: store::Token| Token {
        may_revoke: revokes_all || token.member == own_name,
        id: token.id.to_string(),
        member: token.member.map(|member| member.to_string()).unwrap_or_default(),
        label: token.label.map(|label| label.to_string()).unwrap_or_default(),
        created: When::of(token.created_at),
        expires: token.expires_at.map(When::of),
    };
    let title = if members.is_some() { "Members and tokens" } else { "Tokens" };
    let cli: &[&str] = if visitor.is_admin() {
        &[
            "dropsafe member add NAME --role member",
            "dropsafe member role NAME admin",
            "dropsafe token new --for NAME",
        ]
    } else {
        &["dropsafe token new --ttl 7d", "dropsafe token list", "dropsafe token revoke TOKEN_ID"]
    };
    let page = MembersPage {
        shell: Shell::new(visitor, title, "/console/members").cli(cli.iter().copied()),
        members,
        may_edit: visitor.may(Action::EditMembers),
        may_issue: visitor.is_admin(),
        tokens: found.items.into_iter().map(token).collect(),
        more,
        once: once(api),
        issued,
        trouble,
    };
    let status =
        if page.issued.is_some() { StatusCode::CREATED } else { Trouble::status(page.trouble.as_ref()) };
    Ok(show(status, &page))
}

async fn finished(
    api: &Api,
    visitor: &Visitor,
    done: Result<String, ApiError>,
) -> Result<Response, ApiError> {
    match done {
        Ok(what) => Ok(redirect::done(visitor, "/console/members", &what)),
        Err(refused) => shown(api, visitor, None, Some(refused.into())).await,
    }
}

fn role_of(form: &Form) -> Result<Role, ApiError> {
    let role = form.text("role").unwrap_or_default().parse();
    role.map_err(|_| ApiError::new(Code::InvalidRequest, "role: expected admin, member or auditor"))
}

/// Adds a member.
pub(crate) async fn add(State(api): State<Api>, posted: Posted) -> Result<Response, ApiError> {
    let Posted { visitor, form } = posted;
    let done = async {
        let new = NewMember {
            name: parse_name("name", &form.text("name").unwrap_or_default())?,
            role: role_of(&form)?,
        };
        let member = api.store().create_member(&visitor.caller, new, None).await?;
        Ok(format!("{} is a member now. Make a token for it next.", member.name))
    };
    finished(&api, &visitor, done.await).await
}

/// Gives a member another role.
pub(crate) async fn role(
    State(api): State<Api>,
    PathParam(name): PathParam<MemberName>,
    posted: Posted,
) -> Result<Response, ApiError> {
    let Posted { visitor, form } = posted;
    let done = async {
        let member = api.store().set_role(&visitor.caller, &name, role_of(&form)?).await?;
        Ok(format!("{} has the role {} from now on.", member.name, member.role))
    };
    finished(&api, &visitor, done.await).await
}

/// Removes a member with all that is its own.
pub(crate) async fn remove(
    State(api): State<Api>,
    PathParam(name): PathParam<MemberName>,
    posted: Posted,
) -> Result<Response, ApiError> {
    let Posted { visitor, .. } = posted;
    let done = async {
        let member = api.store().remove_member(&visitor.caller, &name).await?;
        Ok(format!("{} is removed, with its private secrets, tokens and tickets.", member.name))
    };
    finished(&api, &visitor, done.await).await
}
