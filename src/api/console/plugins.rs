//! The Plugins page: the secrets that each plugin needs, and a form for each one that is missing.

use askama::Template;

use super::deposit::deposit;
use super::display::split_words;
use super::layout::{ErrorNotice, Layout, render};
use super::multipart::MultipartForm;
use super::redirect;
use super::secret_form::{SecretForm, summarize};
use super::session::{BrowserSession, CsrfForm, PageResult};
use crate::api::body::LARGE_BODY;
use crate::api::problem::{ApiError, parse_name};
use crate::domain::name::{PluginName, SecretName};
use crate::domain::role::{Action, ScopeSubject, Subject};
use crate::store;
use crate::store::{NewPlugin, PluginState};
use crate::wire::Code;

/// All plugins, with their forms.
#[derive(Template)]
#[template(path = "plugins.html", config = "src/api/console/askama.toml")]
struct PluginsPage {
    layout: Layout,
    plugins: Vec<PluginRow>,
    may_declare: bool,
    may_deposit: bool,
    may_share: bool,
    error: Option<ErrorNotice>,
}

/// A plugin, as the member who is logged in sees it.
struct PluginRow {
    name: String,
    title: String,
    enabled: bool,
    /// Whether somebody declared it. Secrets can also be tied to a plugin that nobody declared.
    declared: bool,
    /// How many required secrets this member lacks.
    missing: usize,
    /// How many secrets of this member are tied to it.
    secrets: usize,
    requirements: Vec<RequirementRow>,
    /// The names of its required secrets, one per line, to edit them.
    required: String,
    optional: String,
}

/// A secret that a plugin uses.
struct RequirementRow {
    name: String,
    env: String,
    optional: bool,
    /// Absent if the member has no such secret, private or shared.
    secret: Option<SecretLink>,
}

/// The secret that fulfils a requirement.
struct SecretLink {
    id: String,
    scope: &'static str,
}

impl RequirementRow {
    fn new(need: store::Need, optional: bool) -> Self {
        Self {
            name: need.name.to_string(),
            env: need.env.to_string(),
            optional,
            secret: need.met.map(|(id, scope)| SecretLink { id: id.to_string(), scope: scope.as_str() }),
        }
    }
}

impl PluginRow {
    fn new(state: PluginState) -> Self {
        let lines = |needs: &[store::Need]| {
            needs.iter().map(|need| need.name.to_string()).collect::<Vec<_>>().join("\n")
        };
        let (required, optional) = (lines(&state.required), lines(&state.optional));
        let requirements = state.required.into_iter().map(|need| RequirementRow::new(need, false));
        let options = state.optional.into_iter().map(|need| RequirementRow::new(need, true));
        Self {
            // A plugin that nobody declared has no title.
            title: state.title.map_or_else(|| state.name.to_string(), |title| title.to_string()),
            name: state.name.to_string(),
            enabled: state.enabled,
            declared: state.declared,
            missing: state.missing.len(),
            secrets: state.secrets,
            requirements: requirements.chain(options).collect(),
            required,
            optional,
        }
    }
}

/// Displays the page.
pub(crate) async fn show_plugins(session: BrowserSession) -> PageResult {
    render_plugins(&session, None).await
}

async fn render_plugins(session: &BrowserSession, error: Option<ErrorNotice>) -> PageResult {
    let plugins = session.store().plugins(&session.caller).await?;
    // An auditor may deposit nothing, so the page leaves out the forms.
    let page = PluginsPage {
        layout: Layout::new(session, "Plugins", "/console/plugins").with_cli([
            "dropsafe plugin list",
            "dropsafe plugin set NAME --required SECRET --optional SECRET",
            "dropsafe plugin disable NAME",
        ]),
        plugins: plugins.into_iter().map(PluginRow::new).collect(),
        may_declare: session.may(Action::EditCatalog),
        may_deposit: session.may(Action::Deposit(ScopeSubject::Private(Subject::Own))),
        may_share: session.may(Action::Deposit(ScopeSubject::Shared)),
        error,
    };
    Ok(render(ErrorNotice::status(page.error.as_ref()), &page))
}

/// Returns to the page: with a message, or with the error of a refused form.
async fn respond(session: &BrowserSession, result: Result<String, ApiError>) -> PageResult {
    match result {
        Ok(message) => Ok(redirect::with_message(session, "/console/plugins", &message)),
        Err(error) => render_plugins(session, Some(error.into())).await,
    }
}

/// Declares a plugin, or changes its declaration.
pub(crate) async fn declare(CsrfForm { session, form }: CsrfForm) -> PageResult {
    let result = match parse_declaration(&form) {
        Ok(new) => session.store().put_plugin(&session.caller, new).await.map_err(ApiError::from),
        Err(error) => Err(error),
    };
    respond(&session, result.map(|plugin| format!("Declared {}.", plugin.name))).await
}

/// Reads the form of a declaration.
fn parse_declaration(form: &MultipartForm) -> Result<NewPlugin, ApiError> {
    let secrets = |field: &str| -> Result<Vec<SecretName>, ApiError> {
        split_words(&form.text_or_empty(field)).map(|name| parse_name(field, name)).collect()
    };
    let title = form.text("title").map(|title| title.parse()).transpose();
    Ok(NewPlugin {
        name: parse_plugin(form)?,
        title: title
            .map_err(|_| ApiError::new(Code::Unprocessable, "title: expected at most 100 characters"))?,
        required: secrets("required")?,
        optional: secrets("optional")?,
        // The form has no such field: a change of the declaration leaves the switch as it is.
        enabled: None,
    })
}

fn parse_plugin(form: &MultipartForm) -> Result<PluginName, ApiError> {
    // In the form, not in the path: names such as `@acme/mail` contain a slash.
    parse_name("plugin", &form.text_or_empty("plugin"))
}

/// Enables or disables a plugin.
pub(crate) async fn set_enabled(CsrfForm { session, form }: CsrfForm) -> PageResult {
    // The button sends the state to switch to. If two people press it at once, the second press changes nothing.
    let on = form.text_or_empty("enabled") == "on";
    let result = async {
        let plugin = session.store().set_plugin_enabled(&session.caller, &parse_plugin(&form)?, on).await?;
        Ok(match on {
            true => format!("Plugin {} is enabled. Boots receive its secrets.", plugin.name),
            false => format!("Plugin {} is disabled. Future boots do not receive its secrets.", plugin.name),
        })
    };
    respond(&session, result.await).await
}

/// Removes a declaration.
pub(crate) async fn remove(CsrfForm { session, form }: CsrfForm) -> PageResult {
    let result = async {
        let plugin = session.store().remove_plugin(&session.caller, &parse_plugin(&form)?).await?;
        Ok(format!("Removed the declaration of {}. Its secrets were not deleted.", plugin.name))
    };
    respond(&session, result.await).await
}

/// Deposits a secret that a plugin needs.
pub(crate) async fn deposit_required(CsrfForm { session, mut form }: CsrfForm<LARGE_BODY>) -> PageResult {
    // The form has no box for auto-install. A secret that a plugin requires is of no use without it.
    let mut fields = SecretForm::new(&form);
    fields.attributes.auto_install = true;
    let result = deposit(&session, &fields, &mut form).await;
    respond(&session, result.map(|written| summarize(&written))).await
}
