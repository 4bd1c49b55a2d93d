//! A description for people: free text on one line.

use std::fmt;
use std::str::FromStr;

use crate::domain::text;

/// At most 200 characters on one line; may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description(Box<str>);

/// A text that is no [`Description`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a description has at most {MAX_DESCRIPTION} characters, all visible, on one line")]
pub struct DescriptionError;

/// Characters of a description at most.
const MAX_DESCRIPTION: usize = 200;

impl Description {
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
        let fits = text.chars().count() <= MAX_DESCRIPTION && !text.chars().any(is_invisible);
        if fits { Ok(Self(text.into())) } else { Err(DescriptionError) }
    }
}

/// Control characters, line separators, and characters that hide or reorder the surrounding text (CVE-2021-42574). Lists show a
/// description to people other than its author.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
        || matches!(c, '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

text::serde_as_text!(as_str Description, "a description");
