//! Importing a `.env` file: a preview of each line, and then all lines or none. The browser sends the text once for each
//! step. The server keeps nothing of it in between, and no page contains it.

use askama::Template;
use http::StatusCode;

use super::display::capitalize;
use super::form_options::FormOptions;
use super::layout::{ErrorNotice, Layout, render};
use super::multipart::MultipartForm;
use super::redirect;
use super::secret_form::{SecretForm, scope_kind};
use super::session::{BrowserSession, CsrfForm, PageResult};
use crate::api::extract::LARGE;
use crate::api::members::name_in;
use crate::api::problem::Refused;
use crate::domain::import::{Existing, Fate};
use crate::domain::name::NameError;
use crate::domain::value::Kind;
use crate::store::{ImportAsk, ImportReport};
use crate::wire::Code;

#[derive(Template)]
#[template(path = "import.html", config = "src/api/console/askama.toml")]
struct ImportPage {
    layout: Layout,
    /// The attributes of every imported secret.
    form: SecretForm,
    /// What to do with names that exist, as the value of its choice.
    existing: &'static str,
    options: FormOptions,
    preview: Option<ImportPreview>,
    error: Option<ErrorNotice>,
}

/// What an import would do.
struct ImportPreview {
    rows: Vec<ImportRow>,
    refused: usize,
    changes: usize,
}

/// A line of the file.
struct ImportRow {
    number: usize,
    name: String,
    env: String,
    fate: Fate,
    result: &'static str,
    notes: Vec<String>,
}

/// Displays the form.
pub(crate) async fn show_form(session: BrowserSession) -> PageResult {
    let form = SecretForm { auto_install: true, ..SecretForm::default() };
    render_form(&session, form, Existing::Replace, Ok(None)).await
}

/// Previews or imports a file.
pub(crate) async fn run(CsrfForm { session, mut form }: CsrfForm<LARGE>) -> PageResult {
    let fields = SecretForm::new(&form);
    let existing = form.text_or_empty("existing").parse().unwrap_or(Existing::Replace);
    // Without a script, Enter in a field presses the first button, which is "Preview". It must never import.
    let preview = form.text_or_empty("mode") != "store";
    let result = match parse_request(&fields, existing, &mut form) {
        Ok(ask) => session.store().import(&session.caller, ask, preview).await.map_err(Refused::from),
        Err(refused) => Err(refused),
    };
    match result {
        Ok(report) if report.stored => {
            Ok(redirect::with_message(&session, "/console/secrets", &summarize_report(&report)))
        }
        result => render_form(&session, fields, existing, result.map(Some)).await,
    }
}

fn parse_request(
    fields: &SecretForm,
    existing: Existing,
    form: &mut MultipartForm,
) -> Result<ImportAsk, Refused> {
    let text = form.take_value("env", "env_file")?.ok_or_else(|| {
        Refused::new(Code::InvalidRequest, "there is nothing to import")
            .hint("paste NAME=VALUE lines, or choose a file")
    })?;
    Ok(ImportAsk {
        text,
        scope: scope_kind(fields.shared),
        existing,
        kind: if fields.plain { Kind::Plain } else { Kind::Encrypted },
        auto_install: fields.auto_install,
        plugin: parse_optional("plugin", &fields.plugin)?,
        category: parse_optional("category", &fields.category)?,
    })
}

fn parse_optional<T: std::str::FromStr<Err = NameError>>(
    field: &str,
    text: &str,
) -> Result<Option<T>, Refused> {
    if text.is_empty() { Ok(None) } else { name_in(field, text).map(Some) }
}

fn summarize_report(report: &ImportReport) -> String {
    let count = |fate: Fate| report.lines.iter().filter(|line| line.fate == fate).count();
    let (new, replaced, kept) = (count(Fate::Create), count(Fate::Replace), count(Fate::Keep));
    format!("Import complete: {new} new, {replaced} replaced, {kept} unchanged.")
}

impl ImportPreview {
    fn new(report: ImportReport) -> Self {
        let rows = report.lines.into_iter().map(|line| {
            // Never the line itself: it holds a value.
            let notes = line.why.into_iter().chain(line.warnings.iter().map(ToString::to_string));
            ImportRow {
                number: line.line,
                name: line.name.map(|name| name.to_string()).unwrap_or_default(),
                env: line.env.map(|env| env.to_string()).unwrap_or_default(),
                fate: line.fate,
                result: describe_fate(line.fate),
                notes: notes.map(|note| capitalize(&note)).collect(),
            }
        });
        let rows: Vec<ImportRow> = rows.collect();
        let count = |fates: &[Fate]| rows.iter().filter(|row| fates.contains(&row.fate)).count();
        Self {
            refused: count(&[Fate::Refused]),
            changes: count(&[Fate::Create, Fate::Replace, Fate::Clear]),
            rows,
        }
    }
}

fn describe_fate(fate: Fate) -> &'static str {
    match fate {
        Fate::Create => "create",
        Fate::Replace => "replace value",
        Fate::Keep => "keep existing",
        Fate::Clear => "delete",
        Fate::Nothing => "no change",
        Fate::Refused => "refused",
    }
}

async fn render_form(
    session: &BrowserSession,
    form: SecretForm,
    existing: Existing,
    result: Result<Option<ImportReport>, Refused>,
) -> PageResult {
    let (preview, error) = match result {
        Ok(report) => (report.map(ImportPreview::new), None),
        Err(refused) => (None, Some(ErrorNotice::from(refused))),
    };
    let status = match (&error, &preview) {
        (Some(error), _) => error.status,
        // A preview with refused lines answers like the import that it previews.
        (None, Some(preview)) if preview.refused > 0 => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::OK,
    };
    let page = ImportPage {
        layout: Layout::new(session, "Import", "/console/import")
            .with_cli(["dropsafe import FILE.env --dry-run", "dropsafe import FILE.env --shared"]),
        form,
        existing: existing.as_str(),
        options: FormOptions::load(session).await?,
        preview,
        error,
    };
    Ok(render(status, &page))
}
