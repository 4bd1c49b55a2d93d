//! Adding a secret: the form, as a page or in the side panel, and the deposit. A refused form comes back with everything
//! but the value.

use askama::Template;

use super::form_options::{FormOptions, PresetChoice, presets};
use super::layout::{ErrorNotice, Layout, render};
use super::multipart::MultipartForm;
use super::redirect;
use super::secret_form::{SecretForm, summarize};
use super::session::{BrowserSession, CsrfForm, PageResult};
use crate::api::body::LARGE_BODY;
use crate::api::problem::ApiError;
use crate::api::query::FormQueryParams;
use crate::api::secrets::parse_new_secret;
use crate::store::Written;

/// The form for a new secret.
#[derive(Template)]
#[template(path = "deposit.html", config = "src/api/console/askama.toml")]
struct DepositPage {
    layout: Layout,
    presets: Vec<PresetChoice>,
    form: SecretForm,
    options: FormOptions,
    error: Option<ErrorNotice>,
}

/// Displays the form.
pub(crate) async fn show_form(
    session: BrowserSession,
    FormQueryParams(form): FormQueryParams<SecretForm>,
) -> PageResult {
    render_form(&session, form, None).await
}

/// Renders the form as far as it is filled in, with the error if it was refused.
async fn render_form(session: &BrowserSession, form: SecretForm, error: Option<ErrorNotice>) -> PageResult {
    // A value as an argument would be visible to every process of the machine, so the examples use a pipe and a file.
    let cli = [
        "printf %s \"$VALUE\" | dropsafe set NAME --shared",
        "dropsafe set NAME --file key.pem --as-file",
        "dropsafe set NAME --for SERVICE",
    ];
    let page = DepositPage {
        layout: Layout::new(session, "Add a secret", "/console/secrets").with_cli(cli),
        presets: presets(session),
        form,
        options: FormOptions::load(session).await?,
        error,
    };
    Ok(render(ErrorNotice::status(page.error.as_ref()), &page))
}

/// Deposits a secret.
pub(crate) async fn create(CsrfForm { session, mut form }: CsrfForm<LARGE_BODY>) -> PageResult {
    let fields = SecretForm::new(&form);
    match deposit(&session, &fields, &mut form).await {
        Ok(written) => {
            // The secret's own page displays what became of every field.
            let path = format!("/console/secrets/{}", written.secret.meta.id);
            Ok(redirect::with_message(&session, &path, &summarize(&written)))
        }
        Err(error) => render_form(&session, fields, Some(error.into())).await,
    }
}

/// Deposits the value of a form with these attributes.
pub(crate) async fn deposit(
    session: &BrowserSession,
    fields: &SecretForm,
    form: &mut MultipartForm,
) -> Result<Written, ApiError> {
    let new = parse_new_secret(fields.create_request(&form.require_value()?))?;
    // No idempotency key: the name is unique, so that a form that is sent twice is refused the second time.
    Ok(session.store().create_secret(&session.caller, new, None).await?)
}
