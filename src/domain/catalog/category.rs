//! Categories: what groups secrets for people. A category decides nothing.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::table;
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
        /// For an organization's own.
        Red = "red",
        /// For an organization's own.
        Orange = "orange",
        /// For an organization's own.
        Lime = "lime",
        /// For an organization's own.
        Teal = "teal",
        /// For an organization's own.
        Cyan = "cyan",
        /// For an organization's own.
        Violet = "violet",
        /// For an organization's own.
        Pink = "pink",
    }
}

/// How a category is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategoryForm {
    /// What people call it.
    pub title: Label,
    /// Its colour.
    pub colour: Colour,
    /// What belongs there.
    pub description: Description,
}

/// At most 200 characters on one line; may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description(Box<str>);

/// A text that is no [`Description`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a description has at most {MAX_DESCRIPTION} characters, on one line")]
pub struct DescriptionError;

/// Characters of a description at most.
const MAX_DESCRIPTION: usize = 200;

impl Description {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Description {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl FromStr for Description {
    type Err = DescriptionError;

    fn from_str(text: &str) -> Result<Self, DescriptionError> {
        let fits = text.chars().count() <= MAX_DESCRIPTION && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.into())) } else { Err(DescriptionError) }
    }
}

text::serde_as_text!(as_str Description, "a description");

/// The five categories that every organization has, in the order in which they are shown.
pub fn builtin() -> impl Iterator<Item = (Category, CategoryForm)> {
    table::CATEGORIES.iter().filter_map(|(slug, title, colour, description)| {
        let form = CategoryForm {
            title: Label::parse(title).ok()?,
            colour: *colour,
            description: description.parse().ok()?,
        };
        Some((Category::parse(slug).ok()?, form))
    })
}
