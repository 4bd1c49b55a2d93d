//! The names of a setting, and the place where a value was found.

use std::fmt;
use std::sync::Arc;

/// The three names of one setting. A name is empty if the setting cannot be set there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SettingKey {
    /// On the command line, with its dashes: `--cache-max-age`.
    pub flag: &'static str,
    /// In the environment: `DROPSAFE_CACHE_MAX_AGE`.
    pub variable: &'static str,
    /// In a file, with the keys of nested mappings joined by dots: `cache.max_age`.
    pub field: &'static str,
}

/// The exact place of a value. It displays as the text that a person would search for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SettingOrigin {
    /// A flag of the command line.
    Flag(&'static str),
    /// A variable of the environment.
    Variable(Arc<str>),
    /// A line of a file.
    Line {
        /// The file's path.
        file: Arc<str>,
        /// Counted from 1.
        line: usize,
        /// The field's dotted name; empty for a line of no field.
        field: Arc<str>,
    },
    /// A file as a whole.
    File(Arc<str>),
}

impl fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => f.write_str(flag),
            Self::Variable(name) => f.write_str(name),
            Self::Line { file, line, field } if field.is_empty() => write!(f, "{file}:{line}"),
            Self::Line { file, line, field } => write!(f, "{file}:{line} {field}"),
            Self::File(file) => f.write_str(file),
        }
    }
}

/// Returns the name in `known` that was probably meant by `written`. `None` if no name is similar enough.
pub(crate) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Flags and variables differ from fields in case and dashes only, and people mix them up.
    let folded = written.to_ascii_lowercase().replace('-', "_");
    // A third of the letters may differ. Beyond that, suggestions are mostly unrelated words.
    let max_distance = (folded.len() / 3).max(1);
    known
        .into_iter()
        .map(|name| {
            // Counts two swapped letters, the most common slip, as one edit.
            (strsim::damerau_levenshtein(&folded, &name.to_ascii_lowercase().replace('-', "_")), name)
        })
        .filter(|(distance, _)| *distance <= max_distance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_read_as_places() {
        let line =
            |field: &str| SettingOrigin::Line { file: "/etc/a.yaml".into(), line: 4, field: field.into() };
        assert_eq!(line("deadline").to_string(), "/etc/a.yaml:4 deadline");
        assert_eq!(line("").to_string(), "/etc/a.yaml:4");
        assert_eq!(SettingOrigin::Flag("--deadline").to_string(), "--deadline");
        assert_eq!(SettingOrigin::Variable("DROPSAFE_DEADLINE".into()).to_string(), "DROPSAFE_DEADLINE");
    }

    #[test]
    fn a_similar_name_is_suggested() {
        let known = ["deadline", "on_outage", "defaults_file"];
        assert_eq!(nearest("deadlin", known), Some("deadline"));
        assert_eq!(nearest("on-outage", known), Some("on_outage"));
        assert_eq!(nearest("default_file", known), Some("defaults_file"));
        assert_eq!(nearest("tickets", known), None);
    }
}
