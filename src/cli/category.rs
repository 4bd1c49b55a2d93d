//! `dropsafe category`: what secrets are shown under.

use clap::{Args, Subcommand};

use super::error::CommandResult;
use super::paged_list::PagedList;
use super::{CliContext, connect, paged_list};
use crate::client::Client;
use crate::process::Exit;
use crate::wire::{CategoryView, DeclareCategoryRequest};

/// List, declare and remove the categories that secrets are shown under
#[derive(Debug, Subcommand)]
pub(crate) enum CategoryCommand {
    List(CategoryListArgs),
    Set(CategorySetArgs),
    Remove(CategoryRemoveArgs),
}

/// List the categories, with how many secrets are in each
#[derive(Debug, Args)]
pub(crate) struct CategoryListArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Declare a category, or change how one is shown (administrator)
#[derive(Debug, Args)]
pub(crate) struct CategorySetArgs {
    /// The word that secrets carry: a-z, 0-9, _ and -
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// What people call it
    #[arg(long, value_name = "TEXT")]
    pub(crate) title: String,
    /// Its colour: indigo, green, blue, amber, gray, red, orange, lime, teal, cyan, violet or pink
    #[arg(long, value_name = "COLOUR", default_value = "gray")]
    pub(crate) colour: String,
    /// What belongs there, on one line
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) description: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Remove a category; its secrets keep the word (administrator)
///
/// One of the five that every organization has cannot go: it is shown as it was at first.
#[derive(Debug, Args)]
pub(crate) struct CategoryRemoveArgs {
    /// The category
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

impl CategoryCommand {
    /// Runs it.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::client(context)?;
        match self {
            Self::List(list) => {
                let headings = ["NAME", "TITLE", "COLOUR", "SECRETS", "DESCRIPTION"];
                let shown = PagedList { json: list.json, limit: None, headings, row, empty: "no categories" };
                paged_list::print(context, &mut client, Client::categories(), shown).await
            }
            Self::Set(set) => {
                let CategorySetArgs { name, title, colour, description, json } = set;
                let declaration = DeclareCategoryRequest { title, colour, description };
                let category = client.put_category(&name, &declaration).await?;
                if json {
                    context.output.json(&category)?;
                } else {
                    context.output.line(format!("{} is declared: {}", category.name, category.title))?;
                }
                Ok(Exit::Success)
            }
            Self::Remove(remove) => {
                client.remove_category(&remove.name).await?;
                context.output.line(format!("removed {}", remove.name))?;
                Ok(Exit::Success)
            }
        }
    }
}

fn row(category: CategoryView) -> [String; 5] {
    let secrets = category.secrets.to_string();
    [category.name, category.title, category.colour, secrets, category.description]
}
