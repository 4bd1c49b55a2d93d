//! The variables that this program takes from its environment, read once at the start.
#![expect(clippy::disallowed_methods, reason = "the one place where the command line's environment is read")]

use std::ffi::OsString;
use std::path::PathBuf;

use crate::settings;

/// For `--help` and the manual.
pub(crate) const HELP: &str = "\
Environment:
  DROPSAFE_URL          the store: https://HOST:PORT#sha256/PIN, http://127.0.0.1:PORT or unix:/PATH
  DROPSAFE_TOKEN        the token; it goes with DROPSAFE_URL, and both stand before a saved login
  DROPSAFE_CA           a PEM file of the authorities that vouch for a store without a pin
  DROPSAFE_DEPOSIT_KEY  the deposit key's fingerprint that is expected, instead of the remembered one
  DROPSAFE_LOG          how much the server logs: off, error, warn, info, debug or trace
  XDG_CONFIG_HOME       where dropsafe/login.json and dropsafe/known.json are kept; ~/.config without it";

/// The variables by name. An empty one counts as absent.
pub(crate) struct CliEnvironment(settings::Environment);

impl CliEnvironment {
    /// This process's.
    pub(crate) fn of_process() -> Self {
        Self(settings::Environment::new(std::env::vars_os()))
    }

    /// All of it, for the server's settings.
    pub(crate) fn all(&self) -> &settings::Environment {
        &self.0
    }

    /// One as text. What is not UTF-8 is none of ours, and is found wrong where it is used.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.0.variable(name).map(|text| text.to_string_lossy().into_owned())
    }

    /// One as a path.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.0.variable(name).map(PathBuf::from)
    }

    /// The folder of this program's own files. The XDG specification lets a relative path count as absent.
    pub(crate) fn configuration_folder(&self) -> Option<PathBuf> {
        let absolute = |path: &PathBuf| path.is_absolute();
        let base = self.path("XDG_CONFIG_HOME").filter(absolute);
        let base = base.or_else(|| self.path("HOME").filter(absolute).map(|home| home.join(".config")));
        base.map(|base| base.join("dropsafe"))
    }

    /// The names of all variables that are meant for this program or the agent.
    pub(crate) fn own_names(&self) -> impl Iterator<Item = OsString> {
        let own = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b"DROPSAFE_");
        self.0.iter().map(|(name, _)| name).filter(move |name| own(name)).map(OsString::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> CliEnvironment {
        let entry = |(name, value): &(&str, &str)| (OsString::from(name), OsString::from(value));
        CliEnvironment(settings::Environment::new(pairs.iter().map(entry)))
    }

    #[test]
    fn the_folder_follows_xdg() {
        let folder = |pairs| environment(pairs).configuration_folder();
        assert_eq!(folder(&[("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")]), Some("/x/dropsafe".into()));
        assert_eq!(folder(&[("XDG_CONFIG_HOME", "x"), ("HOME", "/h")]), Some("/h/.config/dropsafe".into()));
        assert_eq!(folder(&[("XDG_CONFIG_HOME", ""), ("HOME", "/h")]), Some("/h/.config/dropsafe".into()));
        assert_eq!(folder(&[]), None);
    }

    #[test]
    fn own_names_are_those_with_the_prefix() {
        let names: Vec<_> =
            environment(&[("DROPSAFE_URL", "x"), ("PATH", "y"), ("DROPSAFE_LOG", "")]).own_names().collect();
        assert_eq!(names, ["DROPSAFE_LOG", "DROPSAFE_URL"]);
    }
}
