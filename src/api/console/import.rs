//! Importing a `.env` file: a preview of each line, and then all lines or none. The browser sends the text once for each
//! step. The server keeps nothing of it in between, and no page contains it.

use askama::Template;
use http::StatusCode;

use super::display::capitalize;
use super::form_options::FormOptions;
use super::layout::{ErrorNotice, Layout, render};
use super::multipart::MultipartForm;
use super::redirect;
use super::secret_form::SecretForm;
use super::session::{BrowserSession, CsrfForm, PageResult};
use crate::api::body::LARGE_BODY;
use crate::api::problem::{ApiError, parse_name};
use crate::api::secrets::checked_attributes;
use crate::domain::import::{ExistingPolicy, ImportOutcome};
use crate::domain::value::Kind;
use crate::store::{ImportAsk, ImportReport, ImportSource};
use crate::wire::Code;

/// The form, and the preview below it.
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
    /// Lines that stop the import, because it stores all lines or none.
    refused: usize,
    /// Lines that would create, replace or delete a secret.
    changes: usize,
}

/// A line of the file.
struct ImportRow {
    number: usize,
    /// The secret's name; empty if the line has none.
    name: String,
    env: String,
    fate: ImportOutcome,
    result: &'static str,
    /// Why it is refused, and what the store warns about.
    notes: Vec<String>,
}

/// Displays the form.
pub(crate) async fn show_form(session: BrowserSession) -> PageResult {
    render_form(&session, SecretForm::default(), ExistingPolicy::Replace, Ok(None)).await
}

/// Previews or imports a file.
pub(crate) async fn run(CsrfForm { session, mut form }: CsrfForm<LARGE_BODY>) -> PageResult {
    let fields = SecretForm::new(&form);
    // An unknown word means the default of the form, not an error: nobody can type one here.
    let existing = form.text_or_empty("existing").parse().unwrap_or(ExistingPolicy::Replace);
    // Without a script, Enter in a field presses the first button, which is "Preview". It must never import.
    let preview = form.text_or_empty("mode") != "store";
    let result = match parse_request(&fields, existing, &mut form) {
        Ok(ask) => session.store().import(&session.caller, ask, preview).await.map_err(ApiError::from),
        Err(error) => Err(error),
    };
    match result {
        // A report without `stored` is a preview, or an import that a line has stopped. Both display the lines.
        Ok(report) if report.stored => {
            Ok(redirect::with_message(&session, "/console/secrets", &summarize_report(&report)))
        }
        result => render_form(&session, fields, existing, result.map(Some)).await,
    }
}

/// Builds the import from the form. Takes the text out of the form, so that it exists once.
fn parse_request(
    fields: &SecretForm,
    existing: ExistingPolicy,
    form: &mut MultipartForm,
) -> Result<ImportAsk, ApiError> {
    let text = form.take_value("env", "env_file")?.ok_or_else(|| {
        ApiError::new(Code::InvalidRequest, "there is nothing to import")
            .hint("paste NAME=VALUE lines, or choose a file")
    })?;
    Ok(ImportAsk {
        source: ImportSource::Text(text),
        scope: fields.scope.kind(),
        owner: fields.scope.service.as_deref().map(|name| parse_name("scope", name)).transpose()?,
        existing,
        kind: if fields.plain { Kind::Plain } else { Kind::Encrypted },
        attributes: checked_attributes(fields.attributes.parse())?,
    })
}

fn summarize_report(report: &ImportReport) -> String {
    let count = |fate: ImportOutcome| report.lines.iter().filter(|line| line.fate == fate).count();
    let (new, replaced, unchanged) =
        (count(ImportOutcome::Create), count(ImportOutcome::Replace), count(ImportOutcome::Keep));
    format!("Import complete: {new} new, {replaced} replaced, {unchanged} unchanged.")
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
        let count = |fates: &[ImportOutcome]| rows.iter().filter(|row| fates.contains(&row.fate)).count();
        Self {
            refused: count(&[ImportOutcome::Refused]),
            changes: count(&[ImportOutcome::Create, ImportOutcome::Replace, ImportOutcome::Clear]),
            rows,
        }
    }
}

fn describe_fate(fate: ImportOutcome) -> &'static str {
    match fate {
        ImportOutcome::Create => "create",
        ImportOutcome::Replace => "replace value",
        ImportOutcome::Keep => "keep existing",
        ImportOutcome::Clear => "delete",
        ImportOutcome::Nothing => "no change",
        ImportOutcome::Refused => "refused",
    }
}

/// Renders the form with a preview, or with the error of a refused import.
async fn render_form(
    session: &BrowserSession,
    form: SecretForm,
    existing: ExistingPolicy,
    result: Result<Option<ImportReport>, ApiError>,
) -> PageResult {
    let (preview, error) = match result {
        Ok(report) => (report.map(ImportPreview::new), None),
        Err(error) => (None, Some(ErrorNotice::from(error))),
    };
    let status = match (&error, &preview) {
        (Some(error), _) => error.status,
        // A preview with refused lines answers like the import that it previews.
        (None, Some(preview)) if preview.refused > 0 => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::OK,
    };
    let page = ImportPage {
        layout: Layout::new(session, "Import", "/console/import").with_cli([
            "dropsafe import FILE.env --dry-run",
            "dropsafe import FILE.env --shared",
            "dropsafe import FILE.env --for SERVICE",
        ]),
        form,
        existing: existing.as_str(),
        options: FormOptions::load(session).await?,
        preview,
        error,
    };
    Ok(render(status, &page))
}
