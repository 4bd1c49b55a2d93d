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
use crate::api::enrolments::enrolment_response;
use crate::api::extract::PathParam;
use crate::api::problem::{ApiError, parse_name};
use crate::domain::name::MemberName;
use crate::domain::role::{Action, MemberKind, Role};
use crate::store;
use crate::store::{Enrolment, MemberCreated, NewMember};
use crate::wire::{Code, CreateEnrolmentResponse};

/// The lists and their forms.
#[derive(Template)]
#[template(path = "members.html", config = "src/api/console/askama.toml")]
struct MembersPage {
    layout: Layout,
    /// Absent if they may not be listed.
    members: Option<Vec<MemberRow>>,
    may_edit: bool,
    /// The services that the member manages, for which tokens can be created.
    services: Vec<String>,
    tokens: Vec<TokenRow>,
    /// Whether there are more members or tokens than the page displays.
    more: bool,
    idempotency_key: String,
    issued: Option<IssuedCredential>,
    error: Option<ErrorNotice>,
}

/// A member of the organization.
struct MemberRow {
    name: String,
    kind: &'static str,
    role: &'static str,
    /// Whether the role can be changed: a service has none to choose.
    has_role: bool,
    /// Of a service, separated by commas.
    managers: Vec<String>,
    pending: Option<DisplayTime>,
    redeemed: Option<DisplayTime>,
    /// The address that redeemed the enrolment; empty if unknown.
    redeemed_from: String,
    created: DisplayTime,
    /// Whether it is the member who is logged in.
    own: bool,
}

/// A token that is not revoked. Its text is stored nowhere.
struct TokenRow {
    id: String,
    member: String,
    /// Empty if unknown.
    author: String,
    /// What its creator called it; empty if nothing.
    label: String,
    created: DisplayTime,
    expires: Option<DisplayTime>,
    may_revoke: bool,
}

/// A credential that was just created. Only this response displays its text.
pub(crate) enum IssuedCredential {
    Token(IssuedToken),
    Enrolment(IssuedEnrolment),
}

/// An enrolment: a link of the console, or the code alone if the server does not know its address.
pub(crate) struct IssuedEnrolment {
    pub(crate) member: String,
    pub(crate) text: String,
    pub(crate) is_link: bool,
    pub(crate) expires: DisplayTime,
}

impl IssuedEnrolment {
    pub(crate) fn new(session: &BrowserSession, issued: &store::EnrolmentIssued) -> Self {
        let CreateEnrolmentResponse { member, code, link, expires_at } =
            enrolment_response(&session.api, issued);
        Self {
            member: member.to_string(),
            is_link: link.is_some(),
            text: link.unwrap_or(code),
            expires: DisplayTime::new(expires_at),
        }
    }
}

/// A token that was just created.
pub(crate) struct IssuedToken {
    /// Its member; empty for the operator.
    pub(crate) member: String,
    pub(crate) token: String,
}

impl MemberRow {
    fn new(session: &BrowserSession, member: store::Member) -> Self {
        Self {
            // By id, which no other member ever has.
            own: session.caller.member().is_some_and(|(id, _)| id == member.id),
            name: member.name.to_string(),
            kind: member.kind.as_str(),
            has_role: member.kind == MemberKind::Person,
            managers: member.managers.iter().map(ToString::to_string).collect(),
            pending: match member.enrolment {
                Some(Enrolment::Pending { expires_at }) => Some(DisplayTime::new(expires_at)),
                Some(Enrolment::Redeemed { .. }) | None => None,
            },
            redeemed: match member.enrolment {
                Some(Enrolment::Redeemed { at, .. }) => Some(DisplayTime::new(at)),
                Some(Enrolment::Pending { .. }) | None => None,
            },
            redeemed_from: match member.enrolment {
                Some(Enrolment::Redeemed { from: Some(from), .. }) => from.to_string(),
                Some(_) | None => String::new(),
            },
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
            author: token.author.map(|author| author.to_string()).unwrap_or_default(),
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
    result: Result<Option<IssuedCredential>, ApiError>,
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
            "dropsafe member add NAME --service --manager MEMBER",
        ]
    } else {
        &["dropsafe token new --ttl 7d", "dropsafe token list", "dropsafe token revoke TOKEN_ID"]
    };
    let (status, issued, error) = split_issued(result);
    let page = MembersPage {
        layout: Layout::new(session, title, "/console/members").with_cli(cli.iter().copied()),
        members,
        may_edit: session.may(Action::EditMembers),
        services: managed_services(session).await?,
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

/// Adds a member, and displays the enrolment.
pub(crate) async fn add(CsrfForm { session, form }: CsrfForm) -> PageResult {
    let created = async {
        let service = form.text("kind").as_deref() == Some("service");
        let name = parse_name("name", &form.text_or_empty("name"))?;
        let new = if service {
            NewMember::service(name, parse_managers(&form)?)
        } else {
            NewMember::person(name, parse_role(&form)?)
        };
        let key = form.text("idempotency_key");
        Ok::<_, ApiError>(session.store().create_member(&session.caller, new, key.as_deref()).await?)
    };
    match created.await {
        Ok(MemberCreated { enrolment: Some(issued), .. }) => {
            let issued = IssuedCredential::Enrolment(IssuedEnrolment::new(&session, &issued));
            render_members(&session, Ok(Some(issued))).await
        }
        Ok(MemberCreated { member, enrolment: None }) => {
            respond(&session, Ok(format!("Added the service {}.", member.name))).await
        }
        Err(error) => respond(&session, Err(error)).await,
    }
}

fn parse_managers(form: &MultipartForm) -> Result<Vec<MemberName>, ApiError> {
    let names = form.text_or_empty("managers");
    let names = names.split([',', ' ']).filter(|name| !name.is_empty());
    names.map(|name| parse_name("managers", name)).collect()
}

/// Replaces the enrolment of a member that nobody has redeemed.
pub(crate) async fn enroll(
    PathParam(name): PathParam<MemberName>,
    CsrfForm { session, form }: CsrfForm,
) -> PageResult {
    let key = form.text("idempotency_key");
    let issued = session.store().replace_enrolment(&session.caller, &name, None, key.as_deref()).await;
    let issued =
        issued.map(|issued| Some(IssuedCredential::Enrolment(IssuedEnrolment::new(&session, &issued))));
    render_members(&session, issued.map_err(ApiError::from)).await
}

/// Appoints a manager of a service.
pub(crate) async fn add_manager(
    PathParam(name): PathParam<MemberName>,
    CsrfForm { session, form }: CsrfForm,
) -> PageResult {
    let result = async {
        let manager = parse_name("manager", &form.text_or_empty("manager"))?;
        session.store().add_manager(&session.caller, &name, &manager).await?;
        Ok(format!("{manager} is a manager of {name}."))
    };
    respond(&session, result.await).await
}

/// Dismisses a manager of a service.
pub(crate) async fn remove_manager(
    PathParam(name): PathParam<MemberName>,
    CsrfForm { session, form }: CsrfForm,
) -> PageResult {
    let result = async {
        let manager = parse_name("manager", &form.text_or_empty("manager"))?;
        session.store().remove_manager(&session.caller, &name, &manager).await?;
        Ok(format!(
            "{manager} is no longer a manager of {name}, and what {manager} created for it is revoked."
        ))
    };
    respond(&session, result.await).await
}

/// The names of the services that the member manages.
pub(crate) async fn managed_services(session: &BrowserSession) -> Result<Vec<String>, ApiError> {
    let names = session.store().managed_services(&session.caller).await?;
    Ok(names.into_iter().map(|name| name.to_string()).collect())
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
