//! What a setting is called in each place, and where a value of it was found.

use std::fmt;
use std::sync::Arc;

/// The three names of one setting. A place where the setting cannot stand has an empty name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SettingKey {
    /// On the command line, with its dashes: `--cache-max-age`.
    pub flag: &'static str,
    /// In the environment: `DROPSAFE_CACHE_MAX_AGE`.
    pub variable: &'static str,
    /// In a file, keys of nested mappings joined by dots: `cache.max_age`.
    pub field: &'static str,
}

/// The exact place where something was found; it shows as what a person would search for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingOrigin {
    /// A flag of the command line.
    Flag(&'static str),
    /// A variable of the environment.
    Variable(Arc<str>),
    /// A line of a file, and the field it belongs to, when it belongs to one.
    Line {
        /// The file's path.
        file: Arc<str>,
        /// Counted from 1.
        line: usize,
        /// Dotted.
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

/// The one of `known` that `written` was probably meant to be, if any is near enough.
pub(crate) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = written.to_ascii_lowercase().replace('-', "_");
    // A third of the letters may differ: more than that suggests unrelated words.
    let most = (folded.len() / 3).max(1);
    known
        .into_iter()
        .map(|name| {
            (strsim::damerau_levenshtein(&folded, &name.to_ascii_lowercase().replace('-', "_")), name)
        })
        .filter(|(distance, _)| *distance <= most)
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
    fn the_nearest_name_is_near() {
        let known = ["deadline", "on_outage", "defaults_file"];
        assert_eq!(nearest("deadlin", known), Some("deadline"));
        assert_eq!(nearest("on-outage", known), Some("on_outage"));
        assert_eq!(nearest("default_file", known), Some("defaults_file"));
        assert_eq!(nearest("tickets", known), None);
    }
}
