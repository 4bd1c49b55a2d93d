//! `dropsafe category`: the headings that secrets are grouped under.

use clap::{Args, Subcommand};

use super::connect;
use super::context::CliContext;
use super::error::CommandResult;
use super::output::JsonArgs;
use super::paged_list::PagedList;
use crate::client::Client;
use crate::process::Exit;
use crate::wire::{CategoryView, DeclareCategoryRequest};

/// Manage the categories that secrets are grouped under
#[derive(Debug, Subcommand)]
pub(crate) enum CategoryCommand {
    /// List the categories and how many secrets are in each
    List(JsonArgs),
    Set(CategorySetArgs),
    Remove(CategoryRemoveArgs),
}

/// Create a category or change how it is displayed (administrator)
#[derive(Debug, Args)]
pub(crate) struct CategorySetArgs {
    /// Word by which secrets refer to the category: a-z, 0-9, _ and -
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Title to display
    #[arg(long, value_name = "TEXT")]
    pub(crate) title: String,
    /// Colour: indigo, green, blue, amber, gray, red, orange, lime, teal, cyan, violet or pink
    #[arg(long, value_name = "COLOUR", default_value = "gray")]
    pub(crate) colour: String,
    /// What belongs in it, on one line
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) description: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Remove a category (administrator)
///
/// Secrets in it keep its name. A built-in category cannot be removed: it gets
/// back its original title, colour and description.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct CategoryRemoveArgs {
    /// Category to remove
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

impl CategoryCommand {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::open_client(context)?;
        match self {
            Self::List(JsonArgs { json }) => {
                let headings = ["NAME", "TITLE", "COLOUR", "SECRETS", "DESCRIPTION"];
                // An organization has a few dozen at most, so there is no --limit.
                return PagedList { json, limit: None, headings, row, empty: "no categories" }
                    .print(context, &mut client, Client::categories())
                    .await;
            }
            Self::Set(CategorySetArgs { name, title, colour, description, json }) => {
                // One call for both: whether the category exists already makes no difference to the caller.
                let declaration = DeclareCategoryRequest {
                    title: title.into(),
                    colour: colour.into(),
                    description: description.into(),
                };
                let category = client.put_category(&name, &declaration).await?;
                context.output.json_or_line(json, &category, || {
                    format!("{} is declared: {}", category.name, category.title)
                })?;
            }
            Self::Remove(CategoryRemoveArgs { name }) => {
                client.remove_category(&name).await?;
                context.output.line(format!("removed {name}"))?;
            }
        }
        Ok(Exit::Success)
    }
}

fn row(category: CategoryView) -> [String; 5] {
    let CategoryView { name, title, colour, secrets, description, .. } = category;
    [name.to_string(), title.to_string(), colour.to_string(), secrets.to_string(), description]
}
