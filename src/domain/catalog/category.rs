//! Categories: what groups secrets for people. A category decides nothing.

use serde::{Deserialize, Serialize};

use super::table;
use crate::domain::description::Description;
use crate::domain::name::{Category, Label};
use crate::domain::text;

text::text_enum! {
    /// The colour that a category is shown in. A word and no code, so that a page can have it as a class.
    pub enum Colour, "a colour" {
        /// Deployment.
        Indigo = "indigo",
        /// Skills.
        Green = "green",
        /// Clouds.
        Blue = "blue",
        /// Keys in general.
        Amber = "amber",
        /// Everything else.
        Gray = "gray",
        Red = "red",
        Orange = "orange",
        Lime = "lime",
        Teal = "teal",
        Cyan = "cyan",
        Violet = "violet",
        Pink = "pink",
    }
}

/// How a category is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategoryForm {
    /// What people call it.
    pub title: Label,
    pub colour: Colour,
    /// What belongs there.
    pub description: Description,
}

/// The five categories that every organization has, in the order in which they are shown.
pub(crate) fn builtin() -> impl Iterator<Item = (Category, CategoryForm)> {
    table::CATEGORIES.iter().filter_map(|(slug, title, colour, description)| {
        let form = CategoryForm {
            title: Label::parse(title).ok()?,
            colour: *colour,
            description: description.parse().ok()?,
        };
        Some((Category::parse(slug).ok()?, form))
    })
}
