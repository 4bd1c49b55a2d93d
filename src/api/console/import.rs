//! Importing a `.env` file: what would become of each line, and then all of it or nothing. The text is sent twice, once
//! for each: nothing of it is kept in between, and no page carries it back.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::layout::{Shell, Trouble, sentence, show};
use super::multipart::Form;
use super::redirect;
use super::secret_row::{Tag, Tags};
use super::session::{Posted, Visitor};
use crate::api::Api;
use crate::api::body::LARGE_BODY;
use crate::api::problem::ApiError;
use crate::domain::import::{Existing, Fate};
use crate::domain::role::Action;
use crate::domain::secret::{Scope, ScopeKind};
use crate::domain::value::Kind;
use crate::store::{ImportAsk, ImportReport};
use crate::wire::Code;

#[derive(Template)]
#[template(path = "import.html", config = "src/api/console/askama.toml")]
struct ImportPage {
    shell: Shell,
    tags: Vec<Tag>,
    plugins: Vec<String>,
    may_share: bool,
    ask: Filling,
    preview: Option<Preview>,
    trouble: Option<Trouble>,
}

/// What the form holds, the text apart.
struct Filling {
    shared: bool,
    existing: &'static str,
    plain: bool,
    auto_install: bool,
    plugin: String,
    category: String,
}

impl Default for Filling {
    fn default() -> Self {
        Self {
            shared: false,
            existing: Existing::Replace.as_str(),
            plain: false,
            auto_install: true,
            plugin: String::new(),
            category: String::new(),
        }
    }
}

impl Filling {
    fn of(form: &Form) -> Self {
        let text = |name: &str| form.text(name).unwrap_or_default();
        let existing = text("existing").parse::<Existing>().unwrap_or(Existing::Replace);
        Self {
            shared: text("scope") == "shared",
            existing: existing.as_str(),
            plain: text("type") == "plain",
            auto_install: form.has("auto_install"),
            plugin: text("plugin"),
            category: text("category"),
        }
    }
}

struct Preview {
    lines: Vec<Line>,
    refused: usize,
    changes: usize,
}

struct Line {
    number: usize,
    name: String,
    env: String,
    fate: &'static str,
    words: &'static str,
    notes: Vec<String>,
}

/// The form.
pub(crate) async fn page(State(api): State<Api>, visitor: Visitor) -> Result<Response, ApiError> {
    shown(&api, &visitor, Filling::default(), None, None).await
}

/// Previews, or stores.
pub(crate) async fn run(State(api): State<Api>, posted: Posted<LARGE_BODY>) -> Result<Response, ApiError> {
    let Posted { visitor, mut form } = posted;
    let filling = Filling::of(&form);
    let preview = form.text("do").as_deref() != Some("store");
    match import(&api, &visitor, &filling, &mut form, preview).await {
        Ok(report) if report.stored => Ok(redirect::done(&visitor, "/console/secrets", &told(&report))),
        Ok(report) => shown(&api, &visitor, filling, Some(Preview::of(report)), None).await,
        Err(refused) => shown(&api, &visitor, filling, None, Some(refused.into())).await,
    }
}

async fn import(
    api: &Api,
    visitor: &Visitor,
    filling: &Filling,
    form: &mut Form,
    preview: bool,
) -> Result<ImportReport, ApiError> {
    let text = form.value("env", "env_file")?.ok_or_else(|| {
        ApiError::new(Code::InvalidRequest, "there is nothing to import")
            .hint("paste NAME=VALUE lines, or choose a file")
    })?;
    let named = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let ask = ImportAsk {
        text,
        scope: if filling.shared { ScopeKind::Shared } else { ScopeKind::Private },
        existing: filling.existing.parse().unwrap_or(Existing::Replace),
        kind: if filling.plain { Kind::Plain } else { Kind::Encrypted },
        auto_install: filling.auto_install,
        plugin: named(&filling.plugin)
            .map(|name| crate::api::problem::parse_name("plugin", &name))
            .transpose()?,
        category: named(&filling.category)
            .map(|name| crate::api::problem::parse_name("category", &name))
            .transpose()?,
    };
    Ok(api.store().import(&visitor.caller, ask, preview).await?)
}

fn told(report: &ImportReport) -> String {
    let count = |fate: Fate| report.lines.iter().filter(|line| line.fate == fate).count();
    let (new, replaced, kept) = (count(Fate::Create), count(Fate::Replace), count(Fate::Keep));
    format!("The file is imported: {new} new, {replaced} replaced, {kept} kept as they were.")
}

impl Preview {
    fn of(report: ImportReport) -> Self {
        let lines: Vec<Line> = report
            .lines
            .into_iter()
            .map(|line| Line {
                number: line.line,
                name: line.name.map(|name| name.to_string()).unwrap_or_default(),
                env: line.env.map(|env| env.to_string()).unwrap_or_default(),
                fate: line.fate.as_str(),
                words: words(line.fate),
                notes: line
                    .why
                    .into_iter()
                    .chain(line.warnings.iter().map(ToString::to_string))
                    .map(|note| sentence(&note))
                    .collect(),
            })
            .collect();
        let of = |fates: &[Fate]| {
            lines.iter().filter(|line| fates.iter().any(|fate| fate.as_str() == line.fate)).count()
        };
        Self {
            refused: of(&[Fate::Refused]),
            changes: of(&[Fate::Create, Fate::Replace, Fate::Clear]),
            lines,
        }
    }
}

fn words(fate: Fate) -> &'static str {
    match fate {
        Fate::Create => "new",
        Fate::Replace => "replaces the value",
        Fate::Keep => "kept as it is",
        Fate::Clear => "deletes it",
        Fate::Nothing => "nothing to do",
        Fate::Refused => "refused",
    }
}

async fn shown(
    api: &Api,
    visitor: &Visitor,
    ask: Filling,
    preview: Option<Preview>,
    trouble: Option<Trouble>,
) -> Result<Response, ApiError> {
    let page = ImportPage {
        shell: Shell::new(visitor, "Import", "/console/import")
            .cli(["dropsafe import FILE.env --dry-run", "dropsafe import FILE.env --shared"]),
        tags: Tags::of(api, visitor).await?.0,
        plugins: super::plugins::names(api, visitor).await?,
        may_share: visitor.may(Action::Deposit(Scope::Shared)),
        ask,
        preview,
        trouble,
    };
    let status = match (&page.trouble, &page.preview) {
        (Some(trouble), _) => trouble.status,
        (None, Some(preview)) if preview.refused > 0 => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::OK,
    };
    Ok(show(status, &page))
}
