//! Adding a secret, free form: the panel, and the deposit. After a refusal the form comes back with everything but the
//! value.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::layout::{Shell, Trouble, sentence, show};
use super::multipart::{Form, carried};
use super::preset::Choice;
use super::redirect;
use super::secret_row::{Tag, Tags};
use super::session::{Posted, Visitor};
use crate::api::Api;
use crate::api::body::LARGE_BODY;
use crate::api::problem::ApiError;
use crate::api::query::{FormQueryParams, FromQuery, QueryReader};
use crate::api::secrets::new_of;
use crate::domain::role::Action;
use crate::domain::secret::{Scope, ScopeKind};
use crate::domain::value::{Delivery, Kind, SecretValue};
use crate::store::Written;
use crate::wire;
use crate::wire::Code;

#[derive(Template)]
#[template(path = "deposit.html", config = "src/api/console/askama.toml")]
struct NewPage {
    shell: Shell,
    presets: Vec<Choice>,
    tags: Vec<Tag>,
    plugins: Vec<String>,
    may_share: bool,
    admin: bool,
    /// Public beginnings of keys, for the warning about a plain one.
    prefixes: String,
    ask: Filling,
    trouble: Option<Trouble>,
}

/// What the form holds, the value apart.
#[derive(Default)]
pub(crate) struct Filling {
    pub(crate) name: String,
    pub(crate) env: String,
    pub(crate) shared: bool,
    pub(crate) plain: bool,
    pub(crate) file: bool,
    pub(crate) plugin: String,
    pub(crate) category: String,
    pub(crate) auto_install: bool,
    pub(crate) allow_refused: bool,
}

impl FromQuery for Filling {
    const NAMES: &'static [&'static str] = &["name", "plugin", "category", "scope"];

    fn read(query: &mut QueryReader) -> Self {
        let mut text = |name| query.text(name, 200).unwrap_or_default();
        let (name, plugin, category, scope) = (text("name"), text("plugin"), text("category"), text("scope"));
        Self { name, plugin, category, shared: scope == "shared", auto_install: true, ..Self::default() }
    }
}

impl Filling {
    fn of(form: &Form) -> Self {
        let text = |name: &str| form.text(name).unwrap_or_default();
        Self {
            name: text("name"),
            env: text("as"),
            shared: text("scope") == "shared",
            plain: text("type") == "plain",
            file: text("delivery") == "file",
            plugin: text("plugin"),
            category: text("category"),
            auto_install: form.has("auto_install"),
            allow_refused: form.has("allow_refused"),
        }
    }

    /// As a body of the API.
    fn body(&self, value: &SecretValue) -> wire::CreateSecretRequest {
        let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let (text, base64) = carried(value);
        wire::CreateSecretRequest {
            name: self.name.clone(),
            env: filled(&self.env),
            scope: if self.shared { ScopeKind::Shared } else { ScopeKind::Private },
            kind: if self.plain { Kind::Plain } else { Kind::Encrypted },
            delivery: if self.file { Delivery::File } else { Delivery::Variable },
            auto_install: self.auto_install,
            plugin: filled(&self.plugin),
            category: filled(&self.category),
            value: text,
            value_base64: base64,
            sealed: None,
            hint: None,
            allow_refused: self.allow_refused,
        }
    }
}

/// The form.
pub(crate) async fn page(
    State(api): State<Api>,
    visitor: Visitor,
    FormQueryParams(ask): FormQueryParams<Filling>,
) -> Result<Response, ApiError> {
    shown(&api, &visitor, ask, None).await
}

/// Deposits.
pub(crate) async fn create(State(api): State<Api>, posted: Posted<LARGE_BODY>) -> Result<Response, ApiError> {
    let Posted { visitor, mut form } = posted;
    let filling = Filling::of(&form);
    match deposit(&api, &visitor, &filling, &mut form).await {
        Ok(written) => Ok(redirect::done(
            &visitor,
            &format!("/console/secrets/{}", written.secret.meta.id),
            &told(&written),
        )),
        Err(refused) => shown(&api, &visitor, filling, Some(refused.into())).await,
    }
}

async fn deposit(
    api: &Api,
    visitor: &Visitor,
    filling: &Filling,
    form: &mut Form,
) -> Result<Written, ApiError> {
    let value = form.value("value", "value_file")?.ok_or_else(no_value)?;
    let new = new_of(filling.body(&value))?;
    let key = form.text("once");
    Ok(api.store().create_secret(&visitor.caller, new, key.as_deref()).await?)
}

/// A page can ask for a value where the API takes an empty one: nobody means to deposit nothing by hand.
pub(crate) fn no_value() -> ApiError {
    ApiError::new(Code::ValueInvalid, "there is no value").hint("type or paste it, or choose a file")
}

/// What a deposit has to say: names and warnings.
pub(crate) fn told(written: &Written) -> String {
    let meta = &written.secret.meta;
    let mut told = format!("{} is stored, and exported as {}.", meta.name, meta.env);
    for warning in &written.warnings {
        told.push(' ');
        told.push_str(&sentence(&warning.to_string()));
    }
    told
}

async fn shown(
    api: &Api,
    visitor: &Visitor,
    ask: Filling,
    trouble: Option<Trouble>,
) -> Result<Response, ApiError> {
    let cli =
        ["printf %s \"$VALUE\" | dropsafe set NAME --shared", "dropsafe set NAME --file key.pem --as-file"];
    let page = NewPage {
        shell: Shell::new(visitor, "Add a secret", "/console/secrets").cli(cli),
        presets: Choice::all(api),
        tags: Tags::of(api, visitor).await?.0,
        plugins: super::plugins::names(api, visitor).await?,
        may_share: visitor.may(Action::Deposit(Scope::Shared)),
        admin: visitor.is_admin(),
        prefixes: super::preset::prefixes(api),
        ask,
        trouble,
    };
    Ok(show(Trouble::status(page.trouble.as_ref()), &page))
}
