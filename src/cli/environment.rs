//! The environment variables of this program, read once at the start.
#![expect(clippy::disallowed_methods, reason = "the one place where the command line's environment is read")]

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::settings;

/// For `--help` and the manual.
pub(crate) const HELP: &str = "\
Environment:
  DROPSAFE_URL          address of the store: https://HOST:PORT#sha256/PIN, http://127.0.0.1:PORT
                        or unix:/PATH
  DROPSAFE_TOKEN        token; with DROPSAFE_URL, takes precedence over the saved login
  DROPSAFE_CA           PEM file with the authorities to trust if the address has no pin
  DROPSAFE_DEPOSIT_KEY  expected fingerprint of the deposit key (default: the pinned one)
  DROPSAFE_LOG          log level of serve and dev: off, error, warn, info, debug or trace
  XDG_CONFIG_HOME       holds dropsafe/{login,known}.json and import.key (default: ~/.config)";

/// Variables by name. An empty variable counts as absent.
pub(crate) struct CliEnvironment(settings::Environment);

impl CliEnvironment {
    pub(crate) fn from_process() -> Self {
        Self(settings::Environment::new(std::env::vars_os()))
    }

    /// All variables, for the server's settings.
    pub(crate) fn variables(&self) -> &settings::Environment {
        &self.0
    }

    /// A variable as text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        // Bytes that are not UTF-8 become replacement characters, which no valid address, token, level or fingerprint
        // contains: the variable is refused where it is used.
        self.0.variable(name).map(|text| text.to_string_lossy().into_owned())
    }

    /// A variable as a path.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.0.variable(name).map(PathBuf::from)
    }

    /// The folder of this program's own files.
    pub(crate) fn config_folder(&self) -> Option<PathBuf> {
        // The XDG base directory specification says that a relative path is invalid and must be ignored.
        let absolute = |path: &PathBuf| path.is_absolute();
        let base = self.path("XDG_CONFIG_HOME").filter(absolute);
        let base = base.or_else(|| self.path("HOME").filter(absolute).map(|home| home.join(".config")));
        base.map(|base| base.join("dropsafe"))
    }

    /// The names of all variables that are meant for this program or for the agent.
    pub(crate) fn dropsafe_variables(&self) -> impl Iterator<Item = OsString> {
        let is_ours = |name: &OsStr| name.as_encoded_bytes().starts_with(b"DROPSAFE_");
        self.0.iter().map(|(name, _)| name).filter(move |name| is_ours(name)).map(OsString::from)
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
        let folder = |pairs| environment(pairs).config_folder();
        assert_eq!(folder(&[("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")]), Some("/x/dropsafe".into()));
        assert_eq!(folder(&[("XDG_CONFIG_HOME", "x"), ("HOME", "/h")]), Some("/h/.config/dropsafe".into()));
        assert_eq!(folder(&[("XDG_CONFIG_HOME", ""), ("HOME", "/h")]), Some("/h/.config/dropsafe".into()));
        assert_eq!(folder(&[]), None);
    }

    #[test]
    fn our_variables_are_those_with_the_prefix() {
        let names: Vec<_> = environment(&[("DROPSAFE_URL", "x"), ("PATH", "y"), ("DROPSAFE_LOG", "")])
            .dropsafe_variables()
            .collect();
        assert_eq!(names, ["DROPSAFE_LOG", "DROPSAFE_URL"]);
    }
}
